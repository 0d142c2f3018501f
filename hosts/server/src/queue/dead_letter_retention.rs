//! Bounds on dead letters: by age and number, the oldest first, and never without a warning before.

use std::sync::{MutexGuard, PoisonError};

use tintype_pipeline::clock::now_ms;

use super::{Queue, dead_letters::CHUNK};
use crate::{ledger::LedgerError, settings::DeadLetters};

/// Of the bounds, in percent: from here on there is a warning.
const WARN_AT: u64 = 80;
/// So many times the bound are dropped without a warning in this run.
const MOST_UNWARNED: u64 = 10;

/// What a look at the dead letters warned of. Nothing is dropped for a bound without an earlier warning of it.
#[derive(Debug, Default)]
pub(super) struct Warning {
    of_number: bool,
    of_age: bool,
    text: Option<String>,
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

/// The warning before anything is dropped, and of what was.
fn warn(bounds: &DeadLetters, retained: &[(i64, u64)], now_ms: i64, dropped: u64) -> Warning {
    let count = retained.len() as u64;
    let max_age = u64::try_from(bounds.max_age.as_millis()).unwrap_or(u64::MAX);
    let age = retained.first().map_or(0, |(dead_ms, _)| u64::try_from(now_ms - dead_ms).unwrap_or(0));
    let of_number = count.saturating_mul(100) >= bounds.max_count.saturating_mul(WARN_AT);
    let of_age = count > 0 && age.saturating_mul(100) >= max_age.saturating_mul(WARN_AT);
    let mut text = Vec::new();
    if dropped > 0 {
        text.push(format!("{dropped} dead letter(s) were dropped for their age or number"));
    }
    if of_number {
        text.push(format!(
            "there are {count} dead letters; with more than {} (dead_letters.max_count) the oldest are dropped",
            bounds.max_count
        ));
    }
    if of_age {
        text.push(format!(
            "the oldest dead letter is {} old; after {} (dead_letters.max_age) it is dropped",
            span(age),
            span(max_age)
        ));
    }
    if !text.is_empty() {
        text.push("redrive, export or purge them".into());
    }
    Warning { of_number, of_age, text: (!text.is_empty()).then(|| text.join("; ")) }
}

impl Queue {
    /// Drops dead letters that are too old, if `knows_ages`, or too many, oldest first, where the look before this one has
    /// warned of it, and warns of the others. Returns how many were dropped.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn trim(&self, bounds: &DeadLetters, knows_ages: bool) -> Result<u64, LedgerError> {
        let mut all: Vec<(i64, u64)> = Vec::new();
        self.ledger.view()?.queue().walk_dead_letters(0, |dead_letter| {
            all.push((dead_letter.dead_ms, dead_letter.event.id));
            true
        })?;
        all.sort_unstable();
        let oldest_retained =
            now_ms().saturating_sub(i64::try_from(bounds.max_age.as_millis()).unwrap_or(i64::MAX));
        let (of_number, of_age) = {
            let warned = self.warning();
            (warned.of_number, warned.of_age)
        };
        let too_old = match of_age && knows_ages {
            true => all.partition_point(|(dead_ms, _)| *dead_ms < oldest_retained),
            false => 0,
        };
        // A program that never lives to its second look must not gather them without end.
        let most = if of_number { bounds.max_count } else { bounds.max_count.saturating_mul(MOST_UNWARNED) };
        let too_many = all.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
        let retained = all.split_off(too_old.max(too_many));
        let mut dropped = 0;
        for chunk in all.chunks(CHUNK) {
            let ids: Vec<u64> = chunk.iter().map(|(_, id)| *id).collect();
            let pending = self.ledger.submit(Vec::new(), move |changes| {
                ids.into_iter().try_fold(0, |done, id| {
                    Ok::<_, LedgerError>(done + u64::from(changes.queue().remove_dead_letter(id)?))
                })
            });
            dropped += pending.wait()?;
        }
        let warning = warn(bounds, &retained, now_ms(), dropped);
        let mut before = self.warning();
        let is_news =
            dropped > 0 || (warning.of_number && !before.of_number) || (warning.of_age && !before.of_age);
        if let Some(text) = warning.text.as_ref().filter(|_| is_news) {
            tracing::warn!(dropped, "{text}");
        }
        *before = warning;
        Ok(dropped)
    }

    fn warning(&self) -> MutexGuard<'_, Warning> {
        self.warning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The warning about dead letters that are about to be dropped, or were, as of the last look.
    #[must_use]
    pub fn dead_letter_warning(&self) -> Option<String> {
        self.warning().text.clone()
    }
}
