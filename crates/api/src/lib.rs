//! The HTTP routes of every host: one resource that runs the function and returns thumbnails. Keys, quotas, throttling
//! and caching belong to the host (API Gateway on AWS, `gateway` on one machine).

mod accept;
mod answer;
pub mod apigateway;
mod body;
mod conditions;
mod cors;

mod host;
mod image;
mod info;
mod invoke;
mod multipart;
mod openapi;

mod query;
mod refusals;
pub mod settings;
mod single_flight;
mod thumbnail;
mod uploads;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode},
    response::Response,
    routing::any,
};
use tintype_engine::Limits;
use tintype_pipeline::{Location, ObjectKey, event::Kind, event::Record, trigger::Trigger};

pub use answer::message;
pub use conditions::{SourceTag, is_unchanged, seconds_of};
pub use cors::{Cors, cross_origin, preflight, unknown};
pub use host::{FormSigner, Host, Parts, Queued, Refused};
pub use invoke::is_to_be_queued;
pub use openapi::description;
use settings::ApiSettings;

/// The settings that the routes use.
#[derive(Debug)]
pub struct Config {
    path: String,
    max_body: usize,
    cache_ttl_s: u32,
    bounds: query::Bounds,
    /// How long a request may take.
    timeout: Duration,
    /// Whether responses are private to clients with a key.
    has_keys: bool,
    /// The largest file that an upload form accepts, in bytes.
    source_bytes: u64,
    /// The trigger whose bucket and renditions the routes serve.
    trigger: Trigger,
}

impl Config {
    /// From the settings; `trigger` is the one whose bucket and renditions the routes serve.
    #[must_use]
    pub fn new(api: &ApiSettings, limits: Limits, trigger: Trigger) -> Self {
        Self {
            path: format!("/{}/{}", api.stage, api.resource),
            max_body: usize::try_from(api.max_body).unwrap_or(usize::MAX),
            cache_ttl_s: api.cache_ttl_s,
            timeout: api.timeout,
            has_keys: !api.keys.is_empty(),
            bounds: query::Bounds { side: api.max_side, quality: api.max_quality },
            source_bytes: limits.source_bytes,
            trigger,
        }
    }

    /// The record that creates the thumbnails of a source; `method` as in S3's event names.
    fn record(&self, key: ObjectKey, method: &str) -> Record {
        let at = Location { bucket: self.trigger.bucket.clone(), key };
        Record::new(Kind::Created, format!("ObjectCreated:{method}"), at)
    }
}

struct Api<H> {
    host: H,
    config: Arc<Config>,
    thumbnails: thumbnail::InFlight,
}

impl<H: Host> Clone for Api<H> {
    fn clone(&self) -> Self {
        Self { host: self.host.clone(), config: self.config.clone(), thumbnails: self.thumbnails.clone() }
    }
}

/// The routes over a host. [`cross_origin`] wraps them and the host's own layers.
pub fn router<H: Host>(host: H, config: Config) -> Router {
    let path = config.path.clone();
    conditions::record_start();
    let api = Api { host, config: Arc::new(config), thumbnails: thumbnail::InFlight::default() };
    Router::new()
        .route(&path, any(resource::<H>))
        .route(&format!("{path}/info"), any(info::<H>))
        .route(&format!("{path}/uploads"), any(form::<H>))
        .with_state(api)
}

/// The routes where the settings have no trigger: every request is an error that names the cause.
pub fn without_trigger() -> Router {
    let text = "the settings have no trigger, so there is no source bucket: add a [[trigger]]";
    Router::new()
        .route("/{*path}", any(move || async move { message(StatusCode::INTERNAL_SERVER_ERROR, text) }))
}

async fn resource<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
    match *request.method() {
        Method::GET => thumbnail::get(&api, request).await,
        Method::HEAD => thumbnail::head(&api, request).await,
        Method::POST => invoke::post(&api, request).await,
        _ => unknown().await,
    }
}

async fn info<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => info::get(&api, request).await,
        _ => unknown().await,
    }
}

async fn form<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
    match *request.method() {
        Method::POST => uploads::post(&api, request).await,
        _ => unknown().await,
    }
}
