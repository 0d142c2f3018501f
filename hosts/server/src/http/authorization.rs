//! Whether a request's sender may do what its route demands, and the answers to those who may not.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tintype_api::{Access, Pass, Permission, WrongSignature, message};

use super::{Inner, Request, retry_later};
use crate::{
    auth::{Action, Caller, Client, Principal, RequestContext, Resource, has_credentials, is_forwarded},
    settings::Settings,
};

/// The sender of a request to a route that demands `access`, if it may use it. `pass`: of a request for an image, whether
/// it needs a key.
pub(super) fn authorize(
    inner: &Inner,
    access: Access,
    client: Client,
    request: &Request,
    pass: Option<Pass>,
) -> Result<Arc<Caller>, Box<Response>> {
    let (method, path, headers) = (request.method(), request.uri().path(), request.headers());
    let authenticated = inner.authenticator.principal(access, client, headers);
    let principal = authenticated
        .map_err(|error| retry_later(message(StatusCode::TOO_MANY_REQUESTS, error.to_string()), error.0))?;
    let is_public = pass.is_some_and(|pass| pass.is_public) && !has_credentials(headers);
    let principal = match principal {
        Principal::Anonymous if is_public => Principal::Public,
        principal => principal,
    };
    let (authorizer, context) = (&inner.parts.authorizer, RequestContext::new(client, headers));
    let decision = match action(access) {
        Some(action) => authorizer.authorize(&principal, action, &Resource::Route(path), &context),
        None => Ok(()),
    };
    let Err(denied) = decision else {
        let session = match access {
            Access::Login(_) => inner.authenticator.open_session(&principal, headers),
            Access::Anyone | Access::ApiKey => None,
        };
        return Ok(Arc::new(Caller::new(authorizer.clone(), principal, context).with_session(session)));
    };
    Err(Box::new(match (denied.principal == Principal::Anonymous, access) {
        (true, Access::ApiKey) if pass.is_some() && inner.gate.asks_for_signatures() => wrong_signature(),
        (true, Access::ApiKey) => key_needed(&inner.settings, headers),
        (true, Access::Login(_)) => login_needed(method, headers),
        _ => message(StatusCode::FORBIDDEN, denied.to_string()),
    }))
}

/// The answer to a URL whose signature is missing, wrong or expired.
pub(super) fn wrong_signature() -> Response {
    message(StatusCode::FORBIDDEN, WrongSignature::MESSAGE)
}

/// The action that a route amounts to; `None`: anybody may use it.
const fn action(access: Access) -> Option<Action> {
    match access {
        Access::Anyone => None,
        Access::ApiKey => Some(Action::InvokeApi),
        Access::Login(Permission::Read) => Some(Action::Read),
        Access::Login(Permission::Write) => Some(Action::Write),
        Access::Login(Permission::Admin) => Some(Action::Administer),
        Access::Login(Permission::Keys) => Some(Action::AdministerKeys),
    }
}

/// The API's answer where no key was sent that it knows.
fn key_needed(settings: &Settings, headers: &HeaderMap) -> Response {
    let words = if !settings.api.keys.is_empty() {
        // API Gateway's.
        "Forbidden"
    } else if settings.trusts_loopback() && is_forwarded(headers) {
        "a proxy has forwarded this request, so it needs an API key, and the settings have none: add an [[api.key]], send \
         it as X-Api-Key, and set listen.trust_loopback = false; programs may send an access key by HTTP Basic \
         authentication instead"
    } else {
        "requests need an API key here (listen.trust_loopback, listen.trusted_proxies and listen.http_unix say for whom), \
         and the settings have none: add an [[api.key]] and send it as X-Api-Key; programs may send an access key by \
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
