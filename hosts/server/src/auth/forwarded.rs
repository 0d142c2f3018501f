//! What proxies report of a request's client.
//! Source: RFC 7239 (Forwarded).

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};

use crate::settings::Proxies;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The last address that is not a trusted proxy's: the sender may have written those before it.
/// X-Forwarded-For, or where there is none, Forwarded: a proxy sets one of them and may pass on the other as it came.
pub fn forwarded_address(headers: &HeaderMap, proxies: &Proxies) -> Option<IpAddr> {
    let name = if headers.contains_key(&FORWARDED_FOR) { FORWARDED_FOR } else { header::FORWARDED };
    let mut last = None;
    for element in values(headers, &name).rev() {
        let text = if name == header::FORWARDED { parameter(element, "for") } else { Some(element) };
        // What cannot be parsed hides what is before it.
        let Some(address) = text.and_then(address) else { break };
        last = Some(address);
        if !proxies.contains(address) {
            break;
        }
    }
    last
}

/// Whether the first proxy was reached over TLS.
pub(super) fn is_tls(headers: &HeaderMap) -> bool {
    let named = values(headers, &FORWARDED_PROTO).next();
    let named = named.or_else(|| values(headers, &header::FORWARDED).find_map(|one| parameter(one, "proto")));
    named.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

/// The elements of a list, which may span several lines. No address and no scheme contains a comma.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// A parameter of an element of Forwarded.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(value.trim_matches('"'))
}

/// An address with or without a port, IPv6 with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}
