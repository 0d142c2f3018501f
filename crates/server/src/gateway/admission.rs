//! What a request may take: bytes of a body, memory for all bodies, and time.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, StatusCode, header},
    response::Response,
};
use http::Request;
use tintype_api::message;
use tintype_function::settings::Settings;

use super::{
    Answered, Inner,
    bodies::{Refusal, whole},
    closing, throttled,
};

/// Whoever is refused because much is under way may come again after this long.
const AGAIN: Duration = Duration::from_secs(1);

/// Takes the whole body of a request and has it answered, or refuses it.
pub(super) async fn admit<F: Future<Output = Response>>(
    inner: &Inner,
    request: super::Request,
    answer: impl FnOnce(Request<Body>) -> F,
) -> Answered {
    let (max, timeout) = (inner.settings.api.max_body, inner.settings.api.timeout);
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<u64>().ok());
    if length.is_some_and(|length| length > max) {
        return Err(too_large(max));
    }
    let busy = || throttled(&inner.parts.instruments, "Too Many Requests", AGAIN);
    // Before any of the body is taken: who is refused is to know at once, and at no cost.
    if calls_the_function(&inner.settings, &request) && !inner.parts.invoker.has_room() {
        return Err(busy());
    }
    let (head, body) = request.into_parts();
    // Here rather than in the routes, so that a client's slowness is told from the function's.
    let body = match tokio::time::timeout(timeout, whole(body, length, max, &inner.bodies)).await {
        Ok(Ok(body)) => body,
        Ok(Err(Refusal::TooLarge)) => return Err(too_large(max)),
        Ok(Err(Refusal::NoMemory)) => return Err(busy()),
        Ok(Err(Refusal::Broken(error))) => {
            let words = format!("the body could not be read: {error}");
            return Err(Box::new(closing(message(StatusCode::BAD_REQUEST, words))));
        }
        Err(_) => {
            let words = format!("the body did not arrive within {} s (api.timeout_s)", timeout.as_secs());
            return Err(Box::new(closing(message(StatusCode::REQUEST_TIMEOUT, words))));
        }
    };
    let request = Request::from_parts(head, Body::from(body));
    let answered = tokio::time::timeout(timeout, answer(request)).await;
    answered.map_err(|_| Box::new(message(StatusCode::GATEWAY_TIMEOUT, "Endpoint request timed out")))
}

/// Whether a request waits for the function whatever is stored already.
fn calls_the_function<B>(settings: &Settings, request: &Request<B>) -> bool {
    let (stage, resource) = (&settings.api.stage, &settings.api.resource);
    let mut path = request.uri().path().trim_matches('/').split('/');
    request.method() == Method::POST
        && (path.next(), path.next(), path.next()) == (Some(stage), Some(resource), None)
        && !tintype_api::prefers_async(request.headers())
}

fn too_large(max: u64) -> Box<Response> {
    Box::new(closing(message(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!(
            "the body has more than {max} bytes (api.max_body); upload larger images to the source bucket, for \
             example by a form from /uploads"
        ),
    )))
}
