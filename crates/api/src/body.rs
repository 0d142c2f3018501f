//! A request's body: its media type, and its bytes within the bound.

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use bytes::Bytes;

use crate::answer::message;

/// The media type without its parameters, in lower case; empty if there is none.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// All of a body, if it has at most `max` bytes.
pub(crate) async fn read(body: Body, max: usize) -> Result<Bytes, Box<Response>> {
    axum::body::to_bytes(body, max).await.map_err(|error| Box::new(unreadable(&error, max)))
}

fn unreadable(error: &axum::Error, max: usize) -> Response {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return message(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "the body has more than {max} bytes (api.max_body); upload larger images to the source bucket, \
                     for example by a form from /uploads"
                ),
            );
        }
        cause = error.source();
    }
    message(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}"))
}
