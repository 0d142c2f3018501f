//! The requests this program makes itself: the demo's uploads, and commands that speak to a server.

mod trust;

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
pub use trust::Trust;

use crate::auth::Credentials;

/// A request is given up after this long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client that keeps its connections.
#[derive(Debug, Clone)]
pub struct HttpClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// For addresses without TLS; over TLS it trusts nobody.
impl Default for HttpClient {
    fn default() -> Self {
        Self::with(trust::nobody())
    }
}

impl HttpClient {
    /// A client for a server at `url`, `http://…` or `https://…`.
    ///
    /// # Errors
    /// The address is of another kind, or whom to trust cannot be read.
    pub fn new(url: &str, trust: &Trust) -> anyhow::Result<Self> {
        match url.split_once("://") {
            Some(("http", _)) => Ok(Self::default()),
            Some(("https", _)) => Ok(Self::with(trust::config(trust)?)),
            _ => anyhow::bail!(
                "\"{url}\" is no address of a server; write http://HOST:PORT or https://HOST:PORT"
            ),
        }
    }

    fn with(config: rustls::ClientConfig) -> Self {
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// Asks for something that may go on for ever; with an access key, if there is one, by HTTP Basic
    /// authentication.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn open(&self, url: &str, key: Option<&Credentials>) -> anyhow::Result<Response<Incoming>> {
        let request = authorized(Request::builder().uri(url), key).body(Full::new(Bytes::new()))?;
        self.0.request(request).await.map_err(unreachable)
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// The server cannot be reached, or does not answer in time.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        content_type: &str,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(url);
        if !content_type.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, content_type);
        }
        if matches!(request.method_ref(), Some(&Method::PUT | &Method::POST)) {
            // RFC 9110, section 8.6: said even of an empty body, as some servers insist on it.
            request = request.header(http::header::CONTENT_LENGTH, body.len());
        }
        self.exchange(request.body(Full::new(body))?).await
    }

    /// Sends a request that was made elsewhere and reads the whole answer.
    ///
    /// # Errors
    /// As for [`HttpClient::send`].
    pub async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let exchange = async {
            let response = self.0.request(request).await.map_err(unreachable)?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.context("the answer broke off")?.to_bytes();
            anyhow::Ok(Answer { status: head.status, body })
        };
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(answer) => answer,
            Err(_) => anyhow::bail!("the server did not answer within {} s", TIMEOUT.as_secs()),
        }
    }
}

/// With an access key, if there is one, by HTTP Basic authentication (RFC 7617).
#[must_use]
pub fn authorized(request: request::Builder, key: Option<&Credentials>) -> request::Builder {
    let Some(key) = key else { return request };
    let pair = format!("{}:{}", key.access_key_id, key.secret_access_key());
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    request.header(http::header::AUTHORIZATION, format!("Basic {encoded}"))
}

/// What to do about a server that gave no answer.
fn unreachable(error: hyper_util::client::legacy::Error) -> anyhow::Error {
    let error = anyhow::Error::from(error);
    let said = |words: &str| error.chain().any(|cause| cause.to_string().contains(words));
    let words = if said("invalid peer certificate") {
        "the server's certificate is not trusted; name its authority's certificate, or the server's own, with --ca FILE"
    } else if said("received corrupt message") {
        "the server does not speak TLS; write its address with http://"
    } else {
        "the server could not be reached; is it running, and with TLS (https://) or without (http://)?"
    };
    error.context(words)
}
