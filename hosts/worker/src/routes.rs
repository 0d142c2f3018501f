//! The worker's own routes: health, metrics, and the webhook of stores that send events by HTTP.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Method, Request, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get, head, post},
};
use bytes::Bytes;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tintype_api::{Access, Config, Route, RoutePath, StoreHost, message};
use tintype_pipeline::trigger::default_trigger;
use tintype_telemetry::render::prometheus;

use crate::{
    backend::WorkerBackend,
    worker::{Shared, Worker},
};

const WEBHOOK: &str = "/webhook";

impl Worker {
    /// The routes: those of the API, and the worker's own.
    #[must_use]
    pub fn routes(&self) -> Vec<Route<MethodRouter>> {
        let shared = self.shared();
        let mut routes = Vec::new();
        if default_trigger(&shared.triggers).is_some() {
            let config = Config::new(&shared.api, *shared.thumbnails.limits());
            routes.extend(tintype_api::routes(StoreHost(WorkerBackend(shared.clone())), config));
        }
        let own = |method, path, access, handler: MethodRouter<Arc<Shared>>| Route {
            is_logged: false,
            ..Route::new(method, RoutePath::Root(path), access, handler.with_state(shared.clone()))
        };
        routes.extend([
            own(Method::GET, "/healthz", Access::Anyone, get(healthz)),
            own(Method::GET, "/readyz", Access::Anyone, get(readyz)),
            own(Method::GET, "/metrics", Access::ApiKey, get(metrics)),
        ]);
        if shared.webhook_token.is_some() {
            // Its token is checked by the handler, and before the body is read by `check_webhook`.
            routes.extend([
                own(Method::HEAD, WEBHOOK, Access::Anyone, head(webhook_health)),
                Route { is_logged: true, ..own(Method::POST, WEBHOOK, Access::Anyone, post(webhook)) },
            ]);
        }
        routes
    }

    /// Whether the body of a request may be read: of one to the webhook only with its token, so that nobody else's takes
    /// memory or time.
    ///
    /// # Errors
    /// The answer: the token is missing or wrong.
    pub fn check_webhook<B>(&self, request: &Request<B>) -> Result<(), Box<Response>> {
        match &self.shared().webhook_token {
            Some(token) if request.uri().path() == WEBHOOK && request.method() == Method::POST => {
                check_token(Some(token), request.headers())
            }
            _ => Ok(()),
        }
    }
}

async fn healthz() -> Response {
    message(StatusCode::OK, "alive")
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let state = shared.readiness.state();
    let status = if state.why.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "message": state.why.unwrap_or_else(|| "ready".into()),
        "conditional_writes": state.conditional_writes,
    });
    (status, Json(body)).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    shared.sample();
    let text = prometheus::text(&shared.reporter.metrics, shared.reporter.function());
    ([(header::CONTENT_TYPE, prometheus::MEDIA_TYPE)], text).into_response()
}

/// MinIO and RustFS ask before they send anything; without a token, too.
async fn webhook_health(State(shared): State<Arc<Shared>>) -> StatusCode {
    if shared.broker().is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Stores an event at the broker before it is acknowledged.
async fn webhook(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(refused) = check_token(shared.webhook_token.as_deref(), &headers) {
        return *refused;
    }
    // What is no JSON would be a dead letter; here its sender can be asked to correct it.
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&body) {
        return message(StatusCode::BAD_REQUEST, format!("the event is not JSON: {error}"));
    }
    let Some(broker) = shared.broker() else {
        return message(StatusCode::SERVICE_UNAVAILABLE, "the worker is not connected to its broker yet");
    };
    match broker.publish(body, None).await {
        Ok(()) => message(StatusCode::OK, "stored"),
        Err(error) => message(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

fn check_token(token: Option<&str>, headers: &HeaderMap) -> Result<(), Box<Response>> {
    if is_authorized(token, headers) {
        return Ok(());
    }
    let words = "the header Authorization must be \"Bearer\" and worker.webhook_token";
    Err(Box::new(message(StatusCode::FORBIDDEN, words)))
}

/// Digests are compared, so that the time depends on no secret.
fn is_authorized(token: Option<&str>, headers: &HeaderMap) -> bool {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    // MinIO sends a token that has no scheme with "Bearer", and one that has as it is.
    let sent = sent
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match (token, sent) {
        (Some(token), Some((_, sent))) => Sha256::digest(token) == Sha256::digest(sent.trim()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_webhook_takes_its_token_alone() {
        let with = |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        let token = Some("0123456789abcdef");
        for right in ["Bearer 0123456789abcdef", "bearer 0123456789abcdef"] {
            assert!(is_authorized(token, &with(right)));
        }
        for wrong in ["Bearer 0123456789abcde", "Basic 0123456789abcdef", "0123456789abcdef", "Bearer", ""] {
            assert!(!is_authorized(token, &with(wrong)), "{wrong}");
        }
        assert!(!is_authorized(token, &HeaderMap::new()));
        assert!(!is_authorized(None, &with("Bearer ")));
    }
}
