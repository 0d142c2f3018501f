//! The login page. Who is logged in is `auth`'s; where a login is needed, `http` leads people here.

use axum::{
    Form,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use maud::{Markup, html};

use super::{Console, answers, html::layout};
use crate::auth::{Client, LoginError, TooManyGuesses};

pub(super) async fn form(client: Client) -> Response {
    answers::fresh(login_page(client, None))
}

fn login_page(client: Client, problem: Option<&str>) -> Markup {
    let body = html! {
        form.card.login method="post" action="/login" {
            h1 { "Log in" }
            @if let Some(words) = problem { p.why role="alert" { (words) } }
            label { "Access key id" input name="access_key_id" autocomplete="username" required autofocus; }
            label {
                "Secret access key"
                input name="secret_access_key" type="password" autocomplete="current-password" required;
            }
            button { "Log in" }
            p.help { "The root key is in the data folder's file " code { "credentials" } "." }
        }
    };
    layout(client, "Log in", "/login", &body)
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
    Form(login): Form<Login>,
) -> Response {
    let (id, secret) = (login.access_key_id.trim(), login.secret_access_key.trim());
    let error = match console.inner.sessions.log_in(id, secret, client) {
        Ok(cookie) => return with_cookie(answers::see_other("/"), &cookie),
        Err(error) => error,
    };
    let mut response = answers::fresh(login_page(client, Some(&error.to_string())));
    *response.status_mut() = match error {
        LoginError::WrongKey => StatusCode::FORBIDDEN,
        LoginError::TooManyGuesses(TooManyGuesses(wait)) => {
            let seconds = HeaderValue::from(wait.as_secs_f64().ceil() as u64);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            StatusCode::TOO_MANY_REQUESTS
        }
        LoginError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    response
}

pub(super) async fn logout(State(console): State<Console>, client: Client, headers: HeaderMap) -> Response {
    let cookie = console.inner.sessions.log_out(&headers, client);
    with_cookie(answers::see_other("/login"), &cookie)
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
