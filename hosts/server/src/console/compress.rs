//! Text of the page compressed for browsers that take it so: a page of charts is a fifth of its size then.
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

/// Less than this is sent as it is.
const LEAST: usize = 1 << 10;
/// No page is larger; its parts are bounded.
const MOST: usize = 16 << 20;

/// Compresses an answer that is a whole text, not a stream of events or lines.
pub(super) async fn text(request: Request, next: Next) -> Response {
    let wanted = takes_gzip(request.headers());
    let response = next.run(request).await;
    if !is_text(response.headers()) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    head.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !wanted {
        return Response::from_parts(head, body);
    }
    let Ok(whole) = to_bytes(body, MOST).await else { return Response::from_parts(head, Body::empty()) };
    let sent = whole.clone();
    // Off the threads that answer: it takes milliseconds.
    match tokio::task::spawn_blocking(move || packed(&sent)).await {
        Ok(Some(packed)) => {
            head.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            head.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(head, Body::from(packed))
        }
        _ => Response::from_parts(head, Body::from(whole)),
    }
}

/// Whether `Accept-Encoding` names gzip, and not only to refuse it.
fn takes_gzip(headers: &HeaderMap) -> bool {
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

fn packed(text: &Bytes) -> Option<Vec<u8>> {
    if text.len() < LEAST {
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
    fn only_who_takes_it_is_sent_it() {
        let asked = |value: &str| {
            takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())]))
        };
        assert!(asked("gzip, deflate, br") && asked("br;q=1.0, GZIP;q=0.5"));
        assert!(!asked("identity") && !asked("gzip;q=0") && !takes_gzip(&HeaderMap::new()));
    }
}
