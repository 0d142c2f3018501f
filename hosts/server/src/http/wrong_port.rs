//! Requests of S3's clients that were sent to the HTTP port: they are answered as S3 answers, with the endpoint to use.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{Request, host::reached_at};
use crate::settings::Settings;

/// What the user agents of S3's clients begin with.
const USER_AGENTS: [&str; 6] = ["aws-cli/", "aws-sdk-", "Boto3/", "Botocore/", "APN/", "MinIO ("];
/// Headers that no client of the HTTP port has a use for; signed or not, SDKs send one of them.
const HEADERS: [&str; 3] = ["amz-sdk-invocation-id", "x-amz-content-sha256", "x-amz-date"];
/// Fields of queries, or how they begin, that no route of this port has.
const FIELDS: [&str; 3] = ["X-Amz-Algorithm=", "x-id=", "list-type=2"];

/// The answer to a request that is meant for S3, signed or not: whatever its path, nothing is looked up for it.
pub(super) fn check(settings: &Settings, request: &Request) -> Result<(), Box<Response>> {
    if !is_for_s3(request.headers(), request.uri().query().unwrap_or_default()) {
        return Ok(());
    }
    let scheme = if settings.listen.tls.is_some() { "https" } else { "http" };
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let endpoint = settings.api.s3_url.clone();
    let endpoint = endpoint.unwrap_or_else(|| format!("{scheme}://{}", reached_at(settings.listen.s3, host)));
    let text = format!("this is the HTTP port; the S3 endpoint is {endpoint}");
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InvalidRequest</Code><Message>{}</Message></Error>",
        quick_xml::escape::escape(text)
    );
    let mut response = Response::new(Body::from(document));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Err(Box::new(super::closing(response)))
}

fn is_for_s3(headers: &HeaderMap, query: &str) -> bool {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signature = value(header::AUTHORIZATION);
    ["AWS4-", "AWS "].iter().any(|scheme| signature.starts_with(scheme))
        || USER_AGENTS.iter().any(|agent| value(header::USER_AGENT).starts_with(agent))
        || HEADERS.iter().any(|name| headers.contains_key(*name))
        || query.split('&').any(|pair| FIELDS.iter().any(|field| pair.starts_with(field)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn clients_of_s3_are_known_signed_or_not() {
        for (name, value) in [
            ("authorization", "AWS4-HMAC-SHA256 Credential=a/b"),
            ("authorization", "AWS id:signature"),
            ("user-agent", "aws-cli/2.31.0 md/awscrt#0.27.6"),
            ("user-agent", "MinIO (linux; amd64) minio-go/v7.0.95"),
            ("amz-sdk-invocation-id", "00000000-0000-4000-8000-000000000000"),
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ] {
            assert!(is_for_s3(&with(name, value), ""), "{name}: {value}");
        }
        for query in ["a=b&X-Amz-Algorithm=AWS4-HMAC-SHA256", "list-type=2&prefix=raw%2F", "x-id=GetObject"] {
            assert!(is_for_s3(&HeaderMap::new(), query), "{query}");
        }
    }

    #[test]
    fn other_clients_are_not_taken_for_them() {
        for (name, value) in [
            ("authorization", "Basic aWQ6"),
            ("authorization", "Bearer AWS4"),
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/141.0"),
            ("user-agent", "Amazon CloudFront"),
            ("x-amz-request-id", "1"),
        ] {
            assert!(!is_for_s3(&with(name, value), "key=a&prefix=list-type%3D2"), "{name}: {value}");
        }
    }
}
