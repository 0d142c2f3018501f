//! The port [`Store`] on storage.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use bytes::Bytes;
use tintype_pipeline::store::{
    Condition, Listing, Location, Object, ObjectKey, Put, SourceVersion, Stat, Store, StoreError, single_etag,
};

use super::{
    Cause, Objects, PageRequest, Storage, StoreFault,
    objects::{Placed, check_condition, place},
    publication::Publication,
};
use crate::{
    ledger::{LedgerError, ObjectRecord, StoredHeaders, listed_key},
    queue::Settlement,
};

/// An object to be made visible: where, what must hold there, and its row.
pub(super) type Row = (Location, Condition, ObjectRecord);

/// What the function does with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectAccess {
    /// It reads it, or looks whether it is there.
    Read,
    /// It writes it.
    Write,
    /// It deletes it.
    Delete,
}

/// Decides what the function may do; an error says why not.
pub type DecideFunction = dyn Fn(ObjectAccess, &Location) -> Result<(), String> + Send + Sync;

/// What decides what the function may do; unset, it may do everything.
#[derive(Default)]
pub struct FunctionGuard(OnceLock<Box<DecideFunction>>);

impl fmt::Debug for FunctionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionGuard").finish_non_exhaustive()
    }
}

impl FunctionGuard {
    /// From now on this decides; the first to be set does.
    pub fn set(&self, decide: Box<DecideFunction>) {
        let _ = self.0.set(decide);
    }

    /// Whether the function may do this.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, access: ObjectAccess, at: &Location) -> Result<(), String> {
        self.0.get().map_or(Ok(()), |decide| decide(access, at))
    }
}

/// The port on storage. Its futures wait for the disk on the thread that polls them: poll them on one that may
/// block.
#[derive(Debug, Clone)]
pub struct DiskPort {
    storage: Arc<Storage>,
    is_of_function: bool,
}

impl DiskPort {
    /// The port on storage.
    #[must_use]
    pub const fn new(storage: Arc<Storage>) -> Self {
        Self { storage, is_of_function: false }
    }

    /// The port of the function, which may do what [`Storage::function_guard`] says.
    #[must_use]
    pub const fn of_function(storage: Arc<Storage>) -> Self {
        Self { storage, is_of_function: true }
    }

    fn check(&self, access: ObjectAccess, at: &Location) -> Result<(), StoreError> {
        match self.is_of_function {
            true => self.storage.function_guard.check(access, at).map_err(StoreError::Denied),
            false => Ok(()),
        }
    }

    /// Whether all of these may be written.
    ///
    /// # Errors
    /// [`StoreError::Denied`], with why.
    pub fn check_puts(&self, puts: &[Put]) -> Result<(), StoreError> {
        puts.iter().try_for_each(|put| self.check(ObjectAccess::Write, &put.at))
    }

    /// What it is on.
    #[must_use]
    pub const fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    pub(super) fn objects(&self) -> &Arc<Objects> {
        &self.storage.objects
    }
}

fn stat(record: ObjectRecord) -> Stat {
    Stat {
        etag: record.etag,
        size: record.size,
        content_type: record.headers.content_type,
        metadata: record.headers.metadata,
        modified_ms: record.modified_ms,
    }
}

#[async_trait]
impl Store for DiskPort {
    async fn head(&self, at: &Location) -> Result<Option<Stat>, StoreError> {
        self.check(ObjectAccess::Read, at)?;
        Ok(self.storage.objects.stat(at)?)
    }

    async fn get(&self, at: &Location, limit: u64) -> Result<Option<Object>, StoreError> {
        self.check(ObjectAccess::Read, at)?;
        let Some(object) = self.storage.objects.open(at)? else { return Ok(None) };
        if object.record.size > limit {
            return Err(StoreError::TooLarge { size: object.record.size, limit });
        }
        let bytes = Bytes::from(object.bytes()?);
        Ok(Some(Object { stat: stat(object.record), bytes }))
    }

    async fn put(&self, put: Put) -> Result<String, StoreError> {
        single_etag(self.put_all(vec![put], None).await?)
    }

    async fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> Result<Vec<String>, StoreError> {
        self.check_puts(&puts)?;
        Ok(self.storage.objects.put_all(puts, source.cloned(), None)?)
    }

    async fn delete(&self, at: &Location, if_match: Option<&str>) -> Result<(), StoreError> {
        let cause = Cause::new("ObjectRemoved:Delete", String::new());
        self.check(ObjectAccess::Delete, at)?;
        self.storage.objects.delete(at, if_match, cause)?;
        Ok(())
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&ObjectKey>,
        max: usize,
    ) -> Result<Listing, StoreError> {
        let after = after.map(ToString::to_string).unwrap_or_default();
        let request = PageRequest { prefix: prefix.into(), delimiter: String::new(), after, max };
        let page = self.storage.listing.page(bucket, &request)?;
        let objects = page
            .objects
            .into_iter()
            .map(|(key, record)| Ok((listed_key(&key).map_err(StoreFault::from)?, stat(record))));
        Ok(Listing { objects: objects.collect::<Result<_, StoreFault>>()?, more: page.next.is_some() })
    }
}

impl Objects {
    /// An object as the port has it.
    pub(super) fn stat(&self, at: &Location) -> Result<Option<Stat>, StoreFault> {
        Ok(self.head(at)?.map(|record| stat(self.verified(at, record))))
    }

    /// Writes and syncs the files of puts, beside those that are there; returns their rows. If one fails, all are gone.
    pub(super) fn finish_all(
        &self,
        puts: Vec<Put>,
        mut files: Publication,
    ) -> Result<(Publication, Vec<Row>), StoreFault> {
        let mut rows = Vec::with_capacity(puts.len());
        for put in puts {
            let headers = StoredHeaders {
                content_type: Some(put.content_type),
                metadata: put.metadata,
                ..StoredHeaders::default()
            };
            let finished = self.begin(&put.at, headers).and_then(|mut incoming| {
                incoming.write(&put.bytes)?;
                self.publisher.files.seal(incoming)
            });
            match finished {
                Ok(finished) => rows.push((put.at, put.condition, files.add(finished))),
                Err(fault) => {
                    self.publisher.discard(files, false);
                    return Err(fault);
                }
            }
        }
        Ok((files, rows))
    }

    /// Writes several objects, checks their source and settles their event: all of it in one transaction.
    ///
    /// # Errors
    /// A condition does not hold, the source is no longer at that version, or the disk does not take them.
    pub(crate) fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<SourceVersion>,
        settlement: Option<Settlement>,
    ) -> Result<Vec<String>, StoreFault> {
        let (publication, rows) = self.finish_all(puts, Publication::default())?;
        let events = self.events();
        let placed = self.publisher.publish(publication, move |changes| {
            if let Some(source) = source {
                let now = changes.object(&source.at)?;
                if now.is_none_or(|now| now.etag != source.etag) {
                    return Err(StoreFault::PreconditionFailed(source.at));
                }
            }
            for (at, condition, _) in &rows {
                check_condition(changes, at, condition)?;
            }
            if let Some(settlement) = settlement {
                let places = rows.iter().map(|(at, ..)| at.clone()).collect();
                settlement.settle(changes, "made", None, places)?;
            }
            let cause = Cause::new("ObjectCreated:Put", String::new());
            let placed = rows.into_iter().map(|(at, _, record)| place(changes, &events, &at, record, &cause));
            Ok(placed.collect::<Result<Vec<Placed>, LedgerError>>()?)
        })?;
        Ok(placed.into_iter().map(|placed| self.placed(placed).etag).collect())
    }
}
