//! The section `dead_letters`: the retention of dead letters, by age and number.

use std::time::Duration;

use serde::Deserialize;
use tintype_pipeline::settings::{Check, SettingsError};

/// The retention of dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetters {
    /// Older ones are dropped.
    pub max_age: Duration,
    /// Beyond this number the oldest are dropped.
    pub max_count: u64,
}

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "struct DeadLetters")]
pub(super) struct DeadLettersSection {
    max_age: Option<String>,
    max_count: Option<u64>,
}

impl DeadLettersSection {
    pub(super) fn validate(self, check: &Check) -> Result<DeadLetters, SettingsError> {
        let max_age = self.max_age.as_deref().unwrap_or("14d");
        let max_age = check.duration("dead_letters.max_age", max_age)?;
        if max_age < Duration::from_secs(60) {
            return check.fail("dead_letters.max_age", "out of range; write at least 60s");
        }
        let max_count = self.max_count.unwrap_or(100_000);
        let max_count = check.within("dead_letters.max_count", max_count, 1, 100_000_000)?;
        Ok(DeadLetters { max_age, max_count })
    }
}
