//! How attempts end: settled in a transaction, retried, put back, or moved to the dead-letter queue.

use std::time::Duration;

use tintype_pipeline::{Conclusion, Disposition, Outcome, Reason, clock::now_ms, store::Location};

use super::{AltTextQueue, Lease, Queue, dead_letters::NO_TRIGGER, enqueue::put_back, milliseconds};
use crate::ledger::{Changes, DeadLetter, EventRecord, LedgerError, ResultRecord, listed_key};

/// An event to be settled in the very transaction that makes its thumbnails visible.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The event.
    pub event: EventRecord,
    /// Attempts begun, this one included.
    pub attempts: u32,
}

impl Settlement {
    /// Removes the event from the queue and records what became of its source.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn settle(
        &self,
        changes: &Changes<'_>,
        outcome: &str,
        why: Option<String>,
        renditions: Vec<Location>,
    ) -> Result<(), LedgerError> {
        changes.queue().remove_event(self.event.id)?;
        let at = Location { bucket: self.event.bucket.clone(), key: listed_key(&self.event.key)? };
        let result = ResultRecord {
            event: self.event.id,
            outcome: outcome.into(),
            why,
            renditions,
            queued_ms: self.event.queued_ms,
            ended_ms: now_ms(),
            attempts: self.attempts,
        };
        changes.queue().put_result(&at, &result)
    }
}

fn due_in(delay: Duration) -> i64 {
    now_ms().saturating_add(milliseconds(delay))
}

/// As if the attempt under way had not begun.
fn release(event: &mut EventRecord, attempt: u32) {
    if event.started >= attempt {
        event.started = attempt.saturating_sub(1).max(event.failed);
    }
}

impl Queue {
    /// Carries out a conclusion, durably.
    ///
    /// # Errors
    /// The ledger cannot be written; the event is then due again.
    pub fn settle(&self, lease: &Lease, conclusion: &Conclusion) -> Result<(), LedgerError> {
        let outcome = &conclusion.outcome;
        let message = outcome.why().unwrap_or_default();
        // One before the render began (for memory, or a thread) is not the image's.
        let is_timeout = matches!(outcome, Outcome::Failed(failure) if failure.reason == Reason::Stopped)
            && lease.worked.get().is_none_or(|time| !time.is_zero());
        match conclusion.disposition {
            Disposition::Ack => {
                let (settlement, renditions) = (lease.settlement(), conclusion.renditions.clone());
                let (name, why) = (outcome.name(), outcome.why());
                // Thumbnails that were there already may not be described, or by another model.
                let is_described = matches!(outcome, Outcome::UpToDate) && self.alt_texts().is_on();
                let pending = self.ledger.submit(Vec::new(), move |changes| {
                    let event = &settlement.event;
                    if is_described {
                        let at = Location { bucket: event.bucket.clone(), key: listed_key(&event.key)? };
                        AltTextQueue::enqueue(changes, event.id, &at, &event.etag, &event.request_id)?;
                    }
                    settlement.settle(changes, name, why, renditions)
                });
                pending.wait()?;
                if is_described {
                    self.alt_texts().notify();
                }
            }
            Disposition::RetryAfter(delay) => {
                let due = due_in(delay);
                self.change(lease, move |event| {
                    event.failed += 1;
                    event.timed_out += u32::from(is_timeout);
                    event.turn = None;
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
                    event.turn = None;
                    event.due_ms = due;
                    event.last_error = Some(message);
                })?;
            }
            Disposition::DeadLetter(reason) => {
                let mut event = self.failed(lease)?;
                event.timed_out += u32::from(is_timeout);
                self.dead_letter(event, reason.name(), message)?;
            }
        }
        self.note_settled(lease);
        Ok(())
    }

    /// Notes that a lease's event was settled, here or in a transaction of storage's: its attempt must not count as one
    /// that the program ended in.
    pub fn note_settled(&self, lease: &Lease) {
        self.active().forget(lease.event.id);
    }

    /// Moves an event to the dead-letter queue because no trigger watches its bucket any more.
    ///
    /// # Errors
    /// The ledger cannot be written; the event is then due again.
    pub fn dead_letter_without_trigger(&self, lease: &Lease) -> Result<DeadLetter, LedgerError> {
        let message = format!(
            "no trigger watches the bucket \"{}\" any more, as one did when this event was queued: set one and redrive \
             the event, or purge it",
            lease.at.bucket
        );
        let dead_letter = self.dead_letter(lease.event.clone(), NO_TRIGGER, message)?;
        self.note_settled(lease);
        Ok(dead_letter)
    }

    /// Puts everything under way back, durably, as if it had not been attempted: for a shutdown that cannot wait. Returns
    /// how many events that are.
    ///
    /// # Errors
    /// The ledger cannot be written; the attempts then look as if the program had ended in them.
    pub fn release_all(&self) -> Result<usize, LedgerError> {
        let (attempts, run) = (self.active().under_way(), self.run);
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            for (id, attempt) in &attempts {
                if let Some(mut event) = changes.queue().event(*id)? {
                    release(&mut event, *attempt);
                    put_back(changes, &EventRecord { tried_in: run, ..event })?;
                }
            }
            Ok::<_, LedgerError>(attempts.len())
        });
        pending.wait()
    }

    /// Changes an event that was attempted and is still queued, durably.
    fn change(
        &self,
        lease: &Lease,
        change: impl FnOnce(&mut EventRecord) + Send + 'static,
    ) -> Result<(), LedgerError> {
        let (id, run) = (lease.event.id, self.run);
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            if let Some(mut event) = changes.queue().event(id)? {
                change(&mut event);
                put_back(changes, &EventRecord { tried_in: run, ..event })?;
            }
            Ok::<_, LedgerError>(())
        });
        pending.wait()
    }

    /// The event with this attempt counted as failed.
    fn failed(&self, lease: &Lease) -> Result<EventRecord, LedgerError> {
        let mut event =
            self.ledger.view()?.queue().event(lease.event.id)?.unwrap_or_else(|| lease.event.clone());
        event.failed = lease.event.failed + 1;
        event.started = event.started.max(event.failed);
        Ok(event)
    }

    /// Moves an event to the dead-letter queue, durably.
    pub(super) fn dead_letter(
        &self,
        event: EventRecord,
        reason: &str,
        message: String,
    ) -> Result<DeadLetter, LedgerError> {
        let settlement = Settlement { attempts: event.started, event: event.clone() };
        // Which run attempted it last matters no longer.
        let event = EventRecord { tried_in: 0, turn: None, ..event };
        let dead_letter =
            DeadLetter { event, reason: reason.into(), message: message.clone(), dead_ms: now_ms() };
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            settlement.settle(changes, "failed", Some(message), Vec::new())?;
            changes.queue().put_dead_letter(&dead_letter)?;
            Ok(dead_letter)
        });
        pending.wait()
    }
}
