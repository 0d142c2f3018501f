//! Each request's one line in the log.

use std::{sync::Arc, time::Instant};

use axum::response::Response;
use http::{Method, Uri};

use super::Request;
use crate::{
    auth::{Client, Peer},
    request_id,
};

/// The name of the API key that a request was sent with: an extension of its answer.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Arc<str>);

/// What is logged of the request.
pub(super) struct Line {
    started: Instant,
    method: Method,
    uri: Uri,
    peer: Option<String>,
    is_written: bool,
}

/// The status that is logged where the client left before there was an answer. Source: nginx, which logs the same.
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl Line {
    /// The line of a request; `None` where no such lines are logged.
    pub(super) fn begin(request: &Request) -> Option<Self> {
        let wanted = tracing::enabled!(target: "access", tracing::Level::INFO);
        wanted.then(|| Self {
            started: Instant::now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            peer: peer(request),
            is_written: false,
        })
    }

    /// Writes it.
    pub(super) fn end(mut self, response: &Response) {
        let caller = response.extensions().get::<Caller>();
        let bytes = axum::body::HttpBody::size_hint(response.body()).exact();
        self.write(response.status().as_u16(), caller, bytes);
    }

    fn write(&mut self, status: u16, caller: Option<&Caller>, bytes: Option<u64>) {
        self.is_written = true;
        // Of the query only the object's key is logged: anything else may be a secret sent by mistake.
        let fields = self.uri.query().into_iter().flat_map(|query| query.split('&'));
        let key = fields.into_iter().find_map(|field| field.strip_prefix("key="));
        tracing::info!(
            target: "access",
            request_id = request_id::current(),
            peer = self.peer.as_deref(),
            api_key = caller.map(|caller| &*caller.0),
            method = self.method.as_str(),
            path = self.uri.path(),
            key,
            status,
            bytes,
            milliseconds = (self.started.elapsed().as_micros() as f64 / 1e3),
            "request"
        );
    }
}

/// The sender: the one that a trusted proxy names, or the peer.
fn peer(request: &Request) -> Option<String> {
    let extensions = request.extensions();
    let forwarded = extensions.get::<Client>().and_then(|client| client.forwarded_for);
    match (forwarded, extensions.get::<Peer>()?) {
        (Some(address), _) => Some(address.to_string()),
        (None, Peer::Network(address)) => Some(address.to_string()),
        (None, Peer::Unix) => Some("unix".into()),
    }
}

impl Drop for Line {
    /// A request that is cancelled has its line, too.
    fn drop(&mut self) {
        if !self.is_written {
            self.write(CLIENT_CLOSED_REQUEST, None, None);
        }
    }
}
