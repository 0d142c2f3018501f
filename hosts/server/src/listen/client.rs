//! Who sends a request.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

use axum::extract::FromRequestParts;
use http::request::Parts;

/// Who is at the other end of the connection: an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Who connected to the port.
    Network(SocketAddr),
    /// Whoever may use the unix socket.
    Unix,
}

/// What is believed of a request's sender: an extension of every request to the HTTP port, set by its http.
/// Without it nothing is believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Client {
    /// It needs no key and no login: a program of this machine, with no proxy between.
    pub is_trusted: bool,
    /// It came over TLS, to this server or to a proxy whose word counts.
    pub is_encrypted: bool,
    /// Where a proxy whose word counts had it from.
    pub forwarded_for: Option<IpAddr>,
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}
