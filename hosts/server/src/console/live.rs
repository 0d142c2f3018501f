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
use crate::{
    admin::{Entry, Fields, Refusal, ResultsRequest},
    auth::caller,
};

/// A comment is sent this often, so that both ends notice a dead connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The sender's access key is looked up this often, besides before each event.
const CHECK: Duration = Duration::from_secs(2);

/// Each result as an event `result`: JSON with bucket, key, outcome and its HTML. The stream ends when the access key is
/// removed that it was asked for with.
pub(super) async fn events(
    State(console): State<Console>,
    Fields(request): Fields<ResultsRequest>,
) -> Result<Response, Refusal> {
    let results = console.inner.admin.follow_results()?;
    let checks = stream::unfold((), |()| async {
        tokio::time::sleep(CHECK).await;
        Some((Item::Check, ()))
    });
    // A shutdown ends the results, and with them the stream.
    let results = results.map(Item::Result).chain(stream::once(ready(Item::End)));
    let caller = caller::current();
    // The port knows every sender; only a router that is called without it has none.
    let is_known = move || caller.as_ref().is_none_or(|caller| caller.is_known());
    let events = stream::select(results, checks)
        .take_while(move |item| ready(!matches!(item, Item::End) && is_known()))
        .filter_map(move |item| {
            ready(match item {
                Item::Result(entry) if request.matches(&entry) => Some(event(&entry)),
                _ => None,
            })
        });
    let opening = stream::iter([Ok(Event::default().retry(Duration::from_secs(2)).comment("open"))]);
    let stream = Sse::new(opening.chain(events)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(stream.into_response())
}

/// What the stream waits for.
enum Item<T> {
    Result(T),
    /// Nothing but that time has passed.
    Check,
    /// There will be no more results.
    End,
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
