//! Answers of pages.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use maud::{Markup, html};

use super::html;
use crate::{admin::Refusal, auth::Client};

/// HTML that is not cached.
pub(super) fn fresh(html: Markup) -> Response {
    let mut response = Html(html.into_string()).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A page, or the refusal as one.
pub(super) fn page(client: Client, title: &str, path: &str, body: Result<Markup, Refusal>) -> Response {
    match body {
        Ok(body) => fresh(html::layout(client, title, path, &body)),
        Err(Refusal { status, message }) => problem(client, status, &message),
    }
}

/// A problem, as a page.
pub(super) fn problem(client: Client, status: StatusCode, words: &str) -> Response {
    let body = html! { section.card { h2 { (status) } p { (html::visible(words)) } } };
    let mut response = fresh(html::layout(client, "Problem", "", &body));
    *response.status_mut() = status;
    response
}

/// Leads a browser on after a form was sent.
pub(super) fn see_other(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    response
}
