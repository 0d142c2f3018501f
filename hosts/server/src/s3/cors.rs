//! CORS: a bucket's rules, which pages of other origins may read answers, and preflights.
//! Sources: AWS, "Using cross-origin resource sharing"; WHATWG Fetch, "CORS protocol".

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use s3s::{
    S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        CORSRule, DeleteBucketCorsInput, DeleteBucketCorsOutput, GetBucketCorsInput, GetBucketCorsOutput,
        PutBucketCorsInput, PutBucketCorsOutput,
    },
    s3_error,
};

use super::{Endpoint, blocking, faults::s3};
use crate::storage::{CorsRecord, Storage};

/// Rules a bucket may have: S3's own bound.
const MAX_RULES: usize = 100;
/// Methods a rule may allow.
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];

pub(super) async fn get(
    endpoint: &Endpoint,
    request: S3Request<GetBucketCorsInput>,
) -> S3Result<S3Response<GetBucketCorsOutput>> {
    let store = endpoint.store.clone();
    let rules = blocking(move || store.buckets.get(&request.input.bucket).map_err(s3)).await?.cors;
    if rules.is_empty() {
        return Err(s3_error!(NoSuchCORSConfiguration, "The CORS configuration does not exist"));
    }
    let rules = rules.into_iter().map(|rule| CORSRule {
        allowed_headers: (!rule.headers.is_empty()).then_some(rule.headers),
        allowed_methods: rule.methods,
        allowed_origins: rule.origins,
        expose_headers: (!rule.exposed.is_empty()).then_some(rule.exposed),
        id: rule.id,
        max_age_seconds: rule.max_age_s,
    });
    Ok(S3Response::new(GetBucketCorsOutput { cors_rules: Some(rules.collect()) }))
}

pub(super) async fn put(
    endpoint: &Endpoint,
    request: S3Request<PutBucketCorsInput>,
) -> S3Result<S3Response<PutBucketCorsOutput>> {
    let rules = request.input.cors_configuration.cors_rules;
    if rules.is_empty() || rules.len() > MAX_RULES {
        return Err(s3_error!(MalformedXML, "a CORS configuration has 1 to {MAX_RULES} rules"));
    }
    let rules = rules.into_iter().map(checked).collect::<S3Result<Vec<_>>>()?;
    let (store, bucket) = (endpoint.store.clone(), request.input.bucket);
    blocking(move || store.buckets.set_cors(&bucket, rules).map_err(s3)).await?;
    Ok(S3Response::new(PutBucketCorsOutput {}))
}

pub(super) async fn delete(
    endpoint: &Endpoint,
    request: S3Request<DeleteBucketCorsInput>,
) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
    let store = endpoint.store.clone();
    blocking(move || store.buckets.set_cors(&request.input.bucket, Vec::new()).map_err(s3)).await?;
    Ok(S3Response::with_status(DeleteBucketCorsOutput {}, StatusCode::NO_CONTENT))
}

fn checked(rule: CORSRule) -> S3Result<CorsRecord> {
    if rule.allowed_origins.is_empty() || rule.allowed_methods.is_empty() {
        return Err(s3_error!(MalformedXML, "a rule needs an AllowedOrigin and an AllowedMethod"));
    }
    if let Some(method) = rule.allowed_methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
        return Err(s3_error!(
            InvalidRequest,
            "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
        ));
    }
    let headers = rule.allowed_headers.unwrap_or_default();
    for pattern in rule.allowed_origins.iter().chain(&headers) {
        if pattern.matches('*').count() > 1 {
            return Err(s3_error!(InvalidRequest, "\"{pattern}\" can not have more than one wildcard."));
        }
    }
    let exposed = rule.expose_headers.unwrap_or_default();
    if let Some(name) = exposed.iter().find(|name| HeaderName::from_bytes(name.as_bytes()).is_err()) {
        return Err(s3_error!(InvalidRequest, "ExposeHeader \"{name}\" is no header's name"));
    }
    Ok(CorsRecord {
        id: rule.id,
        origins: rule.allowed_origins,
        methods: rule.allowed_methods,
        headers,
        exposed,
        max_age_s: rule.max_age_seconds,
    })
}

/// A request of a page of another origin.
#[derive(Debug)]
pub(super) struct CrossOriginRequest {
    bucket: String,
    origin: String,
    /// The method of the request itself, or of the one that a preflight announces.
    method: String,
    /// Headers that a preflight announces, in lower case.
    headers: Vec<String>,
    pub(super) is_preflight: bool,
}

impl CrossOriginRequest {
    /// `None` if the request has no Origin.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let text = |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        let origin = text(&header::ORIGIN)?.to_owned();
        let is_preflight = *request.method() == http::Method::OPTIONS;
        let method = match is_preflight {
            true => text(&header::ACCESS_CONTROL_REQUEST_METHOD).unwrap_or_default(),
            false => request.method().as_str(),
        };
        let headers = text(&header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
        let headers = headers.split(',').map(|name| name.trim().to_ascii_lowercase());
        let bucket = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
        Some(Self {
            bucket: bucket.to_owned(),
            origin,
            method: method.to_owned(),
            headers: headers.filter(|name| !name.is_empty()).collect(),
            is_preflight,
        })
    }

    /// The CORS headers of every answer to this request; none if no rule of the bucket allows it. Blocks on the disk.
    pub(super) fn allowed(&self, store: &Storage) -> HeaderMap {
        let rules = store.buckets.get(&self.bucket).map(|bucket| bucket.cors).unwrap_or_default();
        rules.iter().find(|rule| self.is_allowed(rule)).map(|rule| self.headers(rule)).unwrap_or_default()
    }

    fn is_allowed(&self, rule: &CorsRecord) -> bool {
        let allowed =
            |name: &String| rule.headers.iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), name));
        rule.origins.iter().any(|pattern| matches(pattern, &self.origin))
            && rule.methods.contains(&self.method)
            && (!self.is_preflight || self.headers.iter().all(allowed))
    }

    fn headers(&self, rule: &CorsRecord) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut insert = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        let any = rule.origins.iter().any(|origin| origin == "*");
        insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, if any { "*" } else { &self.origin });
        insert(header::VARY, "Origin, Access-Control-Request-Headers, Access-Control-Request-Method");
        insert(header::ACCESS_CONTROL_ALLOW_METHODS, &rule.methods.join(", "));
        if !rule.exposed.is_empty() {
            insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, &rule.exposed.join(", "));
        }
        if self.is_preflight {
            if !self.headers.is_empty() {
                insert(header::ACCESS_CONTROL_ALLOW_HEADERS, &self.headers.join(", "));
            }
            if let Some(seconds) = rule.max_age_s {
                insert(header::ACCESS_CONTROL_MAX_AGE, &seconds.to_string());
            }
        }
        headers
    }
}

/// The answer to a preflight.
pub(super) fn preflight(headers: &HeaderMap) -> S3Result<Response<s3s::Body>> {
    if headers.is_empty() {
        return Err(s3_error!(
            AccessDenied,
            "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request \
             method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the \
             resource's CORS spec."
        ));
    }
    Ok(Response::new(s3s::Body::empty()))
}

/// The refusal of OPTIONS that is no preflight.
pub(super) fn no_origin() -> S3Error {
    let code = S3ErrorCode::Custom("BadRequest".into());
    let mut refusal = S3Error::with_message(code, "Insufficient information. Origin request header needed.");
    refusal.set_status_code(StatusCode::BAD_REQUEST);
    refusal
}

/// A pattern with at most one `*`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => {
            text.len() >= before.len() + after.len() && text.starts_with(before) && text.ends_with(after)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> CorsRecord {
        CorsRecord {
            id: None,
            origins: vec!["https://*.shop.example".into()],
            methods: vec!["POST".into(), "GET".into()],
            headers: vec!["X-Amz-*".into(), "content-type".into()],
            exposed: vec!["ETag".into()],
            max_age_s: Some(60),
        }
    }

    fn request(method: &str, origin: &str, headers: &str) -> CrossOriginRequest {
        let request = Request::options("/in/a.jpg")
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, method)
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, headers);
        CrossOriginRequest::of(&request.body(()).unwrap()).unwrap()
    }

    #[test]
    fn origin_method_and_headers_must_be_allowed_by_one_rule() {
        let one = "https://a.shop.example";
        for (method, origin, headers, allowed) in [
            ("POST", one, "Content-Type, x-amz-date", true),
            ("GET", one, "", true),
            ("PUT", one, "", false),
            ("POST", "https://shop.example", "", false),
            ("POST", "https://a.shop.example.evil.example", "", false),
            ("POST", one, "authorization", false),
            ("", one, "", false),
        ] {
            assert_eq!(
                request(method, origin, headers).is_allowed(&rule()),
                allowed,
                "{method} {origin} {headers}"
            );
        }
    }

    #[test]
    fn what_the_answer_says() {
        let headers = request("POST", "https://a.shop.example", "content-type").headers(&rule());
        assert_eq!(headers["access-control-allow-origin"], "https://a.shop.example");
        assert_eq!(headers["access-control-allow-headers"], "content-type");
        assert_eq!(headers["access-control-max-age"], "60");
        assert_eq!(headers["access-control-expose-headers"], "ETag");
        assert!(CrossOriginRequest::of(&Request::get("/in").body(()).unwrap()).is_none());
    }
}
