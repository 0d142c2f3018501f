//! Results as they are recorded: server-sent events.
//! Source: WHATWG, HTML, "Server-sent events".

use std::{convert::Infallible, future::ready, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{StreamExt as _, stream};
use serde_json::json;

use super::{Console, results};
use crate::admin::{Entry, Fields, Refusal, ResultsRequest};

/// A comment is sent this often, so that both ends notice a dead connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Each result as an event `result`: JSON with bucket, key, outcome and its HTML. The stream ends when the access key
/// is removed that it was asked for with, or loses the right.
pub(super) async fn events(
    State(console): State<Console>,
    Fields(request): Fields<ResultsRequest>,
) -> Result<Response, Refusal> {
    let results = console.inner.admin.follow_results("/events")?;
    let events = results.filter_map(move |entry| ready(request.matches(&entry).then(|| event(&entry))));
    let opening = stream::iter([Ok(Event::default().retry(Duration::from_secs(2)).comment("open"))]);
    let stream = Sse::new(opening.chain(events)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(stream.into_response())
}

fn event(entry: &Entry) -> Result<Event, Infallible> {
    let data = json!({
        "bucket": entry.bucket,
        "key": entry.key,
        "outcome": entry.outcome,
        "cause": entry.cause,
        "next": entry.next,
        "ended_ms": entry.ended_ms,
        // As earlier versions had it.
        "endedMs": entry.ended_ms,
        "html": results::item(entry),
    });
    Ok(Event::default().event("result").data(data.to_string()))
}
