//! Who looks at the page: whoever is trusted as this machine's own (`http/trust`), else whoever has the access key,
//! by a login for people or by HTTP Basic authentication for programs.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Form,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use tintype_api::message;

use super::{Console, answers, html};
use crate::{auth, listen::Client};

const COOKIE: &str = "tintype_session";
/// A login is good for this long.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// Logins at once; the oldest makes room.
const MOST: usize = 1000;

/// Who is logged in: tokens, and until when each is good.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    good: Mutex<HashMap<String, Instant>>,
}

impl Sessions {
    fn open(&self) -> std::io::Result<String> {
        let token = auth::token()?;
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        good.retain(|_, until| *until > now);
        if good.len() >= MOST {
            let oldest = good.iter().min_by_key(|(_, until)| **until).map(|(token, _)| token.clone());
            oldest.and_then(|token| good.remove(&token));
        }
        good.insert(token.clone(), now + LASTS);
        Ok(token)
    }

    fn holds(&self, token: &str) -> bool {
        let good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        good.get(token).is_some_and(|until| *until > Instant::now())
    }

    fn close(&self, token: &str) {
        self.good.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
    }
}

impl Console {
    async fn is_logged_in(&self, headers: &HeaderMap) -> bool {
        token(headers).is_some_and(|token| self.inner.sessions.holds(token))
            || self.inner.authenticator.admits(headers).await
    }
}

/// A cookie of this name and value; over TLS it is sent over nothing else.
fn cookie(client: Client, value: &str, seconds: u64) -> String {
    let secure = if client.is_encrypted { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// Asks whoever is not trusted who it is: people are led to the login, programs are answered 401.
pub(super) async fn require(
    State(console): State<Console>,
    client: Client,
    request: Request,
    next: Next,
) -> Response {
    // Where no login is asked for a page that the API is open to could act here otherwise; elsewhere a form of another site
    // is sent without the cookie, by SameSite, and its Origin tells it, too.
    if !matches!(*request.method(), Method::GET | Method::HEAD) && !is_own(request.headers()) {
        return message(StatusCode::FORBIDDEN, "pages of another origin may not act here");
    }
    if client.is_trusted || console.is_logged_in(request.headers()).await {
        return next.run(request).await;
    }
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if *request.method() == Method::GET && accept.is_some_and(|accept| accept.contains("text/html")) {
        return answers::see_other("/login");
    }
    let mut response = message(
        StatusCode::UNAUTHORIZED,
        "an access key is needed: log in at /login, or use its id and secret with HTTP Basic authentication",
    );
    let realm = HeaderValue::from_static("Basic realm=\"tintype\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    response
}

/// Whether a request comes from a page of this server, or from no page at all.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // What browsers say of a request that has no Origin.
    let site = headers.get("sec-fetch-site").map_or(&b"none"[..], HeaderValue::as_bytes);
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => [&b"none"[..], b"same-origin"].contains(&site),
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, name)| name == host),
        (Some(_), None) => false,
    }
}

pub(super) async fn form(client: Client) -> Response {
    answers::fresh(login_page(client, ""))
}

fn login_page(client: Client, problem: &str) -> String {
    let problem = match problem {
        "" => String::new(),
        words => format!("<p class=\"why\" role=\"alert\">{}</p>", html::text(words)),
    };
    let body = format!(
        "<form class=\"card login\" method=\"post\" action=\"/login\"><h1>Log in</h1>{problem}\
         <label>Access key id<input name=\"access_key_id\" autocomplete=\"username\" required autofocus></label>\
         <label>Secret access key<input name=\"secret_access_key\" type=\"password\" autocomplete=\"current-password\" required></label>\
         <button>Log in</button><p class=\"help\">The root key is in the data folder's file <code>credentials</code>.</p></form>"
    );
    html::layout(client, "Log in", "/login", &body)
}

/// What the login form holds.
#[derive(serde::Deserialize)]
pub(super) struct Login {
    access_key_id: String,
    secret_access_key: String,
}

pub(super) async fn login(
    State(console): State<Console>,
    client: Client,
    headers: HeaderMap,
    Form(login): Form<Login>,
) -> Response {
    if !is_own(&headers) {
        return message(StatusCode::FORBIDDEN, "pages of another origin may not log in here");
    }
    if !console.inner.authenticator.knows(login.access_key_id.trim(), login.secret_access_key.trim()).await {
        let mut response = answers::fresh(login_page(client, "This access key is not known."));
        *response.status_mut() = StatusCode::FORBIDDEN;
        return response;
    }
    let token = match console.inner.sessions.open() {
        Ok(token) => token,
        Err(error) => {
            let words = format!("nobody can log in: {error}");
            return answers::problem(client, StatusCode::SERVICE_UNAVAILABLE, &words);
        }
    };
    with_cookie(answers::see_other("/"), &cookie(client, &token, LASTS.as_secs()))
}

pub(super) async fn logout(State(console): State<Console>, client: Client, headers: HeaderMap) -> Response {
    if let Some(token) = token(&headers) {
        console.inner.sessions.close(token);
    }
    with_cookie(answers::see_other("/login"), &cookie(client, "", 0))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_read() {
        let cookies = "a=b; tintype_session=abc; c=d".parse().unwrap();
        assert_eq!(token(&HeaderMap::from_iter([(header::COOKIE, cookies)])), Some("abc"));
        assert_eq!(token(&HeaderMap::new()), None);
    }

    #[test]
    fn sessions_end() {
        let sessions = Sessions::default();
        let token = sessions.open().unwrap();
        assert!(sessions.holds(&token) && !sessions.holds("other") && !sessions.holds(""));
        sessions.close(&token);
        assert!(!sessions.holds(&token));
    }

    #[test]
    fn foreign_forms_are_told_by_their_origin() {
        let headers = |origin: &str| {
            HeaderMap::from_iter([
                (header::HOST, "10.0.0.1:8080".parse().unwrap()),
                (header::ORIGIN, origin.parse().unwrap()),
            ])
        };
        assert!(is_own(&headers("http://10.0.0.1:8080")) && is_own(&HeaderMap::new()));
        let from = |site: &'static str| {
            HeaderMap::from_iter([("sec-fetch-site".parse().unwrap(), site.parse().unwrap())])
        };
        assert!(is_own(&from("same-origin")) && !is_own(&from("cross-site")) && !is_own(&from("same-site")));
        assert!(!is_own(&headers("http://evil.example")) && !is_own(&headers("null")));
    }
}
