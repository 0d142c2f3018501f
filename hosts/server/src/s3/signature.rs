//! What a signature must cover. The crate s3s verifies that it is valid for what it lists; here it must list
//! everything that a request acts on.
//! Sources: AWS, "Authenticating Requests (AWS Signature Version 4)"; "Error responses".

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use s3s::{Body, S3Error, S3Response, S3Result, s3_error};

use super::query::Query;
use crate::request_id;

/// Seconds a presigned URL may be valid: a week.
const MAX_PRESIGNED_S: u64 = 604_800;
/// Parameters of Signature Version 2.
const SIGNATURE_V2: [&str; 3] = ["AWSAccessKeyId", "Signature", "Expires"];
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Refuses what no signature makes valid, before one is computed: Signature Version 2, two signatures
/// at once, parameters of two values, URLs that are valid for too long.
pub(super) fn check_mechanism(headers: &HeaderMap, query: &Query) -> S3Result<()> {
    if let Some(name) = query.repeated() {
        return Err(s3_error!(InvalidArgument, "the query parameter \"{name}\" was sent more than once"));
    }
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    let authorization = authorizations.next();
    if authorizations.next().is_some() || (authorization.is_some() && query.is_presigned()) {
        return Err(s3_error!(
            InvalidArgument,
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter or the Authorization header \
             should be specified"
        ));
    }
    let has_other_scheme = authorization
        .is_some_and(|value| value.to_str().map_or(true, |value| value.split(' ').next() != Some(ALGORITHM)));
    if has_other_scheme || SIGNATURE_V2.iter().any(|name| query.has(name)) {
        return Err(unsupported_mechanism());
    }
    let expires = query.get("X-Amz-Expires");
    let is_in_bounds = |text: &str| {
        let seconds = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>());
        seconds.is_some_and(|seconds| seconds.is_ok_and(|seconds| seconds <= MAX_PRESIGNED_S))
    };
    if expires.is_some_and(|text| !is_in_bounds(text)) {
        return Err(s3_error!(
            AuthorizationQueryParametersError,
            "X-Amz-Expires must be a number of seconds, less than a week; that is, at most {MAX_PRESIGNED_S}"
        ));
    }
    // s3s takes the body of a presigned request as unsigned, whatever this is.
    if query.get("X-Amz-Content-Sha256").is_some_and(|value| value != "UNSIGNED-PAYLOAD") {
        return Err(s3_error!(
            NotImplemented,
            "X-Amz-Content-Sha256 of a presigned URL must be UNSIGNED-PAYLOAD"
        ));
    }
    let token = query.has("X-Amz-Security-Token") || headers.contains_key("x-amz-security-token");
    if token {
        let code = s3s::S3ErrorCode::InvalidToken;
        let message = "The provided token is malformed or otherwise invalid: this server issues no session tokens; leave \
                     AWS_SESSION_TOKEN out";
        return Err(s3s::S3Error::with_message(code, message));
    }
    Ok(())
}

/// The answer to Signature Version 2, of a request or of a form.
pub(super) fn unsupported_mechanism() -> S3Error {
    s3_error!(
        InvalidRequest,
        "The authorization mechanism you have provided is not supported. Please use Signature Version 4 ({ALGORITHM}); with \
         boto3: Config(signature_version=\"s3v4\")"
    )
}

/// The headers of a verified request that its signature does not cover, of `host`, every `x-amz-*` and those listed. What
/// s3s would sign otherwise than it is sent does not count: it leaves out names that it does not find exactly so and
/// values that are no text, takes whitespace of any script for a space, and joins values of one name by commas, whether
/// the name is listed twice or sent twice.
pub(super) fn unsigned_headers<'a>(headers: &'a HeaderMap, query: &Query) -> Vec<&'a str> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let list = match query.is_presigned() {
        true => query.get("X-Amz-SignedHeaders"),
        false => authorization.and_then(signed_headers),
    };
    let signed: Vec<&str> = list.unwrap_or_default().split(';').collect();
    // As text: names of headers compare without regard to case.
    let times_listed = |name: &HeaderName| signed.iter().filter(|listed| **listed == name.as_str()).count();
    let is_covered = |name: &HeaderName, value: &HeaderValue| {
        // A second value of `x-amz-*` is refused by `header_values`.
        let is_sent_once =
            name.as_str().starts_with("x-amz-") || headers.get_all(name).iter().nth(1).is_none();
        times_listed(name) == 1 && is_sent_once && is_plain(value)
    };
    let must_be_covered = |name: &HeaderName| {
        name == header::HOST || name.as_str().starts_with("x-amz-") || times_listed(name) > 0
    };
    let fields = headers.iter().filter(|(name, value)| must_be_covered(name) && !is_covered(name, value));
    let mut unsigned: Vec<&str> = fields.map(|(name, _)| name.as_str()).collect();
    if !signed.contains(&"host") || !headers.contains_key(header::HOST) {
        unsigned.push("host");
    }
    unsigned.sort_unstable();
    unsigned.dedup();
    unsigned
}

/// Whether s3s signs a value as it is, apart from the number of spaces and tabs within it.
fn is_plain(value: &HeaderValue) -> bool {
    let text = std::str::from_utf8(value.as_bytes());
    text.is_ok_and(|text| !text.chars().any(|c| c.is_whitespace() && !c.is_ascii()))
}

/// The list in an Authorization header.
fn signed_headers(authorization: &str) -> Option<&str> {
    let fields = authorization.strip_prefix(ALGORITHM)?;
    fields.split(',').find_map(|field| field.trim().strip_prefix("SignedHeaders="))
}

/// How long ago a verified request was signed; none if that lies in the future.
pub(super) fn age(headers: &HeaderMap, query: &Query) -> Option<Duration> {
    let written = match query.is_presigned() {
        true => query.get("X-Amz-Date"),
        false => headers.get("x-amz-date").and_then(|value| value.to_str().ok()),
    };
    let shape = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let signed = time::PrimitiveDateTime::parse(written?, shape).ok()?.assume_utc();
    SystemTime::now().duration_since(signed.into()).ok()
}

/// S3's answer to headers that were not signed.
pub(super) fn headers_not_signed(names: &[&str]) -> S3Response<Body> {
    // Header names contain nothing that XML escapes.
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code>\
         <Message>There were headers present in the request which were not signed</Message>\
         <HeadersNotSigned>{}</HeadersNotSigned><RequestId>{}</RequestId></Error>",
        names.join(", "),
        request_id::current()
    );
    let mut response = S3Response::with_status(Body::from(xml), StatusCode::FORBIDDEN);
    response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/b/k?{text}").parse().unwrap())
    }

    fn headers(list: &[(&'static str, &[u8])]) -> HeaderMap {
        let headers = list.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
        });
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| _ = map.append(name, value));
        map
    }

    #[test]
    fn host_and_every_amz_header_must_be_signed() {
        let query = query("X-Amz-SignedHeaders=host%3Bx-amz-acl&X-Amz-Signature=1");
        let sent =
            headers(&[("host", b"h"), ("x-amz-acl", b"private"), ("content-type", b"a/b"), ("range", b"x")]);
        assert!(unsigned_headers(&sent, &query).is_empty());
        let sent = headers(&[("host", b"h"), ("x-amz-copy-source", b"/b/k"), ("x-amz-meta-a", b"1")]);
        assert_eq!(unsigned_headers(&sent, &query), ["x-amz-copy-source", "x-amz-meta-a"]);
    }

    #[test]
    fn lists_of_the_authorization_header() {
        for list in ["host;x-amz-date", "x-amz-date;host"] {
            let value = format!("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders={list}, Signature=0");
            let sent = headers(&[("host", b"h"), ("x-amz-date", b"d"), ("authorization", value.as_bytes())]);
            assert!(unsigned_headers(&sent, &query("")).is_empty(), "{list}");
        }
        // s3s finds no header by these names, so it leaves the value out of what was signed.
        for list in ["host;X-Amz-Date", "host; x-amz-date", "host,x-amz-date", "host", "HOST;x-amz-date", ""]
        {
            let value = format!("AWS4-HMAC-SHA256 Credential=a/b,SignedHeaders={list},Signature=0");
            let sent = headers(&[("host", b"h"), ("x-amz-date", b"d"), ("authorization", value.as_bytes())]);
            assert!(!unsigned_headers(&sent, &query("")).is_empty(), "{list}");
        }
    }

    #[test]
    fn a_host_must_be_sent_and_signed() {
        let listed = query("X-Amz-SignedHeaders=host&X-Amz-Signature=1");
        assert_eq!(unsigned_headers(&headers(&[]), &listed), ["host"]);
        assert_eq!(unsigned_headers(&headers(&[("host", b"h")]), &query("X-Amz-Signature=1")), ["host"]);
        // What a query lists counts for a presigned URL alone.
        assert_eq!(
            unsigned_headers(&headers(&[("host", b"h")]), &query("X-Amz-SignedHeaders=host")),
            ["host"]
        );
    }

    #[test]
    fn a_value_that_s3s_signs_as_another_is_not_signed() {
        let query = query("X-Amz-SignedHeaders=host;x-amz-meta-a;if-match&X-Amz-Signature=1");
        let unsigned = |value| {
            let sent = headers(&[("host", b"h"), ("x-amz-meta-a", value), ("if-match", value)]);
            unsigned_headers(&sent, &query).len()
        };
        for value in [&b"\xff"[..], "a\u{a0}b".as_bytes(), "a\u{3000}".as_bytes(), "\u{85}a".as_bytes()] {
            assert_eq!(unsigned(value), 2, "{}", value.escape_ascii());
        }
        for value in [&b""[..], b"a  b", b"a\tb", "\u{fc}".as_bytes()] {
            assert_eq!(unsigned(value), 0, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn one_value_in_the_list_and_in_the_request() {
        // All of these are signed as "if-match:a,a".
        for (list, values) in
            [("if-match", &["a,a"][..]), ("if-match;if-match", &["a"]), ("if-match", &["a", "a"])]
        {
            let query = query(&format!("X-Amz-SignedHeaders=host;{list}&X-Amz-Signature=1"));
            let mut sent = headers(&[("host", b"h")]);
            values.iter().for_each(|value| _ = sent.append("if-match", HeaderValue::from_static(value)));
            let expected = if values == ["a,a"] { &[][..] } else { &["if-match"] };
            assert_eq!(unsigned_headers(&sent, &query), expected, "{list} {values:?}");
        }
    }

    #[test]
    fn the_list_is_that_of_the_signature_that_was_verified() {
        let authorization = &b"AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0"[..];
        let sent = headers(&[("host", b"h"), ("x-amz-date", b"d"), ("authorization", authorization)]);
        assert_eq!(unsigned_headers(&sent, &query("X-Amz-SignedHeaders=host;x-amz-date")), ["x-amz-date"]);
    }

    #[test]
    fn mechanisms() {
        let v4: &[u8] = b"AWS4-HMAC-SHA256 Credential=a";
        let good =
            |sent: &[(&'static str, &[u8])], text| check_mechanism(&headers(sent), &query(text)).is_ok();
        assert!(good(&[], "") && good(&[("authorization", v4)], "acl") && good(&[], "X-Amz-Signature=1"));
        assert!(good(&[], "X-Amz-Expires=604800"));
        for (sent, text) in [
            (&[("authorization", v4)][..], "X-Amz-Signature=1"),
            (&[("authorization", v4), ("authorization", v4)][..], ""),
            (&[("authorization", &b"AWS id:signature"[..])][..], ""),
            (&[("authorization", &b"AWS4-ECDSA-P256-SHA256 Credential=a"[..])][..], ""),
            (&[("authorization", &b"Basic YTpi"[..])][..], ""),
            (&[("x-amz-security-token", &b"t"[..])][..], ""),
            (&[][..], "AWSAccessKeyId=a&Signature=b&Expires=1"),
            (&[][..], "Signature=b"),
            (&[][..], "X-Amz-Expires=604801"),
            (&[][..], "X%2DAmz-Expires=604801"),
            (&[][..], "X-Amz-Expires=%2B300"),
            (&[][..], "X-Amz-Expires="),
            (&[][..], "X-Amz-Security-Token=t"),
            (&[][..], "X-Amz-Content-Sha256=00"),
            (&[][..], "uploadId=1&uploadId=2"),
        ] {
            assert!(!good(sent, text), "{sent:?} {text}");
        }
    }
}
