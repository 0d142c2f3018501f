//! Requests to a running server.

use std::{net::IpAddr, path::PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;
use tintype_pipeline::settings::Override;

use super::{Env, SettingsArguments, running_server::RunningServer, variable};
use crate::{
    admin::{PagedRequest, Request, encode},
    auth::{ACCESS_KEY_ID, Credentials, SECRET_ACCESS_KEY},
    http_client::{HttpClient, Trust, authorized},
    settings::{Settings, socket_address},
};

/// Which server, and where its key is found.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// The server, http://…, https://…, or a port of this machine [default: the one that runs on the data folder, or
    /// setting "listen.http"]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Certificates to trust, in PEM: an authority's, or the server's own [default: the authorities this
    /// machine knows, and the certificate in the settings]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// A running server. The root key is sent where there is one: a server that trusts this machine's programs needs none,
/// every other does.
pub(super) struct Remote {
    /// Its address, without a slash at the end.
    pub(super) url: String,
    pub(super) key: Option<Credentials>,
    trust: Trust,
}

/// The server that runs on the data folder of these settings, or else the one that they lead to.
pub(super) fn own(settings: &Settings) -> RunningServer {
    RunningServer::of_folder(&settings.data).unwrap_or_else(|| RunningServer::of_settings(settings))
}

impl ServerArguments {
    /// The settings that name it.
    pub(super) fn settings(&self, env: &Env) -> anyhow::Result<Settings> {
        self.settings.load(env)
    }

    /// The same with more flags.
    pub(super) fn settings_with(
        &self,
        env: &Env,
        more: impl IntoIterator<Item = Override>,
    ) -> anyhow::Result<Settings> {
        self.settings.load_with(env, more)
    }

    pub(super) fn find(&self, env: &Env) -> anyhow::Result<Remote> {
        let settings = self.settings.load(env)?;
        // An address that is named goes first, and is trusted as the settings say.
        let server = match (&self.server, &self.settings.http) {
            (None, None) => own(&settings),
            _ => RunningServer::of_settings(&settings),
        };
        let mut remote = Remote::new(&server, &settings, env);
        if let Some(url) = &self.server {
            remote.url = with_scheme(url.trim_end_matches('/'), &settings);
            // On this machine it is most likely the server of these settings.
            if !is_of_this_machine(&remote.url) {
                remote.trust = Trust::System;
            }
        }
        if let Some(file) = &self.ca {
            remote.trust = Trust::File(file.clone());
        }
        Ok(remote)
    }
}

/// A server's URL: "http://…" or "https://…" as it is, or a port of this machine. Other machines are never asked without
/// a scheme: the root key is sent along.
fn with_scheme(url: &str, settings: &Settings) -> String {
    let scheme = if settings.listen.tls.is_some() { "https" } else { "http" };
    match socket_address(url).filter(|address| address.ip().is_loopback()) {
        Some(address) => format!("{scheme}://{address}"),
        None => url.to_owned(),
    }
}

fn is_of_this_machine(url: &str) -> bool {
    let host = url.parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_owned));
    host.is_some_and(|host| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

impl Remote {
    /// The server of these settings' data folder.
    pub(super) fn own(settings: &Settings, env: &Env) -> Self {
        Self::new(&own(settings), settings, env)
    }

    fn new(server: &RunningServer, settings: &Settings, env: &Env) -> Self {
        let given = (variable(env, ACCESS_KEY_ID), variable(env, SECRET_ACCESS_KEY));
        Self {
            url: server.http.clone(),
            key: Credentials::known(&settings.data, given),
            trust: server.trust(),
        }
    }

    /// A client for it.
    ///
    /// # Errors
    /// The address is none, or whom to trust cannot be read.
    pub(super) fn client(&self) -> anyhow::Result<HttpClient> {
        HttpClient::new(&self.url, &self.trust)
    }

    /// The URL of a request: with its fields, unless they are sent as a form.
    pub(super) fn request_url<R: Request>(&self, request: &R) -> String {
        match (R::METHOD, encode(request)) {
            (Method::GET, query) if !query.is_empty() => format!("{}{}?{query}", self.url, R::PATH),
            _ => format!("{}{}", self.url, R::PATH),
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The server cannot be reached, refuses, or its answer is not understood.
    pub(super) fn send<R: Request>(&self, request: &R) -> anyhow::Result<R::Answer> {
        let form = if R::METHOD == Method::POST { encode(request) } else { String::new() };
        let sent = http::Request::builder().method(R::METHOD).uri(self.request_url(request));
        let sent = authorized(sent, self.key.as_ref())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form)))?;
        let answer = super::runtime()?
            .block_on(self.client()?.exchange(sent))
            .map_err(|error| error.context(self.url.clone()))?;
        if !answer.status.is_success() {
            return Err(self.refusal(answer.status, &answer.body));
        }
        serde_json::from_slice(&answer.body).with_context(|| {
            format!("the answer of the server at {} is not understood; is it of this version?", self.url)
        })
    }

    /// Sends a request for each page after the other.
    ///
    /// # Errors
    /// As [`Self::send`], and those of `page`.
    pub(super) fn pages<R: PagedRequest>(
        &self,
        mut request: R,
        mut page: impl FnMut(R::Answer) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        loop {
            let answer = self.send(&request)?;
            let next = request.next(&answer);
            page(answer)?;
            match next {
                Some(next) => request = next,
                None => return Ok(()),
            }
        }
    }

    /// What a server answered that refused.
    pub(super) fn refusal(&self, status: StatusCode, body: &[u8]) -> anyhow::Error {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let words = body["message"].as_str().unwrap_or("nothing that this program understands");
        anyhow::anyhow!("the server at {} answered {status}: {words}", self.url)
    }
}

/// A time for people, in UTC.
pub(super) fn time(milliseconds: i64) -> String {
    let shape = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&shape).ok())
        .unwrap_or_else(|| "?".into())
}

/// Text from elsewhere, without what would move a terminal's cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { char::REPLACEMENT_CHARACTER } else { one }).collect()
}
