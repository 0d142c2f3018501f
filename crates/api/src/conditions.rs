//! Conditional requests: whether the version that a client has is current.

use std::{
    sync::{
        Arc, Once,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use axum::http::{HeaderMap, header};
use tintype_pipeline::{Location, clock::now_ms};

/// The source of a response, for caches of the host: the response is valid as long as the source has this ETag and was not
/// written again, as with other metadata. An extension of the responses to GET and HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTag {
    /// The source.
    pub at: Arc<Location>,
    /// Its ETag, without quotes.
    pub etag: Arc<str>,
    /// Milliseconds since 1970 when it was written.
    pub modified_ms: i64,
    /// The stored thumbnail that the response is; none: it was rendered for requests. Who gets the response must be allowed
    /// to read this, too.
    pub thumbnail: Option<Arc<Location>>,
}

/// When recipes last changed, in seconds since 1970: they do with the settings, at a start or when those are read again.
static CHANGED_S: AtomicI64 = AtomicI64::new(0);

/// Records the start of the process, on the first call.
pub(crate) fn record_start() {
    static START: Once = Once::new();
    START.call_once(recipes_changed);
}

/// Records that recipes may be others from now on.
pub fn recipes_changed() {
    CHANGED_S.fetch_max(now_ms().div_euclid(1000), Ordering::Relaxed);
}

/// When a thumbnail was last modified, in seconds since 1970: with its source, or with its recipe. `Last-Modified` is the
/// source's date alone: a client that sends it back is answered 304 if no recipe can have changed since.
#[must_use]
pub fn modified_s(source_ms: i64) -> i64 {
    source_ms.div_euclid(1000).max(CHANGED_S.load(Ordering::Relaxed))
}

/// Whether the client has this version. `modified_s`: seconds since 1970.
/// Source: RFC 9110, section 13.1.2 (weak comparison, any of the list) and 13.1.3.
#[must_use]
pub fn is_unchanged(headers: &HeaderMap, etag: &str, modified_s: Option<i64>) -> bool {
    if headers.contains_key(header::IF_NONE_MATCH) {
        let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        return values
            .flat_map(tags)
            .any(|value| value == "*" || value.strip_prefix("W/").unwrap_or(value) == etag);
    }
    let since = headers.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    since.and_then(seconds_of).zip(modified_s).is_some_and(|(since, modified)| modified <= since)
}

/// The elements of a list of entity tags: a comma within quotes separates nothing.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let elements = list.split(move |char| {
        is_quoted ^= char == '"';
        char == ',' && !is_quoted
    });
    elements.map(str::trim)
}

/// An HTTP date in seconds since 1970, in any of the three formats; `None` if it is invalid.
#[must_use]
pub fn seconds_of(date: &str) -> Option<i64> {
    let since = httpdate::parse_http_date(date).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// A time as an HTTP date; `None` before 1970 and after 9999, which have none.
pub(crate) fn http_date(seconds: i64) -> Option<String> {
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds <= LAST_SECOND)?;
    Some(httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds)))
}

/// The last second that has an HTTP date: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn tags() {
        for (value, unchanged) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("\"b,c\" , \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("\"a b\"", false),
            ("\"b, \"a\"", false),
        ] {
            assert_eq!(
                is_unchanged(&with(header::IF_NONE_MATCH, value), "\"a\"", None),
                unchanged,
                "{value}"
            );
        }
        assert!(!is_unchanged(&HeaderMap::new(), "\"a\"", Some(0)));
    }

    #[test]
    fn dates_count_only_without_tags() {
        let date = http_date(784_111_777).unwrap();
        assert_eq!(date, "Sun, 06 Nov 1994 08:49:37 GMT");
        let mut headers = with(header::IF_MODIFIED_SINCE, &date);
        assert!(is_unchanged(&headers, "\"a\"", Some(784_111_777)));
        assert!(!is_unchanged(&headers, "\"a\"", Some(784_111_778)));
        headers.insert(header::IF_NONE_MATCH, "\"b\"".parse().unwrap());
        assert!(!is_unchanged(&headers, "\"a\"", Some(784_111_777)));
        assert!(!is_unchanged(&with(header::IF_MODIFIED_SINCE, "yesterday"), "\"a\"", Some(0)));
        for date in ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(seconds_of(date), Some(784_111_777), "{date}");
        }
        assert_eq!((http_date(-1), http_date(i64::MAX)), (None, None));
    }
}
