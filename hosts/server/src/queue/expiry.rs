//! Events that get no other attempt, for their age or because they crash the program.

use std::time::Duration;

use super::dead_letters;
use crate::ledger::{EventRecord, Priority};

/// Attempts that may end with the program itself before an event becomes a dead letter.
pub(super) const MAX_CRASHES: u32 = 5;

/// Why an event gets no other attempt, if so. `age`: if it counts. That of one that this run has not tried yet
/// does not: it may be old only because the program was down. Nor does that of maintenance, which waits for all others.
pub(super) fn expiry(
    max_age: Duration,
    event: &EventRecord,
    age: Option<Duration>,
    crashes: u32,
) -> Option<(&'static str, String)> {
    let may_be_too_old = event.priority() == Priority::Normal;
    if let Some(age) = age.filter(|age| may_be_too_old && *age > max_age) {
        let last = event.last_error.as_deref().unwrap_or("none");
        let message = format!(
            "the event is {} s old, more than function.max_event_age ({} s) allows; last error: {last}",
            age.as_secs(),
            max_age.as_secs()
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
