//! Images dropped onto the page: stored in the source bucket as any upload.

use axum::{
    body::{Body, Bytes},
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use http_body_util::BodyExt as _;
use serde_json::json;
use tintype_api::message;
use tintype_pipeline::{Location, store::Condition, trigger::Trigger};
use tokio::sync::mpsc;

use super::{Console, pictures::Place};
use crate::{
    listen::TimeoutBody,
    request_id,
    storage::{Cause, ObjectRecord, Storage, StoreFault, StoredHeaders},
};

/// Pieces of a body on their way to the disk.
const PIECES: usize = 8;

/// What keys a trigger takes, in words.
fn takes(trigger: &Trigger) -> String {
    let begin = match trigger.prefix.as_str() {
        "" => String::new(),
        prefix => format!("begin with \"{prefix}\""),
    };
    let end = match trigger.suffixes.as_slice() {
        [] => String::new(),
        suffixes => format!("end with {}", suffixes.join(" ")),
    };
    match (begin.is_empty(), end.is_empty()) {
        (false, false) => format!("keys {begin} and {end}"),
        _ => format!("keys {begin}{end}"),
    }
}

pub(super) async fn upload(
    State(console): State<Console>,
    Query(place): Query<Place>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let at = match place.location(&console) {
        Ok(at) => at,
        Err(words) => return message(StatusCode::BAD_REQUEST, words),
    };
    let triggers = console.inner.store.notifications.triggers();
    if !triggers.iter().any(|trigger| trigger.matches(&at.bucket, at.key.as_str())) {
        let ways: Vec<_> = triggers.iter().filter(|trigger| trigger.bucket == at.bucket).map(takes).collect();
        let ways = if ways.is_empty() { "none does in this bucket".to_owned() } else { ways.join("; or ") };
        let words = format!("no trigger matches \"{}\", so it would get no thumbnail; {ways}", at.key);
        return message(StatusCode::UNPROCESSABLE_ENTITY, words);
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or("application/octet-stream").to_owned();
    let limit = console.inner.settings.limits.source_bytes;
    let request_id = request_id::current();
    let cause = Cause { event: "ObjectCreated:Post", request_id: request_id.clone() };

    let (pieces, arriving) = mpsc::channel(PIECES);
    let (store, to) = (console.inner.store.clone(), at.clone());
    let storing =
        tokio::task::spawn_blocking(move || store_pieces(&store, &to, content_type, cause, arriving));
    let sent = send(body, &pieces, limit).await;
    if let Err(problem) = sent {
        // Not told that the body is whole, the other end stores nothing.
        drop(pieces);
        let _ = storing.await;
        return *problem;
    }
    let _ = pieces.send(None).await;
    drop(pieces);
    match storing.await {
        Ok(Ok(Some(record))) => axum::Json(json!({
            "bucket": at.bucket,
            "key": at.key.as_str(),
            "bytes": record.size,
            "etag": record.etag,
            "requestId": request_id,
        }))
        .into_response(),
        Ok(Ok(None)) => message(StatusCode::BAD_REQUEST, "the body ended early"),
        Ok(Err(fault)) => message(StatusCode::SERVICE_UNAVAILABLE, fault.to_string()),
        Err(error) => {
            tracing::error!(%error, "an upload panicked");
            message(StatusCode::INTERNAL_SERVER_ERROR, "a fault of the server; it is in the log")
        }
    }
}

/// Hands on the body, piece by piece.
async fn send(body: Body, pieces: &mpsc::Sender<Option<Bytes>>, limit: u64) -> Result<(), Box<Response>> {
    let mut body = TimeoutBody::new(body);
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Box::new(message(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}")))
        })?;
        let Ok(piece) = frame.into_data() else { continue };
        length += piece.len() as u64;
        if length > limit {
            let words = format!("the image has more than {limit} bytes (limits.source_bytes)");
            return Err(Box::new(message(StatusCode::PAYLOAD_TOO_LARGE, words)));
        }
        // The other end is gone after a fault of the disk, which it will tell.
        if pieces.send(Some(piece)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Stores what arrives; nothing if it ends without the sign that it is whole.
fn store_pieces(
    store: &Storage,
    at: &Location,
    content_type: String,
    cause: Cause,
    mut arriving: mpsc::Receiver<Option<Bytes>>,
) -> Result<Option<ObjectRecord>, StoreFault> {
    let headers = StoredHeaders { content_type: Some(content_type), ..StoredHeaders::default() };
    let mut incoming = store.objects.begin(at, headers)?;
    loop {
        match arriving.blocking_recv() {
            Some(Some(piece)) => incoming.write(&piece)?,
            Some(None) => break,
            None => return Ok(None),
        }
    }
    store.objects.commit(at, incoming, Condition::Any, cause).map(Some)
}
