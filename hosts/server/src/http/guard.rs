//! What a request may not be that needs no credentials: one that a page of another origin causes in the browser of
//! this machine. A name that is no loopback name (DNS rebinding) and foreign origins are refused.

use std::borrow::Cow;

use axum::{
    http::{HeaderMap, Request, StatusCode, header},
    response::Response,
};
use tintype_api::message;

use crate::{listen::Client, settings::Settings};

pub(super) fn check<B>(
    settings: &Settings,
    client: Client,
    request: &Request<B>,
) -> Result<(), Box<Response>> {
    if !client.is_trusted {
        return Ok(());
    }
    let refused = |words| Err(Box::new(message(StatusCode::FORBIDDEN, words)));
    let host = host(request);
    if !host.as_deref().is_some_and(is_loopback_name) {
        return refused("the Host header is no loopback name; use 127.0.0.1, [::1] or localhost");
    }
    let allowed = &settings.api.cors_origins;
    if !site_is_welcome(request, allowed) || !origin_is_welcome(request.headers(), host.as_deref(), allowed) {
        return refused(
            "pages of this origin may not call; add it to api.cors_origins and call by fetch if they should",
        );
    }
    Ok(())
}

fn host<B>(request: &Request<B>) -> Option<Cow<'_, str>> {
    let header = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let host = header.or_else(|| request.uri().authority().map(http::uri::Authority::as_str))?;
    Some(match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => host.to_ascii_lowercase().into(),
        false => host.into(),
    })
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn origin_is_welcome(headers: &HeaderMap, host: Option<&str>, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let own = host
        .is_some_and(|host| origin.strip_prefix("http://").or(origin.strip_prefix("https://")) == Some(host));
    own || allowed.iter().any(|allowed| allowed == "*" || allowed == origin)
}

/// A request that a page of another site causes without an Origin, such as an image's or a form's, is told
/// by the browser's Sec-Fetch-Site. Links to the page itself are welcome.
fn site_is_welcome<B>(request: &Request<B>, allowed: &[String]) -> bool {
    let headers = request.headers();
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok()).unwrap_or("none");
    let is_page = request.method() == http::Method::GET && request.uri().path() == "/";
    let judged_by_origin =
        headers.contains_key(header::ORIGIN) || allowed.iter().any(|allowed| allowed == "*");
    matches!(site, "none" | "same-origin") || is_page || judged_by_origin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_foreign_pages_without_an_origin() {
        let request = |method: &str, path: &str, site: &str| {
            let builder = http::Request::builder().method(method).uri(path).header("sec-fetch-site", site);
            builder.body(axum::body::Body::empty()).unwrap()
        };
        assert!(!site_is_welcome(&request("GET", "/dev1/myimage?key=a.jpg", "cross-site"), &[]));
        assert!(!site_is_welcome(&request("POST", "/", "same-site"), &[]));
        assert!(site_is_welcome(&request("GET", "/", "cross-site"), &[]));
        assert!(site_is_welcome(&request("GET", "/dev1/myimage?key=a.jpg", "same-origin"), &[]));
        assert!(site_is_welcome(&request("GET", "/dev1/myimage?key=a.jpg", "cross-site"), &["*".into()]));
    }

    #[test]
    fn loopback_names() {
        for good in ["localhost", "localhost:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080"] {
            assert!(is_loopback_name(good), "{good}");
        }
        for bad in
            ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example:80", "[::2]", ""]
        {
            assert!(!is_loopback_name(bad), "{bad}");
        }
    }

    #[test]
    fn foreign_origins() {
        let headers =
            |origin: &'static str| HeaderMap::from_iter([(header::ORIGIN, origin.parse().unwrap())]);
        let host = Some("127.0.0.1:8080");
        assert!(origin_is_welcome(&HeaderMap::new(), host, &[]));
        assert!(origin_is_welcome(&headers("http://127.0.0.1:8080"), host, &[]));
        assert!(!origin_is_welcome(&headers("http://127.0.0.1:9999"), host, &[]));
        assert!(!origin_is_welcome(&headers("null"), host, &[]));
        assert!(origin_is_welcome(&headers("https://shop.example"), host, &["https://shop.example".into()]));
    }
}
