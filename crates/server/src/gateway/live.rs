//! The routes in force: a change of settings replaces them as a whole, and requests under way finish under
//! those they began with.

use std::{
    convert::Infallible,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{Router, body::Body, extract::Request, response::Response};
use futures::future::BoxFuture;
use http::header;
use tintype_function::settings::Settings;
use tower::ServiceExt as _;

use super::{Gateway, Parts};
use crate::listen::Lingering;

/// The gateway as a service; cheap to clone, all clones are the same.
#[derive(Clone)]
pub struct Live {
    parts: Parts,
    page: Router,
    now: Arc<RwLock<(Gateway, Router)>>,
}

impl Live {
    /// The routes under the first settings.
    #[must_use]
    pub fn new(settings: Settings, parts: Parts, page: Router) -> Self {
        let gateway = Gateway::new(settings, parts.clone(), None);
        let router = gateway.router(page.clone());
        Self { parts, page, now: Arc::new(RwLock::new((gateway, router))) }
    }

    /// From now on requests are served under other settings of the API; all else stays as it is.
    pub fn replace(&self, settings: &Settings) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = now.0.inner.settings.clone();
        changed.api = settings.api.clone();
        self.parts.invoker.allow(settings.api.timeout);
        let gateway = Gateway::new(changed, self.parts.clone(), Some(&now.0));
        let router = gateway.router(self.page.clone());
        *now = (gateway, router);
    }

    fn router(&self) -> Router {
        self.now.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

impl hyper::service::Service<http::Request<hyper::body::Incoming>> for Live {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn call(&self, request: http::Request<hyper::body::Incoming>) -> Self::Future {
        // Who waits to be told to go on has not sent a body that would have to be taken.
        let waits = request.headers().contains_key(header::EXPECT);
        let request: Request =
            request.map(|body| if waits { Body::new(body) } else { Body::new(Lingering::new(body)) });
        Box::pin(self.router().oneshot(request))
    }
}
