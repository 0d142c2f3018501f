//! Whether a request's sender may do what its route demands, and the answers to those who may not.

use axum::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tintype_api::{Access, message};

use super::{Inner, Request};
use crate::{
    auth::{Client, Principal, Resource, is_forwarded},
    settings::Settings,
};

/// The sender of a request to a route that demands `access`, if it may use it.
pub(super) async fn authorize(
    inner: &Inner,
    access: Access,
    client: Client,
    request: &Request,
) -> Result<Principal, Box<Response>> {
    let (method, path, headers) = (request.method(), request.uri().path(), request.headers());
    let principal = inner.authenticator.principal(access, client, headers).await;
    let decision = inner.parts.authorizer.authorize(&principal, access.into(), &Resource::Route(path));
    let Err(denied) = decision else { return Ok(principal) };
    Err(Box::new(match (denied.principal == Principal::Anonymous, access) {
        (true, Access::ApiKey) => key_needed(&inner.settings, headers),
        (true, Access::Login(_)) => login_needed(method, headers),
        _ => message(StatusCode::FORBIDDEN, denied.to_string()),
    }))
}

/// The API's answer where no key was sent that it knows.
fn key_needed(settings: &Settings, headers: &HeaderMap) -> Response {
    let words = if !settings.api.keys.is_empty() {
        // API Gateway's.
        "Forbidden"
    } else if settings.trusts_loopback() && is_forwarded(headers) {
        "a proxy has forwarded this request, so it needs an API key, and the settings have none: add an [[api.key]], send \
         it as X-Api-Key, and set listen.trust_loopback = false; programs may send the root key by HTTP Basic \
         authentication instead"
    } else {
        "requests need an API key here (listen.trust_loopback, listen.trusted_proxies and listen.http_unix say for whom), \
         and the settings have none: add an [[api.key]] and send it as X-Api-Key; programs may send the root key by \
         HTTP Basic authentication instead"
    };
    message(StatusCode::FORBIDDEN, words)
}

/// The console's answer to the unknown: people are led to the login, programs are answered 401.
fn login_needed(method: &Method, headers: &HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if *method == Method::GET && accept.is_some_and(|accept| accept.contains("text/html")) {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, "/login")]).into_response();
    }
    let mut response = message(
        StatusCode::UNAUTHORIZED,
        "an access key is needed: log in at /login, or use its id and secret with HTTP Basic authentication",
    );
    let realm = HeaderValue::from_static("Basic realm=\"tintype\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    response
}
