//! Leases: which event comes next, held in memory until it is settled or due again.

use std::{
    sync::{Arc, OnceLock, atomic::Ordering},
    time::{Duration, Instant},
};

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
    turns::SLOW,
};
use crate::ledger::{DeadLetter, EventRecord, LedgerError, Pending, Place, Priority, View, listed_key};

/// An event taken for one attempt. Dropped without being settled, it is due again.
#[derive(Debug)]
pub struct Lease {
    /// The event as it was when taken.
    pub event: EventRecord,
    /// Its object.
    pub at: Location,
    /// Attempts begun, this one included.
    pub(super) attempt: u32,
    /// How long it worked, if that is known.
    pub(super) worked: OnceLock<Duration>,
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
        let EventRecord { failed, deferred, timed_out, .. } = self.event;
        Attempts { failed, deferred, timed_out }
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

    /// Reports how long the attempt worked, without its waiting for others.
    pub fn worked(&self, time: Duration) {
        let _ = self.worked.set(time);
    }

    /// How long ago it was queued.
    #[must_use]
    pub fn age(&self) -> Duration {
        age(&self.event)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((flow, time)) = self.queue.active().end(self.event.id, &self.at) {
            self.queue.enqueuer.turns().took(flow, self.worked.get().copied().unwrap_or(time));
        }
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
    /// An event that became a dead letter instead of being attempted; its lease is held until that is reported.
    DeadLetter(Box<DeadLetter>, Box<Lease>),
}

/// What comes next of the events that are ready.
#[derive(Default)]
struct Ready {
    /// With its turn.
    found: Option<(i64, EventRecord, Location)>,
    /// One that may have crashed the program, passed over for the one found.
    suspect: Option<(i64, EventRecord, Location)>,
    problem: Option<LedgerError>,
}

/// Events that become ready in one transaction.
const BATCH: usize = 256;
/// Slow events that are passed over in a row. They retain their turns, so behind very many of them the walk goes on at the
/// turn being served, where those of all other flows are.
const PASSED_OVER: usize = 256;

/// Attempts that began before this are slow.
fn slow_since() -> Option<Instant> {
    Instant::now().checked_sub(SLOW)
}

fn located(event: EventRecord) -> Result<(EventRecord, Location), LedgerError> {
    let at = Location { bucket: event.bucket.clone(), key: listed_key(&event.key)? };
    Ok((event, at))
}

impl Queue {
    /// Takes the event whose turn it is, unless its object is being worked on. Slow events get all workers but one.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn lease(self: &Arc<Self>) -> Result<Next, LedgerError> {
        // What is ready does not wait for a disk that takes no more.
        let (wait, delayed) = match self.ready_delayed() {
            Ok(wait) => (wait, None),
            Err(error) => (None, Some(error)),
        };
        let mut active = self.active();
        if active.is_alone() {
            return Ok(Next::Empty);
        }
        let view = self.ledger.view()?;
        active.sweep(|id| !matches!(view.queue().event(id), Ok(None)));
        let Ready { found, suspect, problem } = self.look(&view, &active)?;
        drop(view);
        let passed = found.is_some() && suspect.is_some();
        let Some((turn, event, at)) = found.or(suspect) else {
            return match (wait, problem.or(delayed)) {
                (Some(wait), _) => Ok(Next::Wait(wait)),
                (None, None) => Ok(Next::Empty),
                (None, Some(error)) => Err(error),
            };
        };
        let turns = self.enqueuer.turns();
        turns.serve(turn);
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
        let expected = (turns.flow(&event), self.is_slow(&active, &event));
        let attempt = active.begin(&event, &at, expected, alone, passed);
        drop(active);
        let lease = Box::new(Lease { event, at, attempt, worked: OnceLock::new(), queue: self.clone() });
        if let Some((reason, message)) = expired {
            let moved = self.dead_letter(lease.event.clone(), reason, message);
            if moved.is_ok() || is_first {
                self.active().forget(lease.event.id);
            }
            return moved.map(|dead_letter| Next::DeadLetter(Box::new(dead_letter), lease));
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

    /// Gives a turn to each delayed event that is due. Returns how long until the next one is.
    fn ready_delayed(&self) -> Result<Option<Duration>, LedgerError> {
        let (now, longest) = (now_ms(), milliseconds(self.policy.longest_wait()));
        let view = self.ledger.view()?;
        let (mut due, mut wait, mut problem) = (Vec::new(), None, None);
        // What is due later than the longest wait was queued before the clock was set back: it does not
        // wait for as long as that, nor behind those that are due soon.
        for from_ms in [i64::MIN, now.saturating_add(longest).saturating_add(1)] {
            view.queue().walk_events(Place::Delayed, from_ms, |due_ms, id| {
                let in_ms = due_ms.saturating_sub(now);
                if (1..=longest).contains(&in_ms) {
                    wait = Some(Duration::from_millis(in_ms.unsigned_abs()));
                    return false;
                }
                match view.queue().event(id) {
                    Ok(_) => due.push((due_ms, id)),
                    Err(error) => {
                        // One row that cannot be read must not hold up the others.
                        tracing::error!(id, %error, "an event cannot be read");
                        problem = Some(error);
                    }
                }
                due.len() < BATCH
            })?;
        }
        drop(view);
        if due.is_empty() {
            return problem.map_or(Ok(wait), Err);
        }
        let turns = self.enqueuer.turns().clone();
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            for (due_ms, id) in due {
                let event = changes.queue().event(id)?;
                match event.filter(|event| (event.turn, event.due_ms) == (None, due_ms)) {
                    Some(event) => {
                        let turn = Some(turns.next(&changes.queue(), &event)?);
                        changes.queue().put_event(&EventRecord { turn, ..event })?;
                    }
                    None => changes.queue().remove_rank(Place::Delayed, due_ms, id)?,
                }
            }
            Ok::<_, LedgerError>(())
        });
        pending.wait()?;
        Ok(wait)
    }

    /// Looks for the event whose turn it is.
    fn look(&self, view: &View, active: &ActiveLeases) -> Result<Ready, LedgerError> {
        let mut next = Ready::default();
        let mut orphaned = Vec::new();
        let is_reserved = self.is_last_worker_reserved(active);
        let turns = self.enqueuer.turns();
        let low = Priority::Low.turns().start;
        let mut walked_to = None;
        for start in [i64::MIN, turns.served(Priority::Normal), low, turns.served(Priority::Low)] {
            // Not back.
            let start = walked_to.map_or(start, |turn: i64| start.max(turn));
            let mut passed_over = 0;
            view.queue().walk_events(Place::Ready, start, |turn, id| {
                walked_to = Some(turn);
                if active.holds(id) {
                    return true;
                }
                match view.queue().event(id).and_then(|event| event.map(located).transpose()) {
                    Ok(Some((_, at))) if active.holds_object(&at) => true,
                    Ok(Some((event, _))) if is_reserved && self.is_slow(active, &event) => {
                        passed_over += 1;
                        passed_over < PASSED_OVER
                    }
                    Ok(Some((event, at)))
                        if (1..MAX_CRASHES).contains(&active.crashes(&event))
                            && active.may_pass_a_suspect() =>
                    {
                        next.suspect.get_or_insert((turn, event, at));
                        true
                    }
                    Ok(Some((event, at))) => {
                        next.found = Some((turn, event, at));
                        false
                    }
                    Ok(None) => {
                        orphaned.push((turn, id));
                        orphaned.len() < BATCH
                    }
                    Err(error) => {
                        // One row that cannot be read must not hold up the others.
                        tracing::error!(id, %error, "an event cannot be read");
                        next.problem = Some(error);
                        true
                    }
                }
            })?;
            // Only where a walk ended early is there more.
            if next.found.is_some() || passed_over < PASSED_OVER {
                break;
            }
        }
        if !orphaned.is_empty() {
            // Nobody need wait for it.
            drop(self.ledger.submit(Vec::new(), move |changes| {
                for (turn, id) in orphaned {
                    if changes.queue().event(id)?.is_none() {
                        changes.queue().remove_rank(Place::Ready, turn, id)?;
                    }
                }
                Ok::<_, LedgerError>(())
            }));
        }
        Ok(next)
    }

    /// Whether only one worker is not at work on slow events: it is reserved for others.
    fn is_last_worker_reserved(&self, active: &ActiveLeases) -> bool {
        let workers = self.workers.load(Ordering::Relaxed);
        workers > 1 && active.slow_count(slow_since()) + 1 >= workers
    }

    /// Whether an attempt at an event is expected to take long.
    fn is_slow(&self, active: &ActiveLeases, event: &EventRecord) -> bool {
        let turns = self.enqueuer.turns();
        let flow = turns.flow(event);
        event.timed_out > 0 || turns.is_slow(flow) || active.began_before(flow, slow_since())
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
