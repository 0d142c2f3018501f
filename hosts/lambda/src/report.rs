//! Standard output: a JSON line for each record, for CloudWatch Logs Insights, and, where they are switched on, at the
//! end of an invocation the metrics that Lambda does not publish itself, in CloudWatch's embedded metric format. Lambda
//! filters lines by `timestamp` and `level`.
//! Source: AWS, "Configuring advanced logging controls for Lambda functions".

use std::{
    io::{self, Write as _},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tintype_pipeline::{
    Failure, Outcome, Reason, Report,
    clock::{now_ms, rfc3339},
};
use tintype_telemetry::{
    metrics::{Metric, Metrics, MetricsSnapshot},
    process::peak_memory_bytes,
    render::emf,
};

/// Writes the lines.
#[derive(Debug)]
pub(crate) struct Reporter {
    function_name: String,
    metrics: Metrics,
    snapshot: Mutex<MetricsSnapshot>,
    /// Whether metrics are logged: each costs money by the month.
    logs_metrics: bool,
    /// Whether this is the process's first invocation.
    is_cold: AtomicBool,
}

/// The fields of a record's line beside its report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// The invocation.
    pub(crate) request_id: &'a str,
    /// Milliseconds since 1970 when the object was written, if the event has its time.
    pub(crate) occurred_ms: Option<i64>,
}

impl Reporter {
    /// A reporter for the function of this name.
    #[must_use]
    pub(crate) fn new(function_name: String, logs_metrics: bool) -> Self {
        Self {
            function_name,
            metrics: Metrics::default(),
            snapshot: Mutex::default(),
            logs_metrics,
            is_cold: AtomicBool::new(true),
        }
    }

    /// Logs and counts a record.
    pub(crate) fn record(&self, origin: Origin<'_>, report: &Report) {
        let since_upload = origin.occurred_ms.map(|occurred| (now_ms() - occurred).max(0));
        let time = since_upload.map(|since| Duration::from_millis(since.unsigned_abs()));
        self.metrics.report(report, time);
        print(&self.record_line(origin.request_id, since_upload, report));
    }

    /// Logs a fault that belongs to no record.
    pub(crate) fn fault(request_id: &str, message: &str) {
        print(&json!({
            "timestamp": rfc3339(now_ms()), "level": "ERROR", "type": "tintype.fault",
            "requestId": request_id, "message": message,
        }));
    }

    /// Logs a request of the API.
    pub(crate) fn request(request_id: &str, method: &Value, path: &Value, status: &Value, time: Duration) {
        print(&json!({
            "timestamp": rfc3339(now_ms()), "level": "INFO", "type": "tintype.request", "requestId": request_id,
            "method": method, "path": path, "status": status,
            "milliseconds": (time.as_secs_f64() * 1e6).round() / 1e3,
        }));
    }

    /// Logs the metrics of the invocation, at its end, where they are switched on.
    pub(crate) fn invocation_ends(&self) {
        self.is_cold.store(false, Ordering::Relaxed);
        if !self.logs_metrics {
            return;
        }
        self.metrics.set(Metric::MemoryUsed, peak_memory_bytes());
        let row = self.metrics.take(&mut self.snapshot.lock().unwrap_or_else(PoisonError::into_inner));
        for line in emf::lines(&row, &self.function_name, now_ms()) {
            print(&line);
        }
    }

    fn record_line(&self, request_id: &str, since_upload: Option<i64>, report: &Report) -> Value {
        let mut line = report.to_json();
        let level = match &report.outcome {
            Outcome::Failed(Failure { reason: Reason::Missing, .. }) => "WARN",
            Outcome::Failed(_) => "ERROR",
            Outcome::Rendered | Outcome::UpToDate | Outcome::Removed | Outcome::Ignored(_) => "INFO",
        };
        line["timestamp"] = rfc3339(now_ms()).into();
        line["level"] = level.into();
        line["type"] = "tintype.record".into();
        line["requestId"] = request_id.into();
        if self.is_cold.load(Ordering::Relaxed) {
            line["coldStart"] = true.into();
        }
        // Their sum alone: lines are paid for by the byte.
        if let Some(fields) = line.as_object_mut() {
            fields.remove("renditions");
        }
        line["thumbnailBytes"] = report.renditions.iter().map(|one| one.bytes).sum::<u64>().into();
        // Flattened, for simple queries.
        if let Some(Value::Object(source)) = line.as_object_mut().and_then(|line| line.remove("source")) {
            line["bucket"] = source["bucket"].clone();
            line["key"] = source["key"].clone();
        }
        line["sourceBytes"] = report.source_bytes.into();
        line["memoryBytes"] = peak_memory_bytes().into();
        line["sinceUploadMs"] = since_upload.into();
        line
    }
}

/// Writes and flushes a line: Lambda freezes the process as soon as the invocation has ended.
fn print(line: &impl std::fmt::Display) {
    let mut out = io::stdout().lock();
    // A closed standard output is ignored.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_pipeline::{Location, ObjectKey, outcome::Stages};

    #[test]
    fn a_line_has_the_object_and_its_outcome() {
        let source = Location { bucket: "in".into(), key: ObjectKey::new("a b.jpg").unwrap() };
        let report = Report {
            source: Some(source),
            outcome: Outcome::Failed(Failure::new(Reason::Malformed, "cut short")),
            renditions: vec![],
            source_bytes: 500,
            stages: Stages::default(),
            total: Duration::from_millis(9),
        };
        let reporter = Reporter::new("Thumbnails".into(), false);
        let line = reporter.record_line("r1", Some(250), &report);
        let expected = [
            ("level", json!("ERROR")),
            ("requestId", json!("r1")),
            ("bucket", json!("in")),
            ("key", json!("a b.jpg")),
            ("outcome", json!("failed")),
            ("reason", json!("malformed")),
            ("why", json!("cut short")),
            ("milliseconds", json!(9.0)),
            ("sourceBytes", json!(500)),
            ("sinceUploadMs", json!(250)),
        ];
        for (name, value) in expected {
            assert_eq!(line[name], value, "{name} in {line}");
        }
        assert!(line["stages"]["decode"].is_number());
        assert!(!line.to_string().contains('\n'));
        assert_eq!(line["coldStart"], true);
        assert!(
            line["timestamp"].as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')),
            "{line}"
        );
        reporter.invocation_ends();
        assert_eq!(reporter.record_line("r2", None, &report)["coldStart"], Value::Null);
    }

    #[test]
    fn a_line_of_a_thumbnail_is_shorter_than_500_bytes() {
        let source = Location {
            bucket: "input-product-images-123456789012-ap-southeast-1".into(),
            key: ObjectKey::new("products/2026/summer/IMG_20260704_120000.jpg").unwrap(),
        };
        let stage = Duration::from_micros(12_345);
        let report = Report {
            source: Some(source),
            outcome: Outcome::Rendered,
            renditions: vec![],
            source_bytes: 12_345_678,
            stages: Stages {
                wait: stage,
                read: stage,
                decode: stage,
                resample: stage,
                encode: stage,
                write: stage,
            },
            total: stage * 6,
        };
        let reporter = Reporter::new("Thumbnails".into(), false);
        let line =
            reporter.record_line("8476a536-e9f4-11e8-9739-2dfe598c3fcd", Some(1250), &report).to_string();
        assert!(line.len() < 500, "{} bytes: {line}", line.len());
    }

    #[test]
    fn an_image_deleted_before_it_was_read_is_a_warning() {
        let report = Report::bad_event("gone".into());
        let report = Report { outcome: Outcome::Failed(Failure::new(Reason::Missing, "gone")), ..report };
        let line = Reporter::new("Thumbnails".into(), false).record_line("r", None, &report);
        assert_eq!((&line["level"], &line["reason"]), (&json!("WARN"), &json!("missing")));
    }
}
