//! Events in the ledger: which are there and when each is due.

use redb::{ReadableTable as _, ReadableTableMetadata as _, TableDefinition};
use tintype_pipeline::{event::Kind, store::Location};

use super::{
    LedgerError,
    records::EventRecord,
    transaction::{
        DUE, EVENTS, QueueChanges, QueueView, RETRIES, WAITING, decode, encode, get, listed_key, object_key,
    },
};

/// Creations of an object are keyed as it is. Removals come before all of them, after a zero byte, with which no
/// bucket's name begins.
fn waiting_key(at: &Location, kind: Kind) -> Vec<u8> {
    let mut key = object_key(at);
    if kind == Kind::Removed {
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

impl QueueView<'_> {
    /// An event, if it is still waiting.
    pub fn event(&self, id: u64) -> Result<Option<EventRecord>, LedgerError> {
        get(&self.0.table(EVENTS)?, id)
    }

    /// The event that was queued first. Ids rise with the time of queueing but for events that were dead
    /// letters before, so that only those are looked through, and the first of the others.
    pub fn oldest_event(&self) -> Result<Option<EventRecord>, LedgerError> {
        let mut oldest: Option<EventRecord> = None;
        for row in self.0.table(EVENTS)?.iter().map_err(LedgerError::database)? {
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

    /// The event of an object's creation, or removal, that was enqueued last, if it waits or is under way.
    pub fn waiting_event(&self, at: &Location, kind: Kind) -> Result<Option<u64>, LedgerError> {
        let table = self.0.table(WAITING)?;
        let id = table.get(waiting_key(at, kind).as_slice()).map_err(LedgerError::database)?;
        Ok(id.map(|id| id.value()))
    }

    /// The event of an object, of either kind, that was enqueued last, if it waits or is under way.
    pub fn newest_waiting_event(&self, at: &Location) -> Result<Option<EventRecord>, LedgerError> {
        let created = self.waiting_event(at, Kind::Created)?;
        let newest = created.max(self.waiting_event(at, Kind::Removed)?);
        newest.map(|id| self.event(id)).transpose().map(Option::flatten)
    }

    /// How many events are waiting or under way.
    pub fn event_count(&self) -> Result<u64, LedgerError> {
        self.0.table(EVENTS)?.len().map_err(LedgerError::database)
    }

    /// Ids of events of one kind with the time each is due, from the first that is due at `from_ms` or later, until
    /// `take` answers `false`.
    pub fn walk_due(
        &self,
        tries: Tries,
        from_ms: i64,
        mut take: impl FnMut(i64, u64) -> bool,
    ) -> Result<(), LedgerError> {
        let table = self.0.table(tries.table())?;
        for row in table.range((from_ms, 0)..).map_err(LedgerError::database)? {
            let (due, id) = row.map_err(LedgerError::database)?.0.value();
            if !take(due, id) {
                break;
            }
        }
        Ok(())
    }
}

impl QueueChanges<'_, '_> {
    /// An event, if it is still waiting.
    pub fn event(&self, id: u64) -> Result<Option<EventRecord>, LedgerError> {
        get(&self.0.table(EVENTS)?, id)
    }

    /// Writes an event, in place of what it was.
    pub fn put_event(&self, event: &EventRecord) -> Result<(), LedgerError> {
        if let Some(old) = self.event(event.id)? {
            self.remove_due(&old)?;
        }
        self.0
            .table(Tries::of(event).table())?
            .insert((event.due_ms, event.id), ())
            .map_err(LedgerError::database)?;
        self.0.table(EVENTS)?.insert(event.id, encode(event)?.as_slice()).map_err(LedgerError::database)?;
        self.0.use_order(event.id)
    }

    /// The id of the event of an object's creation, or removal, that was enqueued last.
    pub fn waiting_event(&self, at: &Location, kind: Kind) -> Result<Option<u64>, LedgerError> {
        let table = self.0.table(WAITING)?;
        let id = table.get(waiting_key(at, kind).as_slice()).map_err(LedgerError::database)?;
        Ok(id.map(|id| id.value()))
    }

    /// Sets it.
    pub fn set_waiting_event(&self, at: &Location, kind: Kind, id: u64) -> Result<(), LedgerError> {
        self.0.table(WAITING)?.insert(waiting_key(at, kind).as_slice(), id).map_err(LedgerError::database)?;
        Ok(())
    }

    fn remove_due(&self, event: &EventRecord) -> Result<(), LedgerError> {
        // From both: ledgers of before there were two have all in one.
        for tries in Tries::ALL {
            self.0.table(tries.table())?.remove((event.due_ms, event.id)).map_err(LedgerError::database)?;
        }
        Ok(())
    }

    /// Removes an event; answers whether it was there.
    pub fn remove_event(&self, id: u64) -> Result<bool, LedgerError> {
        let Some(old) = self.event(id)? else { return Ok(false) };
        self.remove_due(&old)?;
        self.0.table(EVENTS)?.remove(id).map_err(LedgerError::database)?;
        let kind = old.kind();
        let key = waiting_key(&Location { bucket: old.bucket, key: listed_key(&old.key)? }, kind);
        let mut waiting = self.0.table(WAITING)?;
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
