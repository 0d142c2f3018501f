//! The wall clock of records and logs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{OffsetDateTime, macros::format_description};

/// Milliseconds since 1970, by the machine's clock.
#[must_use]
pub fn now_ms() -> i64 {
    ms_of(SystemTime::now())
}

/// A time of [`now_ms`] in UTC, as logs have it: RFC 3339 with milliseconds.
#[must_use]
pub fn rfc3339(ms: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    time.ok().and_then(|time| time.format(format).ok()).unwrap_or_default()
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
    fn times_of_logs() {
        assert_eq!(rfc3339(1_767_323_045_678), "2026-01-02T03:04:05.678Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn times_before_1970_are_negative() {
        let at = |seconds: i64| {
            let span = Duration::from_secs(seconds.unsigned_abs());
            ms_of(if seconds < 0 { UNIX_EPOCH - span } else { UNIX_EPOCH + span })
        };
        assert_eq!([-86_400, -1, 0, 1].map(at), [-86_400_000, -1000, 0, 1000]);
    }
}
