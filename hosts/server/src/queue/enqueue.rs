//! Enqueueing: inside a transaction of storage's, so that an object and its event are durable together.

use std::sync::{Arc, OnceLock};

use tintype_pipeline::{Unmatched, clock::now_ms, event::Kind, store::Location, trigger::Trigger};

use super::{alt_texts::AltTextQueue, turns::Turns};
use crate::ledger::{Changes, EventRecord, Ledger, LedgerError, Priority, listed_key};

/// What caused a change: goes into its event.
#[derive(Debug, Clone)]
pub struct Cause {
    /// S3's name for it, such as `ObjectCreated:Put`.
    pub event: &'static str,
    /// The request.
    pub request_id: String,
    /// The name of the access key that the request was sent with; `None`: the root key, or none.
    pub access_key: Option<String>,
}

impl Cause {
    /// Of nobody in particular.
    #[must_use]
    pub fn new(event: &'static str, request_id: impl Into<String>) -> Self {
        Self { event, request_id: request_id.into(), access_key: None }
    }

    /// The same, sent with an access key of this name.
    #[must_use]
    pub fn with_key(self, access_key: Option<String>) -> Self {
        Self { access_key, ..self }
    }
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
    /// As `trigger` wants it.
    fn record(&self, trigger: &Trigger) -> EventRecord {
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
            turn: None,
            group: group(trigger, self.at.key.as_str(), self.cause.access_key.as_deref()),
            timed_out: 0,
        }
    }
}

/// Whose event it is: the access key's, or as far as the object's key shows it, that of its first folder below the
/// trigger's prefix. The slash distinguishes them.
fn group(trigger: &Trigger, key: &str, access_key: Option<&str>) -> String {
    if let Some(name) = access_key {
        return format!("key/{name}");
    }
    let key = key.strip_prefix(&trigger.prefix).unwrap_or(key).trim_start_matches('/');
    key.split_once('/').map_or("", |(folder, _)| folder).to_owned()
}

/// An upload that no trigger takes.
#[derive(Debug)]
pub struct IgnoredUpload {
    /// The object.
    pub at: Location,
    /// Why none takes it.
    pub why: Unmatched,
    /// The request.
    pub request_id: String,
}

type OnEnqueued = Box<dyn Fn() + Send + Sync>;
type OnIgnored = Box<dyn Fn(&IgnoredUpload) + Send + Sync>;

/// What storage needs of the queue: events go in within its own transactions; what waits or failed can be looked up.
#[derive(Clone)]
pub struct Enqueuer {
    ledger: Arc<Ledger>,
    turns: Arc<Turns>,
    on_enqueued: Arc<OnceLock<OnEnqueued>>,
    on_ignored: Arc<OnceLock<OnIgnored>>,
    alt_texts: Arc<AltTextQueue>,
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
        Self {
            alt_texts: Arc::new(AltTextQueue::new(ledger.clone())),
            ledger,
            turns: Arc::default(),
            on_enqueued: Arc::default(),
            on_ignored: Arc::default(),
        }
    }

    pub(super) const fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    pub(super) const fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// Images that wait to be described.
    #[must_use]
    pub const fn alt_texts(&self) -> &Arc<AltTextQueue> {
        &self.alt_texts
    }

    /// Only the first call counts.
    pub(super) fn on_enqueued(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_enqueued.set(Box::new(wake));
    }

    /// Only the first call counts.
    pub(super) fn on_ignored(&self, note: impl Fn(&IgnoredUpload) + Send + Sync + 'static) {
        let _ = self.on_ignored.set(Box::new(note));
    }

    /// What enqueues the events that these triggers want, in a transaction.
    #[must_use]
    pub fn writer(&self, triggers: Arc<Vec<Trigger>>) -> EventWriter {
        EventWriter { turns: self.turns.clone(), triggers: Some(triggers) }
    }

    /// Wakes the workers for one event whose transaction is committed.
    pub fn notify(&self) {
        if let Some(wake) = self.on_enqueued.get() {
            wake();
        }
    }

    /// Notes an upload that no trigger takes, once its transaction is committed.
    pub fn notify_ignored(&self, upload: &IgnoredUpload) {
        if let Some(note) = self.on_ignored.get() {
            note(upload);
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

/// Enqueues events inside a transaction of storage's.
#[derive(Debug, Clone)]
pub struct EventWriter {
    turns: Arc<Turns>,
    /// `None`: none is asked.
    triggers: Option<Arc<Vec<Trigger>>>,
}

impl EventWriter {
    /// The same, for a change that no trigger is to see.
    #[must_use]
    pub fn without_triggers(&self) -> Self {
        Self { triggers: None, ..self.clone() }
    }

    /// Enqueues an event if a trigger wants it; returns whether one does. After the commit, [`Enqueuer::notify`].
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn enqueue(&self, changes: &Changes<'_>, event: &NewEvent<'_>) -> Result<bool, LedgerError> {
        let trigger = self.triggers.iter().flat_map(|triggers| &**triggers).find(|trigger| {
            trigger.wants_event(event.kind, event.cause.event)
                && trigger.matches(&event.at.bucket, event.at.key.as_str())
        });
        if let Some(trigger) = trigger {
            enqueue_record(changes, &self.turns, event.at, event.record(trigger))?;
        }
        Ok(trigger.is_some())
    }

    /// What an upload is that no trigger takes. After the commit, [`Enqueuer::notify_ignored`].
    #[must_use]
    pub fn ignored(&self, at: &Location, cause: &Cause) -> Option<IgnoredUpload> {
        let why = Unmatched::of_created(self.triggers.as_ref()?, &at.bucket, at.key.as_str(), cause.event)?;
        Some(IgnoredUpload { at: at.clone(), why, request_id: cause.request_id.clone() })
    }
}

/// Enqueues an event. One of the same object and kind that was not attempted yet is superseded: the newer one sees the
/// object as it is then. So an object has at most two such events, however often it is written and deleted in turn.
pub(super) fn enqueue_record(
    changes: &Changes<'_>,
    turns: &Turns,
    at: &Location,
    mut event: EventRecord,
) -> Result<(), LedgerError> {
    let superseded = waiting(changes, at, event.kind())?.filter(|old| old.started == 0);
    // A redriven event of an earlier version: the newer one's does all there is to do.
    if superseded.as_ref().is_some_and(|old| old.id > event.id) {
        return Ok(());
    }
    event.turn = None;
    let mut has_place = false;
    if let Some(old) = superseded {
        changes.queue().remove_event(old.id)?;
        // In its place in the queue, or an object that is written all the time would never have its turn.
        match (old.priority(), event.priority()) {
            (Priority::Normal, Priority::Low) => {
                event = of_maintenance(old, event);
                has_place = true;
            }
            (Priority::Low, Priority::Normal) => {}
            _ => event.turn = old.turn,
        }
    }
    if event.turn.is_none() && !has_place {
        event.turn = Some(turns.next(&changes.queue(), &event)?);
    }
    changes.queue().set_waiting_event(at, event.kind(), event.id)?;
    changes.queue().put_event(&event)
}

/// What remains of an event when maintenance asks for the same: it, for the version that maintenance saw.
fn of_maintenance(event: EventRecord, newer: EventRecord) -> EventRecord {
    EventRecord { id: newer.id, etag: newer.etag, size: newer.size, ..event }
}

/// Writes an event back after an attempt that does not count. Without any that counts it is as one not attempted: of two
/// of those of one kind the newer stays.
pub(super) fn put_back(changes: &Changes<'_>, event: &EventRecord) -> Result<(), LedgerError> {
    let at = Location { bucket: event.bucket.clone(), key: listed_key(&event.key)? };
    let other =
        waiting(changes, &at, event.kind())?.filter(|other| other.id != event.id && other.started == 0);
    if let Some(other) = other.filter(|_| event.started == 0) {
        if other.id > event.id {
            changes.queue().remove_event(event.id)?;
            if (event.priority(), other.priority()) == (Priority::Normal, Priority::Low) {
                changes.queue().put_event(&of_maintenance(event.clone(), other))?;
            }
            return Ok(());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_grouped_by_access_key_or_else_by_folder() {
        let trigger = Trigger { prefix: "raw/".into(), ..Trigger::default() };
        for (key, access_key, expected) in [
            ("raw/a/b/c.jpg", None, "a"),
            ("raw/c.jpg", None, ""),
            ("other/c.jpg", None, "other"),
            ("raw/a/c.jpg", Some("camera"), "key/camera"),
            ("raw/c.jpg", Some("camera"), "key/camera"),
        ] {
            assert_eq!(group(&trigger, key, access_key), expected, "{key}");
        }
    }
}
