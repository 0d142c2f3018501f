//! Validation of settings: parsed values, and errors that name the setting and its origin.

use std::{fmt::Display, str::FromStr, time::Duration};

use serde::Deserialize;

use super::{SettingsError, merge::Origins, units};

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
}

impl Check {
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
            Some(Amount::Text(text)) => units::bytes(&text).map_or_else(
                || {
                    self.fail(
                        setting,
                        format!("\"{text}\" is not an amount of bytes; write one like \"100 MiB\""),
                    )
                },
                Ok,
            ),
        }
    }

    /// A span of time.
    ///
    /// # Errors
    /// It has no unit, or another one.
    pub fn duration(&self, setting: &str, text: &str) -> Result<Duration, SettingsError> {
        units::duration(text).map_or_else(
            || {
                self.fail(
                    setting,
                    format!("\"{text}\" is not a span of time; write one like \"10s\" or \"6h\""),
                )
            },
            Ok,
        )
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
