//! The wall clock of records and logs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, by the machine's clock.
#[must_use]
pub fn now_ms() -> i64 {
    ms_of(SystemTime::now())
}

/// Negative before 1970, so that due times are reached there, too.
fn ms_of(time: SystemTime) -> i64 {
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    time.duration_since(UNIX_EPOCH).map_or_else(|before| -ms(before.duration()), ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_are_negative() {
        let at = |seconds: i64| {
            let span = Duration::from_secs(seconds.unsigned_abs());
            ms_of(if seconds < 0 { UNIX_EPOCH - span } else { UNIX_EPOCH + span })
        };
        assert_eq!([-86_400, -1, 0, 1].map(at), [-86_400_000, -1000, 0, 1000]);
    }
}
