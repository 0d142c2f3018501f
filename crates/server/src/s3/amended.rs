//! Requests that the crate s3s answers otherwise than S3 does. Once it has checked their signature, which is
//! over what was sent, they are checked and amended here and asked again of an endpoint that asks for none.
//!
//! - A `Range` that names no single range of bytes is ignored, and one in numbers above any size ends or begins after
//!   the last byte. Source: RFC 9110, section 14.2; AWS, `GetObject`.
//! - `Content-MD5` and `x-amz-checksum-*` of `DeleteObjects` are compared. Source: AWS, "`DeleteObjects`".

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use md5::{Digest as _, Md5};
use s3s::{Body, S3Request, S3Response, S3Result, dto::Range, route::S3Route, s3_error, service::S3Service};

use super::receive::{ALGORITHMS, body_error, hasher_for, values};

/// A list of 1,000 keys of 1,024 bytes, each of which XML may write in six.
const LARGEST_LIST: usize = 8 << 20;
/// What a signature is made of: of no meaning to who checks none.
const SIGNATURE_HEADERS: [&str; 5] =
    ["authorization", "x-amz-content-sha256", "x-amz-decoded-content-length", "x-amz-trailer", "x-amz-date"];
const SIGNATURE_FIELDS: [&str; 3] = ["AWSAccessKeyId", "Expires", "Signature"];

/// The endpoint's operations, for requests whose signature was checked.
pub(super) struct Amended {
    endpoint: S3Service,
}

impl Amended {
    /// `endpoint` must ask for no signature.
    pub(super) const fn new(endpoint: S3Service) -> Self {
        Self { endpoint }
    }
}

#[async_trait::async_trait]
impl S3Route for Amended {
    fn is_match(&self, method: &Method, uri: &Uri, headers: &HeaderMap, _: &mut http::Extensions) -> bool {
        has_range_to_amend(method, headers) || is_list_of_deletes(method, uri)
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let mut headers = request.headers;
        let body = if is_list_of_deletes(&request.method, &request.uri) {
            let body = Limited::new(request.input, LARGEST_LIST).collect().await;
            let body = body.map_err(|error| match error.is::<LengthLimitError>() {
                true => s3_error!(
                    MaxMessageLengthExceeded,
                    "the list has more than {LARGEST_LIST} bytes; ask for fewer keys at once (nothing was deleted)"
                ),
                false => body_error(&*error),
            })?;
            let body = body.to_bytes();
            let trailers = request.trailing_headers.and_then(|trailers| trailers.take());
            verify(&headers, &trailers.unwrap_or_default(), &body)?;
            headers.insert(header::CONTENT_LENGTH, body.len().into());
            Body::from(body)
        } else {
            request.input
        };
        if has_range_to_amend(&request.method, &headers) {
            let range = headers.remove(header::RANGE).as_ref().and_then(range_in_bounds);
            range.and_then(|range| headers.insert(header::RANGE, range));
        }
        SIGNATURE_HEADERS.iter().for_each(|name| _ = headers.remove(*name));
        let mut again = http::Request::new(body);
        *again.method_mut() = request.method;
        *again.uri_mut() = unsigned(&request.uri)?;
        *again.headers_mut() = headers;
        let answer = self.endpoint.call(again).await;
        let (head, body) = answer.map_err(|error| s3_error!(InternalError, "{error:?}"))?.into_parts();
        let mut response = S3Response::new(body);
        response.status = Some(head.status);
        response.headers = head.headers;
        response.extensions = head.extensions;
        Ok(response)
    }
}

/// A suffix without its length, which the crate takes for one of 0.
const NO_BYTES: &str = "bytes=-";

/// If the crate cannot read the range.
fn has_range_to_amend(method: &Method, headers: &HeaderMap) -> bool {
    let range = headers.get(header::RANGE).filter(|_| matches!(*method, Method::GET | Method::HEAD));
    range.is_some_and(|range| {
        range.to_str().map_or(true, |range| range == NO_BYTES || Range::parse(range).is_err())
    })
}

/// The range in numbers that the crate can read, which are larger than any object; `None` if it is no single range.
fn range_in_bounds(range: &HeaderValue) -> Option<HeaderValue> {
    let (first, last) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let in_bounds = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true if digits.is_empty() => Some(String::new()),
        // Of digits alone only a number too large does not parse.
        true => Some(digits.parse().unwrap_or(i64::MAX).to_string()),
        false => None,
    };
    let range = format!("bytes={}-{}", in_bounds(first)?, in_bounds(last)?);
    if range == NO_BYTES {
        return None;
    }
    Range::parse(&range).ok()?;
    range.parse().ok()
}

fn is_list_of_deletes(method: &Method, uri: &Uri) -> bool {
    let mut fields = uri.query().unwrap_or_default().split('&');
    *method == Method::POST && fields.any(|field| field.split('=').next() == Some("delete"))
}

/// The URI without the fields of a presigned one.
fn unsigned(uri: &Uri) -> S3Result<Uri> {
    let fields = uri.query().unwrap_or_default().split('&').filter(|field| {
        let name = field.split('=').next().unwrap_or_default();
        !name.to_ascii_lowercase().starts_with("x-amz-") && !SIGNATURE_FIELDS.contains(&name)
    });
    let query = fields.collect::<Vec<_>>().join("&");
    let whole = if query.is_empty() { uri.path().to_owned() } else { format!("{}?{query}", uri.path()) };
    whole.parse().map_err(|error| s3_error!(InvalidURI, "{error}"))
}

/// Compares a body with what the client says of it.
fn verify(headers: &HeaderMap, trailers: &HeaderMap, body: &Bytes) -> S3Result<()> {
    if let Some(md5) = headers.get("content-md5") {
        let given = STANDARD.decode(md5).ok().filter(|md5| md5.len() == 16);
        let Some(given) = given else {
            return Err(s3_error!(InvalidDigest, "Content-MD5 is not the base64 of 16 bytes"));
        };
        if given != Md5::digest(body).as_slice() {
            return Err(s3_error!(BadDigest, "Content-MD5 does not match the body; nothing was deleted"));
        }
    }
    for name in ALGORITHMS {
        let header = format!("x-amz-checksum-{}", name.to_ascii_lowercase());
        let Some(given) = headers.get(&header).or_else(|| trailers.get(&header)) else { continue };
        let mut hasher = hasher_for(name)?;
        hasher.update(body);
        let computed = values(hasher.finalize()).values.remove(name).unwrap_or_default();
        let is_well_formed = STANDARD.decode(given).is_ok_and(|given| {
            STANDARD.decode(&computed).is_ok_and(|computed| computed.len() == given.len())
        });
        if !is_well_formed {
            return Err(s3_error!(InvalidRequest, "the value of {header} is not one of that checksum"));
        }
        if computed.as_bytes() != given.as_bytes() {
            return Err(s3_error!(
                BadDigest,
                "the {name} checksum does not match the body; nothing was deleted"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_left_alone_ignored_or_brought_within_bounds() {
        let asked = |range: &str| {
            let headers = HeaderMap::from_iter([(header::RANGE, range.parse().unwrap())]);
            has_range_to_amend(&Method::GET, &headers)
        };
        for range in ["bytes=0-1", "bytes=5-", "bytes=-5"] {
            assert!(!asked(range), "{range}");
        }
        let amended = |range: &str| range_in_bounds(&range.parse().unwrap());
        for range in ["bytes=0-1,3-4", "items=0-1", "bytes=5-2", "bytes=a-b", "bytes=-", "bytes", ""] {
            assert!(asked(range), "{range}");
            assert_eq!(amended(range), None, "{range}");
        }
        let (large, larger) = ("9223372036854775808", "99999999999999999999999");
        for number in [large, larger] {
            let cases = [
                (format!("bytes=5-{number}"), "bytes=5-9223372036854775807"),
                (format!("bytes={number}-"), "bytes=9223372036854775807-"),
            ];
            for (range, expected) in cases {
                assert!(asked(&range), "{range}");
                assert_eq!(amended(&range).unwrap(), expected);
            }
        }
        assert_eq!(amended(&format!("bytes=-{larger}")).unwrap(), "bytes=-9223372036854775807");
        assert!(!has_range_to_amend(&Method::GET, &HeaderMap::new()));
    }

    #[test]
    fn what_signs_is_taken_out_and_the_rest_stays_as_it_is() {
        let unsigned = |uri: &str| unsigned(&uri.parse().unwrap()).unwrap().to_string();
        let presigned = "/b/a%20b?X-Amz-Date=1&response-content-type=a%2Fb&X-Amz-Signature=2&x-id=GetObject";
        assert_eq!(unsigned(presigned), "/b/a%20b?response-content-type=a%2Fb&x-id=GetObject");
        assert_eq!(unsigned("/b/k?AWSAccessKeyId=a&Expires=1&Signature=b"), "/b/k");
        assert_eq!(unsigned("/b?delete"), "/b?delete");
    }
}
