//! The HTTP routes, as both hosts serve them: one resource that runs the function and answers thumbnails.
//! Keys, quotas and throttling are the host's (API Gateway's on AWS, `gateway`'s on one machine).

mod answer;
pub mod apigateway;
mod cors;
mod invoke;
mod query;
mod thumbnail;

use std::{future::Future, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::Response,
    routing::any,
};
use bytes::Bytes;
use tintype_engine::{Header, Spec, Thumbnail};
use tintype_function::{
    Failure, Location, ObjectKey, Report,
    event::Record,
    settings::Settings,
    store::{Object, Stat},
    trigger::Trigger,
};

pub use answer::message;

/// Why the host did not run the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too many requests: 429.
    Throttled,
    /// It took too long: 504.
    TimedOut,
    /// The host is shutting down: 503.
    ShuttingDown,
}

/// What a host does for the routes.
pub trait Host: Clone + Send + Sync + 'static {
    /// Runs the function on one record.
    fn invoke(&self, record: Record) -> impl Future<Output = Result<Report, Refused>> + Send;

    /// Renders bytes that are in no bucket.
    fn render(
        &self,
        bytes: Bytes,
        spec: Spec,
    ) -> impl Future<Output = Result<Result<(Header, Thumbnail), Failure>, Refused>> + Send;

    /// Renders an object; it is read where its memory is admitted. Answers what is known of the object, too.
    fn render_object(
        &self,
        at: Location,
        spec: Spec,
    ) -> impl Future<Output = Result<Result<(Stat, Thumbnail), Failure>, Refused>> + Send;

    /// Stores an image in the source bucket, as any upload.
    fn upload(
        &self,
        key: ObjectKey,
        content_type: String,
        bytes: Bytes,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Reads a thumbnail; `None` if there is none.
    fn read(&self, at: Location) -> impl Future<Output = Result<Option<Object>, Failure>> + Send;
}

/// What the routes need of the settings.
#[derive(Debug)]
pub struct Config {
    path: String,
    max_body: usize,
    cache_ttl_s: u32,
    /// The trigger whose bucket and renditions the routes speak of.
    trigger: Trigger,
}

impl Config {
    /// From the settings; `None` if they have no trigger.
    #[must_use]
    pub fn new(settings: &Settings) -> Option<Self> {
        Some(Self {
            path: format!("/{}/{}", settings.api.stage, settings.api.resource),
            max_body: usize::try_from(settings.api.max_body).unwrap_or(usize::MAX),
            cache_ttl_s: settings.api.cache_ttl_s,
            trigger: settings.triggers.first()?.clone(),
        })
    }
}

pub(crate) struct Api<H> {
    pub(crate) host: H,
    pub(crate) config: Arc<Config>,
}

impl<H: Host> Clone for Api<H> {
    fn clone(&self) -> Self {
        Self { host: self.host.clone(), config: self.config.clone() }
    }
}

/// The routes over a host. [`cross_origin`] belongs around them and whatever the host puts before them.
pub fn router<H: Host>(host: H, config: Config) -> Router {
    let path = config.path.clone();
    let api = Api { host, config: Arc::new(config) };
    Router::new().route(&path, any(route::<H>)).with_state(api)
}

async fn route<H: Host>(State(api): State<Api<H>>, request: Request) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => thumbnail::get(&api, request).await,
        Method::POST => invoke::post(&api, request).await,
        // API Gateway's words for a method that is not there.
        _ => message(StatusCode::FORBIDDEN, "Missing Authentication Token"),
    }
}

/// Answers OPTIONS, and marks every answer, refusals too, so that pages of allowed origins may read it.
pub fn cross_origin(router: Router, origins: &[String]) -> Router {
    let origins: Arc<[String]> = origins.into();
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let origins = origins.clone();
        async move {
            let origin = cors::allowed_origin(&origins, request.headers());
            let mut response = if *request.method() == Method::OPTIONS {
                cors::preflight(origin.is_some())
            } else {
                next.run(request).await
            };
            cors::mark(&mut response, origin, !origins.is_empty());
            response
        }
    }))
}
