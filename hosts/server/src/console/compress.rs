//! Text is compressed for browsers that accept gzip: a page of charts shrinks to a fifth.
//! Source: RFC 9110, sections 8.4 and 12.5.3.

use std::io::Write as _;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use flate2::{Compression, write::GzEncoder};

/// Shorter texts are not compressed.
const MIN_BYTES: usize = 1 << 10;
/// No page is larger; its parts are bounded.
const MAX_BYTES: usize = 16 << 20;

/// Compresses an answer that is a whole text, not a stream of events or lines.
pub(super) async fn text(request: Request, next: Next) -> Response {
    let accepts_gzip = accepts_gzip(request.headers());
    let response = next.run(request).await;
    if !is_text(response.headers()) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    head.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !accepts_gzip {
        return Response::from_parts(head, body);
    }
    let Ok(whole) = to_bytes(body, MAX_BYTES).await else { return Response::from_parts(head, Body::empty()) };
    let sent = whole.clone();
    // Not on the threads that answer: it takes milliseconds.
    match tokio::task::spawn_blocking(move || compressed(&sent)).await {
        Ok(Some(compressed)) => {
            head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            head.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(head, Body::from(compressed))
        }
        _ => Response::from_parts(head, Body::from(whole)),
    }
}

/// Whether `Accept-Encoding` names gzip, and not only to refuse it.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().trim_start_matches("q=").parse::<f32>();
        name.trim().eq_ignore_ascii_case("gzip") && weight.map_or(true, |weight| weight > 0.0)
    })
}

fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    matches!(kind, "text/html" | "text/css" | "text/javascript")
        && !headers.contains_key(header::CONTENT_ENCODING)
}

fn compressed(text: &Bytes) -> Option<Vec<u8>> {
    if text.len() < MIN_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::new(3));
    encoder.write_all(text).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_accepted_where_it_is_named() {
        let accepts = |value: &str| {
            accepts_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())]))
        };
        assert!(accepts("gzip, deflate, br") && accepts("br;q=1.0, GZIP;q=0.5"));
        assert!(!accepts("identity") && !accepts("gzip;q=0") && !accepts_gzip(&HeaderMap::new()));
    }
}
