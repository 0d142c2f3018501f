//! Answers of the page's routes, and work that blocks.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use tintype_api::message;

use super::{Console, html};
use crate::auth::Client;

/// Runs what looks at the disk where blocking is allowed; a fault becomes a 503 that says what it is.
pub(super) async fn blocking<T: Send + 'static>(
    console: &Console,
    work: impl FnOnce(&super::Inner) -> anyhow::Result<T> + Send + 'static,
) -> Result<T, Box<Response>> {
    let inner = console.inner.clone();
    let problem = match tokio::task::spawn_blocking(move || work(&inner)).await {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => {
            tracing::error!(%error, "a page panicked");
            "a fault of the server; it is in the log".into()
        }
    };
    Err(Box::new(message(StatusCode::SERVICE_UNAVAILABLE, problem)))
}

/// HTML that must not be kept by anybody.
pub(super) fn fresh(html: String) -> Response {
    let mut response = Html(html).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A problem, as a page for people.
pub(super) fn problem(client: Client, status: StatusCode, words: &str) -> Response {
    let body = format!("<section class=\"card\"><h2>{}</h2><p>{}</p></section>", status, html::text(words));
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
