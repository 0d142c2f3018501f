//! The HTTP routes of every host: one resource that runs the function and returns thumbnails. Keys, quotas, throttling
//! and caching belong to the host (API Gateway on AWS, the server's `http` on one machine).

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
mod route_table;
mod routes;
pub mod settings;
mod single_flight;
mod thumbnail;
mod uploads;

use std::sync::Arc;

use axum::{
    Router,
    http::StatusCode,
    routing::{MethodRouter, any},
};
use tintype_engine::Limits;

pub use answer::message;
pub use conditions::{SourceTag, is_unchanged, seconds_of};
pub use cors::{Cors, cross_origin, preflight, unknown};
pub use host::{Deadline, FormSigner, Host, Parts, Queued, Refused};
pub use invoke::is_to_be_queued;
pub use openapi::description;
pub use route_table::{Access, BodyLimit, Permission, Place, Route, RouteLimits, RoutePath, RouteTable};
pub use routes::{Action, UPLOADS, rows};
use settings::ApiSettings;

/// The settings that the routes use.
#[derive(Debug)]
pub struct Config {
    path: String,
    max_body: usize,
    cache_ttl_s: u32,
    bounds: query::Bounds,
    /// Whether responses are private to clients with a key.
    has_keys: bool,
    /// The largest file that an upload form accepts, in bytes.
    source_bytes: u64,
}

impl Config {
    /// From the settings.
    #[must_use]
    pub fn new(api: &ApiSettings, limits: Limits) -> Self {
        Self {
            path: api.path(),
            max_body: usize::try_from(api.max_body).unwrap_or(usize::MAX),
            cache_ttl_s: api.cache_ttl_s,
            has_keys: !api.keys.is_empty(),
            bounds: query::Bounds { side: api.max_side, quality: api.max_quality },
            source_bytes: limits.source_bytes,
        }
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

/// The API's routes over a host, for its table.
pub fn routes<H: Host>(host: H, config: Config) -> Vec<Route<MethodRouter>> {
    conditions::record_start();
    routes::served(&Api { host, config: Arc::new(config), thumbnails: thumbnail::InFlight::default() })
}

/// The API's routes over a host. [`cross_origin`] wraps them and the host's own layers.
pub fn router<H: Host>(host: H, config: Config) -> Router {
    let path = config.path.clone();
    RouteTable::new(&path, routes(host, config)).router()
}

const NO_TRIGGER: &str = "the settings have no trigger, so there is no source bucket: add a [[trigger]]";

/// The routes where the settings have no trigger: every request is an error that names the cause.
pub fn without_trigger() -> Router {
    Router::new().route("/{*path}", any(async || message(StatusCode::INTERNAL_SERVER_ERROR, NO_TRIGGER)))
}
