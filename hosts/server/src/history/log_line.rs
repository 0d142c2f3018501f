//! An attempt as log lines: Lambda's JSON, and text for people.
//! Source: AWS, "Lambda Telemetry API schema reference".

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tintype_pipeline::Location;

use super::{Entry, Settlement};

/// `2026-11-24T12:03:04.120Z`.
pub(super) fn time(milliseconds: i64) -> String {
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .ok()
        .and_then(|time| time.format(format).ok())
        .unwrap_or_default()
}

fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// The line of an attempt that begins: `platform.start`.
#[must_use]
pub fn start_line(now_ms: i64, request_id: &str, at: Option<&Location>, attempt: u32) -> String {
    let mut record = json!({"requestId": request_id, "version": "$LATEST", "attempt": attempt});
    if let Some(at) = at {
        record["bucket"] = at.bucket.as_str().into();
        record["key"] = at.key.as_str().into();
    }
    // Written by hand so that time and type come first.
    format!("{{\"time\":\"{}\",\"type\":\"platform.start\",\"record\":{record}}}", time(now_ms))
}

/// The line of an attempt that ended: `platform.report`, with its outcome. Displayed as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReportLine {
    /// When it ended.
    pub time: String,
    /// `platform.report`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The rest.
    pub record: ReportRecord,
}

/// An attempt, in Lambda's names.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportRecord {
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The source's bucket.
    pub bucket: String,
    /// The failure's class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// S3's event name.
    pub event: String,
    /// The function's name.
    pub function: String,
    /// The source's key.
    pub key: String,
    /// Duration and memory.
    pub metrics: ReportMetrics,
    /// How its event was settled.
    pub next: Settlement,
    /// The outcome's name.
    pub outcome: String,
    /// The request that caused it.
    pub request_id: String,
    /// From the acknowledgement of the upload to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_upload_ms: Option<i64>,
    /// The duration of each stage in milliseconds.
    pub stages_ms: BTreeMap<String, f64>,
    /// `success`, `error` or `timeout`.
    pub status: String,
    /// The explanation for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Duration and memory of an attempt.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportMetrics {
    /// In whole milliseconds.
    pub billed_duration_ms: u64,
    /// In milliseconds.
    pub duration_ms: f64,
    /// The process's resident memory.
    #[serde(rename = "maxMemoryUsedMB")]
    pub max_memory_used_mb: u64,
    /// The function's memory.
    #[serde(rename = "memorySizeMB")]
    pub memory_size_mb: u64,
}

impl ReportLine {
    /// Of an attempt of this function with this memory.
    #[must_use]
    pub fn new(entry: &Entry, function: &str, memory_mb: u64) -> Self {
        let status = match (entry.has_failed(), entry.reason.as_str()) {
            (false, _) => "success",
            (true, "stopped") => "timeout",
            (true, _) => "error",
        };
        let record = ReportRecord {
            attempt: entry.attempt,
            bucket: entry.bucket.clone(),
            error_type: entry.has_failed().then(|| entry.reason.clone()),
            event: entry.cause.clone(),
            function: function.into(),
            key: entry.key.clone(),
            metrics: ReportMetrics {
                billed_duration_ms: entry.duration_us.div_ceil(1000),
                duration_ms: milliseconds(entry.duration_us),
                max_memory_used_mb: entry.memory_mb,
                memory_size_mb: memory_mb,
            },
            next: entry.next,
            outcome: entry.outcome.clone(),
            request_id: entry.request_id.clone(),
            since_upload_ms: entry.latency_ms(),
            stages_ms: entry.stages_ms().map(|(name, ms)| (name.to_owned(), ms)).collect(),
            status: status.into(),
            why: (!entry.why.is_empty()).then(|| entry.why.clone()),
        };
        Self { time: time(entry.ended_ms), kind: "platform.report".into(), record }
    }
}

impl fmt::Display for ReportLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}

/// The same as one line of text.
#[must_use]
pub fn text_line(entry: &Entry) -> String {
    use std::fmt::Write as _;
    let mut line = match entry.key.as_str() {
        "" => format!("{:<10} {}", entry.outcome, entry.cause),
        key => format!("{:<10} {}/{}", entry.outcome, entry.bucket, key.escape_debug()),
    };
    let _ = write!(line, "  {:.1} ms", milliseconds(entry.duration_us));
    for thumbnail in &entry.thumbnails {
        let _ = write!(line, "  {}x{}", thumbnail.width, thumbnail.height);
    }
    if entry.attempt > 1 {
        let _ = write!(line, "  attempt {}", entry.attempt);
    }
    if !entry.why.is_empty() {
        let _ = write!(line, "  {}", entry.why.escape_debug());
    }
    match entry.next {
        Settlement::Done => {}
        Settlement::Retry => line.push_str("  (to be tried again)"),
        Settlement::DeadLetter => line.push_str("  (dead letter)"),
    }
    let _ = write!(line, "  RequestId: {}", entry.request_id);
    line
}
