//! Results as they are recorded: as server-sent events, and as messages of a WebSocket.
//! Source: WHATWG, HTML, "Server-sent events"; RFC 6455.

use std::{convert::Infallible, future::ready, pin::pin, time::Duration};

use axum::{
    body::Bytes,
    extract::{
        State,
        ws::{Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt as _, stream};
use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::{Console, results};
use crate::admin::{Entry, Fields, Refusal, ResultsRequest};

/// A comment, or a ping, is sent this often, so that both ends notice a dead connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Bytes of a message to this server, which expects none.
const MAX_MESSAGE: usize = 4 << 10;

/// Each result as an event `result`: JSON with bucket, key, outcome and its HTML.
pub(super) async fn events(
    State(console): State<Console>,
    Fields(request): Fields<ResultsRequest>,
) -> Result<Response, Refusal> {
    let events =
        follow(&console, "/events", request)?.map(|data| Ok(Event::default().event("result").data(data)));
    let opening = Event::default().retry(Duration::from_secs(2)).comment("open");
    let stream = stream::iter([Ok::<_, Infallible>(opening)]).chain(events);
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// The same JSON as messages of text.
pub(super) async fn socket(
    State(console): State<Console>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    Fields(request): Fields<ResultsRequest>,
) -> Result<Response, Refusal> {
    let upgrade = upgrade.map_err(|rejection| Refusal {
        status: rejection.status(),
        message: format!("{}; GET /events has the same as server-sent events", rejection.body_text()),
    })?;
    let events = follow(&console, "/ws", request)?;
    Ok(upgrade
        .max_frame_size(MAX_MESSAGE)
        .max_message_size(MAX_MESSAGE)
        .on_upgrade(move |socket| send_all(socket, events)))
}

/// The results that pass a request's conditions, as JSON. They end when the access key is removed that they were asked for
/// with, or loses the right.
fn follow(
    console: &Console,
    path: &'static str,
    request: ResultsRequest,
) -> Result<impl Stream<Item = String> + Send + use<>, Refusal> {
    let results = console.inner.admin.follow_results(path)?;
    Ok(results.filter_map(move |entry| ready(request.matches(&entry).then(|| data(&entry)))))
}

fn data(entry: &Entry) -> String {
    let data = json!({
        "bucket": entry.bucket,
        "key": entry.key,
        "outcome": entry.outcome,
        "cause": entry.cause,
        "next": entry.next,
        "ended_ms": entry.ended_ms,
        // As earlier versions had it.
        "endedMs": entry.ended_ms,
        "html": results::item(entry, true).into_string(),
    });
    data.to_string()
}

/// Sends messages until there are no more, or the client is gone: one that does not answer a ping is.
async fn send_all(mut socket: WebSocket, messages: impl Stream<Item = String>) {
    let mut messages = pin!(messages);
    let mut pings = tokio::time::interval(KEEP_ALIVE);
    // After a message that took long to send, the client has time for its answer.
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut has_answered = true;
    loop {
        let message = tokio::select! {
            message = messages.next() => match message {
                Some(text) => Message::Text(text.into()),
                None => break,
            },
            _ = pings.tick() => match std::mem::take(&mut has_answered) {
                true => Message::Ping(Bytes::new()),
                false => return,
            },
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    has_answered = true;
                    continue;
                }
            },
        };
        if socket.send(message).await.is_err() {
            return;
        }
    }
    // Either way it ends.
    let _ = socket.send(Message::Close(None)).await;
}
