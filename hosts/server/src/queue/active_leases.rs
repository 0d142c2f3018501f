//! What is under way, in memory only: a crash makes everything due again.
//!
//! It holds as many events as are worked on, and those whose end could not be recorded: never as many as wait.

use std::{
    collections::{HashMap, HashSet},
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use tintype_pipeline::store::Location;

use super::turns::Flow;
use crate::ledger::EventRecord;

/// Events that are due and go before one that may have crashed the program (a suspect): each run of a program that
/// crashes repeatedly makes progress, and no suspect waits for ever.
const BEFORE_A_SUSPECT: u32 = 64;

/// Events whose end could not be recorded may have been removed by others since: looked for beyond this many.
const SWEEP_ABOVE: usize = 1024;

/// An attempt under way.
#[derive(Debug)]
struct ActiveLease {
    flow: Flow,
    began: Instant,
    /// Whether it was expected to take long.
    is_slow: bool,
}

/// The events under way.
#[derive(Debug, Default)]
pub(super) struct ActiveLeases {
    events: HashMap<u64, ActiveLease>,
    /// Events with attempts begun in this run that are not recorded as ended, and the number of the first such attempt. An
    /// attempt of an earlier run that never ended went down with the program; one of this run did not.
    begun: HashMap<u64, u32>,
    /// Set while a suspect is under way: nothing else is, so that another crash is its own.
    alone: bool,
    /// Events that went before a suspect since the last one was taken.
    before_suspect: u32,
    /// One attempt at a time for each object, so that its events are handled in their order.
    objects: HashSet<Location>,
}

/// A number that no other run has; 0 is no run's.
pub(super) fn new_run() -> u64 {
    // Where there is no randomness, the clock has to do.
    getrandom::u64().unwrap_or_else(|_| tintype_pipeline::clock::now_ms().unsigned_abs()).max(1)
}

impl ActiveLeases {
    pub(super) fn is_any(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    pub(super) fn holds(&self, event: u64) -> bool {
        self.events.contains_key(&event)
    }

    /// The first event among these ids that is worked on.
    pub(super) fn first(&self, ids: &RangeInclusive<u64>) -> Option<u64> {
        self.events.keys().copied().filter(|id| ids.contains(id)).min()
    }

    pub(super) fn holds_object(&self, at: &Location) -> bool {
        self.objects.contains(at)
    }

    /// How many attempts are slow: expected to be, or under way since before `since`.
    pub(super) fn slow_count(&self, since: Option<Instant>) -> usize {
        let is_slow = |lease: &&ActiveLease| lease.is_slow || since.is_some_and(|since| lease.began < since);
        self.events.values().filter(is_slow).count()
    }

    /// Whether an attempt at an event of this flow has been under way since before `since`.
    pub(super) fn began_before(&self, flow: Flow, since: Option<Instant>) -> bool {
        let Some(since) = since else { return false };
        self.events.values().any(|lease| lease.flow == flow && lease.began < since)
    }

    pub(super) fn may_pass_a_suspect(&self) -> bool {
        self.before_suspect < BEFORE_A_SUSPECT
    }

    /// The events that are worked on, and which attempt at each.
    pub(super) fn under_way(&self) -> Vec<(u64, u32)> {
        self.events.keys().filter_map(|event| Some((*event, *self.begun.get(event)?))).collect()
    }

    /// The number of events of which anything is stored here.
    pub(super) fn remembered(&self) -> usize {
        self.begun.len()
    }

    /// Whether this run began an attempt at an event that is not recorded as ended.
    pub(super) fn is_begun(&self, event: u64) -> bool {
        self.begun.contains_key(&event)
    }

    /// How many attempts at an event went down with the program.
    pub(super) fn crashes(&self, event: &EventRecord) -> u32 {
        let open = event.started.saturating_sub(event.failed);
        let is_own = self.begun.get(&event.id).is_some_and(|attempt| event.started >= *attempt);
        open.saturating_sub(u32::from(is_own))
    }

    /// An attempt begins: `alone`, with nothing beside it; or having `passed` a suspect. Answers which it is of the
    /// event's.
    pub(super) fn begin(
        &mut self,
        event: &EventRecord,
        at: &Location,
        (flow, is_slow): (Flow, bool),
        alone: bool,
        passed: bool,
    ) -> u32 {
        self.alone = alone;
        self.before_suspect = if alone { 0 } else { self.before_suspect + u32::from(passed) };
        self.events.insert(event.id, ActiveLease { flow, began: Instant::now(), is_slow });
        self.objects.insert(at.clone());
        *self.begun.entry(event.id).or_insert(event.started + 1)
    }

    /// It is over, settled or not. Returns how long it took.
    pub(super) fn end(&mut self, event: u64, at: &Location) -> Option<(Flow, Duration)> {
        let ended = self.events.remove(&event);
        self.objects.remove(at);
        // A suspect is the only one under way.
        self.alone = false;
        ended.map(|lease| (lease.flow, lease.began.elapsed()))
    }

    /// Forgets what others removed from the queue.
    pub(super) fn sweep(&mut self, is_queued: impl Fn(u64) -> bool) {
        if self.begun.len() > self.events.len() + SWEEP_ABOVE {
            self.begun.retain(|event, _| self.events.contains_key(event) || is_queued(*event));
        }
    }

    /// Its attempts count as never begun, or as ended.
    pub(super) fn forget(&mut self, event: u64) {
        self.begun.remove(&event);
    }
}

#[cfg(test)]
mod tests {
    use tintype_pipeline::store::ObjectKey;

    use super::*;

    fn record(id: u64) -> EventRecord {
        EventRecord {
            id,
            removed: false,
            name: "ObjectCreated:Put".into(),
            bucket: "in".into(),
            key: "a.jpg".into(),
            etag: "etag".into(),
            size: 1,
            queued_ms: 1,
            due_ms: 1,
            request_id: String::new(),
            started: 0,
            failed: 0,
            deferred: 0,
            last_error: None,
            redriven: false,
            tried_in: 0,
            turn: None,
            group: String::new(),
            timed_out: 0,
        }
    }

    #[test]
    fn what_others_removed_is_swept() {
        let at = Location { bucket: "in".into(), key: ObjectKey::new("a.jpg").unwrap() };
        let mut leases = ActiveLeases::default();
        for event in 0..10_000 {
            leases.begin(&record(event), &at, (Flow::default(), false), false, false);
            leases.end(event, &at);
            leases.sweep(|event| event % 1000 == 0);
            assert!(leases.remembered() <= SWEEP_ABOVE + 1);
        }
        leases.begin(&record(7), &at, (Flow::default(), false), false, false);
        leases.sweep(|_| false);
        assert!(leases.is_begun(7) && leases.holds(7));
    }
}
