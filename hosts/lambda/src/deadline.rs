//! When to stop, so that Lambda never has to: a failure is then told with its reason and its log line.

use std::time::{Duration, Instant, SystemTime};

/// The longest time kept for telling what became of an invocation.
const MARGIN: Duration = Duration::from_secs(1);

/// The moment an invocation stops by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    stop: Instant,
}

impl Deadline {
    /// A little before `deadline`, which Lambda ends the process at: a fifth of what is left, at most a second.
    #[must_use]
    pub(crate) fn before(deadline: SystemTime) -> Self {
        let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
        Self { stop: Instant::now() + usable(left) }
    }

    /// This one, or `time` from now if that comes earlier.
    #[must_use]
    pub(crate) fn within(self, time: Duration) -> Self {
        Self { stop: self.stop.min(Instant::now() + time) }
    }

    /// Whether it has come.
    #[must_use]
    pub(crate) fn has_come(&self) -> bool {
        Instant::now() >= self.stop
    }

    /// Waits for `work` no longer than until it comes.
    pub(crate) async fn bound<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at(self.stop.into(), work).await.ok()
    }
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

    #[tokio::test]
    async fn what_is_past_has_come_and_what_never_ends_is_left() {
        let past = Deadline::before(SystemTime::UNIX_EPOCH);
        assert!(past.has_come());
        assert_eq!(past.bound(std::future::pending::<()>()).await, None);
        let ahead = Deadline::before(SystemTime::now() + Duration::from_secs(60));
        assert!(!ahead.has_come());
        assert_eq!(ahead.bound(async { 5 }).await, Some(5));
        assert!(ahead.within(Duration::ZERO).has_come());
        assert!(past.within(Duration::from_secs(60)).has_come());
    }
}
