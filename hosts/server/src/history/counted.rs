//! Requests of a port counted by route and status, each under an id of its own.

use std::{future::Future, pin::Pin, sync::Arc, time::Instant};

use http::{HeaderName, HeaderValue, Method, Request, Response};
use hyper::{body::Incoming, service::Service};
use tintype_telemetry::requests::Endpoint;

use super::History;
use crate::request_id::{RequestId, serve};

/// API HttpApi's header for the id of a request.
const API_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The methods that are counted by their names; others are counted together.
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS];

/// A service whose requests are counted.
#[derive(Debug, Clone)]
pub struct Counted<S> {
    service: S,
    history: Arc<History>,
    endpoint: Endpoint,
    places: Arc<[Place]>,
}

/// Where requests go: a path, or a kind of it, and the names of its routes by method.
#[derive(Debug)]
struct Place {
    path: String,
    routes: [String; METHODS.len() + 1],
}

impl Place {
    fn new(path: &str) -> Self {
        let method = |index| METHODS.get(index).map_or("other", Method::as_str);
        Self { path: path.into(), routes: std::array::from_fn(|index| format!("{} {path}", method(index))) }
    }

    fn route(&self, method: &Method) -> &str {
        let index = METHODS.iter().position(|known| known == method).unwrap_or(METHODS.len());
        &self.routes[index]
    }
}

impl<S> Counted<S> {
    /// Counts the S3 endpoint's requests, by method and by whether they are about an object, a bucket or
    /// the service.
    pub fn s3(service: S, history: Arc<History>) -> Self {
        let places = ["object", "bucket", "service"].map(Place::new);
        Self { service, history, endpoint: Endpoint::S3, places: places.into() }
    }

    /// Counts the HTTP port's requests, by method and path if that is one of `paths` or below one that ends
    /// with a slash.
    pub fn api(service: S, history: Arc<History>, paths: &[String]) -> Self {
        let places = paths.iter().map(String::as_str).chain(["other"]).map(Place::new).collect();
        Self { service, history, endpoint: Endpoint::Api, places }
    }

    /// The index of the place that a path is at.
    fn place(&self, path: &str) -> usize {
        match self.endpoint {
            Endpoint::Api => {
                let is_here = |known: &str| {
                    known == path || known.len() > 1 && known.ends_with('/') && path.starts_with(known)
                };
                let last = self.places.len() - 1;
                self.places[..last].iter().position(|place| is_here(&place.path)).unwrap_or(last)
            }
            Endpoint::S3 => match path.trim_start_matches('/').split_once('/') {
                Some((_, key)) if !key.is_empty() => 0,
                _ if path.len() > 1 => 1,
                _ => 2,
            },
        }
    }
}

impl<S, B> Service<Request<Incoming>> for Counted<S>
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
        let (place, method) = (self.place(request.uri().path()), request.method().clone());
        let (history, endpoint, places) = (self.history.clone(), self.endpoint, self.places.clone());
        let id = RequestId::new();
        let answering = serve(id, self.service.call(request));
        Box::pin(async move {
            let mut response = answering.await?;
            let route = places[place].route(&method);
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
    fn routes_are_few_whatever_is_asked_for() {
        let history = Arc::new(History::default());
        let route = |counted: &Counted<()>, method: &Method, path: &str| {
            counted.places[counted.place(path)].route(method).to_owned()
        };
        let s3 = Counted::s3((), history.clone());
        assert_eq!(route(&s3, &Method::PUT, "/bucket/a/b.jpg"), "PUT object");
        assert_eq!(route(&s3, &Method::GET, "/bucket/"), "GET bucket");
        assert_eq!(route(&s3, &Method::GET, "/bucket"), "GET bucket");
        assert_eq!(route(&s3, &Method::GET, "/"), "GET service");
        let paths = ["/", "/dev1/myimage", "/page/"].map(str::to_owned);
        let api = Counted::api((), history, &paths);
        assert_eq!(route(&api, &Method::GET, "/dev1/myimage"), "GET /dev1/myimage");
        assert_eq!(route(&api, &Method::GET, "/page/script.js"), "GET /page/");
        assert_eq!(route(&api, &Method::from_bytes(b"BREW").unwrap(), "/nowhere"), "other other");
        assert_eq!(route(&api, &Method::GET, "/"), "GET /");
    }
}
