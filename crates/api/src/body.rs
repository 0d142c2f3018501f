//! A request's body: its media type, and its bytes up to a bound.

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

/// The largest JSON body, in bytes: parsed JSON takes many times its size.
const LARGEST_JSON: usize = 1 << 20;

/// All of a body, if it has at most `max` bytes.
pub(crate) async fn read(body: Body, max: usize) -> Result<Bytes, Box<Response>> {
    bounded(body, max, || {
        format!(
            "the body has more than {max} bytes (api.max_body); upload larger images to the source bucket, for example \
             by a form from /uploads"
        )
    })
    .await
}

/// All of a JSON body, if it is not too large to be parsed.
pub(crate) async fn read_json(body: Body, max: usize) -> Result<Bytes, Box<Response>> {
    let max = max.min(LARGEST_JSON);
    bounded(body, max, || format!("the JSON body has more than {max} bytes; send fewer records a request"))
        .await
}

async fn bounded(body: Body, max: usize, text: impl FnOnce() -> String) -> Result<Bytes, Box<Response>> {
    axum::body::to_bytes(body, max).await.map_err(|error| {
        Box::new(match is_of_length(&error) {
            true => message(StatusCode::PAYLOAD_TOO_LARGE, text()),
            false => message(StatusCode::BAD_REQUEST, format!("the body could not be read: {error}")),
        })
    })
}

fn is_of_length(error: &axum::Error) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source())
        .any(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}
