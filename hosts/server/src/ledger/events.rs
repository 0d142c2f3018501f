//! Events in the ledger: which are there, when each is due, and which supersedes which.

use redb::{ReadableTable as _, ReadableTableMetadata as _, TableDefinition};
use tintype_pipeline::store::Location;

use super::{
    LedgerError,
    records::EventRecord,
    transaction::{
        Changes, DUE, EVENTS, RETRIES, View, WAITING, decode, encode, get, listed_key, object_key,
    },
};

/// Creations of an object are keyed as it is. Removals come before all of them, after a zero byte, with which no
/// bucket's name begins.
pub(super) fn waiting_key(at: &Location, removed: bool) -> Vec<u8> {
    let mut key = object_key(at);
    if removed {
        key.insert(0, 0);
    }
    key
}

/// Whether an event's next attempt is its first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// It is, or none of those before failed.
    First,
    /// One failed before.
    Again,
}

impl Tries {
    /// Both, in the order of their tables.
    pub const ALL: [Self; 2] = [Self::First, Self::Again];

    /// Of an event.
    #[must_use]
    pub const fn of(event: &EventRecord) -> Self {
        if event.last_error.is_some() { Self::Again } else { Self::First }
    }

    const fn table(self) -> TableDefinition<'static, (i64, u64), ()> {
        match self {
            Self::First => DUE,
            Self::Again => RETRIES,
        }
    }
}

impl View {
    /// An event, if it is still waiting.
    pub fn event(&self, id: u64) -> Result<Option<EventRecord>, LedgerError> {
        get(&self.table(EVENTS)?, id)
    }

    /// The event that was queued first. Ids rise with the time of queueing but for events that were dead
    /// letters before, so that only those are looked through, and the first of the others.
    pub fn oldest_event(&self) -> Result<Option<EventRecord>, LedgerError> {
        let mut oldest: Option<EventRecord> = None;
        for row in self.table(EVENTS)?.iter().map_err(LedgerError::database)? {
            let event: EventRecord = decode(row.map_err(LedgerError::database)?.1.value())?;
            let is_last = !event.redriven;
            if oldest.as_ref().is_none_or(|oldest| event.queued_ms < oldest.queued_ms) {
                oldest = Some(event);
            }
            if is_last {
                break;
            }
        }
        Ok(oldest)
    }

    /// How many events are waiting or under way.
    pub fn event_count(&self) -> Result<u64, LedgerError> {
        self.table(EVENTS)?.len().map_err(LedgerError::database)
    }

    /// Ids of events of one kind with the time each is due, from the first that is due at `from_ms` or later, until
    /// `take` answers `false`.
    pub fn walk_due(
        &self,
        tries: Tries,
        from_ms: i64,
        mut take: impl FnMut(i64, u64) -> bool,
    ) -> Result<(), LedgerError> {
        let table = self.table(tries.table())?;
        for row in table.range((from_ms, 0)..).map_err(LedgerError::database)? {
            let (due, id) = row.map_err(LedgerError::database)?.0.value();
            if !take(due, id) {
                break;
            }
        }
        Ok(())
    }
}

impl Changes<'_> {
    /// An event, if it is still waiting.
    pub fn event(&self, id: u64) -> Result<Option<EventRecord>, LedgerError> {
        get(&self.table(EVENTS)?, id)
    }

    /// Writes an event, in place of what it was.
    pub fn put_event(&self, event: &EventRecord) -> Result<(), LedgerError> {
        if let Some(old) = self.event(event.id)? {
            self.remove_due(&old)?;
        }
        self.table(Tries::of(event).table())?
            .insert((event.due_ms, event.id), ())
            .map_err(LedgerError::database)?;
        self.table(EVENTS)?.insert(event.id, encode(event)?.as_slice()).map_err(LedgerError::database)?;
        self.use_order(event.id)
    }

    /// Writes an event back after an attempt that does not count. If none counts any more it is as one that was not begun:
    /// of two of those of one kind the newer stays.
    pub fn put_back(&self, event: &EventRecord) -> Result<(), LedgerError> {
        let key = waiting_key(
            &Location { bucket: event.bucket.clone(), key: listed_key(&event.key)? },
            event.removed,
        );
        let other = self.waiting(&key)?.filter(|other| other.id != event.id && other.started == 0);
        if let Some(other) = other.filter(|_| event.started == 0) {
            if other.id > event.id {
                return self.remove_event(event.id).map(drop);
            }
            self.remove_event(other.id)?;
            self.table(WAITING)?.insert(key.as_slice(), event.id).map_err(LedgerError::database)?;
        }
        self.put_event(event)
    }

    /// Queues an event. One of the same object that was not begun yet is superseded if both are of creations or both
    /// of removals: the newer one looks at the object as it is then, and that is all that counts. So an object has no more
    /// than two events that were not begun, however often it is written and deleted in turn.
    pub fn queue_event(&self, at: &Location, event: &EventRecord) -> Result<(), LedgerError> {
        let key = waiting_key(at, event.removed);
        let superseded = self.waiting(&key)?.filter(|old| old.started == 0 && old.removed == event.removed);
        // A dead letter of an earlier version comes again: the newer one's event does all there is to do.
        if superseded.as_ref().is_some_and(|old| old.id > event.id) {
            return Ok(());
        }
        let mut due_ms = event.due_ms;
        if let Some(old) = superseded {
            self.remove_event(old.id)?;
            // In its place in the queue, or an object that is written all the time would never have its turn.
            due_ms = due_ms.min(old.due_ms);
        }
        self.table(WAITING)?.insert(key.as_slice(), event.id).map_err(LedgerError::database)?;
        self.put_event(&EventRecord { due_ms, ..event.clone() })
    }

    /// The event queued last of those that `key` is of.
    fn waiting(&self, key: &[u8]) -> Result<Option<EventRecord>, LedgerError> {
        let id = {
            let table = self.table(WAITING)?;
            table.get(key).map_err(LedgerError::database)?.map(|waiting| waiting.value())
        };
        id.map(|id| self.event(id)).transpose().map(Option::flatten)
    }

    fn remove_due(&self, event: &EventRecord) -> Result<(), LedgerError> {
        // From both: ledgers of before there were two have all in one.
        for tries in Tries::ALL {
            self.table(tries.table())?.remove((event.due_ms, event.id)).map_err(LedgerError::database)?;
        }
        Ok(())
    }

    /// Removes an event; answers whether it was there.
    pub fn remove_event(&self, id: u64) -> Result<bool, LedgerError> {
        let Some(old) = self.event(id)? else { return Ok(false) };
        self.remove_due(&old)?;
        self.table(EVENTS)?.remove(id).map_err(LedgerError::database)?;
        let key = waiting_key(&Location { bucket: old.bucket, key: listed_key(&old.key)? }, old.removed);
        let mut waiting = self.table(WAITING)?;
        // Removals were keyed as creations are before each kind had a key of its own.
        for key in [key.as_slice(), key.strip_prefix(&[0]).unwrap_or(&key)] {
            let is_this =
                waiting.get(key).map_err(LedgerError::database)?.is_some_and(|row| row.value() == id);
            if is_this {
                waiting.remove(key).map_err(LedgerError::database)?;
            }
        }
        Ok(true)
    }
}
