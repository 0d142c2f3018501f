//! An attempt as log lines: Lambda's JSON, and text for people.
//! Source: AWS, "Lambda Telemetry API schema reference".

use serde_json::{Value, json};
use tintype_pipeline::Location;

use super::Entry;

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
pub fn start_line(now_ms: i64, request_id: &str, at: &Location, attempt: u32) -> String {
    let record = json!({
        "requestId": request_id,
        "version": "$LATEST",
        "attempt": attempt,
        "bucket": at.bucket,
        "key": at.key.as_str(),
    });
    line(now_ms, "platform.start", &record)
}

/// Written by hand so that time and type come first.
fn line(milliseconds: i64, kind: &str, record: &Value) -> String {
    format!("{{\"time\":\"{}\",\"type\":\"{kind}\",\"record\":{record}}}", time(milliseconds))
}

/// The line of an attempt that ended: `platform.report`, with its outcome.
#[must_use]
pub fn report_line(entry: &Entry, function: &str, memory_mb: u64) -> String {
    let status = match (entry.has_failed(), entry.reason.as_str()) {
        (false, _) => "success",
        (true, "stopped") => "timeout",
        (true, _) => "error",
    };
    let mut record = json!({
        "requestId": entry.request_id,
        "function": function,
        "metrics": {
            "durationMs": milliseconds(entry.duration_us),
            "billedDurationMs": entry.duration_us.div_ceil(1000),
            "memorySizeMB": memory_mb,
            "maxMemoryUsedMB": entry.memory_mb,
        },
        "status": status,
        "bucket": entry.bucket,
        "key": entry.key,
        "event": entry.cause,
        "attempt": entry.attempt,
        "outcome": entry.outcome,
        "next": entry.next,
        "stagesMs": entry.stages_ms().map(|(name, ms)| (name.to_owned(), ms.into()))
            .collect::<serde_json::Map<_, _>>(),
    });
    if entry.has_failed() {
        record["errorType"] = entry.reason.as_str().into();
    }
    if !entry.why.is_empty() {
        record["why"] = entry.why.as_str().into();
    }
    if let Some(latency) = entry.latency_ms() {
        record["sinceUploadMs"] = latency.into();
    }
    line(entry.ended_ms, "platform.report", &record)
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
        super::Settlement::Done => {}
        super::Settlement::Retry => line.push_str("  (to be tried again)"),
        super::Settlement::DeadLetter => line.push_str("  (dead letter)"),
    }
    let _ = write!(line, "  RequestId: {}", entry.request_id);
    line
}
