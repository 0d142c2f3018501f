//! One line a record on standard output: a JSON object that CloudWatch Logs Insights searches, with the
//! metrics that Lambda itself does not have in CloudWatch's embedded metric format (EMF).
//! Source: AWS, "Specification: Embedded metric format".

use std::{
    fs,
    io::{self, Write as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};
use tintype_function::{Outcome, Report};

/// The metrics' namespace.
pub(crate) const NAMESPACE: &str = "Tintype";

/// Writes the lines.
#[derive(Debug)]
pub(crate) struct Reporter {
    function_name: String,
}

/// What a record's line says beside its report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// The invocation.
    pub(crate) request_id: &'a str,
    /// Milliseconds since 1970 when the object was written, if the event says so.
    pub(crate) occurred_ms: Option<i64>,
}

impl Reporter {
    /// Lines of the function of this name.
    #[must_use]
    pub(crate) fn new(function_name: String) -> Self {
        Self { function_name }
    }

    /// Tells what became of a record.
    pub(crate) fn record(&self, origin: Origin<'_>, report: &Report) {
        print(&self.record_line(origin, report, now_ms(), peak_memory_mb()));
    }

    /// Tells of a fault that belongs to no record.
    pub(crate) fn fault(&self, request_id: &str, message: &str) {
        print(&json!({
            "level": "ERROR", "type": "tintype.fault", "function": self.function_name,
            "requestId": request_id, "message": message,
        }));
    }

    fn record_line(&self, origin: Origin<'_>, report: &Report, now_ms: i64, memory_mb: Option<f64>) -> Value {
        let mut line = Map::new();
        let mut say = |name: &str, value: Value| line.insert(name.to_owned(), value);
        let level = match &report.outcome {
            Outcome::Failed(_) => "ERROR",
            Outcome::Made | Outcome::UpToDate | Outcome::Removed | Outcome::Ignored(_) => "INFO",
        };
        say("level", level.into());
        say("type", "tintype.record".into());
        say("FunctionName", self.function_name.as_str().into());
        say("requestId", origin.request_id.into());
        if let Value::Object(told) = report.to_json() {
            for (name, value) in told {
                // One level, so that queries name fields simply.
                match (name.as_str(), value) {
                    ("source", Value::Object(source)) => {
                        for (name, value) in source {
                            say(&name, value);
                        }
                    }
                    ("milliseconds" | "stages", _) => {}
                    (_, value) => {
                        say(&name, value);
                    }
                }
            }
        }
        let mut metrics = vec![];
        let mut measure = |name: &'static str, unit: &'static str, value: Value| {
            line.insert(name.to_owned(), value);
            metrics.push(json!({"Name": name, "Unit": unit}));
        };
        let counted = match &report.outcome {
            Outcome::Made => "Made",
            Outcome::UpToDate => "UpToDate",
            Outcome::Removed => "Removed",
            Outcome::Ignored(_) => "Ignored",
            Outcome::Failed(_) => "Failed",
        };
        measure(counted, "Count", 1.into());
        measure("FunctionTime", "Milliseconds", milliseconds(report.total));
        measure("WaitTime", "Milliseconds", milliseconds(report.stages.wait));
        measure("ReadTime", "Milliseconds", milliseconds(report.stages.read));
        measure("RenderTime", "Milliseconds", milliseconds(report.stages.render));
        measure("WriteTime", "Milliseconds", milliseconds(report.stages.write));
        measure("SourceBytes", "Bytes", report.source_bytes.into());
        if let Some(memory_mb) = memory_mb {
            measure("MemoryUsed", "Megabytes", memory_mb.into());
        }
        if report.outcome == Outcome::Made {
            let bytes: u64 = report.renditions.iter().map(|made| made.bytes).sum();
            measure("ThumbnailBytes", "Bytes", bytes.into());
            if let Some(occurred_ms) = origin.occurred_ms {
                measure("UploadToThumbnail", "Milliseconds", (now_ms - occurred_ms).max(0).into());
            }
        }
        let mut directives =
            vec![json!({"Namespace": NAMESPACE, "Dimensions": [["FunctionName"]], "Metrics": metrics})];
        if let Outcome::Failed(failure) = &report.outcome {
            line.insert("Reason".to_owned(), failure.reason.name().into());
            directives.push(json!({
                "Namespace": NAMESPACE, "Dimensions": [["FunctionName", "Reason"]],
                "Metrics": [{"Name": "Failed", "Unit": "Count"}],
            }));
        }
        line.insert("_aws".to_owned(), json!({"Timestamp": now_ms, "CloudWatchMetrics": directives}));
        Value::Object(line)
    }
}

/// A line at once: Lambda freezes the process as soon as the invocation has ended.
fn print(line: &Value) {
    let mut out = io::stdout().lock();
    // Where nobody reads, there is nobody to tell.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn milliseconds(time: Duration) -> Value {
    ((time.as_secs_f64() * 1e6).round() / 1e3).into()
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// The most memory the process has held, in MB; `None` where the system does not tell.
fn peak_memory_mb() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some((kibibytes / 102.4).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_function::{Failure, Location, ObjectKey, Reason, RenditionReport, outcome::Stages};

    fn at(key: &str) -> Location {
        Location { bucket: "in".into(), key: ObjectKey::new(key).unwrap() }
    }

    fn report(outcome: Outcome) -> Report {
        let stages = Stages { render: Duration::from_micros(2500), ..Stages::default() };
        let made =
            RenditionReport { at: at("thumb_a.jpg"), width: 1, height: 1, bytes: 70, etag: "e".into() };
        let total = Duration::from_millis(9);
        Report {
            source: Some(at("a.jpg")),
            outcome,
            renditions: vec![made],
            source_bytes: 500,
            stages,
            total,
        }
    }

    fn line(outcome: Outcome, occurred_ms: Option<i64>) -> Value {
        let origin = Origin { request_id: "r1", occurred_ms };
        Reporter::new("Thumbnails".into()).record_line(origin, &report(outcome), 10_000, Some(31.5))
    }

    /// Every metric announced has a number in the line, every dimension a text: else CloudWatch drops it.
    fn check_emf(line: &Value) {
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            for dimension in directive["Dimensions"][0].as_array().unwrap() {
                assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension} in {line}");
            }
            for metric in directive["Metrics"].as_array().unwrap() {
                assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric} in {line}");
            }
        }
    }

    #[test]
    fn a_thumbnail_made() {
        let line = line(Outcome::Made, Some(9_750));
        check_emf(&line);
        assert_eq!((line["bucket"].as_str(), line["key"].as_str()), (Some("in"), Some("a.jpg")));
        assert_eq!(
            (&line["Made"], &line["UploadToThumbnail"], &line["ThumbnailBytes"]),
            (&json!(1), &json!(250), &json!(70))
        );
        assert_eq!((&line["RenderTime"], &line["MemoryUsed"]), (&json!(2.5), &json!(31.5)));
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn a_failure_is_counted_by_its_reason_too() {
        let line = line(Outcome::Failed(Failure::new(Reason::Malformed, "cut short")), Some(9_750));
        check_emf(&line);
        assert_eq!((line["level"].as_str(), line["Reason"].as_str()), (Some("ERROR"), Some("malformed")));
        assert_eq!(line["_aws"]["CloudWatchMetrics"][1]["Dimensions"], json!([["FunctionName", "Reason"]]));
        assert_eq!(line["why"], "cut short");
        assert!(line.get("UploadToThumbnail").is_none() && line.get("Made").is_none());
    }

    #[test]
    fn this_process_uses_some_memory() {
        assert!(peak_memory_mb().is_some_and(|memory| memory > 1.0));
    }
}
