//! The HTTP routes of every host: one resource that runs the function and returns thumbnails. Keys, quotas, throttling
//! and caching belong to the host (API Gateway on AWS, the server's `http` on one machine).

mod accept;
mod answer;
pub mod apigateway;
mod body;
mod conditions;
mod cors;
mod delivery;
mod host;
mod image;
pub mod image_url;
mod info;
mod invoke;
mod multipart;
mod openapi;
mod presets;
mod public;
mod query;
mod ranges;
mod refusals;
mod route_table;
mod routes;
pub mod settings;
pub mod signed_url;
mod single_flight;
mod store_host;
mod thumbnail;
mod uploads;

use std::sync::Arc;

use axum::{
    Router,
    http::StatusCode,
    response::Response,
    routing::{MethodRouter, any},
};
use tintype_engine::Limits;

pub use answer::message;
pub use conditions::{SourceTag, is_unchanged, modified_s, recipes_changed, seconds_of};
pub use cors::{Cors, cross_origin, preflight, unknown};
pub use host::{Audience, Deadline, FormSigner, Host, HostResult, Parts, Queued, Refused, Rendering};
pub use invoke::is_to_be_queued;
pub use openapi::description;
pub use public::{Gate, Pass, Public, WrongSignature};
pub use ranges::set_body;
pub use route_table::{Access, BodyLimit, Permission, Place, Route, RouteLimits, RoutePath, RouteTable};
pub use routes::{Action, UPLOADS, rows};
use settings::{ApiSettings, Preset};
pub use store_host::{StoreBackend, StoreHost, out_of_time};
use tintype_pipeline::spelling;

/// The settings that the routes use.
#[derive(Debug)]
pub struct Config {
    path: String,
    max_body: usize,
    cache_ttl_s: u32,
    max_age_s: u32,
    stale_while_revalidate_s: u32,
    presets: Vec<Preset>,
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
            max_age_s: api.max_age_s,
            stale_while_revalidate_s: api.stale_while_revalidate_s,
            presets: api.presets.clone(),
            has_keys: !api.keys.is_empty(),
            bounds: query::Bounds { side: api.max_side, quality: api.max_quality },
            source_bytes: limits.source_bytes,
        }
    }

    /// A preset with its index, or the refusal that names the nearest.
    fn preset(&self, name: &str) -> Result<(usize, &Preset), Box<Response>> {
        let found = self.presets.iter().enumerate().find(|(_, preset)| preset.name == name);
        found.ok_or_else(|| {
            let nearest = spelling::nearest(name, self.presets.iter().map(|preset| preset.name.as_str()));
            let text = match nearest {
                Some(nearest) => format!("there is no preset \"{name}\"; did you mean \"{nearest}\"?"),
                None => "the settings have no preset: add a [[preset]]".to_owned(),
            };
            Box::new(message(StatusCode::NOT_FOUND, text))
        })
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
