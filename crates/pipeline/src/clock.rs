//! The time as records and logs have it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, by the machine's clock.
#[must_use]
pub fn now_ms() -> i64 {
    ms_of(SystemTime::now())
}

/// Before 1970 it is negative, and runs all the same: what is due later becomes due.
fn ms_of(time: SystemTime) -> i64 {
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    time.duration_since(UNIX_EPOCH).map_or_else(|before| -ms(before.duration()), ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_1970_runs_on_into_it() {
        let at = |seconds: i64| {
            let span = Duration::from_secs(seconds.unsigned_abs());
            ms_of(if seconds < 0 { UNIX_EPOCH - span } else { UNIX_EPOCH + span })
        };
        assert_eq!([-86_400, -1, 0, 1].map(at), [-86_400_000, -1000, 0, 1000]);
    }
}
