//! When an event is tried again, and when it is given up.

use std::time::Duration;

use super::dead_letters;
use crate::ledger::EventRecord;

/// Attempts that may end with the program itself before an event is given up.
pub(super) const MAX_CRASHES: u32 = 5;
/// The first wait after the store was not to be had, and the longest; each is twice the one before, as
/// Lambda does it for throttles and its own faults.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// As Lambda's asynchronous invocation does it.
/// Source: AWS, "How Lambda handles errors and retries with asynchronous invocation".
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// Retries after the first attempt.
    pub retries: u32,
    /// Wait before each; the last one repeats.
    pub delays: Vec<Duration>,
    /// An event older than this is given up.
    pub max_age: Duration,
}

/// The wait after the store was not to be had, so many times before.
pub(super) fn backoff(times: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(1 << times.min(16)).min(LONGEST_BACKOFF)
}

impl RetryPolicy {
    /// The longest that an event is ever made to wait.
    pub(super) fn longest_wait(&self) -> Duration {
        self.delays.iter().copied().max().unwrap_or_default().max(LONGEST_BACKOFF)
    }

    /// Why an event is not worth another attempt, if so. `age`: if it counts. That of one that this run has not tried yet
    /// does not: it may be old only because the program was down.
    pub(super) fn hopeless(
        &self,
        event: &EventRecord,
        age: Option<Duration>,
        crashes: u32,
    ) -> Option<(&'static str, String)> {
        if let Some(age) = age.filter(|age| *age > self.max_age) {
            let last = event.last_error.as_deref().unwrap_or("none");
            let message = format!(
                "the event is {} s old, more than function.max_event_age ({} s) allows; last error: {last}",
                age.as_secs(),
                self.max_age.as_secs()
            );
            return Some((dead_letters::TOO_OLD, message));
        }
        (crashes >= MAX_CRASHES).then(|| {
            let message = format!(
                "the program ended {crashes} times while it worked on this object; look at the logs for the time of \
                 each, and report the object if they do not explain it"
            );
            (dead_letters::CRASHED, message)
        })
    }
}
