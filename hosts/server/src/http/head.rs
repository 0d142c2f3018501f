//! A request's head is bounded, in fields and bytes, and names one host. Heads far over the bounds never get here; the
//! connection refuses them with a bare status.

use axum::{http::StatusCode, response::Response};
use tintype_api::message;

use super::{Request, closing};
use crate::listen::check_host;

/// Fields of a head, and bytes of their names and values and of the URL.
const MOST_FIELDS: usize = 100;
const MOST_BYTES: usize = 16 << 10;

pub(super) fn check(request: &Request) -> Result<(), Box<Response>> {
    let (fields, bytes) = size(request);
    if fields > MOST_FIELDS || bytes > MOST_BYTES {
        let words = format!(
            "the request's head has {fields} fields and {bytes} bytes; at most {MOST_FIELDS} and {MOST_BYTES} are taken"
        );
        return Err(Box::new(closing(message(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, words))));
    }
    check_host(request)
        .map_err(|error| Box::new(closing(message(StatusCode::BAD_REQUEST, error.to_string()))))
}

fn size(request: &Request) -> (usize, usize) {
    let headers = request.headers();
    let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let url = request.uri().path().len() + request.uri().query().map_or(0, str::len);
    (headers.len(), fields + url)
}
