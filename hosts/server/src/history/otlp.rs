//! Exports traces, one from upload to thumbnail, to an OpenTelemetry collector.

use std::{sync::Arc, time::Duration};

use http::Method;
use tintype_telemetry::render::otlp::{self, Attribute, Span};

use super::{Entry, History, Settlement};
use crate::http_client::{HttpClient, Trust};

/// The longest time a batch of results is collected, and the most results in one.
const BATCH_TIME: Duration = Duration::from_secs(1);
const BATCH_RESULTS: usize = 256;

/// Sends the trace of every result to `endpoint`, such as `http://127.0.0.1:4318`, until the server shuts
/// down. Traces that the collector does not accept are dropped.
pub async fn export(history: Arc<History>, endpoint: String, function: String) {
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let client = match HttpClient::new(&url, &Trust::System) {
        Ok(client) => client,
        Err(error) => return tracing::warn!(url, "no traces are sent: {error:#}"),
    };
    let mut failing = false;
    // A subscription that falls behind ends; the next one skips what was missed.
    while let Some(mut results) = history.result_stream().subscribe_unbounded() {
        while let Some(first) = results.next().await {
            let mut entries = vec![first];
            let deadline = tokio::time::Instant::now() + BATCH_TIME;
            while entries.len() < BATCH_RESULTS
                && let Ok(Some(entry)) = tokio::time::timeout_at(deadline, results.next()).await
            {
                entries.push(entry);
            }
            let spans: Vec<Span> = entries.iter().flat_map(|entry| spans(entry)).collect();
            let body = otlp::request("tintype", env!("CARGO_PKG_VERSION"), &function, &spans).to_string();
            let sent = client.send(Method::POST, &url, "application/json", body.into()).await;
            let problem = match sent {
                Ok(response) if response.status.is_success() => None,
                Ok(response) => Some(response.status.to_string()),
                Err(error) => Some(format!("{error:#}")),
            };
            if let Some(problem) = &problem
                && !failing
            {
                tracing::warn!(
                    url,
                    problem,
                    "the collector accepts no traces; they are dropped until it does"
                );
            }
            failing = problem.is_some();
        }
    }
}

/// The spans of an attempt and its stages; with the last attempt also the root span. The trace id is the request's id,
/// a UUID and so of the right length.
fn spans(entry: &Entry) -> Vec<Span> {
    let trace: String = entry.request_id.chars().filter(char::is_ascii_hexdigit).collect();
    if trace.len() != 32 {
        return Vec::new();
    }
    let end_us = entry.ended_ms * 1000;
    let begin_us = end_us - i64::try_from(entry.duration_us).unwrap_or(0);
    // One request may concern many objects, and an object may be queued several times.
    let seed = fold(&trace[16..], &[entry.bucket.as_bytes(), entry.key.as_bytes()], entry.queued_ms);
    let root = id(seed, 0, 0);
    let attempt = id(seed, entry.attempt, 1);
    let span = |id: &str, parent: &str, name: &str, begin_us: i64, end_us: i64, attributes| Span {
        trace_id: trace.clone(),
        span_id: id.to_owned(),
        parent_span_id: parent.to_owned(),
        name: name.to_owned(),
        begin_us,
        end_us,
        attributes,
        error: entry.has_failed().then(|| entry.why.clone()),
    };
    let text = |key, value: &str| (key, Attribute::Text(value.to_owned()));
    let number = |key, value| (key, Attribute::Number(value));
    let mut spans = Vec::new();
    let parent = match entry.queued_ms {
        Some(queued_ms) => {
            if entry.next != Settlement::Retry {
                let attributes = vec![
                    text("aws.s3.bucket", &entry.bucket),
                    text("aws.s3.key", &entry.key),
                    text("tintype.outcome", &entry.outcome),
                    number("tintype.attempts", entry.attempt.into()),
                ];
                spans.push(span(&root, "", "upload to thumbnail", queued_ms * 1000, end_us, attributes));
            }
            root.as_str()
        }
        None => "",
    };
    let attributes = vec![
        text("faas.invocation_id", &entry.request_id),
        text("tintype.cause", &entry.cause),
        text("tintype.reason", &entry.reason),
        number("tintype.source_bytes", entry.source_bytes),
    ];
    let name = format!("attempt {}", entry.attempt);
    spans.push(span(&attempt, parent, &name, begin_us, end_us, attributes));
    let mut at = begin_us;
    for (index, (name, micros)) in
        tintype_pipeline::outcome::Stages::NAMES.into_iter().zip(entry.stages_us).enumerate()
    {
        let until = at + i64::try_from(micros).unwrap_or(0);
        if micros > 0 {
            let id = id(seed, entry.attempt, index as u64 + 2);
            spans.push(span(&id, &attempt, name, at, until, Vec::new()));
        }
        at = until;
    }
    spans
}

/// FNV-1a of what identifies the spans of one event within a trace.
fn fold(trace: &str, names: &[&[u8]], queued_ms: Option<i64>) -> u64 {
    let when = queued_ms.unwrap_or(0).to_le_bytes();
    let all = names.iter().flat_map(|name| name.iter().chain([&0])).chain(&when).chain(trace.as_bytes());
    all.fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// A deterministic span id; never zero, which is invalid.
fn id(seed: u64, attempt: u32, part: u64) -> String {
    let mixed = (seed ^ u64::from(attempt) << 8 ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("{:016x}", (mixed ^ mixed >> 31).max(1))
}
