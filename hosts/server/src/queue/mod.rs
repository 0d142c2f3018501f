//! The durable queue of events: on the ledger, so that a put and its event are one transaction.
//!
//! A lease lives in memory only: whatever a crash interrupts is simply due again. That an attempt began is
//! written down without waiting for it, so that an object that brings the program down each time is given
//! up in the end.

mod dead_letters;
mod expiry;
mod leased;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use dead_letters::{DeadLetterFilter, LettersPage, LettersSummary, reason};
use expiry::{MAX_CRASHES, expiry};
use leased::Leased;
use tintype_pipeline::{
    Attempts, Conclusion, Disposition, RetryPolicy,
    clock::now_ms,
    event::{Record, Sequencer},
    store::Location,
};

use crate::{
    ledger::{DeadLetter, EventRecord, Ledger, LedgerError, Pending, Tries, View, listed_key},
    steady_clock::SteadyClock,
    storage::Settlement,
};

/// An event taken for one attempt. Dropped without being settled, it is due again.
#[derive(Debug)]
pub struct Lease {
    /// The event as it was when taken.
    pub event: EventRecord,
    /// Its object.
    pub at: Location,
    /// Attempts begun, this one included.
    attempt: u32,
    queue: Arc<Queue>,
}

impl Lease {
    /// The settlement for this attempt.
    #[must_use]
    pub fn settlement(&self) -> Settlement {
        Settlement { event: self.event.clone(), attempts: self.attempt }
    }

    /// The queue it is of.
    #[must_use]
    pub const fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Earlier attempts at it.
    #[must_use]
    pub const fn attempts(&self) -> Attempts {
        Attempts { failed: self.event.failed, deferred: self.event.deferred }
    }

    /// The event as the function takes it.
    #[must_use]
    pub fn record(&self) -> Record {
        Record {
            kind: self.event.kind(),
            name: self.event.name.clone(),
            bucket: self.event.bucket.clone(),
            key: self.at.key.clone(),
            etag: Some(self.event.etag.clone()),
            size: (!self.event.removed).then_some(self.event.size),
            sequencer: Some(Sequencer(format!("{:016X}", self.event.id))),
        }
    }

    /// How long ago it was queued.
    #[must_use]
    pub fn age(&self) -> Duration {
        age(&self.event)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.queue.leased().end(self.event.id, &self.at);
    }
}

/// The queue.
#[derive(Debug)]
pub struct Queue {
    ledger: Arc<Ledger>,
    policy: RetryPolicy,
    /// An event older than this becomes a dead letter instead of another attempt.
    max_age: Duration,
    /// Tells this run from others in what it writes.
    run: u64,
    leased: Mutex<Leased>,
    /// What the last look at dead letters warned of.
    warned: Mutex<dead_letters::Warned>,
    clock: SteadyClock,
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
    /// An event that became a dead letter instead of being tried.
    DeadLetter(Box<DeadLetter>),
}

/// What comes next of the events of one kind.
#[derive(Default)]
struct Due {
    found: Option<(EventRecord, Location)>,
    /// One that may have brought the program down, passed over for the one found.
    suspect: Option<(EventRecord, Location)>,
    /// How long until the next is due.
    wait: Option<Duration>,
    problem: Option<LedgerError>,
}

/// The one of two that fell due earlier.
fn earlier(
    one: Option<(EventRecord, Location)>,
    other: Option<(EventRecord, Location)>,
) -> Option<(EventRecord, Location)> {
    one.into_iter().chain(other).min_by_key(|(event, _)| (event.due_ms, event.id))
}

fn located(event: EventRecord) -> Result<(EventRecord, Location), LedgerError> {
    let at = Location { bucket: event.bucket.clone(), key: listed_key(&event.key)? };
    Ok((event, at))
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn due_in(delay: Duration) -> i64 {
    now_ms().saturating_add(milliseconds(delay))
}

/// As if the attempt under way, the so-many-th, had not been made.
fn release(event: &mut EventRecord, attempt: u32) {
    if event.started >= attempt {
        event.started = attempt.saturating_sub(1).max(event.failed);
    }
}

fn age(event: &EventRecord) -> Duration {
    Duration::from_millis(u64::try_from(now_ms() - event.queued_ms).unwrap_or(0))
}

impl Queue {
    /// The queue on a ledger.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, policy: RetryPolicy, max_age: Duration) -> Arc<Self> {
        Arc::new(Self {
            ledger,
            policy,
            max_age,
            run: leased::new_run(),
            leased: Mutex::default(),
            warned: Mutex::default(),
            clock: SteadyClock::new(
                "no event, dead letter, upload or result is given up for its age",
                now_ms(),
            ),
        })
    }

    fn leased(&self) -> std::sync::MutexGuard<'_, Leased> {
        self.leased.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the event that has been due longest, unless its object is being worked on. While retries have half of the
    /// attempts, those never tried go first; and whatever else goes before an event was due before it. So neither kind
    /// starves the other.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn lease(self: &Arc<Self>) -> Result<Next, LedgerError> {
        let mut leased = self.leased();
        if leased.is_alone() {
            return Ok(Next::Empty);
        }
        let view = self.ledger.view()?;
        leased.sweep(|id| !matches!(view.event(id), Ok(None)));
        let [first, again] = Tries::ALL.map(|tries| self.look(&view, &leased, tries));
        let (first, again) = (first?, again?);
        drop(view);
        let found = match leased.prefers_first_attempts() {
            true => first.found.or(again.found),
            false => earlier(first.found, again.found),
        };
        let suspect = earlier(first.suspect, again.suspect);
        let wait = first.wait.into_iter().chain(again.wait).min();
        let problem = first.problem.or(again.problem);
        let passed = found.is_some() && suspect.is_some();
        let Some((event, at)) = found.or(suspect) else {
            return match (wait, problem) {
                (Some(wait), _) => Ok(Next::Wait(wait)),
                (None, None) => Ok(Next::Empty),
                (None, Some(error)) => Err(error),
            };
        };
        let crashes = leased.crashes(&event);
        let tried = event.tried_in == self.run || leased.is_begun(event.id);
        // Its age first: a clock that jumps in between is noticed.
        let age = age(&event);
        let may_be_old = tried && self.knows_ages();
        let expired = expiry(self.max_age, &event, may_be_old.then_some(age), crashes);
        if expired.is_none() && crashes > 0 && leased.is_any() {
            return Ok(Next::Empty);
        }
        let alone = crashes > 0 && expired.is_none();
        let is_first = !leased.is_begun(event.id);
        let attempt = leased.begin(&event, &at, alone, passed);
        drop(leased);
        let lease = Box::new(Lease { event, at, attempt, queue: self.clone() });
        if let Some((reason, message)) = expired {
            let given_up = self.give_up(lease.event.clone(), reason, message);
            if given_up.is_ok() || is_first {
                self.leased().forget(lease.event.id);
            }
            return given_up.map(|letter| Next::DeadLetter(Box::new(letter)));
        }
        let noted = self.note_attempt(lease.event.id, attempt);
        if crashes > 0 {
            let forget = |_: &LedgerError| {
                if is_first {
                    self.leased().forget(lease.event.id);
                }
            };
            noted.wait().inspect_err(forget)?;
        }
        Ok(Next::Lease(lease))
    }

    /// Looks for the next event of one kind.
    fn look(&self, view: &View, leased: &Leased, tries: Tries) -> Result<Due, LedgerError> {
        let (now, longest, mut next) = (now_ms(), milliseconds(self.policy.longest_wait()), Due::default());
        // What is due later than anything is ever made to wait was queued before the clock was set back: it does not
        // wait for as long as that, nor behind those that are due soon.
        for from_ms in [i64::MIN, now.saturating_add(longest).saturating_add(1)] {
            view.walk_due(tries, from_ms, |due, id| {
                if leased.holds(id) {
                    return true;
                }
                let in_ms = due.saturating_sub(now);
                if (1..=longest).contains(&in_ms) {
                    next.wait = Some(Duration::from_millis(in_ms.unsigned_abs()));
                    return false;
                }
                match view.event(id).and_then(|event| event.map(located).transpose()) {
                    Ok(Some((_, at))) if leased.holds_object(&at) => true,
                    Ok(Some(event))
                        if (1..MAX_CRASHES).contains(&leased.crashes(&event.0))
                            && leased.may_pass_a_suspect() =>
                    {
                        next.suspect.get_or_insert(event);
                        true
                    }
                    Ok(Some((event, at))) => {
                        // One from ahead of the clock is due now, as far as others compare.
                        next.found = Some((EventRecord { due_ms: event.due_ms.min(now), ..event }, at));
                        false
                    }
                    Ok(None) => true,
                    Err(error) => {
                        // One row that cannot be read must not hold up the others.
                        tracing::error!(id, %error, "an event cannot be read");
                        next.problem = Some(error);
                        true
                    }
                }
            })?;
            // Only where the first walk ended early is there more.
            if next.found.is_some() || next.wait.is_none() {
                break;
            }
        }
        Ok(next)
    }

    /// Whether ages can be told from the machine's clock: it has not jumped for a day.
    pub fn knows_ages(&self) -> bool {
        self.clock.is_steady(now_ms())
    }

    /// Writes down that the so-many-th attempt began; nobody need wait for it.
    fn note_attempt(&self, id: u64, attempt: u32) -> Pending<(), LedgerError> {
        self.ledger.submit(Vec::new(), move |changes| match changes.event(id)? {
            Some(event) if event.started < attempt => {
                changes.put_event(&EventRecord { started: attempt, ..event })
            }
            _ => Ok(()),
        })
    }

    /// Does what a conclusion says, durably.
    ///
    /// # Errors
    /// The ledger cannot be written; the event is then due again.
    pub fn settle(&self, lease: &Lease, conclusion: &Conclusion) -> Result<(), LedgerError> {
        let outcome = &conclusion.outcome;
        let message = outcome.why().unwrap_or_default();
        match conclusion.disposition {
            Disposition::Ack => {
                let (settlement, renditions) = (lease.settlement(), conclusion.renditions.clone());
                let (name, why) = (outcome.name(), outcome.why());
                let pending = self
                    .ledger
                    .submit(Vec::new(), move |changes| settlement.settle(changes, name, why, renditions));
                pending.wait()?;
            }
            Disposition::RetryAfter(delay) => {
                let due = due_in(delay);
                self.change(lease, move |event| {
                    event.failed += 1;
                    event.started = event.started.max(event.failed);
                    event.due_ms = due;
                    event.last_error = Some(message);
                })?;
            }
            Disposition::Defer(Duration::ZERO) => {
                let attempt = lease.attempt;
                self.change(lease, move |event| release(event, attempt))?;
            }
            Disposition::Defer(delay) => {
                let (due, attempt) = (due_in(delay), lease.attempt);
                self.change(lease, move |event| {
                    release(event, attempt);
                    event.deferred += 1;
                    event.due_ms = due;
                    event.last_error = Some(message);
                })?;
            }
            Disposition::DeadLetter(reason) => {
                self.give_up(self.current(lease)?, reason.name(), message)?;
            }
        }
        self.note_settled(lease);
        Ok(())
    }

    /// Notes that a lease's event was settled, here or in a transaction of the store's: what was begun in this run and has
    /// been counted as ended is not to be counted twice.
    pub fn note_settled(&self, lease: &Lease) {
        self.leased().forget(lease.event.id);
    }

    /// When events are tried again.
    #[must_use]
    pub const fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    /// Gives up waiting for what is under way, as nobody may be there any more when it ends: durably, those attempts
    /// count as not made. Answers how many there are.
    ///
    /// # Errors
    /// The ledger cannot be written; the attempts then look as if the program had ended in them.
    pub fn release_all(&self) -> Result<usize, LedgerError> {
        let (attempts, run) = (self.leased().under_way(), self.run);
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            for (id, attempt) in &attempts {
                if let Some(mut event) = changes.event(*id)? {
                    release(&mut event, *attempt);
                    changes.put_back(&EventRecord { tried_in: run, ..event })?;
                }
            }
            Ok::<_, LedgerError>(attempts.len())
        });
        pending.wait()
    }

    /// Changes an event that was tried and is still in the queue, durably.
    fn change(
        &self,
        lease: &Lease,
        change: impl FnOnce(&mut EventRecord) + Send + 'static,
    ) -> Result<(), LedgerError> {
        let (id, run) = (lease.event.id, self.run);
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            if let Some(mut event) = changes.event(id)? {
                change(&mut event);
                changes.put_back(&EventRecord { tried_in: run, ..event })?;
            }
            Ok::<_, LedgerError>(())
        });
        pending.wait()
    }

    /// The event with this attempt counted as failed.
    fn current(&self, lease: &Lease) -> Result<EventRecord, LedgerError> {
        let mut event = self.ledger.view()?.event(lease.event.id)?.unwrap_or_else(|| lease.event.clone());
        event.failed = lease.event.failed + 1;
        event.started = event.started.max(event.failed);
        Ok(event)
    }

    fn give_up(&self, event: EventRecord, reason: &str, message: String) -> Result<DeadLetter, LedgerError> {
        let settlement = Settlement { attempts: event.started, event: event.clone() };
        // Which run tried it last concerns nobody any more.
        let event = EventRecord { tried_in: 0, ..event };
        let letter = DeadLetter { event, reason: reason.into(), message: message.clone(), dead_ms: now_ms() };
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            settlement.settle(changes, "failed", Some(message), Vec::new())?;
            changes.put_dead_letter(&letter)?;
            Ok(letter)
        });
        pending.wait()
    }

    /// The oldest event waiting or under way: how long ago it was queued.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn oldest(&self) -> Result<Option<Duration>, LedgerError> {
        Ok(self.ledger.view()?.oldest_event()?.as_ref().map(age))
    }

    /// Events waiting or under way.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn depth(&self) -> Result<u64, LedgerError> {
        self.ledger.view()?.event_count()
    }

    /// Events of which memory holds anything: those under way, and those whose end could not be written down. All
    /// else is in the ledger.
    pub fn remembered(&self) -> usize {
        self.leased().remembered()
    }
}
