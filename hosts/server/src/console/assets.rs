//! The style sheet, the script, and the headers that keep everything else out.

use std::sync::LazyLock;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// The style sheet. It is part of each page: a browser paints nothing before it has it, and a request takes longer than
/// its few kilobytes.
pub(super) const STYLE: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");
/// One script of several files: the first has what the others share.
const SCRIPT: &str = concat!(
    include_str!("script/common.js"),
    include_str!("script/charts.js"),
    include_str!("script/results.js"),
    include_str!("script/gallery.js"),
    include_str!("script/uploads.js"),
    include_str!("script/object.js"),
    include_str!("script/operations.js"),
);

/// Nothing from elsewhere, nothing inline but the style sheet, in nobody's frame.
/// Source: Content Security Policy Level 3, "hash-source".
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; img-src 'self' blob:; style-src 'sha256-{}'; script-src 'self'; connect-src 'self'; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        STANDARD.encode(Sha256::digest(STYLE))
    )
});

/// The version in the address of the script, so that browsers cache it until it changes.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

fn asset(text: &'static str, media_type: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "max-age=300")];
    (headers, text).into_response()
}

pub(super) async fn icon() -> Response {
    asset(ICON, "image/svg+xml")
}

pub(super) async fn script() -> Response {
    asset(SCRIPT, "text/javascript; charset=utf-8")
}

/// Sets the headers of every answer that does not have them.
pub(super) async fn headers(mut response: Response) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    let all: [(HeaderName, &str); 3] = [
        (header::CONTENT_SECURITY_POLICY, &POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in all {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.entry(name).or_insert(value);
        }
    }
    response
}
