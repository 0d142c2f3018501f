//! The HTTP port: the API's routes behind what API Gateway does on AWS (throttling, time-outs, access),
//! and the server's own routes.

mod guard;
mod host;
mod throttle;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use tintype_api::message;
use tintype_function::settings::Settings;

use crate::{instruments::Instruments, invoker::Invoker, store::DiskStore};

/// Memory that request bodies may take at once, in KiB.
const BODY_BUDGET_KIB: usize = 256 << 10;

/// What the routes need.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    store: Arc<DiskStore>,
    invoker: Arc<Invoker>,
    instruments: Arc<Instruments>,
    bucket: throttle::TokenBucket,
    bodies: Arc<tokio::sync::Semaphore>,
}

impl Gateway {
    /// The gateway over the server's parts.
    #[must_use]
    pub fn new(
        settings: Settings,
        store: Arc<DiskStore>,
        invoker: Arc<Invoker>,
        instruments: Arc<Instruments>,
    ) -> Self {
        let bucket = throttle::TokenBucket::new(settings.api.rate, settings.api.burst);
        let bodies = Arc::new(tokio::sync::Semaphore::new(BODY_BUDGET_KIB));
        Self { inner: Arc::new(Inner { settings, store, invoker, instruments, bucket, bodies }) }
    }

    /// All routes: those of the API, this server's own, and the page's.
    pub fn router(&self, page: Router) -> Router {
        let own = Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .with_state(self.clone())
            .merge(page);
        let api = tintype_api::Config::new(&self.inner.settings)
            .map(|config| tintype_api::router(self.clone(), config))
            .unwrap_or_default();
        let api = api.layer(middleware::from_fn_with_state(self.clone(), admit));
        let api = tintype_api::cross_origin(api, &self.inner.settings.api.cors_origins);
        own.merge(api)
            .fallback(unknown)
            .method_not_allowed_fallback(unknown)
            .layer(middleware::from_fn_with_state(self.clone(), guard::check))
    }
}

/// Rate, memory for bodies, time-out: what every API request passes.
async fn admit(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let inner = &gateway.inner;
    if let Err(wait) = inner.bucket.take() {
        return throttled(inner, wait);
    }
    let max = inner.settings.api.max_body;
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<u64>().ok());
    if length.is_some_and(|length| length > max) {
        return message(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the body has more than {max} bytes (api.max_body); upload larger images to the source bucket"
            ),
        );
    }
    // A body of unknown length may be as long as any.
    let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    let expected = length.unwrap_or(if chunked { max } else { 0 });
    let kib = u32::try_from(expected.div_ceil(1024)).unwrap_or(u32::MAX).min(BODY_BUDGET_KIB as u32);
    let Ok(_body) = inner.bodies.clone().try_acquire_many_owned(kib) else {
        return throttled(inner, Duration::from_secs(1));
    };
    match tokio::time::timeout(inner.settings.api.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => message(StatusCode::GATEWAY_TIMEOUT, "Endpoint request timed out"),
    }
}

fn throttled(inner: &Inner, wait: Duration) -> Response {
    inner.instruments.throttled();
    let mut response = message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    if let Ok(value) = HeaderValue::from_str(&format!("{seconds:.0}")) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// API Gateway's words for a route or method that is not there.
async fn unknown() -> Response {
    message(StatusCode::FORBIDDEN, "Missing Authentication Token")
}

async fn healthz() -> Response {
    message(StatusCode::OK, "alive")
}

/// Ready means that the ledger answers.
async fn readyz(State(gateway): State<Gateway>) -> Response {
    let store = gateway.inner.store.clone();
    let read = tokio::task::spawn_blocking(move || store.ledger().view().and_then(|view| view.event_count()));
    match read.await {
        Ok(Ok(_)) => message(StatusCode::OK, "ready"),
        Ok(Err(error)) => message(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        Err(error) => message(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}
