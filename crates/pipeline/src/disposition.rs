//! What is to be done with an event after an attempt: one match for every host.

use std::time::Duration;

use crate::outcome::{Outcome, Reason};

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Done: it leaves the queue.
    Ack,
    /// It failed, and is delivered again after this long.
    RetryAfter(Duration),
    /// Not its own fault: it is delivered again after this long, and the attempt does not count. Zero at a
    /// shutdown, which says nothing about the event at all.
    Defer(Duration),
    /// It moves to the dead-letter queue.
    DeadLetter(Reason),
}

/// What a source knows of earlier attempts at an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempts {
    /// Those that failed and count.
    pub failed: u32,
    /// Those that were deferred.
    pub deferred: u32,
}

/// When an event is tried again; as Lambda's asynchronous invocation has it. How old an event may become is its
/// source's to watch.
/// Source: AWS, "How Lambda handles errors and retries with asynchronous invocation".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Retries after the first attempt.
    pub retries: u32,
    /// Wait before each; the last one repeats.
    pub delays: Vec<Duration>,
}

/// The first wait while the store is away, and the longest; each is twice the one before, as Lambda does it
/// for throttles and its own faults.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

impl RetryPolicy {
    /// The wait before the retry that follows so many failed attempts.
    #[must_use]
    pub fn delay(&self, failed: u32) -> Duration {
        self.delays.get(failed as usize).or(self.delays.last()).copied().unwrap_or_default()
    }

    /// The wait after the store was away so many times before.
    #[must_use]
    pub fn backoff(deferred: u32) -> Duration {
        FIRST_BACKOFF.saturating_mul(1 << deferred.min(16)).min(LONGEST_BACKOFF)
    }

    /// The longest that an event is ever made to wait.
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
    /// What an outcome means for its event. `is_shutdown`: the host stopped the attempt, not its time-out.
    #[must_use]
    pub fn of(outcome: &Outcome, attempts: Attempts, policy: &RetryPolicy, is_shutdown: bool) -> Self {
        let failure = match outcome {
            Outcome::Made | Outcome::UpToDate | Outcome::Removed | Outcome::Ignored(_) => return Self::Ack,
            Outcome::Failed(failure) => failure,
        };
        match failure.reason {
            Reason::Malformed
            | Reason::Unsupported
            | Reason::TooLarge
            | Reason::KeyTooLong
            | Reason::Missing
            | Reason::Collision
            | Reason::BadEvent => Self::DeadLetter(failure.reason),
            Reason::Unavailable => Self::Defer(RetryPolicy::backoff(attempts.deferred)),
            Reason::Stopped if is_shutdown => Self::Defer(Duration::ZERO),
            Reason::Stopped | Reason::Denied | Reason::Damaged | Reason::Contended | Reason::Internal => {
                policy.retry(attempts, failure.reason)
            }
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
        Disposition::of(&outcome, Attempts { failed, deferred }, &policy(), false)
    }

    #[test]
    fn what_is_done_leaves_the_queue() {
        for outcome in
            [Outcome::Made, Outcome::UpToDate, Outcome::Removed, Outcome::Ignored(Ignored::NoTrigger)]
        {
            assert_eq!(Disposition::of(&outcome, Attempts::default(), &policy(), true), Disposition::Ack);
        }
    }

    #[test]
    fn every_class_of_failure_is_permanent_or_tried_again() {
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
    fn a_shutdown_is_no_attempt_and_a_time_out_is_one() {
        let stopped = Outcome::Failed(Failure::new(Reason::Stopped, "on purpose"));
        let last = Attempts { failed: 2, deferred: 3 };
        assert_eq!(Disposition::of(&stopped, last, &policy(), true), Disposition::Defer(Duration::ZERO));
        assert_eq!(
            Disposition::of(&stopped, last, &policy(), false),
            Disposition::DeadLetter(Reason::Stopped)
        );
    }
}
