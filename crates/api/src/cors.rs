//! Cross-origin requests: preflights, and what every answer says to pages of other origins.
//! Source: WHATWG Fetch, "CORS protocol".

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::Response,
};

use crate::answer::message;

/// Answers OPTIONS of the routes, refuses what is not there, and marks every answer, refusals too, so that
/// pages of allowed origins may read it. `origins` is asked for each request: it may change while the
/// program runs.
pub fn cross_origin(
    router: Router,
    origins: impl Fn() -> Arc<[String]> + Clone + Send + Sync + 'static,
) -> Router {
    let preflights = origins.clone();
    router
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            let origins = preflights();
            async move {
                if *request.method() != Method::OPTIONS {
                    return next.run(request).await;
                }
                let is_allowed = allowed_origin(&origins, request.headers()).is_some();
                preflight(request.uri().path(), is_allowed)
            }
        }))
        .fallback(unknown)
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            let origins = origins();
            async move {
                let origin = allowed_origin(&origins, request.headers());
                let mut response = next.run(request).await;
                mark(&mut response, origin, !origins.is_empty());
                response
            }
        }))
}

/// API Gateway's words for a route or method that is not there.
pub async fn unknown() -> Response {
    message(StatusCode::FORBIDDEN, "Missing Authentication Token")
}

/// What `Access-Control-Allow-Origin` is to say for this request, if its origin may read the answer.
fn allowed_origin(origins: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    if origins.iter().any(|allowed| allowed == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

fn methods(path: &str) -> &'static str {
    match path.rsplit('/').next() {
        Some("info" | "openapi.json") => "GET,HEAD,OPTIONS",
        Some("uploads") => "OPTIONS,POST",
        _ => "GET,HEAD,OPTIONS,POST",
    }
}

/// The answer to OPTIONS, before [`mark`].
fn preflight(path: &str, allowed: bool) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let methods = HeaderValue::from_static(methods(path));
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, methods.clone());
    if allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(
                "Content-Type,If-None-Match,If-Modified-Since,Prefer,X-Api-Key,Authorization",
            ),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

fn mark(response: &mut Response, origin: Option<HeaderValue>, any_configured: bool) {
    let headers = response.headers_mut();
    if any_configured {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(
                "ETag,Location,Retry-After,X-Amzn-Requestid,X-Tintype-Width,X-Tintype-Height",
            ),
        );
    }
}
