//! Dead letters: listed, redriven, purged.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use tintype_pipeline::{Reason, clock::now_ms, spelling::nearest, store::Location};

use super::{Queue, enqueue::enqueue_record, turns::Turns};
use crate::ledger::{Changes, DeadLetter, EventRecord, LedgerError, listed_key};

/// Dead letters changed in one transaction.
pub(super) const CHUNK: usize = 500;
/// Dead letters answered at a time, and how many are looked at for them.
const PAGE: usize = 500;
const LOOKED_AT: usize = 5000;

/// The reasons of events that were too old for another attempt, of those that ended the program, and of those whose bucket
/// no trigger watches any more.
pub(super) const TOO_OLD: &str = "event_age";
pub(super) const CRASHED: &str = "crashed";
pub(super) const NO_TRIGGER: &str = "no_trigger";
/// The reason of images that no model described.
pub(super) const ALT_TEXT: &str = "alt_text";

/// The reason that a person named, such as "too large" or "Too-Large".
///
/// # Errors
/// There is none of this name; the message has the nearest, and all.
pub fn reason(name: &str) -> Result<&'static str, String> {
    let asked = name.to_lowercase().replace([' ', '-'], "_");
    let known: Vec<&str> =
        Reason::ALL.map(Reason::name).into_iter().chain([TOO_OLD, CRASHED, NO_TRIGGER, ALT_TEXT]).collect();
    if let Some(reason) = known.iter().find(|reason| **reason == asked) {
        return Ok(reason);
    }
    let nearest = nearest(&asked, known.iter().copied()).unwrap_or_default();
    Err(format!("reason \"{name}\" is not known; did you mean \"{nearest}\"? There are {}", known.join(", ")))
}

/// Which dead letters are meant: all that pass every condition given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// With these ids.
    pub ids: Option<Vec<u64>>,
    /// Of this object.
    pub object: Option<Location>,
    /// Of this reason.
    pub reason: Option<String>,
    /// Of keys that begin so.
    pub prefix: Option<String>,
    /// Of keys that hold this text.
    pub text: Option<String>,
}

impl DeadLetterFilter {
    fn passes(&self, dead_letter: &DeadLetter) -> bool {
        let of =
            |at: &Location| dead_letter.event.bucket == at.bucket && dead_letter.event.key == at.key.as_str();
        self.ids.as_ref().is_none_or(|ids| ids.contains(&dead_letter.event.id))
            && self.object.as_ref().is_none_or(of)
            && self.reason.as_ref().is_none_or(|reason| *reason == dead_letter.reason)
            && self.prefix.as_ref().is_none_or(|prefix| dead_letter.event.key.starts_with(prefix.as_str()))
            && self.text.as_ref().is_none_or(|text| dead_letter.event.key.contains(text.as_str()))
    }
}

/// Some of the dead letters that pass a filter.
#[derive(Debug, Default)]
pub struct DeadLetterPage {
    /// Those of the latest uploads first.
    pub dead_letters: Vec<DeadLetter>,
    /// There may be more below this id.
    pub next: Option<u64>,
}

/// Counts of dead letters, and the newest of them.
#[derive(Debug, Default)]
pub struct DeadLetterSummary {
    /// How many there are of each reason.
    pub by_reason: BTreeMap<String, usize>,
    /// How many pass the filter.
    pub passed: usize,
    /// Of these the newest, newest first.
    pub newest: Vec<DeadLetter>,
}

impl Queue {
    /// How many dead letters there are.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn dead_letter_count(&self) -> Result<u64, LedgerError> {
        self.ledger.view()?.queue().dead_letter_count()
    }

    /// All dead letters that pass a filter, newest first: for filters that pass few.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, LedgerError> {
        let mut dead_letters = match &filter.ids {
            Some(ids) => self.by_ids(ids, filter)?,
            None => self.ledger.view()?.queue().dead_letters(|dead_letter| filter.passes(dead_letter))?,
        };
        dead_letters.sort_by_key(|one| (Reverse(one.dead_ms), one.event.id));
        Ok(dead_letters)
    }

    fn by_ids(&self, ids: &[u64], filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, LedgerError> {
        let view = self.ledger.view()?;
        let found = ids.iter().filter_map(|id| view.queue().dead_letter(*id).transpose());
        found
            .filter(|dead_letter| dead_letter.as_ref().map_or(true, |dead_letter| filter.passes(dead_letter)))
            .collect()
    }

    /// The next dead letters that a filter passes and that are `shown`, with ids below `before`, however many there are in
    /// all.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn dead_letters_below(
        &self,
        before: u64,
        filter: &DeadLetterFilter,
        shown: impl Fn(&DeadLetter) -> bool,
    ) -> Result<DeadLetterPage, LedgerError> {
        let mut page = DeadLetterPage::default();
        let mut looked_at = 0;
        self.ledger.view()?.queue().walk_dead_letters_down(before, |dead_letter| {
            let id = dead_letter.event.id;
            if filter.passes(&dead_letter) && shown(&dead_letter) {
                page.dead_letters.push(dead_letter);
            }
            looked_at += 1;
            let is_full = page.dead_letters.len() == PAGE || looked_at == LOOKED_AT;
            page.next = is_full.then_some(id);
            !is_full
        })?;
        Ok(page)
    }

    /// Counts the dead letters that are `shown` and answers at most `most` of those that a filter passes; holds no more of
    /// them.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn summary(
        &self,
        filter: &DeadLetterFilter,
        most: usize,
        shown: impl Fn(&DeadLetter) -> bool,
    ) -> Result<DeadLetterSummary, LedgerError> {
        let mut summary = DeadLetterSummary::default();
        // The oldest on top, to make room for a newer one.
        let mut newest: BinaryHeap<Reverse<(i64, u64)>> = BinaryHeap::new();
        let view = self.ledger.view()?;
        view.queue().walk_dead_letters(0, |dead_letter| {
            if !shown(&dead_letter) {
                return true;
            }
            if filter.passes(&dead_letter) {
                summary.passed += 1;
                newest.push(Reverse((dead_letter.dead_ms, dead_letter.event.id)));
                if newest.len() > most {
                    newest.pop();
                }
            }
            *summary.by_reason.entry(dead_letter.reason).or_default() += 1;
            true
        })?;
        let newest = newest.into_sorted_vec();
        let found =
            newest.into_iter().filter_map(|Reverse((_, id))| view.queue().dead_letter(id).transpose());
        summary.newest = found.collect::<Result<_, _>>()?;
        Ok(summary)
    }

    /// Enqueues the events of these dead letters again, as new, and wakes the workers; returns how many there were. In
    /// bounded transactions, so that uploads go on meanwhile.
    ///
    /// # Errors
    /// The ledger cannot be written; what was enqueued until then stays so, the others stay dead letters.
    pub fn redrive(&self, filter: &DeadLetterFilter) -> Result<usize, LedgerError> {
        let redriven = self.in_chunks(filter, |changes, turns, dead_letter| {
            let now = now_ms();
            let event = EventRecord {
                queued_ms: now,
                due_ms: now,
                started: 0,
                failed: 0,
                deferred: 0,
                last_error: None,
                redriven: true,
                tried_in: 0,
                timed_out: 0,
                ..dead_letter.event
            };
            if event.is_alt_text() {
                return changes.put_alt_text_event(&event);
            }
            let at = Location { bucket: event.bucket.clone(), key: listed_key(&event.key)? };
            enqueue_record(changes, turns, &at, event)
        })?;
        (0..redriven).for_each(|_| self.enqueuer.notify());
        Ok(redriven)
    }

    /// Deletes these dead letters; returns how many there were.
    ///
    /// # Errors
    /// The ledger cannot be written; what was deleted until then is gone.
    pub fn purge(&self, filter: &DeadLetterFilter) -> Result<usize, LedgerError> {
        self.in_chunks(filter, |_, _, _| Ok(()))
    }

    /// Removes the dead letters a filter passes, and has `then` done with each in the same transaction.
    fn in_chunks(
        &self,
        filter: &DeadLetterFilter,
        then: fn(&Changes<'_>, &Turns, DeadLetter) -> Result<(), LedgerError>,
    ) -> Result<usize, LedgerError> {
        if let Some(ids) = &filter.ids {
            let chunks = ids.chunks(CHUNK).map(|ids| self.remove_each(self.by_ids(ids, filter)?, then));
            return chunks.sum();
        }
        // Those that come later, perhaps of the very events queued here, are not meant.
        let before = now_ms();
        let (mut done, mut from) = (0, 0);
        loop {
            let mut chunk = Vec::new();
            self.ledger.view()?.queue().walk_dead_letters(from, |dead_letter| {
                // Not those from ahead of the clock: it was set back.
                let came_later = dead_letter.dead_ms > before && dead_letter.dead_ms <= now_ms();
                if !came_later && filter.passes(&dead_letter) {
                    chunk.push(dead_letter);
                }
                chunk.len() < CHUNK
            })?;
            let Some(last) = chunk.last() else { return Ok(done) };
            from = last.event.id.saturating_add(1);
            done += self.remove_each(chunk, then)?;
        }
    }

    /// Removes dead letters in one transaction, and has `then` done with each.
    fn remove_each(
        &self,
        dead_letters: Vec<DeadLetter>,
        then: fn(&Changes<'_>, &Turns, DeadLetter) -> Result<(), LedgerError>,
    ) -> Result<usize, LedgerError> {
        let turns = self.enqueuer.turns().clone();
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            let mut done = 0;
            for dead_letter in dead_letters {
                let id = dead_letter.event.id;
                // Somebody else may have been faster. Removed last: what fails on the way leaves it here.
                if changes.queue().has_dead_letter(id)? {
                    then(changes, &turns, dead_letter)?;
                    changes.queue().remove_dead_letter(id)?;
                    done += 1;
                }
            }
            Ok::<_, LedgerError>(done)
        });
        pending.wait()
    }
}
