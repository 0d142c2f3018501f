//! The page for people, and what scripts ask of the history: the dashboard, live results, an object's
//! history, dead letters, uploads by dropping, `/metrics`, `/metrics/query`, `/events` and `/logs`.
//!
//! HTML and SVG are rendered here; the browser gets one style sheet, one script, and nothing from
//! elsewhere.

mod advice;
mod answers;
mod assets;
mod charts;
mod compress;
mod dashboard;
mod dead_letters;
mod graph;
mod html;
mod live;
mod logs;
mod maintenance;
mod metrics;
mod object;
mod pen;
mod pictures;
mod range;
mod results;
mod session;
mod story;
mod upload;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use tokio::sync::Semaphore;

use crate::{auth::Authenticator, history::History, queue::Queue, settings::Settings, storage::Storage};

/// The page's routes, as requests are counted by them.
pub const ROUTES: &[&str] = &[
    "/",
    "/graphs",
    "/results",
    "/events",
    "/logs",
    "/object",
    "/picture",
    "/upload",
    "/retry",
    "/dead-letters",
    "/backfill",
    "/orphans",
    "/login",
    "/logout",
    "/metrics",
    "/metrics/query",
    "/page/",
];

/// Pictures in memory at once, until they have been sent.
const PICTURES: usize = 8;

/// What the page shows, and on whose behalf.
#[derive(Clone)]
pub struct Console {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    authenticator: Arc<Authenticator>,
    store: Arc<Storage>,
    queue: Arc<Queue>,
    history: Arc<History>,
    sessions: session::Sessions,
    pictures: Arc<Semaphore>,
}

impl Console {
    /// The page over the server's parts.
    #[must_use]
    pub fn new(
        settings: &Settings,
        authenticator: Arc<Authenticator>,
        store: Arc<Storage>,
        queue: Arc<Queue>,
        history: Arc<History>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                settings: settings.clone(),
                authenticator,
                store,
                queue,
                history,
                sessions: session::Sessions::default(),
                pictures: Arc::new(Semaphore::new(PICTURES)),
            }),
        }
    }

    /// The page's routes. All but the login ask who it is of whoever is not trusted.
    pub fn router(&self) -> Router {
        let inside = Router::new()
            .route("/", get(dashboard::page))
            .route("/graphs", get(dashboard::graphs))
            .route("/results", get(results::fragment))
            .route("/events", get(live::events))
            .route("/logs", get(logs::lines))
            .route("/object", get(object::page))
            .route("/picture", get(pictures::picture))
            .route("/upload", post(upload::upload).layer(DefaultBodyLimit::disable()))
            .route("/retry", post(object::retry))
            .route("/dead-letters", get(dead_letters::page).post(dead_letters::act))
            .route("/backfill", post(maintenance::backfill))
            .route("/orphans", post(maintenance::orphans))
            .route("/metrics", get(metrics::prometheus))
            .route("/metrics/query", get(metrics::query))
            .layer(middleware::from_fn_with_state(self.clone(), session::require));
        Router::new()
            .route("/login", get(session::form).post(session::login))
            .route("/logout", post(session::logout))
            .route("/page/script.js", get(assets::script))
            .route("/page/icon.svg", get(assets::icon))
            .merge(inside)
            .layer(middleware::map_response(assets::headers))
            .layer(middleware::from_fn(compress::text))
            .with_state(self.clone())
    }
}
