//! Enqueueing: inside a transaction of storage's, so that an object and its event are durable together.

use std::sync::{Arc, OnceLock};

use tintype_pipeline::{clock::now_ms, event::Kind, store::Location, trigger::Trigger};

use crate::ledger::{Changes, EventRecord, Ledger, LedgerError, listed_key};

/// What caused a change: goes into its event.
#[derive(Debug, Clone)]
pub struct Cause {
    /// S3's name for it, such as `ObjectCreated:Put`.
    pub event: &'static str,
    /// The request.
    pub request_id: String,
}

/// An event to be enqueued.
#[derive(Debug)]
pub struct NewEvent<'a> {
    /// Commit order of the change: the event's identity and sequencer.
    pub id: u64,
    /// The kind of change.
    pub kind: Kind,
    /// The object.
    pub at: &'a Location,
    /// Its ETag.
    pub etag: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// What caused it.
    pub cause: &'a Cause,
}

impl NewEvent<'_> {
    fn record(&self) -> EventRecord {
        let now = now_ms();
        EventRecord {
            id: self.id,
            removed: self.kind == Kind::Removed,
            name: self.cause.event.into(),
            bucket: self.at.bucket.clone(),
            key: self.at.key.to_string(),
            etag: self.etag.into(),
            size: self.size,
            queued_ms: now,
            due_ms: now,
            request_id: self.cause.request_id.clone(),
            started: 0,
            failed: 0,
            deferred: 0,
            last_error: None,
            redriven: false,
            tried_in: 0,
        }
    }
}

/// What storage needs of the queue: events go in within its own transactions; what waits or failed can be looked up.
#[derive(Clone)]
pub struct Enqueuer {
    ledger: Arc<Ledger>,
    on_enqueued: Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>,
}

impl std::fmt::Debug for Enqueuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enqueuer").finish_non_exhaustive()
    }
}

impl Enqueuer {
    /// The handle on a ledger.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, on_enqueued: Arc::default() }
    }

    pub(super) const fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Only the first call counts.
    pub(super) fn on_enqueued(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_enqueued.set(Box::new(wake));
    }

    /// Enqueues an event if a trigger wants it; returns whether one does. After the commit, [`Enqueuer::notify`].
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn enqueue(
        changes: &Changes<'_>,
        triggers: &[Trigger],
        event: &NewEvent<'_>,
    ) -> Result<bool, LedgerError> {
        let is_wanted = triggers.iter().any(|trigger| {
            trigger.wants(event.kind) && trigger.matches(&event.at.bucket, event.at.key.as_str())
        });
        if is_wanted {
            enqueue_record(changes, event.at, &event.record())?;
        }
        Ok(is_wanted)
    }

    /// Wakes the workers for one event whose transaction is committed.
    pub fn notify(&self) {
        if let Some(wake) = self.on_enqueued.get() {
            wake();
        }
    }

    /// Whether an event of an object's creation waits or is under way.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn is_queued(&self, at: &Location) -> Result<bool, LedgerError> {
        Ok(self.ledger.view()?.queue().waiting_event(at, Kind::Created)?.is_some())
    }

    /// Whether the event of this version of an object is a dead letter.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn is_dead_lettered(&self, at: &Location, etag: &str) -> Result<bool, LedgerError> {
        let view = self.ledger.view()?;
        let Some(result) = view.queue().result(at)?.filter(|result| result.outcome == "failed") else {
            return Ok(false);
        };
        let dead_letter = view.queue().dead_letter(result.event)?;
        Ok(dead_letter.is_some_and(|dead_letter| dead_letter.event.etag == etag))
    }
}

/// Enqueues an event. One of the same object and kind that was not attempted yet is superseded: the newer one sees the
/// object as it is then. So an object has at most two such events, however often it is written and deleted in turn.
pub(super) fn enqueue_record(
    changes: &Changes<'_>,
    at: &Location,
    event: &EventRecord,
) -> Result<(), LedgerError> {
    let superseded = waiting(changes, at, event.kind())?.filter(|old| old.started == 0);
    // A redriven event of an earlier version: the newer one's does all there is to do.
    if superseded.as_ref().is_some_and(|old| old.id > event.id) {
        return Ok(());
    }
    let mut due_ms = event.due_ms;
    if let Some(old) = superseded {
        changes.queue().remove_event(old.id)?;
        // In its place in the queue, or an object that is written all the time would never have its turn.
        due_ms = due_ms.min(old.due_ms);
    }
    changes.queue().set_waiting_event(at, event.kind(), event.id)?;
    changes.queue().put_event(&EventRecord { due_ms, ..event.clone() })
}

/// Writes an event back after an attempt that does not count. Without any that counts it is as one not attempted: of two
/// of those of one kind the newer stays.
pub(super) fn put_back(changes: &Changes<'_>, event: &EventRecord) -> Result<(), LedgerError> {
    let at = Location { bucket: event.bucket.clone(), key: listed_key(&event.key)? };
    let other =
        waiting(changes, &at, event.kind())?.filter(|other| other.id != event.id && other.started == 0);
    if let Some(other) = other.filter(|_| event.started == 0) {
        if other.id > event.id {
            return changes.queue().remove_event(event.id).map(drop);
        }
        changes.queue().remove_event(other.id)?;
        changes.queue().set_waiting_event(&at, event.kind(), event.id)?;
    }
    changes.queue().put_event(event)
}

/// The event of an object and kind that was enqueued last.
fn waiting(changes: &Changes<'_>, at: &Location, kind: Kind) -> Result<Option<EventRecord>, LedgerError> {
    let id = changes.queue().waiting_event(at, kind)?;
    id.map(|id| changes.queue().event(id)).transpose().map(Option::flatten)
}
