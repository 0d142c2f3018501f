//! What was given up: looked at, tried again, thrown away.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::PoisonError,
};

use tintype_pipeline::{Reason, clock::now_ms, spelling::nearest, store::Location};

use super::Queue;
use crate::{
    ledger::{Changes, DeadLetter, EventRecord, LedgerError, listed_key},
    settings::DeadLetters,
};

/// Dead letters changed in one transaction.
const CHUNK: usize = 500;
/// Of the bounds, in percent: from here on there is a warning.
const WARN_AT: u64 = 80;
/// So many times the bound are dropped without a warning in this run.
const MOST_UNWARNED: u64 = 10;
/// Dead letters answered at a time, and how many are looked at for them.
const PAGE: usize = 500;
const LOOKED_AT: usize = 5000;

/// The class of events that were too old for another attempt, and of those that brought the program down.
pub(super) const TOO_OLD: &str = "event_age";
pub(super) const CRASHED: &str = "crashed";

/// The class of failure that a person named, such as "too large" or "Too-Large".
///
/// # Errors
/// There is none of this name; tells the nearest, and all.
pub fn reason(name: &str) -> Result<&'static str, String> {
    let asked = name.to_lowercase().replace([' ', '-'], "_");
    let known: Vec<&str> = Reason::ALL.map(Reason::name).into_iter().chain([TOO_OLD, CRASHED]).collect();
    if let Some(reason) = known.iter().find(|reason| **reason == asked) {
        return Ok(reason);
    }
    let nearest = nearest(&asked, known.iter().copied()).unwrap_or_default();
    Err(format!("reason \"{name}\" is not known; did you mean \"{nearest}\"? There are {}", known.join(", ")))
}

/// What a look at the dead letters warned of. Nothing is dropped for a bound that the look before it did not warn of.
#[derive(Debug, Default)]
pub(super) struct Warned {
    of_number: bool,
    of_age: bool,
    words: Option<String>,
}

/// A time in the largest unit of which it has several.
fn span(ms: u64) -> String {
    match ms / 1000 {
        s if s < 120 => format!("{s} s"),
        s if s < 7200 => format!("{} min", s / 60),
        s if s < 172_800 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}

/// Warns before anything is dropped, and says what was.
fn warning(bounds: &DeadLetters, kept: &[(i64, u64)], now_ms: i64, dropped: u64) -> Warned {
    let count = kept.len() as u64;
    let max_age = u64::try_from(bounds.max_age.as_millis()).unwrap_or(u64::MAX);
    let age = kept.first().map_or(0, |(dead_ms, _)| u64::try_from(now_ms - dead_ms).unwrap_or(0));
    let of_number = count.saturating_mul(100) >= bounds.max_count.saturating_mul(WARN_AT);
    let of_age = count > 0 && age.saturating_mul(100) >= max_age.saturating_mul(WARN_AT);
    let mut words = Vec::new();
    if dropped > 0 {
        words.push(format!("{dropped} dead letter(s) were dropped for their age or number"));
    }
    if of_number {
        words.push(format!(
            "there are {count} dead letters; with more than {} (dead_letters.max_count) the oldest are dropped",
            bounds.max_count
        ));
    }
    if of_age {
        words.push(format!(
            "the oldest dead letter is {} old; after {} (dead_letters.max_age) it is dropped",
            span(age),
            span(max_age)
        ));
    }
    if !words.is_empty() {
        words.push("redrive, export or purge them".into());
    }
    Warned { of_number, of_age, words: (!words.is_empty()).then(|| words.join("; ")) }
}

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

/// Some of the dead letters that a filter passes.
#[derive(Debug, Default)]
pub struct LettersPage {
    /// Those of the latest uploads first.
    pub letters: Vec<DeadLetter>,
    /// There may be more below this id.
    pub next: Option<u64>,
}

/// How it stands with the dead letters, and the newest of them.
#[derive(Debug, Default)]
pub struct LettersSummary {
    /// How many there are of each class.
    pub by_reason: BTreeMap<String, usize>,
    /// How many the filter passes.
    pub passed: usize,
    /// Of these, those given up last, newest first.
    pub newest: Vec<DeadLetter>,
}

impl Queue {
    /// All dead letters that a filter passes, newest first: for filters that pass few.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn dead_letters(&self, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, LedgerError> {
        let mut letters = match &filter.ids {
            Some(ids) => self.by_ids(ids, filter)?,
            None => self.ledger.view()?.dead_letters(|letter| filter.passes(letter))?,
        };
        letters.sort_by_key(|letter| (Reverse(letter.dead_ms), letter.event.id));
        Ok(letters)
    }

    fn by_ids(&self, ids: &[u64], filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>, LedgerError> {
        let view = self.ledger.view()?;
        let found = ids.iter().filter_map(|id| view.dead_letter(*id).transpose());
        found.filter(|letter| letter.as_ref().map_or(true, |letter| filter.passes(letter))).collect()
    }

    /// The next dead letters that a filter passes, with ids below `before`, however many there are in all.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn dead_letters_below(
        &self,
        before: u64,
        filter: &DeadLetterFilter,
    ) -> Result<LettersPage, LedgerError> {
        let mut page = LettersPage::default();
        let mut looked_at = 0;
        self.ledger.view()?.walk_dead_letters_down(before, |letter| {
            let id = letter.event.id;
            if filter.passes(&letter) {
                page.letters.push(letter);
            }
            looked_at += 1;
            let is_full = page.letters.len() == PAGE || looked_at == LOOKED_AT;
            page.next = is_full.then_some(id);
            !is_full
        })?;
        Ok(page)
    }

    /// Counts the dead letters and answers at most `most` of those that a filter passes; holds no more of them.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn summary(&self, filter: &DeadLetterFilter, most: usize) -> Result<LettersSummary, LedgerError> {
        let mut summary = LettersSummary::default();
        // The oldest on top, to make room for a newer one.
        let mut newest: BinaryHeap<Reverse<(i64, u64)>> = BinaryHeap::new();
        let view = self.ledger.view()?;
        view.walk_dead_letters(0, |letter| {
            if filter.passes(&letter) {
                summary.passed += 1;
                newest.push(Reverse((letter.dead_ms, letter.event.id)));
                if newest.len() > most {
                    newest.pop();
                }
            }
            *summary.by_reason.entry(letter.reason).or_default() += 1;
            true
        })?;
        let newest = newest.into_sorted_vec();
        let letters = newest.into_iter().filter_map(|Reverse((_, id))| view.dead_letter(id).transpose());
        summary.newest = letters.collect::<Result<_, _>>()?;
        Ok(summary)
    }

    /// Queues the events of these dead letters again, as new; answers how many there were. Whoever works on
    /// events has to be woken. In bounded transactions, so that uploads go on meanwhile.
    ///
    /// # Errors
    /// The ledger cannot be written; what was queued until then stays queued, the others stay dead letters.
    pub fn redrive(&self, filter: &DeadLetterFilter) -> Result<usize, LedgerError> {
        self.in_chunks(filter, |changes, letter| {
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
                ..letter.event
            };
            let at = Location { bucket: event.bucket.clone(), key: listed_key(&event.key)? };
            changes.queue_event(&at, &event)
        })
    }

    /// Throws these dead letters away; answers how many there were.
    ///
    /// # Errors
    /// The ledger cannot be written; what was thrown away until then is gone.
    pub fn purge(&self, filter: &DeadLetterFilter) -> Result<usize, LedgerError> {
        self.in_chunks(filter, |_, _| Ok(()))
    }

    /// Removes the dead letters a filter passes, and has `then` done with each in the same transaction.
    fn in_chunks(
        &self,
        filter: &DeadLetterFilter,
        then: fn(&Changes<'_>, DeadLetter) -> Result<(), LedgerError>,
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
            self.ledger.view()?.walk_dead_letters(from, |letter| {
                // Not those from ahead of the clock: it was set back.
                let came_later = letter.dead_ms > before && letter.dead_ms <= now_ms();
                if !came_later && filter.passes(&letter) {
                    chunk.push(letter);
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
        letters: Vec<DeadLetter>,
        then: fn(&Changes<'_>, DeadLetter) -> Result<(), LedgerError>,
    ) -> Result<usize, LedgerError> {
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            let mut done = 0;
            for letter in letters {
                let id = letter.event.id;
                // Somebody else may have been faster. Removed last: what fails on the way leaves it here.
                if changes.has_dead_letter(id)? {
                    then(changes, letter)?;
                    changes.remove_dead_letter(id)?;
                    done += 1;
                }
            }
            Ok::<_, LedgerError>(done)
        });
        pending.wait()
    }

    /// Drops dead letters that are too old, if `knows_ages`, or too many, oldest first, where the look before this one has
    /// warned of it; and says how close to that the others are. Answers how many were dropped.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn trim(&self, bounds: &DeadLetters, knows_ages: bool) -> Result<u64, LedgerError> {
        let mut all: Vec<(i64, u64)> = Vec::new();
        self.ledger.view()?.walk_dead_letters(0, |letter| {
            all.push((letter.dead_ms, letter.event.id));
            true
        })?;
        all.sort_unstable();
        let oldest_kept =
            now_ms().saturating_sub(i64::try_from(bounds.max_age.as_millis()).unwrap_or(i64::MAX));
        let (of_number, of_age) = {
            let warned = self.warned();
            (warned.of_number, warned.of_age)
        };
        let too_old = match of_age && knows_ages {
            true => all.partition_point(|(dead_ms, _)| *dead_ms < oldest_kept),
            false => 0,
        };
        // A program that never lives to its second look must not gather them without end.
        let most = if of_number { bounds.max_count } else { bounds.max_count.saturating_mul(MOST_UNWARNED) };
        let too_many = all.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
        let kept = all.split_off(too_old.max(too_many));
        let mut dropped = 0;
        for chunk in all.chunks(CHUNK) {
            let ids: Vec<u64> = chunk.iter().map(|(_, id)| *id).collect();
            let pending = self.ledger.submit(Vec::new(), move |changes| {
                ids.into_iter().try_fold(0, |done, id| {
                    Ok::<_, LedgerError>(done + u64::from(changes.remove_dead_letter(id)?))
                })
            });
            dropped += pending.wait()?;
        }
        let warning = warning(bounds, &kept, now_ms(), dropped);
        let mut told = self.warned();
        let is_news =
            dropped > 0 || (warning.of_number && !told.of_number) || (warning.of_age && !told.of_age);
        if let Some(words) = warning.words.as_ref().filter(|_| is_news) {
            tracing::warn!(dropped, "{words}");
        }
        *told = warning;
        Ok(dropped)
    }

    fn warned(&self) -> std::sync::MutexGuard<'_, Warned> {
        self.warned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be said of dead letters that are about to be dropped, or were, as of the last look.
    #[must_use]
    pub fn dead_letter_warning(&self) -> Option<String> {
        self.warned().words.clone()
    }

    /// The event of an object that waits or is under way, if there is one.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn event_of(&self, at: &Location) -> Result<Option<EventRecord>, LedgerError> {
        let view = self.ledger.view()?;
        match view.waiting_event(at, false)?.max(view.waiting_event(at, true)?) {
            Some(newest) => view.event(newest),
            None => Ok(None),
        }
    }
}
