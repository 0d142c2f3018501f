//! Whether the machine's clock can be believed about ages: one that jumps ahead makes everything look old.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A difference between both clocks that is no jump.
const LITTLE: Duration = Duration::from_secs(60);
/// After a jump ages are not believed for so long: whoever sets clocks has that time to set this one right.
const PAUSE: Duration = Duration::from_secs(24 * 3600);

/// The machine's clock beside the one that only ever goes on.
#[derive(Debug)]
pub struct SteadyClock {
    /// What is not dropped after a jump, in words.
    kept: &'static str,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What both clocks are compared with: not the last time they were asked, or a jump in small steps would pass.
    compared: (Instant, i64),
    jumped: Option<Instant>,
}

impl SteadyClock {
    /// `kept`: what must not be dropped for its age while the clock is not believed, for the log.
    #[must_use]
    pub fn new(kept: &'static str, now: Instant, now_ms: i64) -> Self {
        Self { kept, state: Mutex::new(State { compared: (now, now_ms), jumped: None }) }
    }

    /// Whether the machine's clock has gone on as the other one since the beginning, or for a day. `now_ms`: milliseconds
    /// since 1970.
    pub fn is_steady(&self, now: Instant, now_ms: i64) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (then, then_ms) = state.compared;
        let passed = i64::try_from(now.saturating_duration_since(then).as_millis()).unwrap_or(i64::MAX);
        let off = (now_ms - then_ms).abs_diff(passed);
        if u128::from(off) > LITTLE.as_millis() {
            tracing::warn!(off_ms = off, "the machine's clock has jumped: {} for a day", self.kept);
            *state = State { compared: (now, now_ms), jumped: Some(now) };
        }
        state.jumped.is_none_or(|jumped| now.saturating_duration_since(jumped) > PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_jump_nothing_is_old_for_a_day() {
        let begin = Instant::now();
        let clock = SteadyClock::new("nothing is dropped", begin, 0);
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        assert!(clock.is_steady(at(60), 61_000));
        // A month ahead, and back again.
        let ahead = 30 * 86_400_000;
        assert!(!clock.is_steady(at(120), 121_000 + ahead));
        assert!(!clock.is_steady(at(180), 181_000 + ahead));
        assert!(!clock.is_steady(at(240), 241_000));
        let later = 240 + 86_400;
        assert!(!clock.is_steady(at(later), (1 + later as i64) * 1000));
        assert!(clock.is_steady(at(later + 60), (61 + later as i64) * 1000));
    }

    #[test]
    fn a_jump_in_small_steps_is_one() {
        let begin = Instant::now();
        let clock = SteadyClock::new("nothing is dropped", begin, 0);
        // Asked every millisecond, while the clock goes a second ahead each time.
        let is_steady = |step: u64| clock.is_steady(begin + Duration::from_millis(step), step as i64 * 1000);
        assert!((0..60).all(is_steady));
        assert!(!is_steady(100));
    }
}
