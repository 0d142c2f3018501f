//! Detects jumps of the wall clock: after one, ages cannot be trusted, and nothing may be dropped for its age.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// A difference between the clocks up to this is not a jump.
const TOLERANCE: Duration = Duration::from_secs(60);
/// The clocks are compared over no longer than this, so that slow drift is not a jump.
const COMPARISON_WINDOW: Duration = Duration::from_secs(3600);
/// How long ages are not trusted after a jump: time for the operator to correct the clock.
const DISTRUST: Duration = Duration::from_secs(24 * 3600);

/// The wall clock beside the monotonic clock, which on Linux includes the time the machine is suspended.
#[derive(Debug)]
pub struct SteadyClock {
    /// The consequence of a jump, for the log.
    effect: &'static str,
    state: Mutex<State>,
}

/// Times are durations of the monotonic clock, and milliseconds since 1970 of the wall clock.
#[derive(Debug)]
struct State {
    /// The reference of both clocks: not the previous reading, or a jump in small steps would go unnoticed.
    reference: (Duration, i64),
    jumped: Option<Duration>,
}

impl State {
    /// The size of a jump since the reference, if there was one.
    fn jump(&mut self, now: Duration, now_ms: i64) -> Option<Duration> {
        let (then, then_ms) = self.reference;
        let elapsed = now.saturating_sub(then);
        let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let off = Duration::from_millis((now_ms - then_ms).abs_diff(elapsed_ms));
        let has_jumped = off > TOLERANCE;
        if has_jumped {
            self.jumped = Some(now);
        }
        if has_jumped || elapsed > COMPARISON_WINDOW {
            self.reference = (now, now_ms);
        }
        has_jumped.then_some(off)
    }

    fn is_steady(&self, now: Duration) -> bool {
        self.jumped.is_none_or(|jumped| now.saturating_sub(jumped) > DISTRUST)
    }
}

impl SteadyClock {
    /// `effect` completes the log message "the machine's clock has jumped: … for a day".
    #[must_use]
    pub fn new(effect: &'static str, now_ms: i64) -> Self {
        Self { effect, state: Mutex::new(State { reference: (monotonic(), now_ms), jumped: None }) }
    }

    /// Whether the wall clock has not jumped since the start, or for a day.
    /// `now_ms`: its time in milliseconds since 1970.
    pub fn is_steady(&self, now_ms: i64) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = monotonic();
        if let Some(off) = state.jump(now, now_ms) {
            tracing::warn!(
                off_s = off.as_secs(),
                "the machine's clock has jumped: {} for a day",
                self.effect
            );
        }
        state.is_steady(now)
    }
}

/// Time since boot, suspension included.
#[cfg(target_os = "linux")]
fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Time since the first call. Where it stops during suspension, each suspension counts as a jump.
#[cfg(not(target_os = "linux"))]
fn monotonic() -> Duration {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the clock is steady when `monotonic` and `wall` seconds have passed on the two clocks.
    fn is_steady(state: &mut State, monotonic: i64, wall: i64) -> bool {
        let now = Duration::from_secs(monotonic.unsigned_abs());
        state.jump(now, wall * 1000);
        state.is_steady(now)
    }

    const START: State = State { reference: (Duration::ZERO, 0), jumped: None };

    #[test]
    fn after_a_jump_nothing_is_old_for_a_day() {
        let mut state = START;
        assert!(is_steady(&mut state, 60, 61));
        // A month ahead, and back again.
        let ahead = 30 * 86_400;
        assert!(!is_steady(&mut state, 120, 121 + ahead));
        assert!(!is_steady(&mut state, 180, 181 + ahead));
        assert!(!is_steady(&mut state, 240, 241));
        assert!(!is_steady(&mut state, 240 + 86_400, 241 + 86_400));
        assert!(is_steady(&mut state, 300 + 86_400, 301 + 86_400));
    }

    #[test]
    fn small_steps_are_a_jump_and_drift_is_not() {
        let mut state = START;
        assert!((1..60).all(|step| is_steady(&mut state, step, 2 * step)));
        assert!(!is_steady(&mut state, 61, 122));
        let mut state = START;
        // Drift of a minute a week, for a year.
        assert!((1..365 * 24).all(|hour| is_steady(&mut state, hour * 3601, hour * 3601 + hour * 60 / 168)));
    }
}
