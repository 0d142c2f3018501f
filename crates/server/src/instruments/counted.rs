//! Requests of a port counted by route and status, each under an id of its own.

use std::{future::Future, pin::Pin, sync::Arc, time::Instant};

use http::{HeaderValue, Method, Request, Response};
use hyper::{body::Incoming, service::Service};
use tintype_function::metrics::Door;

use super::Instruments;
use crate::request_id::{request_id, serve};

/// API Gateway's header for the id of a request.
const API_REQUEST_ID: &str = "x-amzn-requestid";

/// A service whose requests are counted.
#[derive(Debug, Clone)]
pub struct Counted<S> {
    service: S,
    instruments: Arc<Instruments>,
    door: Door,
    /// The paths that are routes of their own; others are counted as `other`.
    paths: Arc<[String]>,
}

impl<S> Counted<S> {
    /// Counts the S3 endpoint's requests, by method and by whether they are about an object, a bucket or
    /// the service.
    pub fn s3(service: S, instruments: Arc<Instruments>) -> Self {
        Self { service, instruments, door: Door::S3, paths: Arc::from([]) }
    }

    /// Counts the HTTP port's requests, by method and path if that is one of `paths` or below one that ends
    /// with a slash.
    pub fn api(service: S, instruments: Arc<Instruments>, paths: Vec<String>) -> Self {
        Self { service, instruments, door: Door::Api, paths: paths.into() }
    }

    fn route(&self, method: &Method, path: &str) -> String {
        let method = match *method {
            Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE | Method::OPTIONS => {
                method.as_str()
            }
            _ => "other",
        };
        let place = match self.door {
            Door::Api => self
                .paths
                .iter()
                .find(|known| {
                    *known == path
                        || known.len() > 1 && known.ends_with('/') && path.starts_with(known.as_str())
                })
                .map_or("other", String::as_str),
            Door::S3 => match path.trim_start_matches('/').split_once('/') {
                Some((_, key)) if !key.is_empty() => "object",
                _ if path.len() > 1 => "bucket",
                _ => "service",
            },
        };
        format!("{method} {place}")
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
        let route = self.route(request.method(), request.uri().path());
        let (instruments, door, id) = (self.instruments.clone(), self.door, request_id());
        let answering = serve(id.clone(), self.service.call(request));
        Box::pin(async move {
            let mut response = answering.await?;
            instruments.request(door, &route, response.status().as_u16(), started.elapsed());
            if door == Door::Api
                && let Ok(id) = HeaderValue::from_str(&id)
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
        let instruments = Arc::new(Instruments::default());
        let s3 = Counted::s3((), instruments.clone());
        assert_eq!(s3.route(&Method::PUT, "/bucket/a/b.jpg"), "PUT object");
        assert_eq!(s3.route(&Method::GET, "/bucket/"), "GET bucket");
        assert_eq!(s3.route(&Method::GET, "/bucket"), "GET bucket");
        assert_eq!(s3.route(&Method::GET, "/"), "GET service");
        let api = Counted::api((), instruments, vec!["/".into(), "/dev1/myimage".into(), "/page/".into()]);
        assert_eq!(api.route(&Method::GET, "/dev1/myimage"), "GET /dev1/myimage");
        assert_eq!(api.route(&Method::GET, "/page/style.css"), "GET /page/");
        assert_eq!(api.route(&Method::from_bytes(b"BREW").unwrap(), "/nowhere"), "other other");
        assert_eq!(api.route(&Method::GET, "/"), "GET /");
    }
}
