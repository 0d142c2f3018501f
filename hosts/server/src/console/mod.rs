//! The console: what [`crate::admin`] answers, rendered as HTML, with a login before it. HTML and SVG are rendered here;
//! the browser gets one style sheet, one script, and nothing from elsewhere.

mod addresses;
mod alt_text;
mod amounts;
mod answers;
mod assets;
mod charts;
mod compress;
mod dashboard;
mod dead_letters;
mod gallery;
mod graph;
mod html;
mod links;
mod live;
mod object;
mod operations;
mod range;
mod results;
mod session;
mod summary;
mod svg_path;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::{
    extract::{DefaultBodyLimit, Request},
    handler::Handler,
    http::{HeaderMap, Method, header},
    middleware,
    routing::{MethodFilter, MethodRouter, get, on_service, post},
};
use tintype_api::{Access, BodyLimit, Permission, Route, RoutePath};
use tower::{ServiceExt as _, service_fn};

use crate::{
    admin::{
        Admin, AltTextRequest, BackfillActionRequest, DeadLetterActionRequest, DeadLettersRequest,
        DescribeMissingRequest, GalleryRequest, OperationsRequest, Request as _, ResultsRequest,
        RetryRequest, StatusRequest, SummaryRequest,
    },
    auth::Sessions,
    settings::Settings,
};

/// The name of the console's own files in metrics.
const ASSETS: Option<&str> = Some("/page/");

/// The pages, and who may see them.
#[derive(Clone)]
pub struct Console {
    inner: Arc<Inner>,
}

struct Inner {
    settings: ArcSwap<Settings>,
    sessions: Arc<Sessions>,
    admin: Admin,
}

impl Console {
    /// Over what it shows.
    #[must_use]
    pub fn new(settings: &Settings, sessions: Arc<Sessions>, admin: Admin) -> Self {
        Self { inner: Arc::new(Inner { settings: ArcSwap::from_pointee(settings.clone()), sessions, admin }) }
    }

    /// From now on pages show these settings.
    pub fn replace(&self, settings: &Settings) {
        self.inner.settings.store(Arc::new(settings.clone()));
    }

    /// The routes of pages and of [`Admin`]. A page is added here.
    pub fn routes(&self) -> Vec<Route<MethodRouter>> {
        use Access::{Anyone, Login};
        use Permission::Read;
        let pages = [
            Route { is_linkable: true, ..page("/", Login(Read), gallery::page) },
            page("/metrics/dashboard", Login(Read), dashboard::page),
            page("/graphs", Login(Read), dashboard::graphs),
            page("/events", Login(Read), live::events),
            page("/ws", Login(Read), live::socket),
            page("/login", Anyone, session::form),
            form("/login", Anyone, session::login),
            form("/logout", Anyone, session::logout),
            Route { metric: ASSETS, ..page("/page/script.js", Anyone, assets::script) },
            Route { metric: ASSETS, ..page("/page/icon.svg", Anyone, assets::icon) },
            // Of requests to `admin`, as HTML.
            page(StatusRequest::PATH, Login(StatusRequest::PERMISSION), object::page),
            form(RetryRequest::PATH, Login(RetryRequest::PERMISSION), object::retry),
            form(AltTextRequest::PATH, Login(AltTextRequest::PERMISSION), alt_text::act),
            form(
                DescribeMissingRequest::PATH,
                Login(DescribeMissingRequest::PERMISSION),
                alt_text::describe_missing,
            ),
            page(DeadLettersRequest::PATH, Login(DeadLettersRequest::PERMISSION), dead_letters::page),
            form(
                DeadLetterActionRequest::PATH,
                Login(DeadLetterActionRequest::PERMISSION),
                dead_letters::act,
            ),
            page(GalleryRequest::PATH, Login(GalleryRequest::PERMISSION), gallery::fragment),
            page(SummaryRequest::PATH, Login(SummaryRequest::PERMISSION), summary::fragment),
            page("/operations/state", Login(Read), operations::fragment),
            page(OperationsRequest::PATH, Login(OperationsRequest::PERMISSION), operations::page),
            form(BackfillActionRequest::PATH, Login(BackfillActionRequest::PERMISSION), operations::act),
            page(ResultsRequest::PATH, Login(ResultsRequest::PERMISSION), results::fragment),
        ];
        let mut rows = self.inner.admin.routes();
        for page in pages {
            let page = page.map(|handler| handler.with_state(self.clone()));
            match rows.iter_mut().find(|row| row.path == page.path && row.method == page.method) {
                Some(row) => row.handler = html_or_json(&row.method, page.handler, row.handler.clone()),
                None => rows.push(page),
            }
        }
        rows.into_iter().map(Self::layered).collect()
    }

    /// A row with the layers around its handler.
    fn layered(row: Route<MethodRouter>) -> Route<MethodRouter> {
        let is_bounded = row.limits.body != BodyLimit::Streamed;
        row.map(|mut handler| {
            if !is_bounded {
                handler = handler.layer(DefaultBodyLimit::disable());
            }
            handler
                .layer(middleware::map_response(assets::headers))
                .layer(middleware::from_fn(compress::text))
        })
    }
}

/// Where a page and a request to `admin` share a path: scripts accept JSON, browsers do not.
fn html_or_json(method: &Method, html: MethodRouter, json: MethodRouter) -> MethodRouter {
    let methods = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
    let choose = move |request: Request| {
        if accepts_json(request.headers()) { json.clone() } else { html.clone() }.oneshot(request)
    };
    on_service(methods, service_fn(choose))
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/json"))
}

/// A row of a page.
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
