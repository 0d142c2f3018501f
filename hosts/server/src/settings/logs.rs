//! The section `logs`: what is logged, how, and where traces are sent.

use serde::Deserialize;
use tintype_pipeline::settings::{Check, SettingsError};
use tintype_telemetry::logging::LogFormat;

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// Filter, as `tracing` reads it.
    pub level: String,
    /// The format of lines.
    pub format: LogFormat,
    /// The base URL of the OpenTelemetry collector; none: no traces are sent.
    pub otlp: Option<String>,
}

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "struct Logs")]
pub(super) struct LogsSection {
    level: Option<String>,
    format: Option<String>,
    otlp: Option<String>,
}

impl LogsSection {
    pub(super) fn validate(self, check: &Check) -> Result<Logs, SettingsError> {
        Ok(Logs {
            level: self.level.unwrap_or_else(|| "info".into()),
            format: match self.format.as_deref() {
                None | Some("auto") => LogFormat::Auto,
                Some("json") => LogFormat::Json,
                Some("text") => LogFormat::Text,
                Some(other) => {
                    return check.fail("logs.format", format!("\"{other}\" is not auto, json or text"));
                }
            },
            otlp: match self.otlp.as_deref() {
                None | Some("") => None,
                Some(url) if url.strip_prefix("http://").is_some_and(|rest| !rest.is_empty()) => {
                    Some(url.into())
                }
                Some(other) => {
                    let message = format!(
                        "\"{other}\" is not a collector's address; write one like \"http://127.0.0.1:4318\""
                    );
                    return check.fail("logs.otlp", message);
                }
            },
        })
    }
}
