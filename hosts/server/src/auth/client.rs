//! The sender of a request, and how far it is trusted.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use axum::extract::FromRequestParts;
use http::request::Parts;

/// The other end of the connection: an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A client of the TCP port.
    Network(SocketAddr),
    /// A client of the unix socket.
    Unix,
}

/// The network that counts as one client: an IPv4 address, or the /64 that one host of IPv6 has.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// The /48 that one site of IPv6 has (RFC 6177), with 65,536 of these networks; `None` for IPv4.
#[must_use]
pub fn site_of(network: IpAddr) -> Option<Ipv6Addr> {
    match network.to_canonical() {
        IpAddr::V6(address) => Some(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80))),
        IpAddr::V4(_) => None,
    }
}

/// What is known of a request's sender before any credentials: an extension of every request to the HTTP port, set by
/// `http`. A request without it is not trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Client {
    /// It needs no key and no login: a program of this machine, with no proxy between.
    pub is_trusted: bool,
    /// It needs no key for the API: that has none beyond loopback, where the operator has opened it (`cli/serve`).
    pub is_guest: bool,
    /// It arrived over TLS, at this server or at a trusted proxy.
    pub is_encrypted: bool,
    /// The client's address as a trusted proxy reports it.
    pub forwarded_for: Option<IpAddr>,
    /// The same, or else the peer's; `None` of a unix socket's.
    pub address: Option<IpAddr>,
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}
