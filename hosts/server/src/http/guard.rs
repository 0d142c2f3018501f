//! Requests that need no credentials are refused where a page of another origin may have caused them in a browser of
//! this machine: with a Host that is no loopback name (DNS rebinding), or from a foreign origin.

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
    is_linkable: bool,
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
    if !is_allowed_site(request, is_linkable, allowed)
        || !is_allowed_origin(request.headers(), host.as_deref(), allowed)
    {
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
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok()).unwrap_or("none");
    let is_link = is_linkable && request.method() == http::Method::GET;
    let judged_by_origin =
        headers.contains_key(header::ORIGIN) || allowed.iter().any(|allowed| allowed == "*");
    matches!(site, "none" | "same-origin") || is_link || judged_by_origin
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
}
