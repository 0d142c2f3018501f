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
    extract::DefaultBodyLimit,
    handler::Handler,
    http::Method,
    middleware,
    routing::{MethodRouter, get, post},
};
use tintype_api::{Access, BodyLimit, Permission, Route, RouteLimits, RoutePath};
use tokio::sync::Semaphore;

use crate::{auth::Sessions, history::History, queue::Queue, settings::Settings, storage::Storage};

/// The name of the page's own files in metrics.
const ASSETS: Option<&str> = Some("/page/");

/// Pictures in memory at once, until they have been sent.
const PICTURES: usize = 8;

/// What the page shows, and on whose behalf.
#[derive(Clone)]
pub struct Console {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    sessions: Arc<Sessions>,
    store: Arc<Storage>,
    queue: Arc<Queue>,
    history: Arc<History>,
    pictures: Arc<Semaphore>,
}

impl Console {
    /// The page over the server's parts.
    #[must_use]
    pub fn new(
        settings: &Settings,
        sessions: Arc<Sessions>,
        store: Arc<Storage>,
        queue: Arc<Queue>,
        history: Arc<History>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                settings: settings.clone(),
                sessions,
                store,
                queue,
                history,
                pictures: Arc::new(Semaphore::new(PICTURES)),
            }),
        }
    }

    /// The page's routes: its table. A route is added here.
    pub fn routes(&self) -> Vec<Route<MethodRouter>> {
        use Access::{Anyone, Login};
        use Permission::{Admin, Read, Write};
        let rows = vec![
            Route { is_linkable: true, ..page("/", Login(Read), dashboard::page) },
            page("/graphs", Login(Read), dashboard::graphs),
            page("/results", Login(Read), results::fragment),
            page("/events", Login(Read), live::events),
            page("/logs", Login(Read), logs::lines),
            page("/object", Login(Read), object::page),
            page("/picture", Login(Read), pictures::picture),
            Route {
                limits: RouteLimits { body: BodyLimit::Streamed, ..RouteLimits::default() },
                ..form("/upload", Login(Write), upload::upload)
            },
            form("/retry", Login(Admin), object::retry),
            page("/dead-letters", Login(Read), dead_letters::page),
            form("/dead-letters", Login(Admin), dead_letters::act),
            form("/backfill", Login(Admin), maintenance::backfill),
            form("/orphans", Login(Admin), maintenance::orphans),
            page("/login", Anyone, session::form),
            form("/login", Anyone, session::login),
            form("/logout", Anyone, session::logout),
            Route { is_logged: false, ..page("/metrics", Login(Read), metrics::prometheus) },
            page("/metrics/query", Login(Read), metrics::query),
            Route { metric: ASSETS, ..page("/page/script.js", Anyone, assets::script) },
            Route { metric: ASSETS, ..page("/page/icon.svg", Anyone, assets::icon) },
        ];
        rows.into_iter().map(|row| self.served(row)).collect()
    }

    /// A row with what is around its handler.
    fn served(&self, row: Route<MethodRouter<Self>>) -> Route<MethodRouter> {
        let is_bounded = row.limits.body != BodyLimit::Streamed;
        row.map(|mut handler| {
            if !is_bounded {
                handler = handler.layer(DefaultBodyLimit::disable());
            }
            handler
                .layer(middleware::map_response(assets::headers))
                .layer(middleware::from_fn(compress::text))
                .with_state(self.clone())
        })
    }
}

/// A row of what is shown.
fn page<H, T>(path: &'static str, access: Access, handler: H) -> Route<MethodRouter<Console>>
where
    H: Handler<T, Console>,
    T: 'static,
{
    Route::new(Method::GET, RoutePath::Root(path), access, get(handler))
}

/// A row of what a form does.
fn form<H, T>(path: &'static str, access: Access, handler: H) -> Route<MethodRouter<Console>>
where
    H: Handler<T, Console>,
    T: 'static,
{
    Route::new(Method::POST, RoutePath::Root(path), access, post(handler))
}
