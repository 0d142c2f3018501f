//! Turns: the order of events that are ready, fair between their groups.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng, 1996) where each event costs one: an event's turn is one more than the
//! last turn of its flow, or than the turn being served, whichever is later. So the first event of a flow waits for at
//! most one event of each other flow, however many those have. A flow is a group's first attempts, or its retries.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::ledger::{EventRecord, LedgerError, Priority, QueueChanges};

/// Flows that are distinguished. Two may share a slot, and then take turns as one; which ones is random in each run.
const FLOWS: usize = 1 << 14;

/// Attempts that take this long get all workers but one, so that those of others begin soon.
pub(super) const SLOW: Duration = Duration::from_secs(2);

/// Which flow an event is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flow(usize);

/// In memory only: after a start, the first events of a group with others waiting count as a second flow.
#[derive(Debug)]
pub(super) struct Turns {
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The turn served last, of each priority; `None` until one was.
    served: [Option<i64>; 2],
    /// The last turn that each flow was given, by priority.
    last: [Box<[i64]>; 2],
    /// How long attempts of each flow take: a moving average, in milliseconds.
    typical_ms: Box<[u32]>,
}

impl Default for Turns {
    fn default() -> Self {
        let state = State {
            served: [None; 2],
            last: [vec![i64::MIN; FLOWS].into(), vec![i64::MIN; FLOWS].into()],
            typical_ms: vec![0; FLOWS].into(),
        };
        Self { hasher: RandomState::new(), state: Mutex::new(state) }
    }
}

impl Turns {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The flow of an event.
    pub(super) fn flow(&self, event: &EventRecord) -> Flow {
        let is_retry = event.last_error.is_some();
        let kind = (is_retry, event.redriven, event.priority());
        let hash = self.hasher.hash_one((&event.bucket, &event.group, kind));
        Flow(hash as usize % FLOWS)
    }

    /// The next turn for an event that becomes ready.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(super) fn next(&self, queue: &QueueChanges<'_, '_>, event: &EventRecord) -> Result<i64, LedgerError> {
        let (priority, Flow(flow)) = (event.priority(), self.flow(event));
        let mut state = self.state();
        let served = match state.served[priority as usize] {
            Some(served) => served,
            None => queue.least_turn(priority)?.saturating_sub(1),
        };
        let last = &mut state.last[priority as usize][flow];
        // Turns of transactions that failed are not waited for.
        let most = served.saturating_add_unsigned(queue.event_count()?);
        *last = (*last).min(most).max(served) + 1;
        Ok(*last)
    }

    /// The event with this turn is served. Earlier ledgers have low priority among the normal turns.
    pub(super) fn serve(&self, turn: i64) {
        let priority = Priority::of_turn(turn);
        let served = &mut self.state().served[priority as usize];
        *served = (*served).max(Some(turn));
    }

    /// The turn served last; without one, the first there can be.
    pub(super) fn served(&self, priority: Priority) -> i64 {
        self.state().served[priority as usize].unwrap_or(priority.turns().start)
    }

    /// An attempt at an event of this flow took so long.
    pub(super) fn took(&self, Flow(flow): Flow, time: Duration) {
        let ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let typical = &mut self.state().typical_ms[flow];
        *typical = typical.midpoint(ms);
    }

    /// Whether attempts of this flow hold a worker for long.
    pub(super) fn is_slow(&self, Flow(flow): Flow) -> bool {
        u128::from(self.state().typical_ms[flow]) >= SLOW.as_millis()
    }
}
