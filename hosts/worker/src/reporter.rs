//! Log lines in Lambda's format, as those of `tintype serve`, and metrics.
//! Source: AWS, "Lambda Telemetry API schema reference".

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use tintype_pipeline::{Disposition, Failure, Outcome, Reason, Report, clock::now_ms, outcome::Stages};
use tintype_telemetry::metrics::{InvocationGuard, Metric, Metrics};

/// Logs and counts.
#[derive(Debug)]
pub(crate) struct Reporter {
    function: String,
    memory_mb: u64,
    pub(crate) metrics: Metrics,
}

/// What an attempt is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) request_id: &'a str,
    /// S3's event name.
    pub(crate) event: &'a str,
    /// The number of the attempt, from 1.
    pub(crate) attempt: u32,
    /// Milliseconds since 1970 when the object was written.
    pub(crate) occurred_ms: Option<i64>,
}

/// A call under way.
pub(crate) struct UnderWay<'a> {
    metrics: &'a Metrics,
    started: Instant,
    _counted: InvocationGuard<'a>,
}

impl UnderWay<'_> {
    pub(crate) const fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn ended(self, is_error: bool) {
        self.metrics.ended(self.started.elapsed(), is_error);
    }
}

impl Reporter {
    pub(crate) fn new(function: String, memory_mb: u64) -> Self {
        Self { function, memory_mb, metrics: Metrics::default() }
    }

    pub(crate) fn function(&self) -> &str {
        &self.function
    }

    pub(crate) fn begin(&self) -> UnderWay<'_> {
        UnderWay { metrics: &self.metrics, started: Instant::now(), _counted: self.metrics.invocation() }
    }

    /// An event was taken.
    pub(crate) fn taken(&self, occurred_ms: Option<i64>) {
        self.metrics.add(Metric::AsyncEventsReceived, 1);
        if let Some(age) = since(occurred_ms) {
            self.metrics.observe(Metric::AsyncEventAge, age);
        }
    }

    /// An attempt ended and its event was settled so.
    pub(crate) fn record(&self, origin: Origin<'_>, report: &Report, disposition: Disposition) {
        let since_upload = since(origin.occurred_ms);
        self.metrics.report(report, since_upload);
        let failure = failure(report);
        let next = match disposition {
            Disposition::Ack => "done",
            Disposition::RetryAfter(_) | Disposition::Defer(_) => "retry",
            Disposition::DeadLetter(_) => "dead_letter",
        };
        let json = || self.line(origin, report, since_upload, next).to_string();
        let text = text_line(origin, report, next);
        if failure.is_some() {
            tracing::warn!(target: "platform.report", json = json(), "{text}");
        } else {
            tracing::info!(target: "platform.report", json = json(), "{text}");
        }
    }

    fn line(&self, origin: Origin<'_>, report: &Report, since_upload: Option<Duration>, next: &str) -> Value {
        let milliseconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let failure = failure(report);
        let status = match failure.map(|failure| failure.reason) {
            None => "success",
            Some(Reason::Stopped) => "timeout",
            Some(_) => "error",
        };
        let (bucket, key) = match &report.source {
            Some(at) => (at.bucket.as_str(), at.key.as_str()),
            None => ("", ""),
        };
        let stages = Stages::NAMES.iter().zip(report.stages.all());
        let stages: Map<_, _> =
            stages.map(|(name, time)| ((*name).to_owned(), milliseconds(time).into())).collect();
        let mut record = json!({
            "attempt": origin.attempt,
            "bucket": bucket,
            "event": origin.event,
            "function": self.function,
            "key": key,
            "metrics": {
                "billedDurationMs": report.total.as_micros().div_ceil(1000) as u64,
                "durationMs": milliseconds(report.total),
                "maxMemoryUsedMB": tintype_telemetry::process::resident_bytes().unwrap_or(0) >> 20,
                "memorySizeMB": self.memory_mb,
            },
            "next": next,
            "outcome": report.outcome.name(),
            "requestId": origin.request_id,
            "stagesMs": stages,
            "status": status,
        });
        if let Some(failure) = failure {
            record["errorType"] = failure.reason.name().into();
        }
        if let Some(why) = report.outcome.why() {
            record["why"] = why.into();
        }
        if let Some(time) = since_upload {
            record["sinceUploadMs"] = (time.as_millis() as u64).into();
        }
        json!({"time": tintype_telemetry::logging::timestamp(), "type": "platform.report", "record": record})
    }
}

fn since(occurred_ms: Option<i64>) -> Option<Duration> {
    occurred_ms.map(|occurred| Duration::from_millis((now_ms() - occurred).max(0).unsigned_abs()))
}

fn failure(report: &Report) -> Option<&Failure> {
    match &report.outcome {
        Outcome::Failed(failure) => Some(failure),
        Outcome::Rendered | Outcome::UpToDate | Outcome::Removed | Outcome::Ignored(_) => None,
    }
}

fn text_line(origin: Origin<'_>, report: &Report, next: &str) -> String {
    let outcome = report.outcome.name();
    let mut line = match &report.source {
        None => format!("{outcome:<10} {}", origin.event),
        Some(at) => format!("{outcome:<10} {}/{}", at.bucket, at.key.as_str().escape_debug()),
    };
    let _ = write!(line, "  {:.1} ms", report.total.as_secs_f64() * 1e3);
    for rendition in &report.renditions {
        let _ = write!(line, "  {}x{}", rendition.width, rendition.height);
    }
    if origin.attempt > 1 {
        let _ = write!(line, "  attempt {}", origin.attempt);
    }
    if let Some(why) = report.outcome.why() {
        let _ = write!(line, "  {}", why.escape_debug());
    }
    match next {
        "retry" => line.push_str("  (to be tried again)"),
        "dead_letter" => line.push_str("  (dead letter)"),
        _ => {}
    }
    let _ = write!(line, "  RequestId: {}", origin.request_id);
    line
}
