//! The section `function`: the function's bounds and retries.

use std::time::Duration;

use serde::Deserialize;

use super::{Check, SettingsError};

/// The function's bounds and retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name, as in metrics, log lines and ARNs.
    pub name: String,
    /// Bound on one render, in MiB.
    pub memory_mb: u64,
    /// Whether that bound was written; otherwise it follows from the memory of the machine or Lambda function.
    pub is_memory_given: bool,
    /// Bound on all renders at once, in MiB; 0: a quarter of the machine's.
    pub total_memory_mb: u64,
    /// An attempt is stopped after this long.
    pub timeout: Duration,
    /// Attempts at once; 0: one a core.
    pub concurrency: usize,
    /// Retries after the first attempt, 0 to 2.
    pub retries: u32,
    /// Wait before each retry; the last one repeats.
    pub retry_delays: Vec<Duration>,
    /// An event older than this becomes a dead letter instead of another attempt.
    pub max_event_age: Duration,
}

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "struct Function")]
pub struct FunctionSection {
    name: Option<String>,
    memory_mb: Option<u64>,
    total_memory_mb: Option<u64>,
    timeout_s: Option<u64>,
    concurrency: Option<u32>,
    retries: Option<u32>,
    retry_delays: Option<Vec<String>>,
    max_event_age: Option<String>,
}

impl FunctionSection {
    /// Validates the section.
    ///
    /// # Errors
    /// The first setting that is unusable.
    pub fn validate(self, check: &Check) -> Result<Function, SettingsError> {
        let total_memory_mb = self.total_memory_mb.unwrap_or(0);
        let for_renders = if total_memory_mb == 0 { u64::MAX } else { total_memory_mb - total_memory_mb / 4 };
        let is_memory_given = self.memory_mb.is_some();
        let memory_mb = check.within(
            "function.memory_mb",
            self.memory_mb.unwrap_or(for_renders.min(512)),
            64,
            1 << 20,
        )?;
        if memory_mb > for_renders {
            return check.fail(
            "function.total_memory_mb",
            format!(
                "of {total_memory_mb} three quarters are for renders and the rest for their sources, which is less \
                 than function.memory_mb, {memory_mb}; write at least {}",
                (memory_mb * 4).div_ceil(3)
            ),
        );
        }
        let retry_delays = match self.retry_delays {
            None => vec![Duration::from_secs(1), Duration::from_secs(10)],
            Some(delays) if delays.is_empty() => {
                return check.fail("function.retry_delays", "write at least one");
            }
            Some(delays) => delays
                .iter()
                .map(|delay| check.duration("function.retry_delays", delay))
                .collect::<Result<Vec<_>, _>>()?,
        };
        let max_event_age =
            check.duration("function.max_event_age", self.max_event_age.as_deref().unwrap_or("6h"))?;
        if !(Duration::from_secs(60)..=Duration::from_secs(6 * 3600)).contains(&max_event_age) {
            return check.fail("function.max_event_age", "out of range; write 60s to 6h, as on Lambda");
        }
        let name = self.name.unwrap_or_else(|| "Thumbnails".into());
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(legal) {
            return check.fail(
                "function.name",
                format!("\"{name}\" is no function name: 1 to 64 letters, digits, - and _"),
            );
        }
        Ok(Function {
            name,
            memory_mb,
            is_memory_given,
            total_memory_mb,
            timeout: Duration::from_secs(check.within(
                "function.timeout_s",
                self.timeout_s.unwrap_or(30),
                1,
                900,
            )?),
            concurrency: check.within("function.concurrency", self.concurrency.unwrap_or(0), 0, 1024)?
                as usize,
            retries: check.within("function.retries", self.retries.unwrap_or(2), 0, 2)?,
            retry_delays,
            max_event_age,
        })
    }
}
