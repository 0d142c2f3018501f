//! What a request may take: bytes of a body, memory for all bodies, and time.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, StatusCode, header},
    response::Response,
};
use http::Request;
use tintype_api::message;

use super::{
    Answered, Inner,
    bodies::{Refusal, whole},
    closing, throttled,
};
use crate::settings::Settings;

/// Bytes of a short body: forms, the largest of which name 10,000 dead letters.
const SHORT: u64 = 1 << 20;

/// Whoever is refused because much is under way may come again after this long.
const AGAIN: Duration = Duration::from_secs(1);

/// Takes the whole body of a request and has it answered, or refuses it.
pub(super) async fn admit<F: Future<Output = Response>>(
    inner: &Inner,
    request: super::Request,
    answer: impl FnOnce(Request<Body>) -> F,
) -> Answered {
    let (max, timeout) = (inner.settings.api.max_body, inner.settings.api.timeout);
    let too_large = || {
        format!(
            "the body has more than {max} bytes (api.max_body); upload larger images to the source bucket, for \
             example by a form from /uploads"
        )
    };
    let length = length(&request);
    if length.is_some_and(|length| length > max) {
        return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, too_large()));
    }
    // Before any of the body is taken: who is refused is to know at once, and at no cost.
    if calls_the_function(&inner.settings, &request) && !inner.parts.dispatcher.has_room() {
        return Err(throttled(&inner.parts.history, "Too Many Requests", AGAIN));
    }
    let request = take(inner, request, max, too_large).await?;
    let answered = tokio::time::timeout(timeout, answer(request)).await;
    answered.map_err(|_| Box::new(message(StatusCode::GATEWAY_TIMEOUT, "Endpoint request timed out")))
}

/// Takes the whole body of a request that is to have a short one.
pub(super) async fn short(inner: &Inner, request: super::Request) -> Result<Request<Body>, Box<Response>> {
    let words = || format!("the body has more than {SHORT} bytes, and this route takes no more");
    take(inner, request, SHORT, words).await
}

/// Takes the whole body of a request. Here rather than in the routes, so that a client's slowness is told from the
/// function's.
async fn take(
    inner: &Inner,
    request: super::Request,
    max: u64,
    too_large: impl Fn() -> String,
) -> Result<Request<Body>, Box<Response>> {
    let timeout = inner.settings.api.timeout;
    let length = length(&request);
    let (head, body) = request.into_parts();
    match tokio::time::timeout(timeout, whole(body, length, max, &inner.bodies)).await {
        Ok(Ok(body)) => Ok(Request::from_parts(head, Body::from(body))),
        Ok(Err(Refusal::TooLarge)) => Err(refused(StatusCode::PAYLOAD_TOO_LARGE, too_large())),
        Ok(Err(Refusal::NoMemory)) => Err(throttled(&inner.parts.history, "Too Many Requests", AGAIN)),
        Ok(Err(Refusal::Broken(error))) => {
            Err(refused(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}")))
        }
        Err(_) => {
            let words = format!("the body did not arrive within {} s (api.timeout_s)", timeout.as_secs());
            Err(refused(StatusCode::REQUEST_TIMEOUT, words))
        }
    }
}

/// What the head says of the body's length.
fn length<B>(request: &Request<B>) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A refusal that ends the connection.
fn refused(status: StatusCode, words: String) -> Box<Response> {
    Box::new(closing(message(status, words)))
}

/// Whether a request waits for the function whatever is stored already.
fn calls_the_function<B>(settings: &Settings, request: &Request<B>) -> bool {
    let (stage, resource) = (&settings.api.stage, &settings.api.resource);
    let mut path = request.uri().path().trim_matches('/').split('/');
    request.method() == Method::POST
        && (path.next(), path.next(), path.next()) == (Some(stage), Some(resource), None)
        && !tintype_api::is_to_be_queued(request.headers())
}
