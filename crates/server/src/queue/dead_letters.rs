//! What was given up: looked at, tried again, thrown away.

use tintype_function::store::Location;

use super::Queue;
use crate::{
    ledger::{DeadLetter, EventRecord, LedgerError, listed_key},
    store::now_ms,
};

/// Which dead letters are meant: all that pass every condition given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// With these ids.
    pub ids: Option<Vec<u64>>,
    /// Of this object.
    pub object: Option<Location>,
    /// Of this class of failure.
    pub reason: Option<String>,
    /// Of keys that begin so.
    pub prefix: Option<String>,
    /// Of keys that hold this text.
    pub text: Option<String>,
}

impl DeadLetterFilter {
    fn passes(&self, letter: &DeadLetter) -> bool {
        let of = |at: &Location| letter.event.bucket == at.bucket && letter.event.key == at.key.as_str();
        self.ids.as_ref().is_none_or(|ids| ids.contains(&letter.event.id))
            && self.object.as_ref().is_none_or(of)
            && self.reason.as_ref().is_none_or(|reason| *reason == letter.reason)
            && self.prefix.as_ref().is_none_or(|prefix| letter.event.key.starts_with(prefix.as_str()))
            && self.text.as_ref().is_none_or(|text| letter.event.key.contains(text.as_str()))
    }
}

impl Queue {
    /// The dead letters a filter passes, newest first.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, LedgerError> {
        let mut letters = self.ledger.view()?.dead_letters(|letter| filter.passes(letter))?;
        letters.sort_by_key(|letter| (std::cmp::Reverse(letter.dead_ms), letter.event.id));
        Ok(letters)
    }

    /// Queues the events of these dead letters again, as new; answers how many there were. Whoever works on
    /// events has to be woken.
    ///
    /// # Errors
    /// The ledger cannot be written; then nothing has changed.
    pub fn redrive(&self, filter: &DeadLetterFilter) -> Result<usize, LedgerError> {
        let letters = self.dead_letters(filter)?;
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            let mut done = 0;
            for letter in letters {
                // Another redrive may have been faster.
                if !changes.remove_dead_letter(letter.event.id)? {
                    continue;
                }
                let now = now_ms();
                let event = EventRecord {
                    queued_ms: now,
                    due_ms: now,
                    started: 0,
                    failed: 0,
                    deferred: 0,
                    last_error: None,
                    redriven: true,
                    ..letter.event
                };
                let at = Location { bucket: event.bucket.clone(), key: listed_key(&event.key)? };
                changes.queue_event(&at, &event)?;
                done += 1;
            }
            Ok::<_, LedgerError>(done)
        });
        pending.wait()
    }

    /// Throws these dead letters away; answers how many there were.
    ///
    /// # Errors
    /// The ledger cannot be written; then nothing has changed.
    pub fn purge(&self, filter: &DeadLetterFilter) -> Result<usize, LedgerError> {
        let ids: Vec<u64> = self.dead_letters(filter)?.into_iter().map(|letter| letter.event.id).collect();
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            let mut done = 0;
            for id in ids {
                done += usize::from(changes.remove_dead_letter(id)?);
            }
            Ok::<_, LedgerError>(done)
        });
        pending.wait()
    }

    /// The event of an object that waits or is under way, if there is one.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn event_of(&self, at: &Location) -> Result<Option<EventRecord>, LedgerError> {
        let view = self.ledger.view()?;
        match view.waiting_event(at)? {
            Some(id) => view.event(id),
            None => Ok(None),
        }
    }
}
