//! Each request's id, and its one line in the log.

use std::{sync::Arc, time::Instant};

use axum::{extract::Request, http::HeaderValue, middleware::Next, response::Response};

use crate::{listen::Peer, request_id};

/// The name of the API key that a request was sent with: an extension of its answer.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Arc<str>);

/// Routes that are asked for all the time and by nobody in particular.
const QUIET: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

pub(super) async fn log(request: Request, next: Next) -> Response {
    let id = request_id::request_id();
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    // Of the query only the object's key is told: whatever else stands there may be a secret sent by mistake.
    let key =
        request.uri().query().and_then(|query| query.split('&').find_map(|field| field.strip_prefix("key=")));
    let key = key.map(str::to_owned);
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.to_string());
    let mut response = request_id::serve(id.clone(), next.run(request)).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-amzn-requestid", value);
    }
    if !QUIET.contains(&path.as_str()) {
        let bytes = axum::body::HttpBody::size_hint(response.body()).exact();
        let caller = response.extensions().get::<Caller>().map(|caller| caller.0.clone());
        tracing::info!(
            target: "access",
            request_id = id,
            peer,
            api_key = caller.as_deref(),
            method = method.as_str(),
            path,
            key,
            status = response.status().as_u16(),
            bytes,
            milliseconds = started.elapsed().as_secs_f64() * 1e3,
            "request"
        );
    }
    response
}
