//! Handles every record of an event, and builds the response for Lambda.

use async_trait::async_trait;
use serde_json::{Value, json};
use tintype_pipeline::{
    Attempt, Attempts, Conclusion, Delivery, Disposition, Failure, Outcome, Reason, Report, RetryPolicy,
    Stop,
    event::{self, Event, Part, Record},
    store::StoreError,
};
use tintype_sources::DeadLetter;

use crate::{
    function::Function,
    report::{Origin, Reporter},
};

/// Lambda counts attempts and ends them: a record fails its invocation as long as a retry may help.
fn policy() -> RetryPolicy {
    RetryPolicy { retries: u32::MAX, delays: Vec::new() }
}

/// The delivery of one record, settled with the others of its invocation.
struct RecordDelivery<'a>(&'a Part);

#[async_trait]
impl Delivery for RecordDelivery<'_> {
    fn record(&self) -> Result<&Record, &str> {
        self.0.record.as_ref().map_err(String::as_str)
    }

    fn attempts(&self) -> Attempts {
        Attempts::default()
    }

    /// Lambda's own retries look the same as first attempts: each costs a write that is refused.
    fn is_first(&self) -> bool {
        !self.0.is_repeated
    }

    async fn settle(&mut self, _: Conclusion) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A record that has been handled.
struct Handled {
    part: Part,
    report: Report,
    disposition: Disposition,
}

impl Handled {
    fn failure(&self) -> Option<&Failure> {
        match &self.report.outcome {
            Outcome::Failed(failure) => Some(failure),
            Outcome::Rendered | Outcome::UpToDate | Outcome::Removed | Outcome::Ignored(_) => None,
        }
    }
}

/// One attempt at a record.
async fn attempt(function: &Function, part: &Part, stop: &Stop) -> (Report, Disposition) {
    let (policy, mut delivery) = (policy(), RecordDelivery(part));
    let attempt = async {
        let call = function.call(stop);
        Ok(function.thumbnails.attempt(call, &policy, &function.store, &mut delivery).await)
    };
    match function.bound(stop, attempt).await {
        Ok(Attempt { report, disposition, .. }) => (report, disposition),
        Err(failure) => {
            let outcome = Outcome::Failed(failure);
            let disposition = Disposition::of(&outcome, Attempts::default(), &policy, false);
            let report = match &part.record {
                Ok(record) => Report::of(record, outcome),
                Err(message) => Report::bad_event(message.clone()),
            };
            (report, disposition)
        }
    }
}

/// Handles an event of any known shape; returns the response for Lambda.
///
/// # Errors
/// A record for which a retry may help: the invocation fails, so that Lambda retries the event. Batches of SQS return
/// the failed messages instead.
pub(crate) async fn handle(
    function: &Function,
    request_id: &str,
    payload: &str,
    stop: &Stop,
) -> Result<Value, Failure> {
    let bucket =
        function.settings.default_trigger().map(|trigger| trigger.bucket.as_str()).unwrap_or_default();
    let parts = match event::parse(payload.as_bytes(), bucket, event::MOST_RECORDS) {
        Ok(Event::Test) => Vec::new(),
        Ok(Event::Records(parts)) => parts,
        Err(message) => {
            let raw = serde_json::from_str(payload).unwrap_or_else(|_| payload.into());
            vec![Part { message_id: None, record: Err(message), is_repeated: false, occurred_ms: None, raw }]
        }
    };
    let mut handled = Vec::with_capacity(parts.len());
    for part in parts {
        let (report, disposition) = attempt(function, &part, stop).await;
        function.reporter.record(Origin { request_id, occurred_ms: part.occurred_ms }, &report);
        handled.push(Handled { part, report, disposition });
    }
    settle(function, request_id, stop, &handled).await
}

/// Messages of SQS are settled one by one; other events as a whole, since Lambda retries them as a whole.
async fn settle(
    function: &Function,
    request_id: &str,
    stop: &Stop,
    handled: &[Handled],
) -> Result<Value, Failure> {
    let mut messages: Vec<(Option<&str>, Vec<&Handled>)> = Vec::new();
    for one in handled {
        let id = one.part.message_id.as_deref();
        match messages.iter_mut().find(|(known, _)| *known == id) {
            Some((_, of_message)) => of_message.push(one),
            None => messages.push((id, vec![one])),
        }
    }
    let is_batch = messages.iter().any(|(id, _)| id.is_some());
    let mut failed = Vec::new();
    for (id, of_message) in messages {
        if let Err(failure) = settle_message(function, request_id, stop, &of_message).await {
            let Some(id) = id else { return Err(failure) };
            failed.push(json!({"itemIdentifier": id}));
        }
    }
    if is_batch {
        return Ok(json!({"batchItemFailures": failed}));
    }
    let records: Vec<Value> = handled.iter().map(|one| one.report.to_json()).collect();
    Ok(json!({"records": records}))
}

/// Dead letters are sent only once nothing is left to retry, so that each failure becomes one dead letter, not one for each attempt.
async fn settle_message(
    function: &Function,
    request_id: &str,
    stop: &Stop,
    handled: &[&Handled],
) -> Result<(), Failure> {
    let mut dead = Vec::new();
    for one in handled {
        match (one.disposition, one.failure()) {
            // Its image was deleted before it was read: there is nothing to send again, and the log has it.
            (Disposition::DeadLetter(Reason::Missing), _) => {}
            (Disposition::DeadLetter(_), Some(failure)) => dead.push((one, failure)),
            (Disposition::RetryAfter(_) | Disposition::Defer(_), Some(failure)) => {
                let source = one.report.source.as_ref().map(ToString::to_string).unwrap_or_default();
                return Err(Failure::new(failure.reason, format!("{source}: {}", failure.message)));
            }
            // The record succeeded.
            (Disposition::Ack, _) | (_, None) => {}
        }
    }
    for (one, failure) in dead {
        let sent = match &function.dead_letters {
            Some(queue) => {
                let letter = DeadLetter {
                    id: request_id.to_owned(),
                    request_id: request_id.to_owned(),
                    event: one.part.raw.clone(),
                    reason: failure.reason.name().to_owned(),
                    message: failure.message.clone(),
                };
                match stop.bound(queue.send(&letter)).await {
                    Some(sent) => sent.map_err(|error| error.to_string()),
                    None => Err("no time was left to send a dead letter".into()),
                }
            }
            None => Err(format!(
                "there is no dead-letter queue to send \"{}\" to: set DEAD_LETTER_QUEUE_URL",
                failure.message
            )),
        };
        if let Err(message) = sent {
            Reporter::fault(request_id, &message);
            return Err(Failure::new(Reason::Unavailable, message));
        }
    }
    Ok(())
}
