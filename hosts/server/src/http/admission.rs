//! What a request may take: bytes of a body, memory for all bodies, and time.

use std::time::Duration;

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::Response,
};
use http::Request;
use tintype_api::{BodyLimit, Deadline, RouteLimits, UPLOADS, message};

use super::{
    Answered, Inner,
    bodies::{Refusal, whole},
    closing, throttled,
};

/// A client that is refused because of load may try again after this long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Takes the whole body of a request within its limits and has it answered in time, or refuses it.
pub(super) async fn admit<F: Future<Output = Response>>(
    inner: &Inner,
    limits: RouteLimits,
    request: super::Request,
    answer: impl FnOnce(Request<Body>) -> F,
) -> Answered {
    // Before any of the body is read: a refusal is immediate and costs nothing.
    let max = max_body(inner, limits.body);
    if length(&request).zip(max).is_some_and(|(length, max)| length > max) {
        return Err(too_large(inner, limits.body));
    }
    let waits = limits.needs_worker && !tintype_api::is_to_be_queued(request.headers());
    if waits && !inner.parts.dispatcher.has_room() {
        return Err(throttled(&inner.parts.history, "Too Many Requests", RETRY_AFTER));
    }
    let mut request = match max {
        Some(max) => take(inner, limits.body, request, max).await?,
        None => request.map(Body::new),
    };
    if !limits.is_timed {
        return Ok(answer(request).await);
    }
    // The one place where a request's time-out is enforced: work that nobody waits for any more is cancelled. The
    // deadline is passed on, so that work on other threads stops by itself, too.
    let deadline = Deadline::after(inner.settings.api.timeout);
    request.extensions_mut().insert(deadline);
    let answered = tokio::time::timeout_at(deadline.0.into(), answer(request)).await;
    answered.map_err(|_| Box::new(message(StatusCode::GATEWAY_TIMEOUT, "Endpoint request timed out")))
}

/// Bytes that a body may have; `None` where the handler bounds it.
fn max_body(inner: &Inner, limit: BodyLimit) -> Option<u64> {
    match limit {
        BodyLimit::Form => Some(BodyLimit::FORM),
        BodyLimit::Image => Some(inner.settings.api.max_body),
        BodyLimit::Streamed => None,
    }
}

fn too_large(inner: &Inner, limit: BodyLimit) -> Box<Response> {
    let max = max_body(inner, limit).unwrap_or(u64::MAX);
    let words = match limit {
        BodyLimit::Image => format!(
            "the body has more than {max} bytes (api.max_body); upload larger images to the source bucket, for \
             example by a form from {UPLOADS}"
        ),
        BodyLimit::Form | BodyLimit::Streamed => {
            format!("the body has more than {max} bytes, and this route takes no more")
        }
    };
    refused(StatusCode::PAYLOAD_TOO_LARGE, words)
}

/// Reads the whole body of a request. Here rather than in the routes, so that a slow client is distinguished from a
/// slow function.
async fn take(
    inner: &Inner,
    limit: BodyLimit,
    request: super::Request,
    max: u64,
) -> Result<Request<Body>, Box<Response>> {
    let timeout = inner.settings.api.timeout;
    let length = length(&request);
    let (head, body) = request.into_parts();
    match tokio::time::timeout(timeout, whole(body, length, max, &inner.bodies)).await {
        Ok(Ok(body)) => Ok(Request::from_parts(head, Body::from(body))),
        Ok(Err(Refusal::TooLarge)) => Err(too_large(inner, limit)),
        Ok(Err(Refusal::NoMemory)) => Err(throttled(&inner.parts.history, "Too Many Requests", RETRY_AFTER)),
        Ok(Err(Refusal::Broken(error))) => {
            Err(refused(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}")))
        }
        Err(_) => {
            let words = format!("the body did not arrive within {} s (api.timeout_s)", timeout.as_secs());
            Err(refused(StatusCode::REQUEST_TIMEOUT, words))
        }
    }
}

/// The body's length by its head.
fn length<B>(request: &Request<B>) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A refusal that ends the connection.
fn refused(status: StatusCode, words: String) -> Box<Response> {
    Box::new(closing(message(status, words)))
}
