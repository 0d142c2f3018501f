//! Cross-origin requests: preflights, and the CORS headers of every response.
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

use crate::{answer::message, public::gated, route_table::RouteTable, routes, settings::ApiSettings};

/// The origins whose pages may read responses; cheap to clone.
#[derive(Debug, Clone)]
pub struct Cors {
    origins: Arc<[String]>,
    /// Whether every origin is allowed.
    any: bool,
}

impl Cors {
    /// Allows pages of these origins; of all, if one of them is `*`.
    #[must_use]
    pub fn new(origins: &[String]) -> Self {
        Self { origins: origins.into(), any: origins.iter().any(|origin| origin == "*") }
    }

    /// The value of `Access-Control-Allow-Origin`, if the request's origin may read the response.
    #[must_use]
    pub fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(header::ORIGIN)?;
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        self.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// Adds the CORS headers to a response, refusals included; `allowed` comes from [`Cors::allowed`].
    pub fn mark(&self, response: &mut Response, allowed: Option<HeaderValue>) {
        let headers = response.headers_mut();
        if !self.origins.is_empty() {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = allowed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(
                    "ETag,Location,Retry-After,X-Amzn-Requestid,X-Tintype-Width,X-Tintype-Height",
                ),
            );
        }
    }

    /// The refusal of an unknown route or method, with CORS headers.
    pub async fn unknown(&self, request: &HeaderMap) -> Response {
        let mut response = unknown().await;
        self.mark(&mut response, self.allowed(request));
        response
    }
}

/// Responds to OPTIONS, refuses unknown routes and what needs a key where others need none (`api.public`), and adds CORS
/// headers to every response.
pub fn cross_origin(router: Router, api: &ApiSettings) -> Router {
    let router = gated(router, api);
    let cors = Cors::new(&api.cors_origins);
    let table = Arc::new(RouteTable::new(&api.path(), routes::rows()));
    let fallback = cors.clone();
    router
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            let (cors, table) = (cors.clone(), table.clone());
            async move {
                let origin = cors.allowed(request.headers());
                let mut response = match (request.method(), table.at(request.uri().path())) {
                    (&Method::OPTIONS, Some(place)) => preflight(place.methods(), origin.is_some()),
                    _ => next.run(request).await,
                };
                cors.mark(&mut response, origin);
                response
            }
        }))
        .fallback(move |headers: HeaderMap| {
            let cors = fallback.clone();
            async move { cors.unknown(&headers).await }
        })
}

/// The response of API Gateway to an unknown route or method.
pub async fn unknown() -> Response {
    message(StatusCode::FORBIDDEN, "Missing Authentication Token")
}

/// The response to OPTIONS where there are these methods, before [`Cors::mark`].
#[must_use]
pub fn preflight(methods: HeaderValue, allowed: bool) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
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
