//! What pages of other origins may cause in a visitor's browser. Where no credentials are needed: nothing with a Host that
//! is no loopback name (DNS rebinding), and only what `api.cors_origins` allows. At the console they may never act.

use std::borrow::Cow;

use axum::{
    http::{HeaderMap, Method, Request, StatusCode, header},
    response::Response,
};
use tintype_api::{Access, Route, message};

use crate::{auth::Client, settings::Settings};

/// `route` is what the request is for, if there is one.
pub(super) fn check<B, H>(
    settings: &Settings,
    client: Client,
    request: &Request<B>,
    route: Option<&Route<H>>,
) -> Result<(), Box<Response>> {
    let refused = |words| Err(Box::new(message(StatusCode::FORBIDDEN, words)));
    if client.is_trusted {
        check_trusted(settings, request, route.is_some_and(|route| route.is_linkable)).or_else(refused)?;
    }
    let is_console = route.is_some_and(|route| route.access != Access::ApiKey);
    // What a WebSocket answers any page may read: no browser asks for CORS there.
    let is_upgrade = request.headers().contains_key(header::UPGRADE);
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD) && !is_upgrade;
    if is_console && !is_read && !is_own_page(request.headers()) {
        return refused("pages of another origin may not act here");
    }
    Ok(())
}

fn check_trusted<B>(
    settings: &Settings,
    request: &Request<B>,
    is_linkable: bool,
) -> Result<(), &'static str> {
    let host = host(request);
    if !host.as_deref().is_some_and(is_loopback_name) {
        return Err("the Host header is no loopback name; use 127.0.0.1, [::1] or localhost");
    }
    let allowed = &settings.api.cors_origins;
    if !is_allowed_site(request, is_linkable, allowed)
        || !is_allowed_origin(request.headers(), host.as_deref(), allowed)
    {
        return Err(
            "pages of this origin may not call; add it to api.cors_origins and call by fetch if they should",
        );
    }
    Ok(())
}

/// Whether a request comes from a page of this server, or from no page at all.
fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => !headers.contains_key(header::ORIGIN) && matches!(site(headers), "none" | "same-origin"),
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, name)| name == host),
        (Some(_), None) => false,
    }
}

/// What browsers report of a request that has no Origin.
fn site(headers: &HeaderMap) -> &str {
    headers.get("sec-fetch-site").map_or("none", |site| site.to_str().unwrap_or_default())
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

fn is_allowed_origin(headers: &HeaderMap, host: Option<&str>, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let own = host
        .is_some_and(|host| origin.strip_prefix("http://").or(origin.strip_prefix("https://")) == Some(host));
    own || allowed.iter().any(|allowed| allowed == "*" || allowed == origin)
}

/// Requests of other sites without an Origin, such as those of images and forms, are recognised by the browser's
/// Sec-Fetch-Site. Links to what is linkable are allowed.
fn is_allowed_site<B>(request: &Request<B>, is_linkable: bool, allowed: &[String]) -> bool {
    let headers = request.headers();
    let is_link = is_linkable && request.method() == Method::GET;
    let has_origin = headers.contains_key(header::ORIGIN) || allowed.iter().any(|allowed| allowed == "*");
    matches!(site(headers), "none" | "same-origin") || is_link || has_origin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_foreign_pages_without_an_origin() {
        let is_allowed = |method: &str, site: &str, is_linkable, allowed: &[String]| {
            let builder = http::Request::builder().method(method).uri("/").header("sec-fetch-site", site);
            is_allowed_site(&builder.body(axum::body::Body::empty()).unwrap(), is_linkable, allowed)
        };
        assert!(!is_allowed("GET", "cross-site", false, &[]));
        assert!(!is_allowed("POST", "same-site", true, &[]));
        assert!(is_allowed("GET", "cross-site", true, &[]));
        assert!(is_allowed("GET", "same-origin", false, &[]));
        assert!(is_allowed("GET", "cross-site", false, &["*".into()]));
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
        assert!(is_allowed_origin(&HeaderMap::new(), host, &[]));
        assert!(is_allowed_origin(&headers("http://127.0.0.1:8080"), host, &[]));
        assert!(!is_allowed_origin(&headers("http://127.0.0.1:9999"), host, &[]));
        assert!(!is_allowed_origin(&headers("null"), host, &[]));
        assert!(is_allowed_origin(&headers("https://shop.example"), host, &["https://shop.example".into()]));
    }

    #[test]
    fn foreign_forms_are_recognised_by_their_origin() {
        let headers = |origin: &str| {
            HeaderMap::from_iter([
                (header::HOST, "10.0.0.1:8080".parse().unwrap()),
                (header::ORIGIN, origin.parse().unwrap()),
            ])
        };
        assert!(is_own_page(&headers("http://10.0.0.1:8080")) && is_own_page(&HeaderMap::new()));
        let from = |site: &'static str| {
            HeaderMap::from_iter([("sec-fetch-site".parse().unwrap(), site.parse().unwrap())])
        };
        assert!(is_own_page(&from("same-origin")) && is_own_page(&from("none")));
        assert!(!is_own_page(&from("cross-site")) && !is_own_page(&from("same-site")));
        assert!(!is_own_page(&headers("http://evil.example")) && !is_own_page(&headers("null")));
        let mut unreadable = headers("http://10.0.0.1:8080");
        unreadable.insert(header::ORIGIN, http::HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(!is_own_page(&unreadable));
    }
}
