//! Ranges: a part of an image for a client that asks for one.
//! Source: RFC 9110, sections 13.1.5, 14.2 to 14.4 and 15.3.7.

use std::ops::Range;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;

use crate::{answer::message, conditions::seconds_of};

/// A response of status 200 with its other headers gets its body: all bytes, or the range that GET asks for. Several ranges
/// are answered with all bytes.
#[must_use]
pub fn set_body(mut response: Response, request: &HeaderMap, bytes: &Bytes) -> Response {
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let part = match requested(response.headers(), request, bytes.len()) {
        None => bytes.clone(),
        Some(Ok(range)) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let Range { start, end } = range;
            set_range(&mut response, &format!("bytes {start}-{}/{}", end - 1, bytes.len()));
            bytes.slice(range)
        }
        Some(Err(Unsatisfiable)) => {
            let text = format!("the range begins behind the image's end; it has {} bytes", bytes.len());
            let mut refusal = message(StatusCode::RANGE_NOT_SATISFIABLE, text);
            set_range(&mut refusal, &format!("bytes */{}", bytes.len()));
            return refusal;
        }
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, part.len().into());
    *response.body_mut() = Body::from(part);
    response
}

fn set_range(response: &mut Response, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
}

/// The range begins behind the last byte.
#[derive(Debug, PartialEq, Eq)]
struct Unsatisfiable;

/// The range that a request asks for, if that is one and the client's part is of this version.
fn requested(
    response: &HeaderMap,
    request: &HeaderMap,
    length: usize,
) -> Option<Result<Range<usize>, Unsatisfiable>> {
    let mut ranges = request.get_all(header::RANGE).iter();
    let text = ranges.next()?.to_str().ok().filter(|_| ranges.next().is_none())?;
    if let Some(version) = request.get(header::IF_RANGE)
        && !is_of_this_version(version, response)
    {
        return None;
    }
    range(text, length)
}

/// By strong comparison of tags, or by an exact date.
fn is_of_this_version(if_range: &HeaderValue, response: &HeaderMap) -> bool {
    if response.get(header::ETAG) == Some(if_range) {
        return true;
    }
    let seconds = |value: &HeaderValue| value.to_str().ok().and_then(seconds_of);
    let modified = response.get(header::LAST_MODIFIED).and_then(seconds);
    modified.is_some() && modified == seconds(if_range)
}

/// `None`: several, or none that is understood.
fn range(text: &str, length: usize) -> Option<Result<Range<usize>, Unsatisfiable>> {
    let unit = text.get(..6).filter(|unit| unit.eq_ignore_ascii_case("bytes="))?;
    let (first, last) = text[unit.len()..].trim().split_once('-')?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More than can be counted is behind every byte.
        is_number.then(|| text.parse().unwrap_or(usize::MAX))
    };
    let range = match (first, last) {
        ("", count) => length.saturating_sub(number(count)?)..length,
        (first, "") => number(first)?..length,
        (first, last) => {
            let (first, last): (usize, usize) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if range.is_empty() { Err(Unsatisfiable) } else { Ok(range) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, expected) in [
            ("bytes=0-0", Some(Ok(0..1))),
            ("Bytes=2-", Some(Ok(2..10))),
            ("bytes=2-99", Some(Ok(2..10))),
            ("bytes=9-9", Some(Ok(9..10))),
            ("bytes=-3", Some(Ok(7..10))),
            ("bytes=-99", Some(Ok(0..10))),
            ("bytes=10-", Some(Err(Unsatisfiable))),
            ("bytes=10-20", Some(Err(Unsatisfiable))),
            ("bytes=99999999999999999999999-", Some(Err(Unsatisfiable))),
            ("bytes=0-99999999999999999999999", Some(Ok(0..10))),
            ("bytes=-0", Some(Err(Unsatisfiable))),
            ("bytes=5-4", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("bytes=", None),
            ("items=0-1", None),
            ("byte", None),
            ("bytesü=0-1", None),
        ] {
            assert_eq!(range(text, 10), expected, "{text}");
        }
        assert_eq!(range("bytes=0-", 0), Some(Err(Unsatisfiable)));
    }

    #[test]
    fn a_part_of_another_version_is_not_continued() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let respond = |if_range: &str| {
            let mut response = Response::new(Body::empty());
            response.headers_mut().insert(header::ETAG, HeaderValue::from_static("\"a\""));
            response.headers_mut().insert(header::LAST_MODIFIED, date.parse().unwrap());
            let mut request = HeaderMap::from_iter([(header::RANGE, "bytes=2-4".parse().unwrap())]);
            if !if_range.is_empty() {
                request.insert(header::IF_RANGE, if_range.parse().unwrap());
            }
            let response = set_body(response, &request, &Bytes::from_static(b"0123456789"));
            let text = |name| response.headers()[name].to_str().unwrap().to_owned();
            (response.status().as_u16(), text(header::CONTENT_LENGTH))
        };
        for of_this in ["", "\"a\"", date] {
            assert_eq!(respond(of_this), (206, "3".into()), "{of_this}");
        }
        for of_another in ["\"b\"", "W/\"a\"", "Sun, 06 Nov 1994 08:49:38 GMT", "nonsense"] {
            assert_eq!(respond(of_another), (200, "10".into()), "{of_another}");
        }
    }
}
