//! The durable queue of events: on the ledger, so that a put and its event are one transaction.
//!
//! | File | What |
//! |---|---|
//! | `enqueue` | the handle by which storage enqueues events inside its transactions; superseding |
//! | `turns` | the order of ready events, fair between groups |
//! | `lease`, `active_leases` | the event that comes next; what is under way, in memory |
//! | `settlement`, `expiry` | how an attempt ends; events that get no other |
//! | `dead_letters`, `dead_letter_retention` | listed, redriven, purged; dropped by age and number |
//! | `results` | what last became of each source |
//! | `alt_texts` | images that wait to be described, apart from the function's events |
//!
//! A lease lives in memory only: whatever a crash interrupts is due again. That an attempt began is recorded
//! without waiting for it, so that an object that ends the program each time becomes a dead letter.

mod active_leases;
mod alt_texts;
mod dead_letter_retention;
mod dead_letters;
mod enqueue;
mod expiry;
mod lease;
mod results;
mod settlement;
mod turns;

use std::{
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use active_leases::ActiveLeases;
pub use alt_texts::{AltTextProgress, AltTextQueue, Described};
pub use dead_letters::{DeadLetterFilter, DeadLetterPage, DeadLetterSummary, reason};
pub use enqueue::{Cause, Enqueuer, EventWriter, IgnoredUpload, NewEvent};
pub use lease::{Lease, Next};
pub use results::ResultsCursor;
pub use settlement::Settlement;
use tintype_pipeline::{RetryPolicy, clock::now_ms};

pub use crate::ledger::{DeadLetter, EventRecord, ResultRecord};
use crate::{
    ledger::{Ledger, LedgerError, Place},
    steady_clock::SteadyClock,
};

/// The queue.
#[derive(Debug)]
pub struct Queue {
    ledger: Arc<Ledger>,
    enqueuer: Enqueuer,
    policy: RetryPolicy,
    /// An event older than this becomes a dead letter instead of another attempt.
    max_age: Duration,
    /// Distinguishes this run from others in what it writes.
    run: u64,
    active: Mutex<ActiveLeases>,
    /// What the last look at dead letters warned of.
    warning: Mutex<dead_letter_retention::Warning>,
    clock: SteadyClock,
    /// How many attempts may be under way at once.
    workers: AtomicUsize,
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn age(event: &EventRecord) -> Duration {
    Duration::from_millis(u64::try_from(now_ms() - event.queued_ms).unwrap_or(0))
}

impl Queue {
    /// The queue that storage fills through `enqueuer`.
    #[must_use]
    pub fn new(enqueuer: Enqueuer, policy: RetryPolicy, max_age: Duration) -> Arc<Self> {
        Arc::new(Self {
            ledger: enqueuer.ledger().clone(),
            enqueuer,
            policy,
            max_age,
            run: active_leases::new_run(),
            active: Mutex::default(),
            warning: Mutex::default(),
            workers: AtomicUsize::new(usize::MAX),
            clock: SteadyClock::new(
                "no event, dead letter, upload or result is dropped for its age",
                now_ms(),
            ),
        })
    }

    fn active(&self) -> MutexGuard<'_, ActiveLeases> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how many attempts may be under way at once; without it, there is no bound.
    pub fn set_workers(&self, workers: usize) {
        self.workers.store(workers, Ordering::Relaxed);
    }

    /// Has `wake` called for every event that was enqueued, after its commit. Only the first call counts.
    pub fn on_enqueued(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.enqueuer.on_enqueued(wake);
    }

    /// Has `note` called for every upload that no trigger takes, after its commit. Only the first call counts.
    pub fn on_ignored(&self, note: impl Fn(&IgnoredUpload) + Send + Sync + 'static) {
        self.enqueuer.on_ignored(note);
    }

    /// When events are tried again.
    #[must_use]
    pub const fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    /// Whether ages can be computed from the machine's clock: it has not jumped for a day.
    pub fn knows_ages(&self) -> bool {
        self.clock.is_steady(now_ms())
    }

    /// Images that wait to be described.
    #[must_use]
    pub const fn alt_texts(&self) -> &Arc<AltTextQueue> {
        self.enqueuer.alt_texts()
    }

    /// How long ago the oldest event that waits or is under way was queued; maintenance does not count.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn oldest(&self) -> Result<Option<Duration>, LedgerError> {
        Ok(self.ledger.view()?.queue().oldest_event()?.as_ref().map(age))
    }

    /// Whether an event is ready or under way, other than those that are tried again later.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn is_busy(&self) -> Result<bool, LedgerError> {
        let mut is_busy = false;
        self.ledger.view()?.queue().walk_events(Place::Ready, i64::MIN, |_, _| {
            is_busy = true;
            false
        })?;
        Ok(is_busy)
    }

    /// Events waiting or under way.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn depth(&self) -> Result<u64, LedgerError> {
        self.ledger.view()?.queue().event_count()
    }

    /// The first event among these ids that a request enqueued and that has not ended; one that is worked on may be
    /// another's. Whoever works on an event holds its lease until its end has been reported.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn first_open(&self, ids: RangeInclusive<u64>, request_id: &str) -> Result<Option<u64>, LedgerError> {
        // In this order: what leaves the ledger is held in memory until it is reported.
        let waiting = self.ledger.view()?.queue().first_event_of(ids.clone(), request_id)?;
        let active = self.active().first(&ids);
        Ok(waiting.into_iter().chain(active).min())
    }

    /// Events of which memory holds anything: those under way, and those whose end could not be recorded. All
    /// else is in the ledger.
    pub fn remembered(&self) -> usize {
        self.active().remembered()
    }
}
