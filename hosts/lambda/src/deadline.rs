//! Stops an invocation before Lambda's time-out, so that the failure is reported and logged.

use std::time::{Duration, Instant, SystemTime};

use tintype_pipeline::Stop;

/// The longest time reserved for the report of an invocation.
const MARGIN: Duration = Duration::from_secs(1);

/// The stop of an invocation: before `deadline`, at which Lambda ends the process, by a fifth of the remaining time and
/// at most a second.
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
    fn a_second_of_a_long_time_and_a_fifth_of_a_short_one_are_reserved() {
        assert_eq!(usable(Duration::from_secs(30)), Duration::from_secs(29));
        assert_eq!(usable(Duration::from_secs(1)), Duration::from_millis(800));
        assert_eq!(usable(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_past_deadline_is_due() {
        assert!(before(SystemTime::UNIX_EPOCH).is_due());
        assert!(!before(SystemTime::now() + Duration::from_secs(60)).is_due());
    }
}
