//! Which clients need no credentials, and which proxies are believed.
//! Sources: RFC 7239 (Forwarded); RFC 9110, section 7.6.3 (Via).

use http::{HeaderMap, HeaderName, Request};

use super::{Client, Peer, forwarded};
use crate::settings::{Proxies, Settings};

/// What is known of clients under one version of the settings.
#[derive(Debug)]
pub struct Clients {
    /// Whether programs of this machine are trusted.
    is_trusted: bool,
    /// Whether they connect to the TCP port. With a unix socket its permissions decide which of them are meant.
    is_by_network: bool,
    /// Whether the settings have no key of any kind, and the API a port beyond loopback.
    is_open: bool,
    is_tls: bool,
    proxies: Proxies,
}

impl Clients {
    /// Under these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let (listen, is_loopback) = (&settings.listen, settings.listen.http.ip().is_loopback());
        Self {
            is_trusted: settings.trusts_loopback(),
            is_by_network: listen.http_unix.is_none() && is_loopback,
            is_open: settings.api.keys.is_empty() && settings.access.is_empty() && !is_loopback,
            is_tls: listen.tls.is_some(),
            proxies: listen.trusted_proxies.clone(),
        }
    }

    /// The sender of a request, before any credentials.
    pub fn client<B>(&self, request: &Request<B>) -> Client {
        let (peer, headers) = (request.extensions().get(), request.headers());
        let (is_local, is_proxy, is_network) = match peer {
            None => return Client::default(),
            Some(Peer::Unix) => (true, self.proxies.unix, false),
            Some(Peer::Network(from)) => {
                let is_local = self.is_by_network && from.ip().to_canonical().is_loopback();
                (is_local, self.proxies.contains(from.ip()), true)
            }
        };
        let forwarded_for =
            if is_proxy { forwarded::forwarded_address(headers, &self.proxies) } else { None };
        let address = forwarded_for.or(match peer {
            Some(Peer::Network(from)) => Some(from.ip()),
            Some(Peer::Unix) | None => None,
        });
        Client {
            is_trusted: self.is_trusted && is_local && !is_forwarded(headers),
            is_guest: self.is_open && is_network,
            is_encrypted: self.is_tls && is_network || is_proxy && forwarded::is_tls(headers),
            forwarded_for,
            address,
        }
    }
}

/// Whether a proxy has forwarded a request: it is not of a program of this machine that asks for itself.
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().any(is_of_a_proxy)
}

const PROXY_HEADERS: [&str; 10] = [
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

/// Whether a header is one that some proxy sets.
fn is_of_a_proxy(name: &HeaderName) -> bool {
    let name = name.as_str();
    PROXY_HEADERS.contains(&name)
        || ["x-forwarded-", "x-original-"].iter().any(|beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::net::IpAddr;
    use tintype_pipeline::settings::Sources;

    fn settings(file: &str) -> Settings {
        Settings::load(Sources { file: Some(("test".into(), file.into())), ..Sources::default() }).unwrap()
    }

    fn client(settings: &Settings, request: &Request<()>) -> Client {
        Clients::new(settings).client(request)
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
                let address = Some([127, 0, 0, 1].into());
                assert_eq!(client, Client { address, ..Client::default() }, "{name}: {value}");
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
        let forwarded_for =
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
            assert_eq!(forwarded_for(HERE, &[("x-forwarded-for", value)]), expected, "{value}");
            assert_eq!(forwarded_for("192.0.2.1:1", &[("x-forwarded-for", value)]), None, "{value}");
        }
        let lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(forwarded_for(HERE, &lines), ip("203.0.113.7"));
        let forwarded = "for=198.51.100.1, For=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.1, for=10.0.0.9";
        assert_eq!(forwarded_for(HERE, &[("forwarded", forwarded)]), ip("2001:db8::1"));
        // Passed on by a proxy that sets the other.
        let both = [("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(forwarded_for(HERE, &both), ip("203.0.113.7"));
    }

    #[test]
    fn whatever_is_forwarded_is_parsed_or_ignored() {
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
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { continue };
            for name in ["forwarded", "x-forwarded-for"] {
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
        let is_open = |file: &str, peer: &str, headers: &[(&str, &str)]| {
            let client = client(&settings(file), &request(peer, headers));
            client.is_trusted || client.is_guest
        };
        assert!(is_open("", HERE, &[]));
        assert!(!is_open("", HERE, &[("via", "1.1 proxy")]));
        assert!(!is_open("[listen]\ntrust_loopback = false", HERE, &[]));
        let socket = "[listen]\nhttp = \"0.0.0.0:8080\"\nhttp_unix = \"a.sock\"\n";
        assert!(is_open(socket, "unix", &[]));
        assert!(is_open(socket, "203.0.113.7:50000", &[("via", "1.1 proxy")]));
        assert!(!is_open(&format!("{socket}trust_loopback = false"), "unix", &[]));
        let key = "[[api.key]]\nname = \"shop\"\nkey = \"0123456789abcdef0123\"";
        for file in [key.to_owned(), format!("[listen]\nhttp = \"0.0.0.0:8080\"\n{key}")] {
            assert!(!is_open(&file, HERE, &[]));
        }
    }
}
