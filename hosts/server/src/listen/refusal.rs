//! Connections and requests that are refused because their client, or all clients, have too many.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::Semaphore,
};

use super::{NoRoom, tally::Tally};

/// Refused connections that are answered at once; others are closed without an answer.
pub(super) const ANSWERED: usize = 32;
/// For the answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Refuses connections, and counts them for the log.
#[derive(Debug)]
pub(super) struct Refusals {
    answered: Arc<Semaphore>,
    of_client: Tally,
    full: Tally,
}

impl Default for Refusals {
    fn default() -> Self {
        let answered = Arc::new(Semaphore::new(ANSWERED));
        Self { answered, of_client: Tally::default(), full: Tally::default() }
    }
}

impl Refusals {
    /// Closes a connection; over plain TCP with an answer if there are few such.
    pub(super) fn refuse<T>(&self, mut stream: T, refused: NoRoom, is_tls: bool)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match refused {
            NoRoom::Client => self.of_client.add(),
            NoRoom::Full => self.full.add(),
        }
        self.log();
        let Ok(permit) = self.answered.clone().try_acquire_owned() else { return };
        if is_tls {
            return;
        }
        tokio::spawn(async move {
            let answer = async {
                stream.write_all(text(refused).as_bytes()).await?;
                stream.shutdown().await?;
                // What is unread when it is closed would reset it, and lose the answer.
                let mut rest = [0; 1024];
                while stream.read(&mut rest).await? > 0 {}
                std::io::Result::Ok(())
            };
            let _ = tokio::time::timeout(TIMEOUT, answer).await;
            drop(permit);
        });
    }

    /// Writes the counts to the log, once a minute.
    pub(super) fn log(&self) {
        if let Some(count) = self.of_client.due() {
            tracing::warn!(count, "connections were refused: {}", NoRoom::Client);
        }
        if let Some(count) = self.full.due() {
            tracing::warn!(count, "connections were refused: {}", NoRoom::Full);
        }
    }
}

/// The answer to a request whose client has too many in progress. S3's clients, too, repeat what is refused with 503.
pub(super) fn response(refused: NoRoom) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{refused}\n")));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    // Its body was not read.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The same as it is sent where no request was read.
fn text(refused: NoRoom) -> String {
    let words = format!("{refused}\n");
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-type: text/plain\r\n\
         x-content-type-options: nosniff\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{words}",
        words.len()
    )
}
