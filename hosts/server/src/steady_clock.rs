//! Whether the machine's clock can be believed about ages: one that jumps ahead makes everything look old.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// A difference between both clocks that is no jump.
const LITTLE: Duration = Duration::from_secs(60);
/// Both clocks are compared over no longer than this: what they drift apart in the long run is no jump either.
const COMPARED_OVER: Duration = Duration::from_secs(3600);
/// After a jump ages are not believed for so long: whoever sets clocks has that time to set this one right.
const PAUSE: Duration = Duration::from_secs(24 * 3600);

/// The machine's clock beside the one that only ever goes on, on Linux also while the machine sleeps.
#[derive(Debug)]
pub struct SteadyClock {
    /// What is not dropped after a jump, in words.
    kept: &'static str,
    state: Mutex<State>,
}

/// Times are since the start of the machine, and the machine's clock in milliseconds since 1970.
#[derive(Debug)]
struct State {
    /// What both clocks are compared with: not the last time they were asked, or a jump in small steps would pass.
    compared: (Duration, i64),
    jumped: Option<Duration>,
}

impl State {
    /// By how much the clock has jumped since it was compared last, if it has.
    fn jump(&mut self, now: Duration, now_ms: i64) -> Option<Duration> {
        let (then, then_ms) = self.compared;
        let passed = now.saturating_sub(then);
        let passed_ms = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let off = Duration::from_millis((now_ms - then_ms).abs_diff(passed_ms));
        let has_jumped = off > LITTLE;
        if has_jumped {
            self.jumped = Some(now);
        }
        if has_jumped || passed > COMPARED_OVER {
            self.compared = (now, now_ms);
        }
        has_jumped.then_some(off)
    }

    fn is_steady(&self, now: Duration) -> bool {
        self.jumped.is_none_or(|jumped| now.saturating_sub(jumped) > PAUSE)
    }
}

impl SteadyClock {
    /// `kept`: what must not be dropped for its age while the clock is not believed, for the log.
    #[must_use]
    pub fn new(kept: &'static str, now_ms: i64) -> Self {
        Self { kept, state: Mutex::new(State { compared: (since_start(), now_ms), jumped: None }) }
    }

    /// Whether the machine's clock has gone on as the other one since the beginning, or for a day.
    /// `now_ms`: what it shows, in milliseconds since 1970.
    pub fn is_steady(&self, now_ms: i64) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = since_start();
        if let Some(off) = state.jump(now, now_ms) {
            tracing::warn!(off_s = off.as_secs(), "the machine's clock has jumped: {} for a day", self.kept);
        }
        state.is_steady(now)
    }
}

/// Time since the machine was started, its sleep included.
#[cfg(target_os = "linux")]
fn since_start() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Time since this was asked first. Where it stands still while the machine sleeps, each sleep counts as a jump.
#[cfg(not(target_os = "linux"))]
fn since_start() -> Duration {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked so many seconds after the beginning, when the machine's clock had gone on by so many.
    fn ask(state: &mut State, seconds: i64, clock: i64) -> bool {
        let now = Duration::from_secs(seconds.unsigned_abs());
        state.jump(now, clock * 1000);
        state.is_steady(now)
    }

    const BEGIN: State = State { compared: (Duration::ZERO, 0), jumped: None };

    #[test]
    fn after_a_jump_nothing_is_old_for_a_day() {
        let mut state = BEGIN;
        assert!(ask(&mut state, 60, 61));
        // A month ahead, and back again.
        let ahead = 30 * 86_400;
        assert!(!ask(&mut state, 120, 121 + ahead));
        assert!(!ask(&mut state, 180, 181 + ahead));
        assert!(!ask(&mut state, 240, 241));
        assert!(!ask(&mut state, 240 + 86_400, 241 + 86_400));
        assert!(ask(&mut state, 300 + 86_400, 301 + 86_400));
    }

    #[test]
    fn a_jump_in_small_steps_is_one_and_drifting_is_none() {
        let mut state = BEGIN;
        assert!((1..60).all(|step| ask(&mut state, step, 2 * step)));
        assert!(!ask(&mut state, 61, 122));
        let mut state = BEGIN;
        // A minute a week, for a year.
        assert!((1..365 * 24).all(|hour| ask(&mut state, hour * 3601, hour * 3601 + hour * 60 / 168)));
    }
}
