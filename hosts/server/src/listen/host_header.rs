//! The host a request is for must be unambiguous: where a proxy, a cache or an origin check reads another host than
//! this server, requests can be smuggled past it. Source: RFC 9112, section 3.2.

use http::{Request, Version, header, uri::Authority};

/// Why a request's host is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// HTTP/1.1 requires one.
    #[error("the request has no Host header; HTTP/1.1 needs one")]
    Missing,
    /// More than one, even if they are the same.
    #[error("the request has more than one Host header; send one")]
    Repeated,
    /// The header or the host in the request line cannot be parsed.
    #[error(
        "the Host header or the request line holds no valid host and port; a port is a number up to 65535"
    )]
    Malformed,
    /// The request line names another host.
    #[error("the Host header and the request line name different hosts; send the same")]
    Different,
}

/// Checks that a request is for one host, on either port.
///
/// # Errors
/// The host is missing, repeated, malformed or contradictory: answer with 400.
pub fn check_host<B>(request: &Request<B>) -> Result<(), HostError> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let target = request.uri().authority().map(|target| Ok((target, port(target)?))).transpose()?;
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(HostError::Repeated),
        (Some(host), None) => host,
        (None, None) if request.version() >= Version::HTTP_11 => return Err(HostError::Missing),
        (None, None) => return Ok(()),
    };
    let host: Authority =
        host.to_str().ok().and_then(|host| host.parse().ok()).ok_or(HostError::Malformed)?;
    let host_port = port(&host)?;
    // "user@host" is valid in a URL, never in this header.
    if host.as_str().contains('@') {
        return Err(HostError::Malformed);
    }
    let default = match request.uri().scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    };
    match target {
        Some((target, target_port))
            if target.as_str().contains('@')
                || !target.host().eq_ignore_ascii_case(host.host())
                || target_port.or(default) != host_port.or(default) =>
        {
            Err(HostError::Different)
        }
        _ => Ok(()),
    }
}

/// The port, if one is named. RFC 3986 allows a colon without a port; an invalid port must not pass as an absent one.
fn port(authority: &Authority) -> Result<Option<u16>, HostError> {
    let host_and_port = authority.as_str().rsplit('@').next().unwrap_or_default();
    match host_and_port.strip_prefix(authority.host()) {
        Some("" | ":") => Ok(None),
        Some(rest) => {
            let digits = rest.strip_prefix(':').filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
            let port = digits.and_then(|digits| digits.parse().ok());
            port.map(Some).ok_or(HostError::Malformed)
        }
        None => Err(HostError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: Version, target: &str, hosts: &[&str]) -> Result<(), HostError> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        check_host(&request.body(()).unwrap())
    }

    #[test]
    fn a_request_is_for_one_host() {
        let check = |target, hosts: &[&str]| check(Version::HTTP_11, target, hosts);
        for (target, host) in [
            ("/", "127.0.0.1:8080"),
            ("/", "[::1]:8080"),
            ("/", "Shop.Example"),
            ("http://shop.example/a", "SHOP.example"),
            ("http://shop.example:80/", "shop.example"),
            ("http://[2001:db8::1]:81/", "[2001:DB8::1]:81"),
            ("shop.example:443", "shop.example:443"),
            ("http://shop.example:/", "shop.example"),
            ("/", "shop.example:"),
            ("http://[2001:db8::1]:65535/", "[2001:db8::1]:65535"),
        ] {
            assert_eq!(check(target, &[host]), Ok(()), "{target} {host}");
        }
        assert_eq!(check("/", &["a", "a"]), Err(HostError::Repeated));
        assert_eq!(check("/", &["a", "b"]), Err(HostError::Repeated));
        assert_eq!(check("/", &[]), Err(HostError::Missing));
        assert_eq!(check("http://a/", &[]), Err(HostError::Missing));
        for host in [
            "",
            "a b",
            "a, b",
            "a/b",
            "user@a",
            "a:b:c",
            "a:b",
            "a:65536",
            "a:+80",
            "a:-1",
            "[::1]:99999",
            "[::1]x",
        ] {
            assert_eq!(check("/", &[host]), Err(HostError::Malformed), "{host}");
        }
        for target in ["http://a:99999/", "http://a:b/", "http://a:+80/", "http://[::1]:65536/", "a:65616"] {
            assert_eq!(check(target, &["a"]), Err(HostError::Malformed), "{target}");
            assert_eq!(check(target, &["[::1]"]), Err(HostError::Malformed), "{target}");
        }
        for (target, host) in [
            ("http://a/", "b"),
            ("http://a:81/", "a"),
            ("http://a/", "a:443"),
            ("http://user@a/", "a"),
            ("a:443", "a:80"),
        ] {
            assert_eq!(check(target, &[host]), Err(HostError::Different), "{target} {host}");
        }
    }

    #[test]
    fn http_1_0_needs_no_host() {
        assert_eq!(check(Version::HTTP_10, "/", &[]), Ok(()));
        assert_eq!(check(Version::HTTP_10, "/", &["a", "b"]), Err(HostError::Repeated));
        assert_eq!(check(Version::HTTP_10, "http://a:99999/", &[]), Err(HostError::Malformed));
    }
}
