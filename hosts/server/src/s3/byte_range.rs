//! `Range` headers that the crate s3s handles otherwise than S3 does: one that is not a single range of bytes is ignored,
//! and one with numbers above any size ends or begins after the last byte.
//! Sources: RFC 9110, section 14.2; AWS, `GetObject`.

use http::{HeaderMap, HeaderValue, Method, header};
use s3s::dto::Range;

/// Replaces or removes the range of a GET or HEAD where the crate cannot parse it.
pub(super) fn normalize(method: &Method, headers: &mut HeaderMap) {
    if needs_normalizing(method, headers) {
        let range = headers.remove(header::RANGE).as_ref().and_then(in_bounds);
        range.and_then(|range| headers.insert(header::RANGE, range));
    }
}

/// A suffix without its length, which the crate parses as one of 0.
const EMPTY_SUFFIX: &str = "bytes=-";

fn needs_normalizing(method: &Method, headers: &HeaderMap) -> bool {
    let range = headers.get(header::RANGE).filter(|_| matches!(*method, Method::GET | Method::HEAD));
    range.is_some_and(|range| {
        range.to_str().map_or(true, |range| range == EMPTY_SUFFIX || Range::parse(range).is_err())
    })
}

/// The range in numbers that the crate can parse, which are larger than any object; `None` if it is no single range.
fn in_bounds(range: &HeaderValue) -> Option<HeaderValue> {
    let (first, last) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let in_bounds = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true if digits.is_empty() => Some(String::new()),
        // Digits alone fail to parse only if the number is too large.
        true => Some(digits.parse().unwrap_or(i64::MAX).to_string()),
        false => None,
    };
    let range = format!("bytes={}-{}", in_bounds(first)?, in_bounds(last)?);
    if range == EMPTY_SUFFIX {
        return None;
    }
    Range::parse(&range).ok()?;
    range.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_left_alone_ignored_or_brought_within_bounds() {
        let needs_it = |range: &str| {
            let headers = HeaderMap::from_iter([(header::RANGE, range.parse().unwrap())]);
            needs_normalizing(&Method::GET, &headers)
        };
        for range in ["bytes=0-1", "bytes=5-", "bytes=-5"] {
            assert!(!needs_it(range), "{range}");
        }
        let normalized = |range: &str| in_bounds(&range.parse().unwrap());
        for range in ["bytes=0-1,3-4", "items=0-1", "bytes=5-2", "bytes=a-b", "bytes=-", "bytes", ""] {
            assert!(needs_it(range), "{range}");
            assert_eq!(normalized(range), None, "{range}");
        }
        let (large, larger) = ("9223372036854775808", "99999999999999999999999");
        for number in [large, larger] {
            let cases = [
                (format!("bytes=5-{number}"), "bytes=5-9223372036854775807"),
                (format!("bytes={number}-"), "bytes=9223372036854775807-"),
            ];
            for (range, expected) in cases {
                assert!(needs_it(&range), "{range}");
                assert_eq!(normalized(&range).unwrap(), expected);
            }
        }
        assert_eq!(normalized(&format!("bytes=-{larger}")).unwrap(), "bytes=-9223372036854775807");
        assert!(!needs_normalizing(&Method::GET, &HeaderMap::new()));
    }
}
