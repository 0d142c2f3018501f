//! The steps in force: a change of settings replaces them as a whole, and requests under way finish under those
//! they began with.

use std::{convert::Infallible, pin::Pin, sync::Arc};

use arc_swap::ArcSwap;
use axum::{response::Response, routing::MethodRouter};
use http::{Method, header};
use hyper::body::Incoming;
use tintype_api::{Access, Route};

use super::{HttpApi, Parts, Steps};
use crate::{listen::DrainOnDrop, settings::Settings};

/// The port as a service; clones share it.
#[derive(Clone)]
pub struct Live {
    parts: Parts,
    console: Vec<Route<MethodRouter>>,
    now: Arc<ArcSwap<Steps>>,
}

impl Live {
    /// The steps under the first settings; `console` are those of operators and pages.
    #[must_use]
    pub fn new(settings: Settings, parts: Parts, console: Vec<Route<MethodRouter>>) -> Self {
        let http = HttpApi::new(settings, parts.clone(), None);
        let now = Arc::new(ArcSwap::from_pointee(Steps::new(&http, console.clone())));
        Self { parts, console, now }
    }

    /// From now on requests are served under other settings of the API and of whom to trust; all else stays as it is.
    /// Returns all of them.
    #[must_use]
    pub fn replace(&self, settings: &Settings) -> Settings {
        let before = HttpApi { inner: self.now.load().inner.clone() };
        let mut changed = before.inner.settings.clone();
        if changed.api.presets != settings.api.presets {
            tintype_api::recipes_changed();
        }
        self.parts.rendered.bound(settings.api.disk_cache_bytes);
        changed.api = settings.api.clone();
        changed.listen.trust_loopback = settings.listen.trust_loopback;
        changed.access = settings.access.clone();
        changed.listen.trusted_proxies = settings.listen.trusted_proxies.clone();
        let http = HttpApi::new(changed.clone(), self.parts.clone(), Some(&before));
        self.now.store(Arc::new(Steps::new(&http, self.console.clone())));
        changed
    }

    /// The routes, each with its method, its path and what it demands.
    #[must_use]
    pub fn routes(&self) -> Vec<(Method, String, Access)> {
        let steps = self.now.load();
        let resource = steps.inner.settings.api.path();
        let routes = steps.table.routes();
        routes.map(|route| (route.method.clone(), route.path.below(&resource), route.access)).collect()
    }

    /// The name that a request is counted under.
    #[must_use]
    pub fn route_name(&self, method: &Method, path: &str) -> Arc<str> {
        self.now.load().route_name(method, path)
    }
}

impl hyper::service::Service<http::Request<Incoming>> for Live {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        // A client that waits for 100 Continue has sent no body that would have to be read.
        let waits = request.headers().contains_key(header::EXPECT);
        let request =
            request.map(|body| if waits { DrainOnDrop::disabled(body) } else { DrainOnDrop::new(body) });
        let steps = self.now.load_full();
        Box::pin(async move { Ok(steps.answer(request).await) })
    }
}
