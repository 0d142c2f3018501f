//! Whether the machine's clock can be believed about ages: one that jumps ahead makes everything look old.

use std::time::{Duration, Instant};

/// A difference between both clocks that is no jump.
const LITTLE: Duration = Duration::from_secs(60);
/// After a jump ages are not believed for so long: whoever sets clocks has that time to set this one right.
const PAUSE: Duration = Duration::from_secs(24 * 3600);

/// The machine's clock beside the one that only ever goes on.
#[derive(Debug, Default)]
pub struct SteadyClock {
    last: Option<(Instant, i64)>,
    jumped: Option<Instant>,
}

impl SteadyClock {
    /// Whether the machine's clock has gone on as the other one since it was asked last, and for a day before.
    /// `now_ms`: milliseconds since 1970.
    pub fn is_steady(&mut self, now: Instant, now_ms: i64) -> bool {
        if let Some((then, then_ms)) = self.last {
            let passed = i64::try_from(now.duration_since(then).as_millis()).unwrap_or(i64::MAX);
            let off = (now_ms - then_ms).abs_diff(passed);
            if u128::from(off) > LITTLE.as_millis() {
                tracing::warn!(
                    off_ms = off,
                    "the machine's clock has jumped: no dead letter and no upload is dropped for its age for a day"
                );
                self.jumped = Some(now);
            }
        }
        self.last = Some((now, now_ms));
        self.jumped.is_none_or(|jumped| now.duration_since(jumped) > PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_jump_nothing_is_old_for_a_day() {
        let (mut clock, begin) = (SteadyClock::default(), Instant::now());
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        assert!(clock.is_steady(at(0), 0) && clock.is_steady(at(60), 61_000));
        // A month ahead, and back again.
        let ahead = 30 * 86_400_000;
        assert!(!clock.is_steady(at(120), 121_000 + ahead));
        assert!(!clock.is_steady(at(180), 181_000 + ahead));
        assert!(!clock.is_steady(at(240), 241_000));
        let later = 240 + 86_400;
        assert!(!clock.is_steady(at(later), (1 + later as i64) * 1000));
        assert!(clock.is_steady(at(later + 60), (61 + later as i64) * 1000));
    }
}
