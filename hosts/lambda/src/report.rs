//! Standard output: a JSON line for each record, for CloudWatch Logs Insights, and at the end of an invocation the
//! metrics that Lambda does not publish itself, in CloudWatch's embedded metric format.

use std::{
    fs,
    io::{self, Write as _},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tintype_pipeline::{Outcome, Report, clock::now_ms};
use tintype_telemetry::{
    metrics::{Metric, Metrics, MetricsSnapshot},
    render::emf,
};

/// Writes the lines.
#[derive(Debug)]
pub(crate) struct Reporter {
    function_name: String,
    metrics: Metrics,
    snapshot: Mutex<MetricsSnapshot>,
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
    pub(crate) fn new(function_name: String) -> Self {
        Self { function_name, metrics: Metrics::default(), snapshot: Mutex::default() }
    }

    /// Logs and counts a record.
    pub(crate) fn record(&self, origin: Origin<'_>, report: &Report) {
        let since_upload = origin.occurred_ms.map(|occurred| (now_ms() - occurred).max(0));
        let time = since_upload.map(|since| Duration::from_millis(since.unsigned_abs()));
        self.metrics.report(report, time);
        print(&self.record_line(origin.request_id, since_upload, report));
    }

    /// Logs a fault that belongs to no record.
    pub(crate) fn fault(&self, request_id: &str, message: &str) {
        print(&json!({
            "level": "ERROR", "type": "tintype.fault", "function": self.function_name,
            "requestId": request_id, "message": message,
        }));
    }

    /// Logs a request of the API.
    pub(crate) fn request(
        &self,
        request_id: &str,
        method: &Value,
        path: &Value,
        status: &Value,
        time: Duration,
    ) {
        print(&json!({
            "level": "INFO", "type": "tintype.request", "function": self.function_name, "requestId": request_id,
            "method": method, "path": path, "status": status,
            "milliseconds": (time.as_secs_f64() * 1e6).round() / 1e3,
        }));
    }

    /// Logs the metrics of the invocation, at its end.
    pub(crate) fn invocation_ends(&self) {
        self.metrics.set(Metric::MemoryUsed, peak_memory_bytes());
        let row = self.metrics.take(&mut self.snapshot.lock().unwrap_or_else(PoisonError::into_inner));
        for line in emf::lines(&row, &self.function_name, now_ms()) {
            print(&line);
        }
    }

    fn record_line(&self, request_id: &str, since_upload: Option<i64>, report: &Report) -> Value {
        let mut line = report.to_json();
        let level = match &report.outcome {
            Outcome::Failed(_) => "ERROR",
            Outcome::Rendered | Outcome::UpToDate | Outcome::Removed | Outcome::Ignored(_) => "INFO",
        };
        line["level"] = level.into();
        line["type"] = "tintype.record".into();
        line["function"] = self.function_name.as_str().into();
        line["requestId"] = request_id.into();
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

/// The peak resident memory of the process in bytes; `None` where the system does not report it.
fn peak_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_pipeline::{Failure, Location, ObjectKey, Reason, outcome::Stages};

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
        let line = Reporter::new("Thumbnails".into()).record_line("r1", Some(250), &report);
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
    }

    #[test]
    fn the_peak_memory_is_read() {
        assert!(peak_memory_bytes().is_some_and(|memory| memory > 1 << 20));
    }
}
