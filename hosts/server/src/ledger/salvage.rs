//! What can be read of a ledger that may be corrupt. Its file is only read, never written.
//!
//! A ledger that passes redb's check of every page is trusted. Of any other only what is nowhere else is read, as
//! far as it reads: buckets with their rules, access keys, dead letters, events to be sent, and which files were to be removed.
//! Objects are rebuilt from their files.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use redb::{ReadableTable as _, TableDefinition};
use tintype_alt_text::Day;
use tintype_pipeline::store::Location;

use super::{
    CACHE_BYTES, Changes, Ledger, LedgerError, View,
    access_keys::ACCESS_KEYS,
    alt_texts::{ALT_TEXT_EVENTS, ALT_TEXT_USAGE},
    object_details::{OBJECT_PARTS, OBJECT_TAGS},
    outbox::OUTBOX,
    read_only_file::ReadOnlyFile,
    records::{
        AccessKeyRecord, BucketRecord, DeadLetter, EventRecord, ObjectRecord, OutboxRecord, PartLayoutRecord,
        PartRecord, ResultRecord, TagsRecord,
    },
    transaction::{
        BUCKETS, DEAD_LETTERS, DUE, EVENTS, OBJECTS, PARTS, RESULTS, RETRIES, TRASH, UPLOADS, WAITING, decode,
    },
};
use crate::disk::Disk;

/// Rows copied in one transaction.
const CHUNK: usize = 1000;

/// A ledger that is only read.
pub struct OldLedger {
    view: View,
    problem: Option<String>,
}

impl std::fmt::Debug for OldLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OldLedger").field("problem", &self.problem).finish_non_exhaustive()
    }
}

/// How many rows were taken over.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Buckets.
    pub buckets: u64,
    /// Events that were waiting.
    pub events: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Uploads under way.
    pub uploads: u64,
}

impl OldLedger {
    /// Opens the ledger at `path`; every page is checked.
    ///
    /// # Errors
    /// Nothing of it can be read.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Self, LedgerError> {
        match Self::open_with(disk, path, true) {
            Ok(view) => Ok(Self { view, problem: None }),
            Err(error @ LedgerError::Foreign(_)) => Err(error),
            Err(error) => {
                // Only the reason: the advice of Corrupt is being followed.
                let problem = match &error {
                    LedgerError::Corrupt(why) => why.clone(),
                    other => other.to_string(),
                };
                let view = Self::open_with(disk, path, false).map_err(|_| error)?;
                Ok(Self { view, problem: Some(problem) })
            }
        }
    }

    fn open_with(disk: &dyn Disk, path: &Path, check: bool) -> Result<View, LedgerError> {
        let backend = ReadOnlyFile::new(disk.open(path)?)?;
        if redb::StorageBackend::len(&backend)? == 0 {
            return Err(LedgerError::Corrupt("its file is empty".into()));
        }
        guarded(|| {
            let database = redb::Builder::new()
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(check)
                .create_with_backend(backend)
                .map_err(LedgerError::opening)?;
            let view = View::begin(Arc::new(database))?;
            if view.table(TRASH).is_err() {
                return Err(LedgerError::Foreign("a database of another kind"));
            }
            Ok(view)
        })
    }

    /// What is wrong with it; `None`: nothing, so that it is trusted.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The number it shares with its data folder.
    #[must_use]
    pub fn identity(&self) -> Option<u64> {
        guarded(|| self.view.identity()).unwrap_or_default()
    }

    /// How many commits it has had; 0 if that cannot be read.
    #[must_use]
    pub fn last_commit(&self) -> u64 {
        guarded(|| self.view.last_commit()).unwrap_or_default()
    }

    /// From which order on orphaned files may lie; `None` if that is not known.
    #[must_use]
    pub fn unclean(&self) -> Option<u64> {
        guarded(|| self.view.unclean()).unwrap_or_default()
    }

    /// The highest order it knows; 0 if that cannot be read.
    #[must_use]
    pub fn last_order(&self) -> u64 {
        guarded(|| self.view.last_order()).unwrap_or_default()
    }

    /// An object, from a ledger without a problem.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn object(&self, at: &Location) -> Result<Option<ObjectRecord>, LedgerError> {
        self.view.object(at)
    }

    /// A part of an upload, from a ledger without a problem.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn part(&self, upload: &str, number: u16) -> Result<Option<PartRecord>, LedgerError> {
        self.view.part(upload, number)
    }

    /// Whether a part of an upload is this file, in a ledger without a problem.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn has_part(&self, upload: &str, number: u16, order: u64) -> Result<bool, LedgerError> {
        Ok(self.part(upload, number)?.is_some_and(|part| part.order == order))
    }

    /// Whether a file was to be removed: its object had been overwritten or deleted.
    #[must_use]
    pub fn was_removed(&self, order: u64) -> bool {
        let found =
            guarded(|| Ok(self.view.table(TRASH)?.get(order).map_err(LedgerError::database)?.is_some()));
        found.unwrap_or_default()
    }

    /// Every object, by bucket and key, of a ledger without a problem.
    ///
    /// # Errors
    /// It cannot be read, or `visit` failed.
    pub fn walk_objects(
        &self,
        mut visit: impl FnMut(Location, ObjectRecord) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let table = self.view.table(OBJECTS)?;
        for row in table.iter().map_err(LedgerError::database)? {
            let (key, record) = row.map_err(LedgerError::database)?;
            let text =
                std::str::from_utf8(key.value()).map_err(|error| LedgerError::Record(error.to_string()))?;
            let (bucket, key) =
                text.split_once('\0').ok_or_else(|| LedgerError::Record(format!("object \"{text}\"")))?;
            let at = Location { bucket: bucket.to_owned(), key: super::listed_key(key)? };
            visit(at, decode(record.value())?)?;
        }
        Ok(())
    }

    /// How many objects it has; 0 if that cannot be read.
    #[must_use]
    pub fn object_count(&self) -> u64 {
        guarded(|| self.view.object_count()).unwrap_or_default()
    }

    /// The orders of all files that a ledger without a problem references: of objects, and of parts of uploads.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn walk_orders(&self, mut visit: impl FnMut(u64)) -> Result<(), LedgerError> {
        self.walk_objects(|_, record| {
            visit(record.order);
            Ok(())
        })?;
        let table = self.view.table(PARTS)?;
        for row in table.iter().map_err(LedgerError::database)? {
            let (_, part) = row.map_err(LedgerError::database)?;
            visit(decode::<PartRecord>(part.value())?.order);
        }
        Ok(())
    }

    /// Copies everything but objects, their details and trash into a new ledger: all of it from a ledger without a
    /// problem, otherwise buckets, access keys, dead letters and events to be sent, as far as they read.
    ///
    /// # Errors
    /// The new ledger cannot be written, or a ledger without a problem cannot be read.
    pub fn copy_into(&self, ledger: &Ledger) -> Result<Copied, LedgerError> {
        let mut copied = Copied {
            buckets: self.copy(ledger, BUCKETS, |bytes| decode::<BucketRecord>(bytes).is_ok())?,
            dead_letters: self.copy(ledger, DEAD_LETTERS, |bytes| decode::<DeadLetter>(bytes).is_ok())?,
            ..Copied::default()
        };
        self.copy_if_there(ledger, ACCESS_KEYS, |bytes| decode::<AccessKeyRecord>(bytes).is_ok())?;
        self.copy_if_there(ledger, OUTBOX, |bytes| decode::<OutboxRecord>(bytes).is_ok())?;
        // What is searched is read again from the sidecars.
        self.copy_if_there(ledger, ALT_TEXT_EVENTS, |bytes| decode::<EventRecord>(bytes).is_ok())?;
        self.copy_if_there(ledger, ALT_TEXT_USAGE, |bytes| decode::<Day>(bytes).is_ok())?;
        if self.problem.is_none() {
            copied.events = self.copy(ledger, EVENTS, |_| true)?;
            copied.uploads = self.copy(ledger, UPLOADS, |_| true)?;
            self.copy(ledger, WAITING, |_| true)?;
            self.copy(ledger, DUE, |()| true)?;
            self.copy(ledger, RETRIES, |()| true)?;
            self.copy(ledger, PARTS, |_| true)?;
            self.copy(ledger, RESULTS, |_| true)?;
        } else {
            add_dead_letter_results(ledger)?;
        }
        Ok(copied)
    }

    /// Copies tags and part layouts into a new ledger that has its objects: each names the version that it is of.
    ///
    /// # Errors
    /// As [`Self::copy_into`].
    pub fn copy_details_into(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        self.copy_if_there(ledger, OBJECT_TAGS, |bytes| decode::<TagsRecord>(bytes).is_ok())?;
        self.copy_if_there(ledger, OBJECT_PARTS, |bytes| decode::<PartLayoutRecord>(bytes).is_ok())?;
        Ok(())
    }

    /// Copies a table that ledgers of earlier versions do not have.
    fn copy_if_there<K: redb::Key + Send + 'static>(
        &self,
        ledger: &Ledger,
        table: TableDefinition<'static, K, &'static [u8]>,
        reads: impl Fn(&[u8]) -> bool,
    ) -> Result<u64, LedgerError> {
        if self.view.table(table).is_ok() { self.copy(ledger, table, reads) } else { Ok(0) }
    }

    /// Copies the rows of a table that `reads` takes, in bounded transactions.
    fn copy<K, V>(
        &self,
        ledger: &Ledger,
        table: TableDefinition<'static, K, V>,
        reads: impl Fn(V::SelfType<'_>) -> bool,
    ) -> Result<u64, LedgerError>
    where
        K: redb::Key + Send + 'static,
        V: redb::Value + Send + 'static,
    {
        let tolerant = self.problem.is_some();
        let mut copied = 0;
        let mut chunk = Vec::new();
        let mut unwritten = None;
        let mut walk = || {
            let rows = self.view.table(table)?;
            for row in rows.iter().map_err(LedgerError::database)? {
                let (key, value) = row.map_err(LedgerError::database)?;
                if tolerant && !reads(value.value()) {
                    continue;
                }
                // As bytes: the values themselves cannot leave the transaction they were read in.
                let key = K::as_bytes(&key.value()).as_ref().to_vec();
                let value = V::as_bytes(&value.value()).as_ref().to_vec();
                chunk.push((key, value));
                copied += 1;
                if chunk.len() == CHUNK {
                    unwritten = write(ledger, table, std::mem::take(&mut chunk)).err();
                    if unwritten.is_some() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        };
        match guarded(&mut walk) {
            Err(error) if !tolerant => return Err(error),
            // As far as it reads.
            _ => {}
        }
        if let Some(error) = unwritten {
            return Err(error);
        }
        write(ledger, table, chunk)?;
        Ok(copied)
    }
}

/// Writes a result for every dead letter in a ledger, so that its object is not tried again as an unknown one.
fn add_dead_letter_results(ledger: &Ledger) -> Result<(), LedgerError> {
    let mut from = 0;
    loop {
        let mut chunk = Vec::new();
        ledger.view()?.queue().walk_dead_letters(from, |letter| {
            chunk.push(letter);
            chunk.len() < CHUNK
        })?;
        let Some(last) = chunk.last() else { return Ok(()) };
        from = last.event.id.saturating_add(1);
        let pending = ledger.submit(Vec::new(), move |changes| {
            // By id, so that the last of an object counts.
            for DeadLetter { event, message, dead_ms, .. } in chunk {
                if event.is_alt_text() {
                    continue;
                }
                let at = Location { key: super::listed_key(&event.key)?, bucket: event.bucket };
                let result = ResultRecord {
                    event: event.id,
                    outcome: "failed".into(),
                    why: Some(message),
                    renditions: Vec::new(),
                    queued_ms: event.queued_ms,
                    ended_ms: dead_ms,
                    attempts: event.started,
                };
                changes.queue().put_result(&at, &result)?;
            }
            Ok::<_, LedgerError>(())
        });
        pending.wait()?;
    }
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn write<K, V>(ledger: &Ledger, table: TableDefinition<'static, K, V>, rows: Rows) -> Result<(), LedgerError>
where
    K: redb::Key + Send + 'static,
    V: redb::Value + Send + 'static,
{
    if rows.is_empty() {
        return Ok(());
    }
    let pending = ledger.submit(Vec::new(), move |changes: &Changes<'_>| {
        let mut table = changes.table(table)?;
        for (key, value) in &rows {
            table.insert(K::from_bytes(key), V::from_bytes(value)).map_err(LedgerError::database)?;
        }
        Ok::<_, LedgerError>(())
    });
    pending.wait()
}

/// redb may panic on a corrupt database; that counts as corrupt.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(LedgerError::Corrupt("its pages contradict each other".into())))
}
