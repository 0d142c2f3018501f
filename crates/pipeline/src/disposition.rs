//! How an event is settled after an attempt: one match for every host.

use std::time::Duration;

use crate::outcome::{Outcome, Reason};

/// How an event is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Done: it leaves the queue.
    Ack,
    /// It failed, and is delivered again after this long.
    RetryAfter(Duration),
    /// The event is not at fault: it is delivered again after this long, and the attempt does not count. Zero at a
    /// shutdown.
    Defer(Duration),
    /// It moves to the dead-letter queue.
    DeadLetter(Reason),
}

/// Earlier attempts at an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempts {
    /// Those that failed and count.
    pub failed: u32,
    /// Those that were deferred.
    pub deferred: u32,
    /// Those of the failed ones that the time-out stopped.
    pub timed_out: u32,
}

/// When an event is tried again; as Lambda's asynchronous invocation has it. The maximum age of an event is enforced by
/// its source.
/// Source: AWS, "How Lambda handles errors and retries with asynchronous invocation".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Retries after the first attempt.
    pub retries: u32,
    /// Wait before each; the last one repeats.
    pub delays: Vec<Duration>,
}

/// The first and the longest wait while the store is unavailable; each is twice the one before, as on Lambda for
/// throttles and its own faults.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

impl RetryPolicy {
    /// The wait before the retry that follows `failed` attempts.
    #[must_use]
    pub fn delay(&self, failed: u32) -> Duration {
        self.delays.get(failed as usize).or(self.delays.last()).copied().unwrap_or_default()
    }

    /// The wait after `deferred` earlier deferrals.
    #[must_use]
    pub fn backoff(deferred: u32) -> Duration {
        FIRST_BACKOFF.saturating_mul(1 << deferred.min(16)).min(LONGEST_BACKOFF)
    }

    /// The longest wait of any event.
    #[must_use]
    pub fn longest_wait(&self) -> Duration {
        self.delays.iter().copied().max().unwrap_or_default().max(LONGEST_BACKOFF)
    }

    fn retry(&self, attempts: Attempts, reason: Reason) -> Disposition {
        if attempts.failed >= self.retries {
            return Disposition::DeadLetter(reason);
        }
        Disposition::RetryAfter(self.delay(attempts.failed))
    }
}

impl Disposition {
    /// The disposition of an event by the outcome of its record. `is_shutdown`: the host stopped the attempt, not its time-out.
    #[must_use]
    pub fn of(outcome: &Outcome, attempts: Attempts, policy: &RetryPolicy, is_shutdown: bool) -> Self {
        let failure = match outcome {
            Outcome::Rendered | Outcome::UpToDate | Outcome::Removed | Outcome::Ignored(_) => {
                return Self::Ack;
            }
            Outcome::Failed(failure) => failure,
        };
        match failure.reason {
            Reason::Malformed
            | Reason::Unsupported
            | Reason::TooLarge
            | Reason::KeyTooLong
            | Reason::Missing
            | Reason::Collision
            | Reason::BadEvent
            | Reason::Archived => Self::DeadLetter(failure.reason),
            Reason::Unavailable => Self::Defer(RetryPolicy::backoff(attempts.deferred)),
            Reason::Stopped if is_shutdown => Self::Defer(Duration::ZERO),
            // Once may be the machine's load; twice is the image.
            Reason::Stopped if attempts.timed_out > 0 => Self::DeadLetter(failure.reason),
            Reason::Stopped
            | Reason::Denied
            | Reason::KeyRefused
            | Reason::Corrupt
            | Reason::Contended
            | Reason::Internal => policy.retry(attempts, failure.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Failure, Ignored};

    fn policy() -> RetryPolicy {
        let seconds = [1, 10].map(Duration::from_secs).to_vec();
        RetryPolicy { retries: 2, delays: seconds }
    }

    fn of(reason: Reason, failed: u32, deferred: u32) -> Disposition {
        let outcome = Outcome::Failed(Failure::new(reason, "on purpose"));
        Disposition::of(&outcome, Attempts { failed, deferred, timed_out: 0 }, &policy(), false)
    }

    #[test]
    fn success_is_acknowledged() {
        for outcome in
            [Outcome::Rendered, Outcome::UpToDate, Outcome::Removed, Outcome::Ignored(Ignored::NoTrigger)]
        {
            assert_eq!(Disposition::of(&outcome, Attempts::default(), &policy(), true), Disposition::Ack);
        }
    }

    #[test]
    fn every_reason_is_permanent_or_retried() {
        for reason in Reason::ALL {
            assert_eq!(
                of(reason, 0, 0) == Disposition::DeadLetter(reason),
                reason.is_permanent(),
                "{reason:?}"
            );
        }
    }

    #[test]
    fn retries_end_and_deferrals_do_not() {
        let seconds = |delay| Disposition::RetryAfter(Duration::from_secs(delay));
        assert_eq!(
            [0, 1, 2].map(|failed| of(Reason::Internal, failed, 9)),
            [seconds(1), seconds(10), Disposition::DeadLetter(Reason::Internal)]
        );
        for (deferred, delay) in [(0, 1), (1, 2), (5, 32), (9, 300), (60, 300)] {
            let expected = Disposition::Defer(Duration::from_secs(delay));
            assert_eq!(of(Reason::Unavailable, 2, deferred), expected);
        }
    }

    #[test]
    fn a_shutdown_does_not_count_as_an_attempt_and_a_time_out_does() {
        let stopped = Outcome::Failed(Failure::new(Reason::Stopped, "on purpose"));
        let last = Attempts { failed: 2, deferred: 3, timed_out: 0 };
        assert_eq!(Disposition::of(&stopped, last, &policy(), true), Disposition::Defer(Duration::ZERO));
        assert_eq!(
            Disposition::of(&stopped, last, &policy(), false),
            Disposition::DeadLetter(Reason::Stopped)
        );
        let first = Disposition::of(&stopped, Attempts::default(), &policy(), false);
        assert_eq!(first, Disposition::RetryAfter(Duration::from_secs(1)));
        let second = Attempts { failed: 1, deferred: 0, timed_out: 1 };
        assert_eq!(
            Disposition::of(&stopped, second, &policy(), false),
            Disposition::DeadLetter(Reason::Stopped)
        );
    }
}
