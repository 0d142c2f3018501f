//! The HTTP client of this program: for the commands, the demo, the trace exporter, webhooks and models.

mod trust;

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, request, response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
pub use trust::Trust;

use crate::auth::Credentials;

/// For a request and its whole response.
const TIMEOUT: Duration = Duration::from_secs(60);
/// For a connection: a server that drops packets is told apart from one that is slow to respond.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The bytes of a body that is read although nobody needs it.
const SHORT_BODY: usize = 64 << 10;
/// For such a body to arrive.
const SHORT_BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// A client that reuses its connections.
#[derive(Debug, Clone)]
pub struct HttpClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// A response whose body has been read.
#[derive(Debug)]
pub struct FullResponse {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

/// Why a bounded response was not read.
#[derive(Debug)]
pub enum Unanswered {
    /// The server cannot be reached, or broke off.
    Unreachable(String),
    /// The response is longer.
    TooLong,
}

/// For addresses without TLS; no certificate is trusted.
impl Default for HttpClient {
    fn default() -> Self {
        Self::with(trust::no_roots())
    }
}

impl HttpClient {
    /// A client for a server at `url`, `http://…` or `https://…`.
    ///
    /// # Errors
    /// The scheme is another one, or the trusted certificates cannot be read.
    pub fn new(url: &str, trust: &Trust) -> anyhow::Result<Self> {
        match url.split_once("://") {
            Some(("http", _)) => Ok(Self::default()),
            Some(("https", _)) => Ok(Self::with(trust::config(trust)?)),
            _ => anyhow::bail!(
                "\"{url}\" is not a server's address; write http://HOST:PORT or https://HOST:PORT"
            ),
        }
    }

    fn with(config: rustls::ClientConfig) -> Self {
        let mut connector = HttpConnector::new();
        // Or it would refuse https:// before TLS begins.
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
        let connector = builder.wrap_connector(connector);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// Sends a GET request whose response may be endless; with `key` by HTTP Basic authentication.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn open(&self, url: &str, key: Option<&Credentials>) -> anyhow::Result<Response<Incoming>> {
        let request = authorized(Request::builder().uri(url), key).body(Full::new(Bytes::new()))?;
        self.0.request(request).await.map_err(unreachable)
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Errors
    /// The server cannot be reached, or does not respond in time.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        content_type: &str,
        body: Bytes,
    ) -> anyhow::Result<FullResponse> {
        let mut request = Request::builder().method(method).uri(url);
        if !content_type.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, content_type);
        }
        if matches!(request.method_ref(), Some(&Method::PUT | &Method::POST)) {
            // Also for an empty body (RFC 9110, section 8.6): some servers require it.
            request = request.header(http::header::CONTENT_LENGTH, body.len());
        }
        self.exchange(request.body(Full::new(body))?).await
    }

    /// Sends a prepared request and reads the whole response.
    ///
    /// # Errors
    /// As for [`HttpClient::send`].
    pub async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<FullResponse> {
        let exchange = async {
            let response = self.0.request(request).await.map_err(unreachable)?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.context("the response is incomplete")?.to_bytes();
            anyhow::Ok(FullResponse { status: head.status, body })
        };
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(response) => response,
            Err(_) => anyhow::bail!("the server did not respond within {} s", TIMEOUT.as_secs()),
        }
    }
}

impl HttpClient {
    /// Sends a prepared request and reads its response, of at most `most` bytes. Errors do not name the URL.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub async fn bounded(
        &self,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<(response::Parts, Bytes), Unanswered> {
        let unreachable = |error: anyhow::Error| Unanswered::Unreachable(format!("{error:#}"));
        let response = self.0.request(request).await.map_err(|error| unreachable(error.into()))?;
        let (head, body) = response.into_parts();
        match Limited::new(body, most).collect().await {
            Ok(body) => Ok((head, body.to_bytes())),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Unanswered::TooLong),
            Err(error) => Err(unreachable(anyhow::anyhow!("the response is incomplete: {error}"))),
        }
    }

    /// Sends a prepared request and returns the status of its response, for which it waits until `timeout`. Of the body no more
    /// is read than lets the connection be used again, if it is short. Errors do not name the URL.
    ///
    /// # Errors
    /// The server cannot be reached, or does not respond in time.
    pub async fn status_of(
        &self,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> anyhow::Result<StatusCode> {
        let Ok(response) = tokio::time::timeout(timeout, self.0.request(request)).await else {
            anyhow::bail!("it has not answered within {} s", timeout.as_secs());
        };
        let (head, body) = response?.into_parts();
        // What is longer, breaks off or does not end has its status all the same.
        let rest = Limited::new(body, SHORT_BODY).collect();
        let _ = tokio::time::timeout(SHORT_BODY_TIMEOUT, rest).await;
        Ok(head.status)
    }
}

/// Adds HTTP Basic authentication (RFC 7617) if there is an access key.
#[must_use]
pub fn authorized(request: request::Builder, key: Option<&Credentials>) -> request::Builder {
    let Some(key) = key else { return request };
    let pair = format!("{}:{}", key.access_key_id, key.secret_access_key());
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    request.header(http::header::AUTHORIZATION, format!("Basic {encoded}"))
}

/// Adds what to do about a server that did not respond.
fn unreachable(error: hyper_util::client::legacy::Error) -> anyhow::Error {
    let error = anyhow::Error::from(error);
    let mentions = |text: &str| error.chain().any(|cause| cause.to_string().contains(text));
    let advice = if mentions("invalid peer certificate") {
        "the server's certificate is not trusted; name its authority's certificate, or the server's own, with --ca FILE"
    } else if mentions("received corrupt message") {
        "the server does not speak TLS; write its address with http://"
    } else {
        "the server could not be reached; is it running, and with TLS (https://) or without (http://)?"
    };
    error.context(advice)
}
