//! Counts the requests of a port by route and status, and gives each an id.

use std::{future::Future, pin::Pin, sync::Arc, time::Instant};

use http::{HeaderName, HeaderValue, Method, Request, Response};
use hyper::{body::Incoming, service::Service};
use tintype_telemetry::requests::Endpoint;

use super::History;
use crate::request_id::{RequestId, serve};

/// API Gateway's header for the id of a request.
const API_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The methods counted by name; all others count as "other".
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];

/// The names that requests of one path, or of one kind of path, are counted under, by method.
#[derive(Debug)]
pub struct RouteNames([Arc<str>; METHODS.len() + 1]);

impl RouteNames {
    /// Those of a path.
    #[must_use]
    pub fn new(path: &str) -> Self {
        let method = |index| METHODS.get(index).map_or("other", Method::as_str);
        Self(std::array::from_fn(|index| format!("{} {path}", method(index)).into()))
    }

    /// The name for a method.
    #[must_use]
    pub fn of(&self, method: &Method) -> Arc<str> {
        let index = METHODS.iter().position(|known| known == method).unwrap_or(METHODS.len());
        self.0[index].clone()
    }
}

/// The name of a request's route, by method and path.
type NameRoute = dyn Fn(&Method, &str) -> Arc<str> + Send + Sync;

/// A service whose requests are counted.
#[derive(Clone)]
pub struct RequestMetrics<S> {
    service: S,
    history: Arc<History>,
    endpoint: Endpoint,
    name: Arc<NameRoute>,
}

impl<S> RequestMetrics<S> {
    /// Counts the S3 endpoint's requests by method and kind of resource: object, bucket or service.
    pub fn s3(service: S, history: Arc<History>) -> Self {
        let [object, bucket, whole] = ["object", "bucket", "service"].map(RouteNames::new);
        let name = move |method: &Method, path: &str| match path.trim_start_matches('/').split_once('/') {
            Some((_, key)) if !key.is_empty() => object.of(method),
            _ if path.len() > 1 => bucket.of(method),
            _ => whole.of(method),
        };
        Self { service, history, endpoint: Endpoint::S3, name: Arc::new(name) }
    }

    /// Counts the HTTP port's requests under the names that `name` has for them.
    pub fn api(
        service: S,
        history: Arc<History>,
        name: impl Fn(&Method, &str) -> Arc<str> + Send + Sync + 'static,
    ) -> Self {
        Self { service, history, endpoint: Endpoint::Api, name: Arc::new(name) }
    }
}

impl<S, B> Service<Request<Incoming>> for RequestMetrics<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let started = Instant::now();
        let route = (self.name)(request.method(), request.uri().path());
        let (history, endpoint) = (self.history.clone(), self.endpoint);
        let id = RequestId::new();
        let response = serve(id, self.service.call(request));
        Box::pin(async move {
            let mut response = response.await?;
            history.request(endpoint, &route, response.status().as_u16(), started.elapsed());
            if endpoint == Endpoint::Api
                && let Ok(id) = HeaderValue::from_str(id.as_str())
            {
                response.headers_mut().insert(API_REQUEST_ID, id);
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_routes_is_bounded_for_any_requests() {
        let s3 = RequestMetrics::s3((), Arc::new(History::default()));
        let name = |method: &Method, path: &str| (s3.name)(method, path).to_string();
        assert_eq!(name(&Method::PUT, "/bucket/a/b.jpg"), "PUT object");
        assert_eq!(name(&Method::GET, "/bucket/"), "GET bucket");
        assert_eq!(name(&Method::GET, "/bucket"), "GET bucket");
        assert_eq!(name(&Method::GET, "/"), "GET service");
        let unknown = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(name(&unknown, "/bucket/a"), "other object");
    }
}
