//! Every record of an event through the function, and what Lambda is told of it.

use serde_json::{Value, json};
use tintype_pipeline::{
    Failure, Outcome, Reason, Report,
    event::{self, Event, Part},
};

use crate::{deadline::Deadline, function::Function, report::Origin};

/// What is to be done about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict<'a> {
    /// Nothing more.
    Done,
    /// A dead letter: trying again cannot help.
    DeadLetter(&'a Failure),
    /// Lambda is to bring it again.
    Retry(&'a Failure),
}

fn verdict(report: &Report) -> Verdict<'_> {
    match &report.outcome {
        Outcome::Made | Outcome::UpToDate | Outcome::Removed | Outcome::Ignored(_) => Verdict::Done,
        Outcome::Failed(failure) if failure.reason.is_permanent() => Verdict::DeadLetter(failure),
        Outcome::Failed(failure) => Verdict::Retry(failure),
    }
}

/// A record that has been handled.
struct Handled {
    part: Part,
    report: Report,
}

/// Handles an event of any known shape; answers what Lambda is told.
///
/// # Errors
/// Records that failed in a way that trying again may mend: the invocation is to fail, so that Lambda brings
/// the event again. Batches of SQS answer the messages to bring again instead.
pub(crate) async fn handle(
    function: &Function,
    request_id: &str,
    payload: &str,
    deadline: Deadline,
) -> Result<Value, Failure> {
    let bucket =
        function.settings.triggers.first().map(|trigger| trigger.bucket.as_str()).unwrap_or_default();
    let parts = match event::parse(payload.as_bytes(), bucket, event::MOST_RECORDS) {
        Ok(Event::Test) => Vec::new(),
        Ok(Event::Records(parts)) => parts,
        Err(message) => {
            let raw = serde_json::from_str(payload).unwrap_or_else(|_| payload.into());
            vec![Part { message_id: None, record: Err(message), occurred_ms: None, raw }]
        }
    };
    let mut handled = Vec::with_capacity(parts.len());
    for part in parts {
        let report = match &part.record {
            Ok(record) => function.handle(record, deadline).await,
            Err(message) => Report::bad_event(message.clone()),
        };
        function.reporter.record(Origin { request_id, occurred_ms: part.occurred_ms }, &report);
        handled.push(Handled { part, report });
    }
    settle(function, request_id, deadline, &handled).await
}

/// Messages of SQS are settled one by one; everything else as a whole, since Lambda brings it again whole.
async fn settle(
    function: &Function,
    request_id: &str,
    deadline: Deadline,
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
    let mut again = Vec::new();
    for (id, of_message) in messages {
        if let Err(failure) = settle_message(function, request_id, deadline, &of_message).await {
            let Some(id) = id else { return Err(failure) };
            again.push(json!({"itemIdentifier": id}));
        }
    }
    if is_batch {
        return Ok(json!({"batchItemFailures": again}));
    }
    let records: Vec<Value> = handled.iter().map(|one| one.report.to_json()).collect();
    Ok(json!({"records": records}))
}

/// Dead letters are sent only once nothing is to be brought again: each failure becomes one, not one an attempt.
async fn settle_message(
    function: &Function,
    request_id: &str,
    deadline: Deadline,
    handled: &[&Handled],
) -> Result<(), Failure> {
    let mut dead = Vec::new();
    for one in handled {
        match verdict(&one.report) {
            Verdict::Done => {}
            Verdict::DeadLetter(failure) => dead.push((one, failure)),
            Verdict::Retry(failure) => {
                let source = one.report.source.as_ref().map(ToString::to_string).unwrap_or_default();
                return Err(Failure::new(failure.reason, format!("{source}: {}", failure.message)));
            }
        }
    }
    for (one, failure) in dead {
        let sent = match &function.dead_letters {
            Some(queue) => {
                let sending = queue.send(request_id, &one.part.raw, failure);
                deadline
                    .bound(sending)
                    .await
                    .unwrap_or_else(|| Err("no time was left to send a dead letter".into()))
            }
            None => Err(format!(
                "there is no dead-letter queue to send \"{}\" to: set DEAD_LETTER_QUEUE_URL",
                failure.message
            )),
        };
        if let Err(message) = sent {
            function.reporter.fault(request_id, &message);
            return Err(Failure::new(Reason::Unavailable, message));
        }
    }
    Ok(())
}
