//! Requests of S3's clients that were sent to the HTTP port: they are answered as S3 answers, with the endpoint to use.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{Request, host::reached_at};
use crate::settings::Settings;

/// The answer to a request that is signed as for S3.
pub(super) fn check(settings: &Settings, request: &Request) -> Result<(), Box<Response>> {
    if !is_signed_for_s3(request.headers(), request.uri().query().unwrap_or_default()) {
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

fn is_signed_for_s3(headers: &HeaderMap, query: &str) -> bool {
    let signature = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let is_in_header = signature.is_some_and(|text| text.starts_with("AWS4-") || text.starts_with("AWS "));
    is_in_header || query.split('&').any(|pair| pair.starts_with("X-Amz-Algorithm="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_s3_are_known_by_their_signature() {
        let with = |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        let none = HeaderMap::new();
        assert!(is_signed_for_s3(&with("AWS4-HMAC-SHA256 Credential=a/b"), ""));
        assert!(is_signed_for_s3(&with("AWS id:signature"), "list-type=2"));
        assert!(is_signed_for_s3(&none, "a=b&X-Amz-Algorithm=AWS4-HMAC-SHA256"));
        for other in ["Basic aWQ6", "Bearer AWS4", ""] {
            assert!(!is_signed_for_s3(&with(other), "key=a"), "{other}");
        }
    }
}
