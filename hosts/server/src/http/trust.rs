//! What is believed of a request's sender: whether it needs no credentials, and what proxies say of it.
//! Sources: RFC 7239 (Forwarded); RFC 9110, section 7.6.3 (Via).

use std::net::{IpAddr, SocketAddr};

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header},
    response::Response,
};
use tintype_api::message;

use crate::{
    listen::{Client, Peer},
    settings::{Proxies, Settings},
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What is believed of the request's sender.
pub(super) fn client<B>(settings: &Settings, request: &Request<B>) -> Client {
    let (listen, headers) = (&settings.listen, request.headers());
    let Some(peer) = request.extensions().get::<Peer>().copied() else { return Client::default() };
    let is_local = match peer {
        // With a socket it is the socket's permissions that say who of this machine is meant.
        Peer::Network(from) => {
            listen.http_unix.is_none()
                && listen.http.ip().is_loopback()
                && from.ip().to_canonical().is_loopback()
        }
        Peer::Unix => true,
    };
    let is_proxy = match peer {
        Peer::Network(from) => listen.trusted_proxies.contains(from.ip()),
        Peer::Unix => listen.trusted_proxies.unix,
    };
    let is_tls = listen.tls.is_some() && matches!(peer, Peer::Network(_));
    Client {
        is_trusted: settings.trusts_loopback() && is_local && !headers.keys().any(is_of_a_proxy),
        is_encrypted: is_tls || is_proxy && came_over_tls(headers),
        forwarded_for: if is_proxy { forwarded_for(headers, &listen.trusted_proxies) } else { None },
    }
}

/// Whether the API is closed to a request for want of any key in the settings. Beyond loopback the operator has said
/// in words that it is open (`cli/serve`).
pub(super) fn is_closed<B>(settings: &Settings, client: Client, request: &Request<B>) -> bool {
    let is_beyond_loopback = match request.extensions().get() {
        Some(Peer::Network(_)) => !settings.listen.http.ip().is_loopback(),
        Some(Peer::Unix) | None => false,
    };
    !client.is_trusted && !is_beyond_loopback && settings.api.keys.is_empty()
}

/// The answer to a request that shows no key that opens the API.
pub(super) fn refusal(settings: &Settings, headers: &HeaderMap) -> Response {
    let words = if !settings.api.keys.is_empty() {
        // API Gateway's.
        "Forbidden"
    } else if settings.trusts_loopback() && headers.keys().any(is_of_a_proxy) {
        "a proxy has forwarded this request, so it needs an API key, and the settings have none: add an [[api.key]], send \
         it as X-Api-Key, and set listen.trust_loopback = false; programs may send the root key by HTTP Basic \
         authentication instead"
    } else {
        "requests need an API key here (listen.trust_loopback, listen.trusted_proxies and listen.http_unix say for whom), \
         and the settings have none: add an [[api.key]] and send it as X-Api-Key; programs may send the root key by \
         HTTP Basic authentication instead"
    };
    message(StatusCode::FORBIDDEN, words)
}

/// Whether a page may have caused a request: browsers mark what pages send, and pages cannot remove the marks.
/// Source: W3C, Fetch Metadata Request Headers.
pub(super) fn is_of_a_browser(headers: &HeaderMap) -> bool {
    // Over plain HTTP beyond loopback browsers send no Sec-Fetch-*, and with images no Origin.
    let is_mark = |name: &HeaderName| {
        [header::ORIGIN, header::REFERER].contains(name) || name.as_str().starts_with("sec-fetch-")
    };
    let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    headers.keys().any(is_mark) || agent.is_some_and(|agent| agent.starts_with(b"Mozilla/"))
}

const OF_PROXIES: [&str; 10] = [
    "cdn-loop",
    "cf-connecting-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-real-ip",
];

/// Headers that proxies set, each of some: whoever sends one is no program of this machine that asks for itself.
fn is_of_a_proxy(name: &HeaderName) -> bool {
    let name = name.as_str();
    OF_PROXIES.contains(&name)
        || ["x-forwarded-", "x-original-"].iter().any(|beginning| name.starts_with(beginning))
}

/// The last address that is not a trusted proxy's: what stands before it the sender may have written itself.
/// X-Forwarded-For, or where there is none, Forwarded: a proxy sets one of them and may hand on the other as it came.
fn forwarded_for(headers: &HeaderMap, proxies: &Proxies) -> Option<IpAddr> {
    let name = if headers.contains_key(&FORWARDED_FOR) { FORWARDED_FOR } else { header::FORWARDED };
    let mut last = None;
    for element in values(headers, &name).rev() {
        let text = if name == header::FORWARDED { parameter(element, "for") } else { Some(element) };
        // What cannot be read hides what stands before it.
        let Some(address) = text.and_then(address) else { break };
        last = Some(address);
        if !proxies.contains(address) {
            break;
        }
    }
    last
}

fn came_over_tls(headers: &HeaderMap) -> bool {
    let named = values(headers, &FORWARDED_PROTO).next();
    let named = named.or_else(|| values(headers, &header::FORWARDED).find_map(|one| parameter(one, "proto")));
    named.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

/// The elements of a list that may stand in several lines. No address and no scheme holds a comma.
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

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_pipeline::settings::Sources;

    fn settings(file: &str) -> Settings {
        Settings::load(Sources { file: Some(("test".into(), file.into())), ..Sources::default() }).unwrap()
    }

    fn request(peer: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let peer = match peer {
            "unix" => Peer::Unix,
            peer => Peer::Network(peer.parse().unwrap()),
        };
        request.extension(peer).body(()).unwrap()
    }

    const HERE: &str = "127.0.0.1:50000";

    #[test]
    fn programs_of_this_machine_are_trusted_and_what_a_proxy_forwards_is_not() {
        let defaults = settings("");
        assert!(client(&defaults, &request(HERE, &[])).is_trusted);
        assert!(client(&defaults, &request("[::ffff:127.0.0.1]:50000", &[])).is_trusted);
        assert!(!client(&defaults, &request("10.0.0.1:50000", &[])).is_trusted);
        for name in [
            "Forwarded",
            "Via",
            "X-Forwarded-For",
            "X-Forwarded-Proto",
            "CF-Connecting-IP",
            "X-Envoy-External-Address",
            "X-Forwarded-Anything",
            "X-Forwarded",
            "X-Real-IP",
            "X-Client-IP",
            "X-Original-URL",
        ] {
            // Even without a value.
            for value in ["", "127.0.0.1"] {
                let client = client(&defaults, &request(HERE, &[(name, value)]));
                assert_eq!(client, Client::default(), "{name}: {value}");
            }
        }
        for (file, peer) in [
            ("[listen]\nhttp = \"0.0.0.0:8080\"", HERE),
            ("[listen]\ntrust_loopback = false", HERE),
            ("[listen]\ntrusted_proxies = [\"10.0.0.1\"]", HERE),
            ("[listen]\nhttp_unix = \"a.sock\"", HERE),
            ("[listen]\nhttp_unix = \"a.sock\"\ntrust_loopback = false", "unix"),
            ("[listen]\nhttp_unix = \"a.sock\"\ntrusted_proxies = [\"unix\"]", "unix"),
            ("[[api.key]]\nname = \"shop\"\nkey = \"0123456789abcdef0123\"", HERE),
        ] {
            assert!(!client(&settings(file), &request(peer, &[])).is_trusted, "{file}");
        }
        let with_socket = settings("[listen]\nhttp_unix = \"a.sock\"");
        assert!(client(&with_socket, &request("unix", &[])).is_trusted);
        assert!(!client(&with_socket, &request("unix", &[("via", "1.1 proxy")])).is_trusted);
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let behind = settings("[listen]\ntrusted_proxies = [\"10.0.0.0/8\", \"127.0.0.1\"]");
        let said =
            |peer: &str, headers: &[(&str, &str)]| client(&behind, &request(peer, headers)).forwarded_for;
        let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        for (value, expected) in [
            ("203.0.113.7", ip("203.0.113.7")),
            ("198.51.100.1, 203.0.113.7", ip("203.0.113.7")),
            ("198.51.100.1, 203.0.113.7, 10.1.1.1", ip("203.0.113.7")),
            ("198.51.100.1, 203.0.113.7:8123 , 10.1.1.1", ip("203.0.113.7")),
            ("2001:db8::1", ip("2001:db8::1")),
            ("[2001:db8::1]:443", ip("2001:db8::1")),
            ("10.0.0.2, 10.0.0.3", ip("10.0.0.2")),
            ("198.51.100.1, unknown", None),
            ("198.51.100.1, unknown, 10.0.0.3", ip("10.0.0.3")),
            ("", None),
        ] {
            assert_eq!(said(HERE, &[("x-forwarded-for", value)]), expected, "{value}");
            assert_eq!(said("192.0.2.1:1", &[("x-forwarded-for", value)]), None, "{value}");
        }
        let lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(said(HERE, &lines), ip("203.0.113.7"));
        let forwarded = "for=198.51.100.1, For=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.1, for=10.0.0.9";
        assert_eq!(said(HERE, &[("forwarded", forwarded)]), ip("2001:db8::1"));
        // Handed on by a proxy that sets the other.
        let both = [("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(said(HERE, &both), ip("203.0.113.7"));
    }

    #[test]
    fn whatever_is_forwarded_can_be_read_or_passed_over() {
        let behind = settings("[listen]\ntrusted_proxies = [\"127.0.0.1\"]");
        let whole = "for=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.1, for=203.0.113.7:80";
        let cuts = (0..whole.len()).map(|end| whole.as_bytes()[..end].to_vec());
        let flips = (0..whole.len()).flat_map(|at| {
            (0..8).map(move |bit| {
                let mut bytes = whole.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                bytes
            })
        });
        let mut read = 0;
        for bytes in cuts.chain(flips) {
            let Ok(value) = http::HeaderValue::from_bytes(&bytes) else { continue };
            for name in [header::FORWARDED, FORWARDED_FOR] {
                let mut request = request(HERE, &[]);
                request.headers_mut().insert(name, value.clone());
                let client = client(&behind, &request);
                assert!(!client.is_trusted);
                read += usize::from(client.forwarded_for.is_some());
            }
        }
        assert!(read > 100, "{read}");
    }

    #[test]
    fn tls_before_a_trusted_proxy_counts() {
        let behind =
            settings("[listen]\nhttp_unix = \"a.sock\"\ntrusted_proxies = [\"127.0.0.1\", \"unix\"]");
        let is_encrypted =
            |peer: &str, headers: &[(&str, &str)]| client(&behind, &request(peer, headers)).is_encrypted;
        for peer in [HERE, "unix"] {
            assert!(is_encrypted(peer, &[("x-forwarded-proto", "https")]));
            assert!(is_encrypted(peer, &[("x-forwarded-proto", "HTTPS, http")]));
            assert!(is_encrypted(peer, &[("forwarded", "for=203.0.113.7;proto=https")]));
            assert!(!is_encrypted(peer, &[("x-forwarded-proto", "http")]));
            assert!(!is_encrypted(peer, &[]));
        }
        assert!(!is_encrypted("192.0.2.1:1", &[("x-forwarded-proto", "https")]));
    }

    #[test]
    fn without_any_key_the_api_is_open_to_the_trusted_and_where_the_operator_said_so() {
        let is_closed = |file: &str, peer: &str, headers: &[(&str, &str)]| {
            let (settings, request) = (settings(file), request(peer, headers));
            is_closed(&settings, client(&settings, &request), &request)
        };
        assert!(!is_closed("", HERE, &[]));
        assert!(is_closed("", HERE, &[("via", "1.1 proxy")]));
        assert!(is_closed("[listen]\ntrust_loopback = false", HERE, &[]));
        let socket = "[listen]\nhttp = \"0.0.0.0:8080\"\nhttp_unix = \"a.sock\"\n";
        assert!(!is_closed(socket, "unix", &[]));
        assert!(!is_closed(socket, "203.0.113.7:50000", &[("via", "1.1 proxy")]));
        assert!(is_closed(&format!("{socket}trust_loopback = false"), "unix", &[]));
        // The key itself is asked for after this.
        let key = "[[api.key]]\nname = \"shop\"\nkey = \"0123456789abcdef0123\"";
        assert!(!is_closed(key, HERE, &[]));
    }
}
