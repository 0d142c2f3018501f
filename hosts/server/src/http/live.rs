//! The steps in force: a change of settings replaces them as a whole, and requests under way finish under those
//! they began with.

use std::{convert::Infallible, pin::Pin, sync::Arc};

use arc_swap::ArcSwap;
use axum::{Router, response::Response};
use http::header;
use hyper::body::Incoming;

use super::{HttpApi, Parts, Steps};
use crate::{listen::DrainOnDrop, settings::Settings};

/// The http as a service; cheap to clone, all clones are the same.
#[derive(Clone)]
pub struct Live {
    parts: Parts,
    page: Router,
    now: Arc<ArcSwap<Steps>>,
}

impl Live {
    /// The steps under the first settings.
    #[must_use]
    pub fn new(settings: Settings, parts: Parts, page: Router) -> Self {
        let http = HttpApi::new(settings, parts.clone(), None);
        let now = Arc::new(ArcSwap::from_pointee(Steps::new(&http, page.clone())));
        Self { parts, page, now }
    }

    /// From now on requests are served under other settings of the API and of whom to trust; all else stays as it is.
    pub fn replace(&self, settings: &Settings) {
        let before = HttpApi { inner: self.now.load().inner.clone() };
        let mut changed = before.inner.settings.clone();
        changed.api = settings.api.clone();
        changed.listen.trust_loopback = settings.listen.trust_loopback;
        changed.listen.trusted_proxies = settings.listen.trusted_proxies.clone();
        self.parts.dispatcher.allow(settings.api.timeout);
        let http = HttpApi::new(changed, self.parts.clone(), Some(&before));
        self.now.store(Arc::new(Steps::new(&http, self.page.clone())));
    }
}

impl hyper::service::Service<http::Request<Incoming>> for Live {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        // Who waits to be told to go on has not sent a body that would have to be taken.
        let waits = request.headers().contains_key(header::EXPECT);
        let request =
            request.map(|body| if waits { DrainOnDrop::disabled(body) } else { DrainOnDrop::new(body) });
        let steps = self.now.load_full();
        Box::pin(async move { Ok(steps.answer(request).await) })
    }
}
