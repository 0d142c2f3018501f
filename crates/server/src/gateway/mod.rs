//! The HTTP port: the API's routes behind what API Gateway does on AWS (keys, quotas, throttling, cache,
//! time-outs), and the server's own routes. This file says in which order.

mod access;
mod admission;
mod cache;
mod guard;
mod head;
mod host;
mod keys;
mod live;
mod throttle;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::Response,
    routing::get,
};
pub use live::Live;
use tintype_api::{message, unknown};
use tintype_function::settings::Settings;

use crate::{credentials::Credentials, instruments::Instruments, invoker::Invoker, store::DiskStore};

/// What the routes need.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

/// The server's parts, which outlive a change of settings.
#[derive(Clone)]
pub struct Parts {
    /// The store.
    pub store: Arc<DiskStore>,
    /// Calls the function.
    pub invoker: Arc<Invoker>,
    /// Counts.
    pub instruments: Arc<Instruments>,
    /// The key that upload forms are signed with.
    pub credentials: Credentials,
}

struct Inner {
    settings: Settings,
    parts: Parts,
    /// The rate of all requests together.
    account: throttle::TokenBucket,
    routes: throttle::Routes,
    keys: keys::Keys,
    cache: cache::Cache,
    bodies: Arc<tokio::sync::Semaphore>,
    origins: Arc<[String]>,
}

impl Gateway {
    /// The gateway over the server's parts; `before`, under the settings before, hands on what was counted.
    #[must_use]
    pub fn new(settings: Settings, parts: Parts, before: Option<&Self>) -> Self {
        let api = &settings.api;
        let bodies = before.map_or_else(admission::bodies, |before| before.inner.bodies.clone());
        Self {
            inner: Arc::new(Inner {
                account: throttle::TokenBucket::new(api.rate, api.burst),
                routes: throttle::Routes::new(api),
                keys: keys::Keys::new(&api.keys),
                cache: cache::Cache::new(api),
                bodies,
                origins: api.cors_origins.clone().into(),
                settings,
                parts,
            }),
        }
    }

    /// All routes: those of the API, this server's own, and the page's.
    pub fn router(&self, page: Router) -> Router {
        let own = Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .with_state(self.clone())
            .merge(page);
        let described = get(openapi).fallback(unknown);
        let description = Router::new().route("/openapi.json", described).with_state(self.clone());
        let api = tintype_api::Config::new(&self.inner.settings)
            .map(|config| tintype_api::router(self.clone(), config))
            .unwrap_or_default()
            .merge(description);
        // From the inside out; a request passes them from the last to the first.
        let api = api
            .layer(middleware::from_fn_with_state(self.clone(), admission::admit))
            .layer(middleware::from_fn_with_state(self.clone(), cache::answer))
            .layer(middleware::from_fn_with_state(self.clone(), throttle::check))
            .layer(middleware::from_fn_with_state(self.clone(), keys::check));
        let origins = self.inner.origins.clone();
        // What is not there is refused in a way that pages of allowed origins may read.
        let api = tintype_api::cross_origin(api, move || origins.clone());
        own.merge(api)
            .method_not_allowed_fallback(unknown)
            .layer(middleware::from_fn_with_state(self.clone(), guard::check))
            .layer(middleware::from_fn(head::check))
            .layer(middleware::from_fn(access::log))
    }
}

/// 429 in API Gateway's words, with when to come again.
fn throttled(instruments: &Instruments, words: &str, wait: Duration) -> Response {
    instruments.throttled();
    let mut response = message(StatusCode::TOO_MANY_REQUESTS, words);
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    if let Ok(value) = HeaderValue::from_str(&format!("{seconds:.0}")) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// The description of the API.
async fn openapi(State(gateway): State<Gateway>) -> Response {
    let Some(config) = tintype_api::Config::new(&gateway.inner.settings) else { return unknown().await };
    let mut response = Response::new(tintype_api::description(&config).to_string().into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn healthz() -> Response {
    message(StatusCode::OK, "alive")
}

/// Ready means that the ledger answers.
async fn readyz(State(gateway): State<Gateway>) -> Response {
    let store = gateway.inner.parts.store.clone();
    let read = tokio::task::spawn_blocking(move || store.ledger().view().and_then(|view| view.event_count()));
    match read.await {
        Ok(Ok(_)) => message(StatusCode::OK, "ready"),
        Ok(Err(error)) => message(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        Err(error) => message(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}
