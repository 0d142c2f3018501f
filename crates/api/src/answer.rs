//! JSON responses, and errors as JSON with their status.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};
use tintype_pipeline::{Failure, Reason};

use crate::Refused;

/// A JSON response.
pub(crate) fn json(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An error: `{"message": …}`.
#[must_use]
pub fn message(status: StatusCode, text: impl AsRef<str>) -> Response {
    json(status, &json!({"message": text.as_ref()}))
}

/// The status of a failure.
pub(crate) const fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::BadEvent | Reason::KeyTooLong => StatusCode::BAD_REQUEST,
        Reason::Denied | Reason::KeyRefused => StatusCode::FORBIDDEN,
        Reason::Missing => StatusCode::NOT_FOUND,
        Reason::Collision | Reason::Archived => StatusCode::CONFLICT,
        Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Reason::Malformed => StatusCode::UNPROCESSABLE_ENTITY,
        Reason::Internal | Reason::Corrupt => StatusCode::INTERNAL_SERVER_ERROR,
        Reason::Unavailable | Reason::Contended => StatusCode::SERVICE_UNAVAILABLE,
        Reason::Stopped => StatusCode::GATEWAY_TIMEOUT,
    }
}

pub(crate) fn failure(failure: &Failure) -> Response {
    message(status(failure.reason), &failure.message)
}

pub(crate) fn refused(refused: Refused) -> Response {
    match refused {
        Refused::Throttled => {
            let mut response = message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
        // The text of API Gateway.
        Refused::TimedOut => message(StatusCode::GATEWAY_TIMEOUT, "Endpoint request timed out"),
        Refused::ShuttingDown => {
            message(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down; try again")
        }
    }
}
