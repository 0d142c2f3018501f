//! Results as they come: server-sent events.
//! Source: WHATWG, HTML, "Server-sent events".

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use tintype_api::message;

use super::{
    Console,
    results::{self, Wanted},
};

/// A sign of life, so that a connection gone dead is noticed on both ends.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// Each result as an event `result`: JSON with bucket, key, outcome and its HTML.
pub(super) async fn events(State(console): State<Console>, Query(wanted): Query<Wanted>) -> Response {
    let Some(follower) = console.inner.history.result_stream().subscribe() else {
        return message(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many follow the results already, or the server is shutting down; try again",
        );
    };
    let events = stream::unfold((follower, wanted), |(mut follower, wanted)| async move {
        loop {
            // Whoever does not keep up is ended here, and asks anew.
            let entry = follower.next().await?;
            if !wanted.takes(&entry) {
                continue;
            }
            let data = serde_json::json!({
                "bucket": entry.bucket,
                "key": entry.key,
                "outcome": entry.outcome,
                "endedMs": entry.ended_ms,
                "html": results::item(&entry),
            });
            let event = Event::default().event("result").data(data.to_string());
            return Some((Ok::<_, Infallible>(event), (follower, wanted)));
        }
    });
    let opening = stream::iter([Ok(Event::default().retry(Duration::from_secs(2)).comment("open"))]);
    let stream = futures::StreamExt::chain(opening, events);
    Sse::new(stream).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE)).into_response()
}
