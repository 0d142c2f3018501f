//! What commands have in common that speak to a running server.

use std::path::PathBuf;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;

use super::{Env, SettingsArguments, variable};
use crate::{
    auth::{ACCESS_KEY_ID, Credentials, SECRET_ACCESS_KEY},
    http_client::{HttpClient, Trust, authorized},
    settings::Settings,
};

/// Which server, and where its key is found.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// The server, http://… or https://… [default: setting "listen.http"]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Certificates to trust, in PEM: an authority's, or the server's own [default: the authorities this
    /// machine knows, and the certificate in the settings]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// A running server, asked with the root key where there is one: a server that trusts this machine's programs needs
/// none, every other does.
pub(super) struct Remote {
    /// Its address, without a slash at the end.
    pub(super) url: String,
    pub(super) key: Option<Credentials>,
    trust: Trust,
}

/// The address of the server of these settings, and whom to trust there: a server's own certificate need
/// not be known to any authority.
pub(super) fn own(settings: &Settings) -> (String, Trust) {
    match &settings.listen.tls {
        Some(files) => (format!("https://{}", settings.listen.http), Trust::File(files.certificate.clone())),
        None => (format!("http://{}", settings.listen.http), Trust::System),
    }
}

impl ServerArguments {
    pub(super) fn find(&self, env: &Env) -> anyhow::Result<Remote> {
        let settings = self.settings.load(env)?;
        let mut remote = Remote::own(&settings, env);
        if let Some(url) = &self.server {
            (remote.url, remote.trust) = (url.trim_end_matches('/').to_owned(), Trust::System);
        }
        if let Some(file) = &self.ca {
            remote.trust = Trust::File(file.clone());
        }
        Ok(remote)
    }
}

impl Remote {
    /// The server of these settings.
    pub(super) fn own(settings: &Settings, env: &Env) -> Self {
        let (url, trust) = own(settings);
        let given = (variable(env, ACCESS_KEY_ID), variable(env, SECRET_ACCESS_KEY));
        Self { url, key: Credentials::known(&settings.data, given), trust }
    }

    /// A client for it.
    ///
    /// # Errors
    /// The address is none, or whom to trust cannot be read.
    pub(super) fn client(&self) -> anyhow::Result<HttpClient> {
        HttpClient::new(&self.url, &self.trust)
    }

    /// Asks for JSON, with a form if there is one to send.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses; then in its words.
    pub(super) fn ask(&self, path: &str, form: Option<String>) -> anyhow::Result<Value> {
        let method = if form.is_some() { Method::POST } else { Method::GET };
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request = authorized(request, self.key.as_ref())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form.unwrap_or_default())))?;
        let answer = super::runtime()?
            .block_on(self.client()?.exchange(request))
            .map_err(|error| error.context(self.url.clone()))?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if !answer.status.is_success() {
            return Err(self.refusal(answer.status, &body));
        }
        Ok(body)
    }

    /// What a server said that did not do it.
    pub(super) fn refusal(&self, status: StatusCode, body: &Value) -> anyhow::Error {
        let words = body["message"].as_str().unwrap_or("nothing that this program understands");
        anyhow::anyhow!("the server at {} answered {status}: {words}", self.url)
    }
}

/// Asks step by step until the server says that nothing is left: `ask` is given where to go on, as fields of
/// the next form.
pub(super) fn steps(
    mut ask: impl FnMut(Vec<(&'static str, &str)>) -> anyhow::Result<Value>,
) -> anyhow::Result<()> {
    let mut next = Value::Null;
    loop {
        let fields = ["after_bucket", "after_key"];
        let after = fields.into_iter().filter_map(|name| Some((name, next[name].as_str()?))).collect();
        let answer = ask(after)?;
        if answer["next"].is_null() {
            return Ok(());
        }
        next = answer["next"].clone();
    }
}

/// A query or form.
pub(super) fn form<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// A moment for people, in UTC.
pub(super) fn moment(milliseconds: &Value) -> String {
    let shape = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    let nanoseconds = i128::from(milliseconds.as_i64().unwrap_or_default()) * 1_000_000;
    time::OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .ok()
        .and_then(|at| at.format(&shape).ok())
        .unwrap_or_else(|| "?".into())
}

/// Text from elsewhere, without what would move a terminal's cursor.
pub(super) fn plain(text: &Value) -> String {
    let text = text.as_str().unwrap_or_default();
    text.chars().map(|one| if one.is_control() { char::REPLACEMENT_CHARACTER } else { one }).collect()
}
