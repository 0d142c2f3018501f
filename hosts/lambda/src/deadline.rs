//! When to stop, so that Lambda never has to: a failure is then reported with its reason and its log line.

use std::time::{Duration, Instant, SystemTime};

use tintype_pipeline::Stop;

/// The longest time that is left for reporting how an invocation ended.
const MARGIN: Duration = Duration::from_secs(1);

/// When an invocation stops by itself: a little before `deadline`, at which Lambda ends the process, a fifth of what
/// is left and at most a second.
#[must_use]
pub(crate) fn before(deadline: SystemTime) -> Stop {
    let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
    Stop::never().by(Instant::now() + usable(left))
}

fn usable(left: Duration) -> Duration {
    left - (left / 5).min(MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_kept_of_a_long_time_and_a_fifth_of_a_short_one() {
        assert_eq!(usable(Duration::from_secs(30)), Duration::from_secs(29));
        assert_eq!(usable(Duration::from_secs(1)), Duration::from_millis(800));
        assert_eq!(usable(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn what_is_past_is_due() {
        assert!(before(SystemTime::UNIX_EPOCH).is_due());
        assert!(!before(SystemTime::now() + Duration::from_secs(60)).is_due());
    }
}
