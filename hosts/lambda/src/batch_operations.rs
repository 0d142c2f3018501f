//! S3 Batch Operations: a job calls the function for each object of its list, and reports what became of it.
//! Source: AWS, "Invoke AWS Lambda function" (S3 Batch Operations).

use serde::Deserialize;
use serde_json::{Value, json};
use tintype_pipeline::{
    Attempts, Disposition, Outcome, Report, RetryPolicy, Stop,
    event::{self, Event},
};

use crate::{function::Function, report::Origin};

/// The longest result of a task, in bytes; the job's report has it.
const LONGEST_RESULT: usize = 1024;

/// A call of a job.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Job {
    invocation_schema_version: String,
    invocation_id: String,
    tasks: Vec<Task>,
}

/// One object of its list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    task_id: String,
    /// URL-encoded, as in S3's events.
    s3_key: String,
    /// In version 2.0.
    s3_bucket: Option<String>,
    /// In version 1.0.
    s3_bucket_arn: Option<String>,
}

/// The job's call, if the event is one. A substring search avoids parsing others.
pub(crate) fn job(payload: &str) -> Option<Job> {
    if !payload.contains("\"invocationSchemaVersion\"") {
        return None;
    }
    serde_json::from_str(payload).ok()
}

/// Handles every task, one after another; S3 sends one. Failures are in the job's report instead of the dead-letter queue.
pub(crate) async fn handle(function: &Function, request_id: &str, job: Job, stop: &Stop) -> Value {
    let mut results = Vec::with_capacity(job.tasks.len());
    for task in &job.tasks {
        let report = match task.part() {
            Ok(record) => function.handle(&record, stop).await,
            Err(message) => Report::bad_event(message),
        };
        function.reporter.record(Origin { request_id, occurred_ms: None }, &report);
        results.push(result(&task.task_id, &report));
    }
    json!({
        "invocationSchemaVersion": job.invocation_schema_version,
        "treatMissingKeysAs": "PermanentFailure",
        "invocationId": job.invocation_id,
        "results": results,
    })
}

impl Task {
    /// As a record of an event of S3, which its key is encoded as in.
    fn part(&self) -> Result<event::Record, String> {
        let named = self.s3_bucket.as_deref();
        let bucket = named.or_else(|| self.s3_bucket_arn.as_deref()?.rsplit(":").next()).unwrap_or_default();
        let event = json!({"Records": [{
            "eventName": "ObjectCreated:BatchOperations",
            "s3": {"bucket": {"name": bucket}, "object": {"key": self.s3_key}},
        }]});
        match event::parse(event.to_string().as_bytes(), "", 1)? {
            Event::Records(parts) => parts
                .into_iter()
                .next()
                .map_or_else(|| Err("the task has no object".into()), |part| part.record),
            Event::Test => Err("the task has no object".into()),
        }
    }
}

/// The result of a task: a job tries temporary failures again.
fn result(task_id: &str, report: &Report) -> Value {
    let policy = RetryPolicy { retries: u32::MAX, delays: Vec::new() };
    let code = match Disposition::of(&report.outcome, Attempts::default(), &policy, false) {
        Disposition::Ack => "Succeeded",
        Disposition::RetryAfter(_) | Disposition::Defer(_) => "TemporaryFailure",
        Disposition::DeadLetter(_) => "PermanentFailure",
    };
    let text = match &report.outcome {
        Outcome::Failed(failure) => format!("{}: {}", failure.reason.name(), failure.message),
        outcome => outcome.name().to_owned(),
    };
    json!({"taskId": task_id, "resultCode": code, "resultString": &text[..text.floor_char_boundary(LONGEST_RESULT)]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_pipeline::{Failure, Reason};

    fn event(version: &str, task: Value) -> String {
        json!({"invocationSchemaVersion": version, "invocationId": "i", "job": {"id": "j"}, "tasks": [task]})
            .to_string()
    }

    #[test]
    fn tasks_of_both_versions_name_their_object() {
        let first = json!({"taskId": "t", "s3Key": "a+b%2B1.jpg", "s3VersionId": null, "s3BucketArn": "arn:aws:s3:::in"});
        let second = json!({"taskId": "t", "s3Key": "a+b%2B1.jpg", "s3VersionId": "1", "s3Bucket": "in"});
        for text in [event("1.0", first), event("2.0", second)] {
            let job = job(&text).unwrap();
            let record = job.tasks[0].part().unwrap();
            assert_eq!((record.bucket.as_str(), record.key.as_str()), ("in", "a b+1.jpg"));
        }
        assert!(job(r#"{"Records": [], "key": "a.jpg"}"#).is_none());
        assert!(job(r#"{"key": "\"invocationSchemaVersion\""}"#).is_none(), "a test event");
        let empty = event("2.0", json!({"taskId": "t", "s3Key": "", "s3Bucket": "in"}));
        assert!(job(&empty).unwrap().tasks[0].part().is_err());
    }

    #[test]
    fn failures_are_temporary_or_permanent() {
        let of = |outcome: Outcome| {
            let report = Report { outcome, ..Report::bad_event(String::new()) };
            result("t", &report)["resultCode"].clone()
        };
        assert_eq!(of(Outcome::Rendered), "Succeeded");
        assert_eq!(of(Outcome::Failed(Failure::new(Reason::Malformed, "x"))), "PermanentFailure");
        assert_eq!(of(Outcome::Failed(Failure::new(Reason::Unavailable, "x"))), "TemporaryFailure");
        let long = Report::bad_event("ü".repeat(900));
        assert!(result("t", &long)["resultString"].as_str().is_some_and(|text| text.len() <= LONGEST_RESULT));
    }
}
