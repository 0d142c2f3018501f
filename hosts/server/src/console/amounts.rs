//! Bytes, durations and counts in words.

/// Bytes for people.
pub(super) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KB", "MB", "GB", "TB"] {
        if value < 1000.0 || unit == "TB" {
            return if unit == "B" || value >= 100.0 {
                format!("{value:.0} {unit}")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    String::new()
}

/// The same without a fraction of zero.
pub(super) fn round_bytes(value: u64) -> String {
    bytes(value).replace(".0 ", " ")
}

/// Milliseconds for people.
pub(super) fn ms(value: f64) -> String {
    match value {
        v if v < 10.0 => format!("{v:.1} ms"),
        v if v < 1000.0 => format!("{v:.0} ms"),
        v if v < 60_000.0 => format!("{:.1} s", v / 1e3),
        v if v < 3_600_000.0 => format!("{:.1} min", v / 6e4),
        v => format!("{:.1} h", v / 3.6e6),
    }
}

/// The same without a fraction of zero.
pub(super) fn round_ms(value: f64) -> String {
    ms(value).replace(".0 ", " ")
}

/// A number for people.
pub(super) fn number(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.1}M", v / 1e6),
        v if v >= 1e4 => format!("{:.1}k", v / 1e3),
        v if v.fract() == 0.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}

/// A count for people.
pub(super) fn count(value: u64) -> String {
    number(value as f64)
}

/// A value in words; a dash where it cannot be read.
pub(super) fn or_dash<T>(value: Option<T>, words: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "–".into(), words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        assert_eq!([999, 1500, 123_456_789].map(bytes), ["999 B", "1.5 KB", "123 MB"]);
        assert_eq!([3.12, 210.4, 1500.0].map(ms), ["3.1 ms", "210 ms", "1.5 s"]);
        assert_eq!((round_bytes(12_000_000_000), round_ms(30_000.0)), ("12 GB".into(), "30 s".into()));
        assert_eq!([7, 12_345, 1_200_000].map(count), ["7", "12.3k", "1.2M"]);
        assert_eq!((or_dash(Some(7), count), or_dash(None, count)), ("7".into(), "–".into()));
    }
}
