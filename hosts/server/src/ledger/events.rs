//! Events in the ledger: which are there, whose turn it is, and when each of the others is due.

use std::ops::{Range, RangeInclusive};

use redb::{ReadableTable as _, ReadableTableMetadata as _, TableDefinition};
use tintype_pipeline::{event::Kind, store::Location};

use super::{
    LedgerError,
    records::{EventRecord, Priority},
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

/// Turns of low priority begin here, after all others. Those of each priority count up by one and never come near.
const FIRST_LOW_TURN: i64 = 1 << 62;

/// Events in each place that are looked through for the oldest: as they are served about in the order of their age, it
/// is among them.
const OLDEST_AMONG: usize = 256;

impl Priority {
    /// Of which events a turn is.
    #[must_use]
    pub const fn of_turn(turn: i64) -> Self {
        if turn < FIRST_LOW_TURN { Self::Normal } else { Self::Low }
    }

    /// The turns of its events.
    #[must_use]
    pub const fn turns(self) -> Range<i64> {
        match self {
            Self::Normal => i64::MIN..FIRST_LOW_TURN,
            Self::Low => FIRST_LOW_TURN..i64::MAX,
        }
    }
}

/// Where events wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Those that are ready, by turn.
    Ready,
    /// Those that are tried again later, by when they are due.
    Delayed,
}

impl Place {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ready, Self::Delayed];

    const fn table(self) -> TableDefinition<'static, (i64, u64), ()> {
        match self {
            Self::Ready => DUE,
            Self::Delayed => RETRIES,
        }
    }

    /// Of an event, with its rank there.
    fn of(event: &EventRecord) -> (Self, i64) {
        event.turn.map_or((Self::Delayed, event.due_ms), |turn| (Self::Ready, turn))
    }
}

impl QueueView<'_> {
    /// An event, if it is still waiting.
    pub fn event(&self, id: u64) -> Result<Option<EventRecord>, LedgerError> {
        get(&self.0.table(EVENTS)?, id)
    }

    /// The event of normal priority that was queued first, among those whose turn comes first and those that are due first.
    pub fn oldest_event(&self) -> Result<Option<EventRecord>, LedgerError> {
        let mut oldest: Option<EventRecord> = None;
        for place in Place::ALL {
            let table = self.0.table(place.table())?;
            let rows = table.range((i64::MIN, 0)..(FIRST_LOW_TURN, 0)).map_err(LedgerError::database)?;
            for row in rows.take(OLDEST_AMONG) {
                let (_, id) = row.map_err(LedgerError::database)?.0.value();
                let event = self.event(id)?.filter(|event| event.priority() == Priority::Normal);
                let Some(event) = event else { continue };
                if oldest.as_ref().is_none_or(|oldest| event.queued_ms < oldest.queued_ms) {
                    oldest = Some(event);
                }
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

    /// The first event among these ids that a request enqueued.
    pub fn first_event_of(
        &self,
        ids: RangeInclusive<u64>,
        request_id: &str,
    ) -> Result<Option<u64>, LedgerError> {
        let table = self.0.table(EVENTS)?;
        for row in table.range(ids).map_err(LedgerError::database)? {
            let (id, bytes) = row.map_err(LedgerError::database)?;
            match decode::<EventRecord>(bytes.value()) {
                Ok(event) if event.request_id == request_id => return Ok(Some(id.value())),
                Ok(_) => {}
                // One row that cannot be read must not hold up the others.
                Err(error) => tracing::error!(id = id.value(), %error, "an event cannot be read"),
            }
        }
        Ok(None)
    }

    /// Ids of the events in one place with their rank, from the first that has `from` or more, until `take` answers
    /// `false`.
    pub fn walk_events(
        &self,
        place: Place,
        from: i64,
        mut take: impl FnMut(i64, u64) -> bool,
    ) -> Result<(), LedgerError> {
        let table = self.0.table(place.table())?;
        for row in table.range((from, 0)..).map_err(LedgerError::database)? {
            let (rank, id) = row.map_err(LedgerError::database)?.0.value();
            if !take(rank, id) {
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
            self.remove_ranks(&old)?;
        }
        let (place, rank) = Place::of(event);
        self.0.table(place.table())?.insert((rank, event.id), ()).map_err(LedgerError::database)?;
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

    /// The least turn that a ready event of this priority has; without any, the first there can be above 0.
    pub fn least_turn(&self, priority: Priority) -> Result<i64, LedgerError> {
        let turns = priority.turns();
        let ready = self.0.table(DUE)?;
        let mut rows = ready.range((turns.start, 0)..(turns.end, 0)).map_err(LedgerError::database)?;
        let first = rows.next().transpose().map_err(LedgerError::database)?;
        Ok(first.map_or(turns.start.max(0), |row| row.0.value().0))
    }

    /// How many events are waiting or under way.
    pub fn event_count(&self) -> Result<u64, LedgerError> {
        self.0.table(EVENTS)?.len().map_err(LedgerError::database)
    }

    /// Removes a row without an event.
    pub fn remove_rank(&self, place: Place, rank: i64, id: u64) -> Result<(), LedgerError> {
        self.0.table(place.table())?.remove((rank, id)).map_err(LedgerError::database)?;
        Ok(())
    }

    fn remove_ranks(&self, event: &EventRecord) -> Result<(), LedgerError> {
        let (place, rank) = Place::of(event);
        self.remove_rank(place, rank, event.id)?;
        // Earlier ledgers have ready events by when they were due.
        if place == Place::Delayed { self.remove_rank(Place::Ready, rank, event.id) } else { Ok(()) }
    }

    /// Removes an event; answers whether it was there.
    pub fn remove_event(&self, id: u64) -> Result<bool, LedgerError> {
        let Some(old) = self.event(id)? else { return Ok(false) };
        self.remove_ranks(&old)?;
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
