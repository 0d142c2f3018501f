//! The HTTP client as the port of the crate that describes.

use std::time::Duration;

use async_trait::async_trait;
use http::{Request, header};
use http_body_util::Full;
use tintype_alt_text::{HttpAnswer, HttpRequest, Transport, TransportError};

use crate::http_client::{HttpClient, Unanswered};

/// Sends requests by HTTP.
pub(super) struct HttpTransport(pub(super) HttpClient);

#[async_trait]
impl Transport for HttpTransport {
    async fn send(
        &self,
        request: HttpRequest,
        most: usize,
        timeout: Duration,
    ) -> Result<HttpAnswer, TransportError> {
        let mut post = Request::post(&request.url)
            .header(header::CONTENT_LENGTH, request.body.len())
            .header(header::USER_AGENT, concat!("tintype/", env!("CARGO_PKG_VERSION")));
        for (name, value) in request.headers {
            post = post.header(name, value);
        }
        // A header that cannot be written is a key with a line end in it, which no message repeats.
        let post = post
            .body(Full::new(request.body))
            .map_err(|_| TransportError::Unreachable("the request cannot be written as HTTP".into()))?;
        let answered = tokio::time::timeout(timeout, self.0.bounded(post, most)).await;
        let (head, body) = match answered {
            Err(_) => return Err(TransportError::TimedOut),
            Ok(Err(Unanswered::TooLong)) => return Err(TransportError::TooLong),
            Ok(Err(Unanswered::Unreachable(why))) => return Err(TransportError::Unreachable(why)),
            Ok(Ok(answer)) => answer,
        };
        let retry_after = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        Ok(HttpAnswer { status: head.status.as_u16(), retry_after: retry_after.map(str::to_owned), body })
    }
}
