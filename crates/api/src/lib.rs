//! The HTTP routes, as both hosts serve them: one resource that runs the function and answers thumbnails.
//! Keys, quotas, throttling and the cache are the host's (API Gateway's on AWS, `gateway`'s on one machine).

mod accept;
mod answer;
pub mod apigateway;
mod body;
mod conditions;
mod cors;
mod flight;
mod host;
mod info;
mod invoke;
mod multipart;
mod openapi;
mod picture;
mod query;
mod refusals;
pub mod settings;
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

/// What the routes need of the settings.
#[derive(Debug)]
pub struct Config {
    path: String,
    max_body: usize,
    cache_ttl_s: u32,
    bounds: query::Bounds,
    /// How long a request may take.
    timeout: Duration,
    /// Whether answers are for those alone who have a key.
    has_keys: bool,
    /// The largest file that an upload form takes, in bytes.
    source_bytes: u64,
    /// The trigger whose bucket and renditions the routes speak of.
    trigger: Trigger,
}

impl Config {
    /// From the settings; `trigger` is the one whose bucket and renditions the routes speak of.
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

    /// A record that asks for the thumbnails of a source; `how` names the method, as in S3's events.
    fn record(&self, key: ObjectKey, how: &str) -> Record {
        let at = Location { bucket: self.trigger.bucket.clone(), key };
        Record::new(Kind::Created, format!("ObjectCreated:{how}"), at)
    }
}

struct Api<H> {
    host: H,
    config: Arc<Config>,
    flights: thumbnail::Flights,
}

impl<H: Host> Clone for Api<H> {
    fn clone(&self) -> Self {
        Self { host: self.host.clone(), config: self.config.clone(), flights: self.flights.clone() }
    }
}

/// The routes over a host. [`cross_origin`] belongs around them and whatever the host puts before them.
pub fn router<H: Host>(host: H, config: Config) -> Router {
    let path = config.path.clone();
    conditions::begin();
    let api = Api { host, config: Arc::new(config), flights: thumbnail::Flights::default() };
    Router::new()
        .route(&path, any(resource::<H>))
        .route(&format!("{path}/info"), any(described::<H>))
        .route(&format!("{path}/uploads"), any(form::<H>))
        .with_state(api)
}

/// The routes where the settings have no trigger: every request is answered so.
pub fn without_trigger() -> Router {
    let words = "the settings have no trigger, so there is no source bucket: add a [[trigger]]";
    Router::new()
        .route("/{*path}", any(move || async move { message(StatusCode::INTERNAL_SERVER_ERROR, words) }))
}

async fn resource<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
    match *request.method() {
        Method::GET => thumbnail::get(&api, request).await,
        Method::HEAD => thumbnail::head(&api, request).await,
        Method::POST => invoke::post(&api, request).await,
        _ => unknown().await,
    }
}

async fn described<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
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
