//! Putting, copying and deleting objects.

use std::sync::Arc;

use tintype_pipeline::{
    event::Kind,
    source_of,
    store::{Condition, Location},
    trigger::Trigger,
};
use tintype_policy::CannedAcl;

use super::{
    Cause, Incoming, Notifications, OpenObject, Outbox, StoreFault,
    alt_texts::{AltTextWriter, is_sidecar, remove_with_thumbnail},
    buckets::existing,
    outbox::{Change, ChangeEvents},
    publication::{Publication, Publisher},
};
use crate::{
    ledger::{
        Changes, Checksums, LedgerError, ObjectDetails, ObjectPart, ObjectRecord, Pending, StoredHeaders,
    },
    queue::{Enqueuer, EventWriter, IgnoredUpload, NewEvent},
};

/// How to copy.
#[derive(Debug)]
pub struct CopyOptions {
    /// Headers and metadata in place of the source's.
    pub headers: Option<StoredHeaders>,
    /// What must hold at the destination.
    pub condition: Condition,
    /// What is stored beside the copy's row.
    pub details: ObjectDetails,
}

/// The result of placing one published object inside the transaction.
pub(super) struct Placed {
    pub(super) record: ObjectRecord,
    /// The file that is not referenced any more: the version replaced, or this one if a newer was there.
    pub(super) unneeded: Option<u64>,
    pub(super) event_queued: bool,
    /// Whether the outbox has rows of it.
    pub(super) is_in_outbox: bool,
    /// Whether its image is to be described.
    pub(super) is_described: bool,
    /// Of an upload that no trigger takes.
    pub(super) ignored: Option<IgnoredUpload>,
}

impl Placed {
    /// Sets what is stored beside the row of what was placed, unless a newer version was there.
    pub(super) fn put_details(
        &self,
        changes: &Changes<'_>,
        at: &Location,
        details: ObjectDetails,
    ) -> Result<(), LedgerError> {
        match self.unneeded == Some(self.record.order) {
            true => Ok(()),
            false => changes.put_details(at, self.record.order, details),
        }
    }
}

/// The objects.
#[derive(Debug)]
pub struct Objects {
    pub(super) publisher: Arc<Publisher>,
    notifications: Arc<Notifications>,
    enqueuer: Enqueuer,
    outbox: Arc<Outbox>,
}

impl Objects {
    pub(super) const fn new(
        publisher: Arc<Publisher>,
        notifications: Arc<Notifications>,
        enqueuer: Enqueuer,
        outbox: Arc<Outbox>,
    ) -> Self {
        Self { publisher, notifications, enqueuer, outbox }
    }

    pub(super) fn triggers(&self) -> Arc<Vec<Trigger>> {
        self.notifications.triggers()
    }

    /// What enqueues the events of changes, and writes them to the outbox.
    pub(super) fn events(&self) -> ChangeEvents {
        let triggers = self.triggers();
        let described = self.enqueuer.alt_texts().is_on().then(|| triggers.clone());
        ChangeEvents {
            queue: self.enqueuer.writer(triggers),
            outbox: self.outbox.writer(),
            alt_texts: AltTextWriter { triggers: described },
        }
    }

    /// Begins an object.
    ///
    /// # Errors
    /// The bucket does not exist, the headers are too long, or the disk does not take another file.
    pub fn begin(&self, at: &Location, headers: StoredHeaders) -> Result<Incoming, StoreFault> {
        let bucket = existing(&self.publisher.ledger.view()?, &at.bucket)?;
        let mut incoming = self.publisher.files.create(at, headers, None)?;
        incoming.bucket_created_ms = Some(bucket.created_ms);
        Ok(incoming)
    }

    /// Makes a begun object the current version, durably, together with its event.
    ///
    /// # Errors
    /// The condition does not hold, the bucket is gone or another of its name, or the disk fails; then nothing has
    /// changed.
    pub fn commit(
        &self,
        at: &Location,
        mut incoming: Incoming,
        condition: Condition,
        cause: Cause,
    ) -> Result<ObjectRecord, StoreFault> {
        let (details, bucket_created_ms) =
            (std::mem::take(&mut incoming.details), incoming.bucket_created_ms);
        let (publication, record) = Publication::of(self.publisher.files.seal(incoming)?);
        let (at, events) = (at.clone(), self.events());
        let placed = self.publisher.publish(publication, move |changes| {
            check_condition(changes, &at, &condition)?;
            let bucket = changes.bucket(&at.bucket)?;
            if bucket.is_none_or(|bucket| bucket_created_ms.is_some_and(|then| then != bucket.created_ms)) {
                return Err(StoreFault::NoSuchBucket(at.bucket));
            }
            let placed = place(changes, &events, &at, record, &cause)?;
            placed.put_details(changes, &at, details)?;
            Ok(placed)
        })?;
        Ok(self.placed(placed))
    }

    pub(super) fn placed(&self, placed: Placed) -> ObjectRecord {
        self.publisher.unlink(placed.unneeded.as_slice());
        if placed.event_queued {
            self.enqueuer.notify();
        }
        if placed.is_in_outbox {
            self.outbox.wake();
        }
        if placed.is_described {
            self.enqueuer.alt_texts().notify();
        }
        if let Some(ignored) = &placed.ignored {
            self.enqueuer.notify_ignored(ignored);
        }
        placed.record
    }

    /// Sets an object's canned ACL.
    ///
    /// # Errors
    /// There is no such object, or the ledger cannot be written.
    pub fn set_acl(&self, at: &Location, acl: CannedAcl) -> Result<(), StoreFault> {
        let at = at.clone();
        let pending = self.publisher.ledger.submit(Vec::new(), move |changes| match changes.object(&at)? {
            None => Err(StoreFault::NoSuchKey(at)),
            Some(object) => Ok(changes.set_acl(&at, object.order, acl)?),
        });
        pending.wait()
    }

    /// Sets an object's tags.
    ///
    /// # Errors
    /// There is no such object, or the ledger cannot be written.
    pub fn set_tags(&self, at: &Location, tags: Vec<(String, String)>) -> Result<(), StoreFault> {
        let at = at.clone();
        let pending = self.publisher.ledger.submit(Vec::new(), move |changes| match changes.object(&at)? {
            None => Err(StoreFault::NoSuchKey(at)),
            Some(object) => Ok(changes.set_tags(&at, object.order, tags)?),
        });
        pending.wait()
    }

    /// The tags of an object, name and value; of one that is not there, none.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn tags(&self, at: &Location) -> Result<Vec<(String, String)>, StoreFault> {
        let view = self.publisher.ledger.view()?;
        match view.object(at)? {
            None => Ok(Vec::new()),
            Some(object) => Ok(view.tags(at, object.order)?),
        }
    }

    /// The tags of the version of an object that a row is of; none, if it is not the current one any more.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn tags_of(&self, at: &Location, record: &ObjectRecord) -> Result<Vec<(String, String)>, StoreFault> {
        Ok(self.publisher.ledger.view()?.tags(at, record.order)?)
    }

    /// The parts that the version of an object that a row is of was uploaded in, by number; none, if it was uploaded in
    /// one piece, or is not the current one any more.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn part_layout(&self, at: &Location, record: &ObjectRecord) -> Result<Vec<ObjectPart>, StoreFault> {
        Ok(self.publisher.ledger.view()?.part_layout(at, record.order)?)
    }

    /// The canned ACL of an object; of one that is not there, `private`.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn acl(&self, at: &Location) -> Result<CannedAcl, StoreFault> {
        let view = self.publisher.ledger.view()?;
        match view.object(at)? {
            None => Ok(CannedAcl::Private),
            Some(object) => Ok(view.acl(at, object.order)?),
        }
    }

    /// How many objects have a canned ACL that counts as public.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn public_count(&self) -> Result<u64, StoreFault> {
        Ok(self.publisher.ledger.view()?.public_object_count()?)
    }

    /// Copies an open object's bytes into a new object.
    ///
    /// # Errors
    /// The source is corrupt; otherwise as for a put.
    pub fn copy(
        &self,
        source: &OpenObject,
        to: &Location,
        options: CopyOptions,
        cause: Cause,
    ) -> Result<ObjectRecord, StoreFault> {
        let headers = options.headers.unwrap_or_else(|| source.record.headers.clone());
        let mut incoming = self.begin(to, headers)?;
        incoming.set_details(options.details);
        source.read_all(|chunk| incoming.write(chunk))?;
        incoming.set_checksums(match source.record.checksums.composite {
            false => source.record.checksums.clone(),
            true => Checksums::default(),
        });
        self.commit(to, incoming, options.condition, cause)
    }

    /// Deletes an object, durably; returns whether there was one.
    ///
    /// # Errors
    /// The bucket does not exist, the object has another ETag than `if_match`, or the disk fails.
    pub fn delete(&self, at: &Location, if_match: Option<&str>, cause: Cause) -> Result<bool, StoreFault> {
        let mut done = self.delete_all(vec![(at.clone(), if_match.map(str::to_owned))], &cause);
        done.pop().unwrap_or(Ok(false))
    }

    /// Deletes objects, each by itself but sharing commits; returns for each as [`Self::delete`] does.
    #[must_use]
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
            let Some(Removed { orders, event_queued, is_in_outbox }) = pending.wait()? else {
                return Ok(false);
            };
            self.publisher.unlink(&orders);
            if event_queued {
                self.enqueuer.notify();
            }
            if is_in_outbox {
                self.outbox.wake();
            }
            Ok(true)
        });
        done.collect()
    }

    fn submit_delete(
        &self,
        at: Location,
        if_match: Option<String>,
        unless: Option<Location>,
        cause: Cause,
    ) -> Pending<Option<Removed>, StoreFault> {
        let (order, events) = (self.publisher.files.orders.take(), self.events());
        self.publisher.submit(Vec::new(), move |changes| {
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
            let event_queued = enqueue(changes, &events.queue, order, Kind::Removed, &at, &old, &cause)?;
            let (kind, replaces) = (Kind::Removed, false);
            let change = Change { order, kind, at: &at, object: &old, replaces, cause: &cause };
            let mut is_in_outbox = events.outbox.write(changes, &change)?;
            close_dead_letter(changes, &at)?;
            changes.remove_object(&at)?;
            changes.put_trash(old.order)?;
            changes.use_order(order)?;
            let mut orders = vec![old.order];
            if let Some((at, object)) = remove_with_thumbnail(changes, &at, &old)? {
                let change = Change { order, kind, at: &at, object: &object, replaces, cause: &cause };
                is_in_outbox |= events.outbox.write(changes, &change)?;
                orders.push(object.order);
            }
            Ok(Some(Removed { orders, event_queued, is_in_outbox }))
        })
    }
}

/// The result of removing an object inside the transaction.
struct Removed {
    /// Of the files that are not referenced any more.
    orders: Vec<u64>,
    event_queued: bool,
    is_in_outbox: bool,
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
    events: &ChangeEvents,
    at: &Location,
    record: ObjectRecord,
    cause: &Cause,
) -> Result<Placed, LedgerError> {
    let old = changes.object(at)?;
    if old.as_ref().is_some_and(|old| old.order > record.order) {
        changes.put_trash(record.order)?;
        return Ok(Placed {
            unneeded: Some(record.order),
            record,
            event_queued: false,
            is_in_outbox: false,
            is_described: false,
            ignored: None,
        });
    }
    // First: if it cannot be queued, the commit goes on for others, and is to hold no object without its event.
    let event_queued = enqueue(changes, &events.queue, record.order, Kind::Created, at, &record, cause)?;
    let (order, kind, replaces) = (record.order, Kind::Created, old.is_some());
    let change = Change { order, kind, at, object: &record, replaces, cause };
    let is_in_outbox = events.outbox.write(changes, &change)?;
    let is_described = events.alt_texts.write(changes, at, &record, cause)?;
    // Its own event takes its place.
    if event_queued {
        close_dead_letter(changes, at)?;
    }
    changes.put_object(at, &record)?;
    if let Some(old) = &old {
        changes.put_trash(old.order)?;
    }
    let metadata = &record.headers.metadata;
    let is_no_upload =
        source_of(metadata).is_some() || is_sidecar(metadata) || record.is_folder_marker(at.key.as_str());
    let ignored = if event_queued || is_no_upload { None } else { events.queue.ignored(at, cause) };
    let unneeded = old.map(|old| old.order);
    Ok(Placed { unneeded, record, event_queued, is_in_outbox, is_described, ignored })
}

/// Removes the dead letter that the last attempt on an object ended in: the version that it is about is replaced, or gone.
pub(super) fn close_dead_letter(changes: &Changes<'_>, at: &Location) -> Result<(), LedgerError> {
    if let Some(result) = changes.queue().result(at)?.filter(|result| result.outcome == "failed") {
        changes.queue().remove_dead_letter(result.event)?;
    }
    Ok(())
}

/// Enqueues the event of a change if a trigger wants it; returns whether one does.
pub(super) fn enqueue(
    changes: &Changes<'_>,
    events: &EventWriter,
    order: u64,
    kind: Kind,
    at: &Location,
    object: &ObjectRecord,
    cause: &Cause,
) -> Result<bool, LedgerError> {
    let event = NewEvent { id: order, kind, at, etag: &object.etag, size: object.size, cause };
    events.enqueue(changes, &event)
}
