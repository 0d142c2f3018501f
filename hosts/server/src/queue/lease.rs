//! Leases: which event comes next, held in memory until it is settled or due again.

use std::{sync::Arc, time::Duration};

use tintype_pipeline::{
    Attempts,
    clock::now_ms,
    event::{Record, Sequencer},
    store::Location,
};

use super::{
    Queue, Settlement,
    active_leases::ActiveLeases,
    age,
    expiry::{MAX_CRASHES, expiry},
    milliseconds,
};
use crate::ledger::{DeadLetter, EventRecord, LedgerError, Pending, Tries, View, listed_key};

/// An event taken for one attempt. Dropped without being settled, it is due again.
#[derive(Debug)]
pub struct Lease {
    /// The event as it was when taken.
    pub event: EventRecord,
    /// Its object.
    pub at: Location,
    /// Attempts begun, this one included.
    pub(super) attempt: u32,
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
        self.queue.active().end(self.event.id, &self.at);
    }
}

/// The answer to a request for work.
#[derive(Debug)]
pub enum Next {
    /// An event.
    Lease(Box<Lease>),
    /// Nothing now; something is due after this long.
    Wait(Duration),
    /// Nothing at all.
    Empty,
    /// An event that became a dead letter instead of being attempted.
    DeadLetter(Box<DeadLetter>),
}

/// What comes next of the events of one kind.
#[derive(Default)]
struct Due {
    found: Option<(EventRecord, Location)>,
    /// One that may have crashed the program, passed over for the one found.
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

impl Queue {
    /// Takes the event that has been due longest, unless its object is being worked on. While retries have half of the
    /// attempts, those never tried go first; and whatever else goes before an event was due before it. So neither kind
    /// starves the other.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn lease(self: &Arc<Self>) -> Result<Next, LedgerError> {
        let mut active = self.active();
        if active.is_alone() {
            return Ok(Next::Empty);
        }
        let view = self.ledger.view()?;
        active.sweep(|id| !matches!(view.queue().event(id), Ok(None)));
        let [first, again] = Tries::ALL.map(|tries| self.look(&view, &active, tries));
        let (first, again) = (first?, again?);
        drop(view);
        let found = match active.prefers_first_attempts() {
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
        let crashes = active.crashes(&event);
        let tried = event.tried_in == self.run || active.is_begun(event.id);
        // Its age first: a clock that jumps in between is noticed.
        let age = age(&event);
        let may_be_old = tried && self.knows_ages();
        let expired = expiry(self.max_age, &event, may_be_old.then_some(age), crashes);
        if expired.is_none() && crashes > 0 && active.is_any() {
            return Ok(Next::Empty);
        }
        let alone = crashes > 0 && expired.is_none();
        let is_first = !active.is_begun(event.id);
        let attempt = active.begin(&event, &at, alone, passed);
        drop(active);
        let lease = Box::new(Lease { event, at, attempt, queue: self.clone() });
        if let Some((reason, message)) = expired {
            let moved = self.dead_letter(lease.event.clone(), reason, message);
            if moved.is_ok() || is_first {
                self.active().forget(lease.event.id);
            }
            return moved.map(|dead_letter| Next::DeadLetter(Box::new(dead_letter)));
        }
        let noted = self.note_attempt(lease.event.id, attempt);
        if crashes > 0 {
            let forget = |_: &LedgerError| {
                if is_first {
                    self.active().forget(lease.event.id);
                }
            };
            noted.wait().inspect_err(forget)?;
        }
        Ok(Next::Lease(lease))
    }

    /// Looks for the next event of one kind.
    fn look(&self, view: &View, active: &ActiveLeases, tries: Tries) -> Result<Due, LedgerError> {
        let (now, longest, mut next) = (now_ms(), milliseconds(self.policy.longest_wait()), Due::default());
        // What is due later than the longest wait was queued before the clock was set back: it does not
        // wait for as long as that, nor behind those that are due soon.
        for from_ms in [i64::MIN, now.saturating_add(longest).saturating_add(1)] {
            view.queue().walk_due(tries, from_ms, |due, id| {
                if active.holds(id) {
                    return true;
                }
                let in_ms = due.saturating_sub(now);
                if (1..=longest).contains(&in_ms) {
                    next.wait = Some(Duration::from_millis(in_ms.unsigned_abs()));
                    return false;
                }
                match view.queue().event(id).and_then(|event| event.map(located).transpose()) {
                    Ok(Some((_, at))) if active.holds_object(&at) => true,
                    Ok(Some(event))
                        if (1..MAX_CRASHES).contains(&active.crashes(&event.0))
                            && active.may_pass_a_suspect() =>
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

    /// Records that an attempt began; nobody need wait for it.
    fn note_attempt(&self, id: u64, attempt: u32) -> Pending<(), LedgerError> {
        self.ledger.submit(Vec::new(), move |changes| match changes.queue().event(id)? {
            Some(event) if event.started < attempt => {
                changes.queue().put_event(&EventRecord { started: attempt, ..event })
            }
            _ => Ok(()),
        })
    }
}
