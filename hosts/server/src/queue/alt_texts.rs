//! Images that wait to be described. They wait apart from the function's events: a model that is away delays no
//! thumbnail, and what waits for one has attempts of its own. Their dead letters lie with the others.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tintype_alt_text::{Day, budget::day_of};
use tintype_pipeline::{clock::now_ms, store::Location};
use tokio::sync::Notify;

use super::{dead_letters::ALT_TEXT, milliseconds};
use crate::ledger::{ALT_TEXT_EVENT, Changes, DeadLetter, EventRecord, Ledger, LedgerError};

/// How describing goes, for operators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AltTextProgress {
    /// Milliseconds since 1970 since when the provider takes nothing; none: it did last.
    pub failing_since_ms: Option<i64>,
    /// Why the last attempt failed, while it does.
    pub last_error: Option<String>,
    /// Until when nothing is asked because a budget is used up, in milliseconds since 1970.
    pub out_of_budget_until_ms: Option<i64>,
}

/// An event that an attempt ended, with what it took.
#[derive(Debug, Clone)]
pub struct Described {
    /// The event.
    pub event: EventRecord,
    /// What the attempt took.
    pub used: Day,
}

impl Described {
    /// Removes the event and adds what it took, in a transaction; returns whether the event was still there.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn settle(&self, changes: &Changes<'_>) -> Result<bool, LedgerError> {
        self.add_usage(changes)?;
        changes.remove_alt_text_event(&self.event)
    }

    fn add_usage(&self, changes: &Changes<'_>) -> Result<(), LedgerError> {
        if self.used == Day::default() {
            return Ok(());
        }
        changes.add_alt_text_usage(day_of(now_ms()), self.used)
    }
}

/// The queue of images that wait to be described.
pub struct AltTextQueue {
    ledger: Arc<Ledger>,
    is_on: AtomicBool,
    wake: Notify,
    progress: Mutex<AltTextProgress>,
}

impl fmt::Debug for AltTextQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AltTextQueue").field("is_on", &self.is_on).finish_non_exhaustive()
    }
}

impl AltTextQueue {
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        let (is_on, wake, progress) = (AtomicBool::new(false), Notify::new(), Mutex::default());
        Self { ledger, is_on, wake, progress }
    }

    /// From now on each new thumbnail has its image described.
    pub fn turn_on(&self) {
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// Whether images are described.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Something may be due.
    pub fn notify(&self) {
        self.wake.notify_one();
    }

    /// Waits until something may be due.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// How describing goes.
    pub fn progress(&self) -> MutexGuard<'_, AltTextProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enqueues that an image is to be described, in a transaction. After the commit, [`AltTextQueue::notify`].
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn enqueue(
        changes: &Changes<'_>,
        id: u64,
        source: &Location,
        etag: &str,
        request_id: &str,
    ) -> Result<(), LedgerError> {
        let now = now_ms();
        changes.put_alt_text_event(&EventRecord {
            id,
            removed: false,
            name: ALT_TEXT_EVENT.into(),
            bucket: source.bucket.clone(),
            key: source.key.to_string(),
            etag: etag.into(),
            size: 0,
            queued_ms: now,
            due_ms: now,
            request_id: request_id.into(),
            started: 0,
            failed: 0,
            deferred: 0,
            last_error: None,
            redriven: false,
            tried_in: 0,
            turn: None,
            group: String::new(),
            timed_out: 0,
        })
    }

    /// The events that are due, at most `most`, and when the first of the others is, in milliseconds since 1970.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn due(&self, most: usize) -> Result<(Vec<EventRecord>, Option<i64>), LedgerError> {
        self.ledger.view()?.alt_text_events(now_ms(), most)
    }

    /// How many wait or are under way.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn waiting(&self) -> Result<u64, LedgerError> {
        self.ledger.view()?.alt_text_event_count()
    }

    /// Those of one object. Walks all.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn of(&self, at: &Location) -> Result<Vec<EventRecord>, LedgerError> {
        self.ledger.view()?.alt_text_events_of(at)
    }

    /// What the last days took, oldest first, in days since 1970.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn usage(&self, days: usize) -> Result<Vec<(i64, Day)>, LedgerError> {
        self.ledger.view()?.alt_text_usage(days)
    }

    /// What this day has taken.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn today(&self) -> Result<Day, LedgerError> {
        self.ledger.view()?.alt_text_usage_of(day_of(now_ms()))
    }

    /// Ends an event about which nothing is left to do, durably.
    ///
    /// # Errors
    /// The ledger cannot be written; it is then due again.
    pub fn settle(&self, described: Described) -> Result<(), LedgerError> {
        self.ledger.submit(Vec::new(), move |changes| described.settle(changes).map(drop)).wait()
    }

    /// Has an event tried again after `delay`, durably. The attempt counts if `failed` says so.
    ///
    /// # Errors
    /// The ledger cannot be written; it is then due at once.
    pub fn retry(
        &self,
        described: Described,
        delay: Duration,
        message: String,
        failed: bool,
    ) -> Result<(), LedgerError> {
        let due_ms = now_ms().saturating_add(milliseconds(delay));
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            if described.settle(changes)? {
                let mut event = described.event;
                event.due_ms = due_ms;
                event.failed += u32::from(failed);
                event.deferred += u32::from(!failed);
                event.started = event.failed;
                event.last_error = Some(message);
                changes.put_alt_text_event(&event)?;
            }
            Ok::<_, LedgerError>(())
        });
        pending.wait()
    }

    /// Moves an event to the dead letters, durably.
    ///
    /// # Errors
    /// The ledger cannot be written; it is then due again.
    pub fn dead_letter(&self, described: Described, message: String) -> Result<(), LedgerError> {
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            if described.settle(changes)? {
                let mut event = described.event;
                event.failed += 1;
                event.started = event.failed;
                event.last_error = Some(message.clone());
                let letter = DeadLetter { event, reason: ALT_TEXT.into(), message, dead_ms: now_ms() };
                changes.queue().put_dead_letter(&letter)?;
            }
            Ok::<_, LedgerError>(())
        });
        pending.wait()
    }
}
