//! Validation of settings: parsed values, and errors that name the setting and its origin.

use std::{fmt::Display, str::FromStr, time::Duration};

use bytesize::ByteSize;
use serde::Deserialize;

use super::{SettingsError, merge::Origins};

/// A number of bytes as written, with or without a unit.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// Bytes.
    Number(u64),
    /// A number with a unit.
    Text(String),
}

/// Validates settings; holds the origin of each.
#[derive(Debug, Default)]
pub struct Check {
    pub(super) origins: Origins,
    pub(super) written: Vec<WrittenSetting>,
}

/// A setting that is not left at its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenSetting {
    /// Its path, such as `listen.s3`; in a list with the number of the element, such as `trigger[0].bucket`.
    pub name: String,
    /// Its value as TOML; of secrets only that there is one.
    pub value: String,
    /// The file, environment variable or flag.
    pub origin: String,
}

impl Check {
    /// What was written, in the order of the names; the rest has its defaults.
    #[must_use]
    pub fn written(&self) -> Vec<WrittenSetting> {
        self.written.clone()
    }

    /// An error at `setting`.
    ///
    /// # Errors
    /// Always.
    pub fn fail<T>(&self, setting: &str, message: impl Display) -> Result<T, SettingsError> {
        Err(SettingsError::new(self.origins.of(setting), format!("{setting}: {message}")))
    }

    /// A setting that is parsed from text; `default` where it is not written.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn parse<T: FromStr<Err = String>>(
        &self,
        setting: &str,
        text: Option<String>,
        default: T,
    ) -> Result<T, SettingsError> {
        text.map_or(Ok(default), |text| text.parse().or_else(|message: String| self.fail(setting, message)))
    }

    /// A number of bytes; `default` where it is not written.
    ///
    /// # Errors
    /// It has another unit.
    pub fn bytes(&self, setting: &str, amount: Option<Amount>, default: u64) -> Result<u64, SettingsError> {
        match amount {
            None => Ok(default),
            Some(Amount::Number(number)) => Ok(number),
            // More than can be counted saturates.
            Some(Amount::Text(text)) => parse_bytes(&text).or_else(|error| self.fail(setting, error)),
        }
    }

    /// A span of time.
    ///
    /// # Errors
    /// It has no unit, or another one.
    pub fn duration(&self, setting: &str, text: &str) -> Result<Duration, SettingsError> {
        // A bare 0 and months, which look like minutes, are not meant.
        let is_meant = text.bytes().any(|byte| byte.is_ascii_lowercase()) && !text.contains('M');
        match humantime::parse_duration(text) {
            Ok(span) if is_meant => Ok(span),
            _ => self
                .fail(setting, format!("\"{text}\" is not a span of time; write one like \"10s\" or \"6h\"")),
        }
    }

    /// A number, if it is one of `low` to `high`.
    ///
    /// # Errors
    /// It is not.
    pub fn within<T: PartialOrd + Display>(
        &self,
        setting: &str,
        value: T,
        low: T,
        high: T,
    ) -> Result<T, SettingsError> {
        if value < low || value > high {
            return self.fail(setting, format!("{value} is out of range; write {low} to {high}"));
        }
        Ok(value)
    }
}

/// Bytes as people write them: `100 MiB`.
///
/// # Errors
/// It is no such amount.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    match text.trim().parse() {
        Ok(ByteSize(bytes)) if bytes < u64::MAX => Ok(bytes),
        _ => Err(format!("\"{text}\" is not an amount of bytes; write one like \"100 MiB\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_spans_need_a_unit_that_is_known() {
        let check = Check::default();
        let bytes = |text: &str| check.bytes("limits.source_bytes", Some(Amount::Text(text.into())), 0).ok();
        assert_eq!(bytes("100 MiB"), Some(100 << 20));
        assert_eq!(bytes("1.5 GiB"), Some(3 << 29));
        assert_eq!(bytes("10MB"), Some(10_000_000));
        assert_eq!(bytes("12 "), Some(12));
        for wrong in ["MiB", "-1", "100 potatoes", "99999999999 GiB", ""] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
        let span = |text| check.duration("function.max_event_age", text).ok();
        assert_eq!(span("6h"), Some(Duration::from_secs(21_600)));
        assert_eq!(span("1h 30m"), Some(Duration::from_secs(5_400)));
        assert_eq!(span("250ms"), Some(Duration::from_millis(250)));
        for wrong in ["0", "5M", "10", "-1s", "99999999999999999999d", ""] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
    }
}
