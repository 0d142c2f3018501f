//! What may be asked: requests in a minute, tokens in a day (UTC). Times are milliseconds since 1970.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use crate::provider::Tokens;
use crate::settings::{AltTextSettings, Price};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// What was used on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// Requests.
    pub requests: u64,
    /// Images that were described.
    pub described: u64,
    /// Tokens.
    #[serde(flatten)]
    pub tokens: Tokens,
}

impl Day {
    /// With what one attempt used.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self {
            requests: self.requests + more.requests,
            described: self.described + more.described,
            tokens: self.tokens.and(more.tokens),
        }
    }
}

/// The day of a time, in days since 1970.
#[must_use]
pub fn day_of(ms: i64) -> i64 {
    ms.div_euclid(DAY_MS)
}

/// What tokens cost, in dollars.
#[must_use]
pub fn dollars(tokens: Tokens, price: Price) -> f64 {
    (tokens.input as f64 * price.input + tokens.output as f64 * price.output) / 1e6
}

/// Why nothing may be asked now, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The requests of this minute are used up.
    Minute(Duration),
    /// The tokens of this day are used up.
    Day(Duration),
}

/// The budgets of one host.
#[derive(Debug)]
pub struct Budget {
    max_per_minute: usize,
    max_tokens_per_day: u64,
    /// The most tokens of one answer: what a request under way may still add.
    reserve: u64,
    recent: VecDeque<i64>,
    under_way: u64,
    day: i64,
    used: Day,
}

impl Budget {
    /// Of the settings, with what was used on the day `now_ms` is of.
    #[must_use]
    pub fn new(settings: &AltTextSettings, now_ms: i64, used: Day) -> Self {
        Self {
            max_per_minute: settings.max_per_minute as usize,
            max_tokens_per_day: settings.max_tokens_per_day,
            reserve: settings.max_tokens.into(),
            recent: VecDeque::new(),
            under_way: 0,
            day: day_of(now_ms),
            used,
        }
    }

    /// Takes one request, if it may be sent now; [`Budget::ended`] belongs to it.
    ///
    /// # Errors
    /// How long to wait, and for what.
    pub fn begin(&mut self, now_ms: i64) -> Result<(), Wait> {
        self.turn(now_ms);
        let expected = (self.under_way + 1).saturating_mul(self.reserve);
        if self.used.tokens.total().saturating_add(expected) > self.max_tokens_per_day {
            let left = (self.day + 1).saturating_mul(DAY_MS) - now_ms;
            return Err(Wait::Day(milliseconds(left)));
        }
        if self.recent.len() >= self.max_per_minute {
            let first = self.recent.front().copied().unwrap_or(now_ms);
            return Err(Wait::Minute(milliseconds(first + MINUTE_MS - now_ms)));
        }
        self.recent.push_back(now_ms);
        self.under_way += 1;
        Ok(())
    }

    /// Ends a request with what it used.
    pub fn ended(&mut self, now_ms: i64, used: Day) {
        self.turn(now_ms);
        self.under_way = self.under_way.saturating_sub(1);
        self.used = self.used.and(used);
        // A stricter prompt was another request.
        let more = usize::try_from(used.requests.saturating_sub(1)).unwrap_or(0);
        self.recent.extend(std::iter::repeat_n(now_ms, more));
    }

    /// What was used today.
    pub fn today(&mut self, now_ms: i64) -> Day {
        self.turn(now_ms);
        self.used
    }

    fn turn(&mut self, now_ms: i64) {
        let day = day_of(now_ms);
        if day != self.day {
            (self.day, self.used) = (day, Day::default());
        }
        // Also those from ahead of a clock that was set back.
        self.recent.retain(|then| (0..MINUTE_MS).contains(&now_ms.saturating_sub(*then)));
    }
}

fn milliseconds(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0).max(1))
}
