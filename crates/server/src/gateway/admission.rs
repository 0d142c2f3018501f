//! What a request may take: bytes of a body, memory for all bodies, and time.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use tintype_api::message;
use tintype_function::settings::Settings;
use tokio::sync::Semaphore;

use super::{Gateway, throttled};

/// Memory that request bodies may take at once, in KiB.
const BODY_BUDGET_KIB: usize = 256 << 10;

/// The memory for bodies.
pub(super) fn bodies() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(BODY_BUDGET_KIB))
}

pub(super) async fn admit(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let inner = &gateway.inner;
    let (max, timeout) = (inner.settings.api.max_body, inner.settings.api.timeout);
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<u64>().ok());
    if length.is_some_and(|length| length > max) {
        return too_large(max);
    }
    // Before any of the body is taken: who is refused is to know at once, and at no cost.
    if calls_the_function(&inner.settings, &request) && !inner.parts.invoker.has_room() {
        return throttled(&inner.parts.instruments, "Too Many Requests", Duration::from_secs(1));
    }
    // A body of unknown length may be as long as any.
    let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    let expected = length.unwrap_or(if chunked { max } else { 0 });
    let kib = u32::try_from(expected.div_ceil(1024)).unwrap_or(u32::MAX).min(BODY_BUDGET_KIB as u32);
    let Ok(_body) = inner.bodies.clone().try_acquire_many_owned(kib) else {
        return throttled(&inner.parts.instruments, "Too Many Requests", Duration::from_secs(1));
    };
    let (head, body) = request.into_parts();
    // Here rather than in the routes, so that a client's slowness is told from the function's.
    let body = match tokio::time::timeout(timeout, whole(body, max)).await {
        Ok(Ok(body)) => body,
        Ok(Err(refused)) => return *refused,
        Err(_) => {
            let words = format!("the body did not arrive within {} s (api.timeout_s)", timeout.as_secs());
            return closing(message(StatusCode::REQUEST_TIMEOUT, words));
        }
    };
    let request = Request::from_parts(head, Body::from(body));
    match tokio::time::timeout(timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => message(StatusCode::GATEWAY_TIMEOUT, "Endpoint request timed out"),
    }
}

/// Whether a request waits for the function whatever is stored already.
fn calls_the_function(settings: &Settings, request: &Request) -> bool {
    let (stage, resource) = (&settings.api.stage, &settings.api.resource);
    let mut path = request.uri().path().trim_matches('/').split('/');
    request.method() == Method::POST
        && (path.next(), path.next(), path.next()) == (Some(stage), Some(resource), None)
        && !tintype_api::prefers_async(request.headers())
}

async fn whole(body: Body, max: u64) -> Result<Bytes, Box<Response>> {
    let most = usize::try_from(max).unwrap_or(usize::MAX);
    axum::body::to_bytes(body, most).await.map_err(|error| {
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            if error.is::<http_body_util::LengthLimitError>() {
                return Box::new(too_large(max));
            }
            cause = error.source();
        }
        Box::new(closing(message(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}"))))
    })
}

fn too_large(max: u64) -> Response {
    closing(message(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!(
            "the body has more than {max} bytes (api.max_body); upload larger images to the source bucket, for \
             example by a form from /uploads"
        ),
    ))
}

/// A body that was not read whole leaves nothing to go on with on this connection.
pub(super) fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
