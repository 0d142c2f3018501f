//! The durable queue of events: on the ledger, so that a put and its event are one transaction.
//!
//! A lease lives in memory only: whatever a crash interrupts is simply due again. That an attempt began is
//! written down without waiting for it, so that an object that brings the program down each time is given
//! up in the end.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tintype_function::store::Location;

use crate::{
    ledger::{DeadLetter, EventRecord, Ledger, LedgerError, listed_key},
    store::{Settlement, now_ms},
};

/// Attempts that may end with the program itself before an event is given up.
const MAX_CRASHES: u32 = 3;

/// When an event is tried again, and when it is given up: as Lambda's asynchronous invocation does it.
/// Source: AWS, "How Lambda handles errors and retries with asynchronous invocation".
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Retries after the first attempt.
    pub retries: u32,
    /// Wait before each; the last one repeats.
    pub delays: Vec<Duration>,
    /// An event older than this is given up.
    pub max_age: Duration,
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Settled already, together with the thumbnails.
    Settled,
    /// Done: nothing more to do.
    Done {
        /// Name of the outcome.
        outcome: &'static str,
        /// Why, where there is something to say.
        why: Option<String>,
        /// The thumbnails.
        renditions: Vec<Location>,
    },
    /// Failed in a way that trying again may mend.
    Retry {
        /// Class of the failure.
        reason: &'static str,
        /// What happened.
        message: String,
    },
    /// Interrupted by a shutdown: due again, and not counted as an attempt.
    Released,
    /// Failed for good.
    Dead {
        /// Class of the failure.
        reason: &'static str,
        /// What happened.
        message: String,
    },
}

/// What became of the event after a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is gone from the queue.
    Done,
    /// It will be tried again.
    Requeued,
    /// It is a dead letter.
    Dead,
}

/// An event taken for one attempt. Dropped without a verdict, it is due again.
#[derive(Debug)]
pub struct Lease {
    /// The event as it was when taken.
    pub event: EventRecord,
    /// Its object.
    pub at: Location,
    queue: Arc<Queue>,
}

impl Lease {
    /// The settlement for this attempt.
    #[must_use]
    pub fn settlement(&self) -> Settlement {
        Settlement { event: self.event.clone(), attempts: self.event.started + 1 }
    }

    /// How long ago it was queued.
    #[must_use]
    pub fn age(&self) -> Duration {
        age(&self.event)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut leased = self.queue.leased();
        leased.events.remove(&self.event.id);
        leased.objects.remove(&self.at);
    }
}

#[derive(Debug, Default)]
struct Leased {
    events: HashSet<u64>,
    /// One attempt at a time for each object, so that its events are handled in their order.
    objects: HashSet<Location>,
}

/// The queue.
#[derive(Debug)]
pub struct Queue {
    ledger: Arc<Ledger>,
    policy: RetryPolicy,
    leased: Mutex<Leased>,
}

/// What the queue has for whoever asks.
#[derive(Debug)]
pub enum Next {
    /// An event.
    Lease(Box<Lease>),
    /// Nothing now; something is due after this long.
    Wait(Duration),
    /// Nothing at all.
    Empty,
    /// An event that had to be given up instead of being tried.
    GivenUp,
}

fn age(event: &EventRecord) -> Duration {
    Duration::from_millis(u64::try_from(now_ms() - event.queued_ms).unwrap_or(0))
}

impl Queue {
    /// The queue on a ledger.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, policy: RetryPolicy) -> Arc<Self> {
        Arc::new(Self { ledger, policy, leased: Mutex::default() })
    }

    fn leased(&self) -> std::sync::MutexGuard<'_, Leased> {
        self.leased.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the event that has been due longest, unless its object is being worked on.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn lease(self: &Arc<Self>) -> Result<Next, LedgerError> {
        let now = now_ms();
        let mut leased = self.leased();
        let mut skipped: BTreeMap<u64, ()> = BTreeMap::new();
        loop {
            let view = self.ledger.view()?;
            let mut found = None;
            let mut wait = None;
            view.walk_due(|due, id| {
                if leased.events.contains(&id) || skipped.contains_key(&id) {
                    return true;
                }
                if due > now {
                    wait = Some(Duration::from_millis(u64::try_from(due - now).unwrap_or(0)));
                } else {
                    found = Some(id);
                }
                false
            })?;
            let Some(id) = found else {
                return Ok(wait.map_or(Next::Empty, Next::Wait));
            };
            let Some(event) = view.event(id)? else {
                skipped.insert(id, ());
                continue;
            };
            drop(view);
            let at = Location { bucket: event.bucket.clone(), key: listed_key(&event.key)? };
            if leased.objects.contains(&at) {
                skipped.insert(id, ());
                continue;
            }
            if let Some((reason, message)) = self.hopeless(&event) {
                drop(leased);
                self.give_up(event, reason, message)?;
                return Ok(Next::GivenUp);
            }
            leased.events.insert(id);
            leased.objects.insert(at.clone());
            self.note_attempt(id);
            return Ok(Next::Lease(Box::new(Lease { event, at, queue: self.clone() })));
        }
    }

    /// Why an event is not worth another attempt, if so.
    fn hopeless(&self, event: &EventRecord) -> Option<(&'static str, String)> {
        let age = age(event);
        if age > self.policy.max_age {
            let last = event.last_error.as_deref().unwrap_or("it was never tried");
            let message = format!(
                "the event is {} s old, more than function.max_event_age ({} s) allows; last error: {last}",
                age.as_secs(),
                self.policy.max_age.as_secs()
            );
            return Some(("event_age", message));
        }
        let crashes = event.started.saturating_sub(event.failed);
        (crashes >= MAX_CRASHES).then(|| {
            let message = format!(
                "the program ended {crashes} times while it worked on this object; look at the logs for the time of \
                 each, and report the object if they do not explain it"
            );
            ("crashed", message)
        })
    }

    /// Writes down that an attempt began, without waiting for it.
    fn note_attempt(&self, id: u64) {
        drop(self.ledger.submit(Vec::new(), move |changes| {
            if let Some(mut event) = changes.event(id)? {
                event.started += 1;
                changes.put_event(&event)?;
            }
            Ok::<_, LedgerError>(())
        }));
    }

    /// Acts on how an attempt ended, durably.
    ///
    /// # Errors
    /// The ledger cannot be written; the event is then due again.
    pub fn finish(&self, lease: &Lease, verdict: Verdict) -> Result<Settled, LedgerError> {
        match verdict {
            Verdict::Settled => Ok(Settled::Done),
            Verdict::Done { outcome, why, renditions } => {
                let settlement = lease.settlement();
                let pending = self
                    .ledger
                    .submit(Vec::new(), move |changes| settlement.settle(changes, outcome, why, renditions));
                pending.wait()?;
                Ok(Settled::Done)
            }
            Verdict::Retry { reason, message } if lease.event.failed >= self.policy.retries => {
                self.give_up(self.current(lease)?, reason, message)?;
                Ok(Settled::Dead)
            }
            Verdict::Retry { message, .. } => {
                let delay = self.policy.delays.get(lease.event.failed as usize).or(self.policy.delays.last());
                let delay = delay.copied().unwrap_or_default();
                let id = lease.event.id;
                let pending = self.ledger.submit(Vec::new(), move |changes| {
                    if let Some(mut event) = changes.event(id)? {
                        event.failed += 1;
                        event.started = event.started.max(event.failed);
                        event.due_ms = now_ms() + i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
                        event.last_error = Some(message);
                        changes.put_event(&event)?;
                    }
                    Ok::<_, LedgerError>(())
                });
                pending.wait()?;
                Ok(Settled::Requeued)
            }
            Verdict::Released => {
                let id = lease.event.id;
                let pending = self.ledger.submit(Vec::new(), move |changes| {
                    if let Some(mut event) = changes.event(id)? {
                        event.started = event.started.saturating_sub(1).max(event.failed);
                        changes.put_event(&event)?;
                    }
                    Ok::<_, LedgerError>(())
                });
                pending.wait()?;
                Ok(Settled::Requeued)
            }
            Verdict::Dead { reason, message } => {
                self.give_up(self.current(lease)?, reason, message)?;
                Ok(Settled::Dead)
            }
        }
    }

    /// The event with this attempt counted as failed.
    fn current(&self, lease: &Lease) -> Result<EventRecord, LedgerError> {
        let mut event = self.ledger.view()?.event(lease.event.id)?.unwrap_or_else(|| lease.event.clone());
        event.failed = lease.event.failed + 1;
        event.started = event.started.max(event.failed);
        Ok(event)
    }

    fn give_up(&self, event: EventRecord, reason: &str, message: String) -> Result<(), LedgerError> {
        tracing::warn!(
            bucket = event.bucket,
            key = event.key,
            reason,
            attempts = event.failed,
            message,
            "dead letter"
        );
        let settlement = Settlement { attempts: event.started, event: event.clone() };
        let letter = DeadLetter { event, reason: reason.into(), message: message.clone(), dead_ms: now_ms() };
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            settlement.settle(changes, "failed", Some(message), Vec::new())?;
            changes.put_dead_letter(&letter)
        });
        pending.wait()
    }

    /// Events waiting or under way.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn depth(&self) -> Result<u64, LedgerError> {
        self.ledger.view()?.event_count()
    }

    /// Attempts under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.leased().events.len()
    }
}
