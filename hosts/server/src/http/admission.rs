//! What a request may take: bytes of a body, memory for all bodies, and time.

use std::time::Duration;

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::Response,
};
use http::Request;
use tintype_api::{BodyLimit, Deadline, RouteLimits, UPLOADS, message, settings::ApiSettings};

use super::{
    Answered,
    bodies::{Bodies, Refusal, whole},
    closing, retry_later,
};

/// A client that is refused because of load may try again after this long.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What requests may take, of a server or of a worker.
pub(super) struct Admission<'a> {
    pub(super) api: &'a ApiSettings,
    pub(super) bodies: &'a Bodies,
    /// Whether another request may wait for a thread that renders.
    pub(super) has_room: &'a (dyn Fn() -> bool + Sync),
    /// Counts a refusal because of load.
    pub(super) count_throttled: &'a (dyn Fn() + Sync),
}

impl Admission<'_> {
    fn throttled(&self) -> Box<Response> {
        (self.count_throttled)();
        retry_later(message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"), RETRY_AFTER)
    }
}

/// Takes the whole body of a request within its limits and has it answered in time, or refuses it.
pub(super) async fn admit<F: Future<Output = Response>>(
    admission: &Admission<'_>,
    limits: RouteLimits,
    request: super::Request,
    answer: impl FnOnce(Request<Body>) -> F,
) -> Answered {
    // Before any of the body is read: a refusal is immediate and costs nothing.
    let max = max_body(admission.api, limits.body);
    if length(&request).zip(max).is_some_and(|(length, max)| length > max) {
        return Err(too_large(admission.api, limits.body));
    }
    let waits = limits.needs_worker && !tintype_api::is_to_be_queued(request.headers());
    if waits && !(admission.has_room)() {
        return Err(admission.throttled());
    }
    let mut request = match max {
        Some(max) => take(admission, limits.body, request, max).await?,
        None => request.map(Body::new),
    };
    if !limits.is_timed {
        return Ok(answer(request).await);
    }
    // The one place where a request's time-out is enforced: work that nobody waits for any more is cancelled. The
    // deadline is passed on, so that work on other threads stops by itself, too.
    let deadline = Deadline::after(admission.api.timeout);
    request.extensions_mut().insert(deadline);
    let answered = tokio::time::timeout_at(deadline.0.into(), answer(request)).await;
    answered.map_err(|_| Box::new(message(StatusCode::GATEWAY_TIMEOUT, "Endpoint request timed out")))
}

/// Bytes that a body may have; `None` where the handler bounds it.
fn max_body(api: &ApiSettings, limit: BodyLimit) -> Option<u64> {
    match limit {
        BodyLimit::Form => Some(BodyLimit::FORM),
        BodyLimit::Image => Some(api.max_body),
        BodyLimit::Streamed => None,
    }
}

fn too_large(api: &ApiSettings, limit: BodyLimit) -> Box<Response> {
    let max = max_body(api, limit).unwrap_or(u64::MAX);
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
    admission: &Admission<'_>,
    limit: BodyLimit,
    request: super::Request,
    max: u64,
) -> Result<Request<Body>, Box<Response>> {
    let timeout = admission.api.timeout;
    let length = length(&request);
    let (head, body) = request.into_parts();
    match tokio::time::timeout(timeout, whole(body, length, max, admission.bodies)).await {
        Ok(Ok(body)) => Ok(Request::from_parts(head, Body::from(body))),
        Ok(Err(Refusal::TooLarge)) => Err(too_large(admission.api, limit)),
        Ok(Err(Refusal::NoMemory)) => Err(admission.throttled()),
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
