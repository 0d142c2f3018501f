//! What is under way, and what else of this run only memory knows. A crash makes everything due again.
//!
//! It holds as many events as are worked on, and those whose end could not be written down: never as many as wait.

use std::collections::{HashMap, HashSet};

use tintype_function::store::Location;

use crate::ledger::EventRecord;

/// Others that are due go before an event that may have brought the program down, up to so many at a time: each
/// life of a program that crashes again and again gets something done, and no suspect waits for ever.
const BEFORE_A_SUSPECT: u32 = 64;

/// Events whose end could not be written down may have been removed by others since: looked for beyond this many.
const SWEEP_ABOVE: usize = 1024;

/// The events under way.
#[derive(Debug, Default)]
pub(super) struct Leased {
    events: HashSet<u64>,
    /// Attempts begun in this run that are not written down as ended: these ended some way or other, while one
    /// begun in an earlier run and never ended went down with the program.
    begun: HashMap<u64, u32>,
    /// Set while an event that may have brought the program down is worked on: nothing else is, so that
    /// another crash tells on it and on nobody else.
    alone: bool,
    /// Events that went before a suspect since the last one was taken.
    before_suspect: u32,
    /// One attempt at a time for each object, so that its events are handled in their order.
    objects: HashSet<Location>,
}

/// A number that no other run has; 0 is no run's.
pub(super) fn new_run() -> u64 {
    // Where there is no randomness, the clock has to do.
    getrandom::u64().unwrap_or_else(|_| crate::store::now_ms().unsigned_abs()).max(1)
}

impl Leased {
    pub(super) fn is_any(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) fn is_alone(&self) -> bool {
        self.alone
    }

    pub(super) fn holds(&self, event: u64) -> bool {
        self.events.contains(&event)
    }

    pub(super) fn holds_object(&self, at: &Location) -> bool {
        self.objects.contains(at)
    }

    pub(super) fn may_pass_a_suspect(&self) -> bool {
        self.before_suspect < BEFORE_A_SUSPECT
    }

    /// Attempts at an event that this run began and that are not written down as ended.
    pub(super) fn begun(&self, event: u64) -> u32 {
        self.begun.get(&event).copied().unwrap_or(0)
    }

    /// How many attempts at an event went down with the program.
    pub(super) fn crashes(&self, event: &EventRecord) -> u32 {
        event.started.saturating_sub(event.failed).saturating_sub(self.begun(event.id))
    }

    /// An attempt begins: `alone`, with nothing beside it; or having `passed` a suspect.
    pub(super) fn begin(&mut self, event: u64, at: &Location, alone: bool, passed: bool) {
        self.alone = alone;
        self.before_suspect = if alone { 0 } else { self.before_suspect + u32::from(passed) };
        self.events.insert(event);
        self.objects.insert(at.clone());
        *self.begun.entry(event).or_insert(0) += 1;
    }

    /// It is over; how it ended was said before.
    pub(super) fn end(&mut self, event: u64, at: &Location) {
        self.events.remove(&event);
        self.objects.remove(at);
        // Whoever works alone is the only one there is.
        self.alone = false;
    }

    /// Takes back that an attempt began, or it is written down as ended.
    pub(super) fn not_begun(&mut self, event: u64) {
        match self.begun.get_mut(&event) {
            Some(begun) if *begun > 1 => *begun -= 1,
            Some(_) => self.forget(event),
            None => {}
        }
    }

    /// Forgets what others removed from the queue.
    pub(super) fn sweep(&mut self, is_queued: impl Fn(u64) -> bool) {
        if self.begun.len() > self.events.len() + SWEEP_ABOVE {
            self.begun.retain(|event, _| self.events.contains(event) || is_queued(*event));
        }
    }

    /// The event is gone from the queue.
    pub(super) fn forget(&mut self, event: u64) {
        self.begun.remove(&event);
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc, time::Duration};

    use tintype_function::store::ObjectKey;

    use super::*;
    use crate::{
        disk::RealDisk,
        ledger::{Ledger, LedgerError},
        queue::{Next, Queue, RetryPolicy, Verdict},
    };

    fn at(id: u64) -> Location {
        Location { bucket: "in".into(), key: ObjectKey::new(&format!("{id}.jpg")).unwrap() }
    }

    fn ledger(folder: &Path) -> Arc<Ledger> {
        Arc::new(Ledger::open(Arc::new(RealDisk), &folder.join("ledger.redb"), 16, Arc::new(())).unwrap())
    }

    /// Queues an event as old as the clock is.
    fn queue_old(ledger: &Ledger, id: u64) {
        let at = at(id);
        let pending = ledger.submit(Vec::new(), move |changes| {
            let event = EventRecord {
                id,
                removed: false,
                name: "ObjectCreated:Put".into(),
                bucket: at.bucket.clone(),
                key: at.key.to_string(),
                etag: String::new(),
                size: 1,
                queued_ms: 0,
                due_ms: 0,
                request_id: String::new(),
                started: 0,
                failed: 0,
                deferred: 0,
                last_error: None,
                redriven: false,
                tried_in: 0,
            };
            Ok::<_, LedgerError>(changes.queue_event(&at, &event)?)
        });
        pending.wait().unwrap();
    }

    /// Whatever becomes of events, memory holds none of them once nothing is under way.
    #[test]
    fn nothing_is_remembered_of_what_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path());
        let policy =
            RetryPolicy { retries: 1, delays: vec![Duration::ZERO], max_age: Duration::from_secs(3600) };
        let queue = Queue::new(ledger.clone(), policy);
        let verdicts = [
            Verdict::Released,
            Verdict::Retry { reason: "internal", message: "again".into() },
            Verdict::Away { message: "full".into() },
            Verdict::Dead { reason: "malformed", message: "torn".into() },
            Verdict::Done { outcome: "ignored", why: None, renditions: Vec::new() },
        ];
        for (id, verdict) in verdicts.iter().cycle().take(40).enumerate() {
            queue_old(&ledger, id as u64 + 1);
            let Ok(Next::Lease(lease)) = queue.lease() else { panic!("event {id} is not to be had") };
            queue.finish(&lease, verdict.clone()).unwrap();
            drop(lease);
            // Too old for another attempt: what was put back is given up instead, or waits for its time.
            while let Ok(Next::GivenUp(_)) = queue.lease() {}
            let leased = queue.leased();
            assert!(leased.begun.is_empty() && leased.events.is_empty(), "{leased:?}");
            assert!(leased.objects.is_empty() && !leased.alone, "{leased:?}");
        }
        assert!(ledger.view().unwrap().dead_letter_count().unwrap() >= 24);
        assert!(queue.depth().unwrap() <= 8, "only what the store was away for waits");
    }

    #[test]
    fn what_others_removed_is_swept() {
        let mut leased = Leased::default();
        for event in 0..10_000 {
            leased.begin(event, &at(event), false, false);
            leased.end(event, &at(event));
            leased.sweep(|event| event % 1000 == 0);
            assert!(leased.begun.len() <= SWEEP_ABOVE + 1);
        }
        leased.begin(7, &at(7), false, false);
        leased.sweep(|_| false);
        assert_eq!((leased.begun(7), leased.holds(7)), (1, true));
    }
}
