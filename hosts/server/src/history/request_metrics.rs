//! Counts the requests of a port by route and status, and gives each an id.

use std::{future::Future, pin::Pin, sync::Arc, time::Instant};

use http::{HeaderName, HeaderValue, Method, Request, Response};
use hyper::{body::Incoming, service::Service};
use tintype_telemetry::requests::Endpoint;

use super::History;
use crate::request_id::{RequestId, serve};

/// API HttpApi's header for the id of a request.
const API_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The methods counted by name; all others count as "other".
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];

/// A service whose requests are counted and timed.
#[derive(Debug, Clone)]
pub struct RequestMetrics<S> {
    service: S,
    history: Arc<History>,
    endpoint: Endpoint,
    resources: Arc<[Resource]>,
}

/// A path, or a kind of path, with the name of its route for each method.
#[derive(Debug)]
struct Resource {
    path: String,
    routes: [String; METHODS.len() + 1],
}

impl Resource {
    fn new(path: &str) -> Self {
        let method = |index| METHODS.get(index).map_or("other", Method::as_str);
        Self { path: path.into(), routes: std::array::from_fn(|index| format!("{} {path}", method(index))) }
    }

    fn route(&self, method: &Method) -> &str {
        let index = METHODS.iter().position(|known| known == method).unwrap_or(METHODS.len());
        &self.routes[index]
    }
}

impl<S> RequestMetrics<S> {
    /// Counts the S3 endpoint's requests by method and kind of resource: object, bucket or service.
    pub fn s3(service: S, history: Arc<History>) -> Self {
        let resources = ["object", "bucket", "service"].map(Resource::new);
        Self { service, history, endpoint: Endpoint::S3, resources: resources.into() }
    }

    /// Counts the HTTP port's requests by method and path. A path is one of `paths`, or below one of them that ends
    /// with a slash, or "other".
    pub fn api(service: S, history: Arc<History>, paths: &[String]) -> Self {
        let resources = paths.iter().map(String::as_str).chain(["other"]).map(Resource::new).collect();
        Self { service, history, endpoint: Endpoint::Api, resources }
    }

    /// The index of a path's resource.
    fn resource(&self, path: &str) -> usize {
        match self.endpoint {
            Endpoint::Api => {
                let matches = |known: &str| {
                    known == path || known.len() > 1 && known.ends_with('/') && path.starts_with(known)
                };
                let other = self.resources.len() - 1;
                self.resources[..other].iter().position(|one| matches(&one.path)).unwrap_or(other)
            }
            Endpoint::S3 => match path.trim_start_matches('/').split_once('/') {
                Some((_, key)) if !key.is_empty() => 0,
                _ if path.len() > 1 => 1,
                _ => 2,
            },
        }
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
        let (resource, method) = (self.resource(request.uri().path()), request.method().clone());
        let (history, endpoint, resources) = (self.history.clone(), self.endpoint, self.resources.clone());
        let id = RequestId::new();
        let response = serve(id, self.service.call(request));
        Box::pin(async move {
            let mut response = response.await?;
            let route = resources[resource].route(&method);
            history.request(endpoint, route, response.status().as_u16(), started.elapsed());
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
        let history = Arc::new(History::default());
        let route = |service: &RequestMetrics<()>, method: &Method, path: &str| {
            service.resources[service.resource(path)].route(method).to_owned()
        };
        let s3 = RequestMetrics::s3((), history.clone());
        assert_eq!(route(&s3, &Method::PUT, "/bucket/a/b.jpg"), "PUT object");
        assert_eq!(route(&s3, &Method::GET, "/bucket/"), "GET bucket");
        assert_eq!(route(&s3, &Method::GET, "/bucket"), "GET bucket");
        assert_eq!(route(&s3, &Method::GET, "/"), "GET service");
        let paths = ["/", "/dev1/myimage", "/page/"].map(str::to_owned);
        let api = RequestMetrics::api((), history, &paths);
        assert_eq!(route(&api, &Method::GET, "/dev1/myimage"), "GET /dev1/myimage");
        assert_eq!(route(&api, &Method::GET, "/page/script.js"), "GET /page/");
        assert_eq!(route(&api, &Method::from_bytes(b"BREW").unwrap(), "/nowhere"), "other other");
        assert_eq!(route(&api, &Method::GET, "/"), "GET /");
    }
}
