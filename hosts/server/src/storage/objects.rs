//! Putting, copying and deleting objects.

use tintype_pipeline::{
    clock::now_ms,
    store::{Condition, Location},
};

use super::{DiskStore, Incoming, OpenObject, StoreFault, publication::Publication, queue_event};
use crate::ledger::{Changes, EventRecord, LedgerError, ObjectRecord, Pending, StoredHeaders};

/// What caused a change: goes into its event.
#[derive(Debug, Clone)]
pub struct Cause {
    /// S3's name for it, such as `ObjectCreated:Put`.
    pub event: &'static str,
    /// The request.
    pub request_id: String,
}

/// How to copy.
#[derive(Debug)]
pub struct CopyOptions {
    /// Headers and metadata in place of the source's.
    pub headers: Option<StoredHeaders>,
    /// What must hold at the destination.
    pub condition: Condition,
}

/// What became of one published object inside the transaction.
pub(super) struct Placed {
    pub(super) record: ObjectRecord,
    /// The file nothing mentions any more: the version replaced, or this one if a newer was there.
    pub(super) unneeded: Option<u64>,
    pub(super) event_queued: bool,
}

impl DiskStore {
    /// Begins an object.
    ///
    /// # Errors
    /// The bucket does not exist, the headers are too long, or the disk does not take another file.
    pub fn begin_put(&self, at: &Location, headers: StoredHeaders) -> Result<Incoming, StoreFault> {
        if self.ledger.view()?.bucket(&at.bucket)?.is_none() {
            return Err(StoreFault::NoSuchBucket(at.bucket.clone()));
        }
        self.incoming(at, headers, None)
    }

    /// Makes a begun object the current version, durably, together with its event.
    ///
    /// # Errors
    /// The condition does not hold, the bucket is gone, or the disk fails; then nothing has changed.
    pub fn commit_put(
        &self,
        at: &Location,
        incoming: Incoming,
        condition: Condition,
        cause: Cause,
    ) -> Result<ObjectRecord, StoreFault> {
        let (publication, record) = Publication::of(self.finish(incoming)?);
        let (at, triggers) = (at.clone(), self.triggers());
        let placed = self.publish(publication, move |changes| {
            check_condition(changes, &at, &condition)?;
            Ok(place(changes, &triggers, &at, record, &cause)?)
        })?;
        Ok(self.placed(placed))
    }

    /// Queues an event for an object as it stands, as if it had just been put; answers whether a trigger
    /// wants it.
    ///
    /// # Errors
    /// There is no such object, or the ledger cannot be written.
    pub fn queue_again(&self, at: &Location, cause: Cause) -> Result<bool, StoreFault> {
        let (at, triggers, order) = (at.clone(), self.triggers(), self.take_order());
        let queued = self.ledger.submit(Vec::new(), move |changes| {
            let object = changes.object(&at)?.ok_or_else(|| StoreFault::NoSuchKey(at.clone()))?;
            Ok::<_, StoreFault>(queue_event(changes, &triggers, &event(order, &at, &object, &cause, false))?)
        });
        let queued = queued.wait()?;
        if queued {
            self.event_queued();
        }
        Ok(queued)
    }

    pub(super) fn placed(&self, placed: Placed) -> ObjectRecord {
        self.unlink(placed.unneeded.as_slice());
        if placed.event_queued {
            self.event_queued();
        }
        placed.record
    }

    /// Copies an open object's bytes into a new object.
    ///
    /// # Errors
    /// The source is damaged; otherwise as for a put.
    pub fn copy(
        &self,
        source: &OpenObject,
        to: &Location,
        options: CopyOptions,
        cause: Cause,
    ) -> Result<ObjectRecord, StoreFault> {
        let headers = options.headers.unwrap_or_else(|| source.record.headers.clone());
        let mut incoming = self.begin_put(to, headers)?;
        source.read_all(|chunk| incoming.write(chunk))?;
        incoming.set_checksums(match source.record.checksums.composite {
            false => source.record.checksums.clone(),
            true => crate::ledger::Checksums::default(),
        });
        self.commit_put(to, incoming, options.condition, cause)
    }

    /// Deletes an object, durably; answers whether there was one.
    ///
    /// # Errors
    /// The bucket does not exist, the object has another ETag than `if_match`, or the disk fails.
    pub fn delete(&self, at: &Location, if_match: Option<&str>, cause: Cause) -> Result<bool, StoreFault> {
        let mut done = self.delete_all(vec![(at.clone(), if_match.map(str::to_owned))], &cause);
        done.pop().unwrap_or(Ok(false))
    }

    /// Deletes objects, each by itself but sharing commits; answers for each as [`Self::delete`] does.
    pub fn delete_all(
        &self,
        objects: Vec<(Location, Option<String>)>,
        cause: &Cause,
    ) -> Vec<Result<bool, StoreFault>> {
        let objects = objects.into_iter().map(|(at, if_match)| (at, if_match, None));
        self.delete_each(objects, cause)
    }

    /// As [`Self::delete_all`], but an object stays if the one named beside it is there.
    pub(super) fn delete_each(
        &self,
        objects: impl Iterator<Item = (Location, Option<String>, Option<Location>)>,
        cause: &Cause,
    ) -> Vec<Result<bool, StoreFault>> {
        let pending: Vec<_> = objects
            .map(|(at, if_match, unless)| self.submit_delete(at, if_match, unless, cause.clone()))
            .collect();
        let done = pending.into_iter().map(|pending| {
            let Some((old, event_queued)) = pending.wait()? else { return Ok(false) };
            self.unlink(&[old]);
            if event_queued {
                self.event_queued();
            }
            Ok(true)
        });
        done.collect()
    }

    /// Answers the file no longer needed, and whether an event was queued.
    fn submit_delete(
        &self,
        at: Location,
        if_match: Option<String>,
        unless: Option<Location>,
        cause: Cause,
    ) -> Pending<Option<(u64, bool)>, StoreFault> {
        let (order, triggers, gone) = (self.take_order(), self.triggers(), self.take_unlinked());
        self.ledger.submit(Vec::new(), move |changes| {
            changes.remove_trash(&gone)?;
            if changes.bucket(&at.bucket)?.is_none() {
                return Err(StoreFault::NoSuchBucket(at.bucket));
            }
            let Some(old) = changes.object(&at)? else { return Ok(None) };
            if if_match.is_some_and(|etag| etag != old.etag && etag != "*") {
                return Err(StoreFault::PreconditionFailed(at));
            }
            if let Some(unless) = unless
                && changes.object(&unless)?.is_some()
            {
                return Err(StoreFault::PreconditionFailed(at));
            }
            // First, as where an object is placed.
            let event_queued = queue_event(changes, &triggers, &event(order, &at, &old, &cause, true))?;
            changes.remove_object(&at)?;
            changes.put_trash(old.order)?;
            changes.use_order(order)?;
            Ok(Some((old.order, event_queued)))
        })
    }
}

/// Checks what must hold of the place written to.
pub(super) fn check_condition(
    changes: &Changes<'_>,
    at: &Location,
    condition: &Condition,
) -> Result<(), StoreFault> {
    if changes.bucket(&at.bucket)?.is_none() {
        return Err(StoreFault::NoSuchBucket(at.bucket.clone()));
    }
    let current = changes.object(at)?;
    match (condition, current) {
        (Condition::Any, _) | (Condition::Absent, None) => Ok(()),
        (Condition::Matches(etag), Some(current)) if *etag == current.etag || etag == "*" => Ok(()),
        (Condition::Matches(_), None) => Err(StoreFault::NoSuchKey(at.clone())),
        (Condition::Matches(_) | Condition::Absent, Some(_)) => {
            Err(StoreFault::PreconditionFailed(at.clone()))
        }
    }
}

/// Makes a published object the current version, unless one with a higher order is there already: two
/// puts at once are ordered by when each had its bytes, whatever order their commits came in.
pub(super) fn place(
    changes: &Changes<'_>,
    triggers: &[tintype_pipeline::trigger::Trigger],
    at: &Location,
    record: ObjectRecord,
    cause: &Cause,
) -> Result<Placed, LedgerError> {
    let old = changes.object(at)?;
    if old.as_ref().is_some_and(|old| old.order > record.order) {
        changes.put_trash(record.order)?;
        return Ok(Placed { unneeded: Some(record.order), record, event_queued: false });
    }
    // First: if it cannot be queued, the commit goes on for others, and is to hold no object without its event.
    let event_queued = queue_event(changes, triggers, &event(record.order, at, &record, cause, false))?;
    changes.put_object(at, &record)?;
    if let Some(old) = &old {
        changes.put_trash(old.order)?;
    }
    Ok(Placed { unneeded: old.map(|old| old.order), record, event_queued })
}

pub(super) fn event(
    order: u64,
    at: &Location,
    object: &ObjectRecord,
    cause: &Cause,
    removed: bool,
) -> EventRecord {
    let now = now_ms();
    EventRecord {
        id: order,
        removed,
        name: cause.event.into(),
        bucket: at.bucket.clone(),
        key: at.key.to_string(),
        etag: object.etag.clone(),
        size: object.size,
        queued_ms: now,
        due_ms: now,
        request_id: cause.request_id.clone(),
        started: 0,
        failed: 0,
        deferred: 0,
        last_error: None,
        redriven: false,
        tried_in: 0,
    }
}
