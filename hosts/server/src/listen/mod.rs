//! Accepting connections: the limits and the graceful shutdown that both ports share.

mod body_timeout;
mod host_header;
mod lingering_close;
mod tls;
mod unix_socket;
mod write_timeout;

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

pub use body_timeout::{BodyTimeoutError, TimeoutBody};
use bytes::Bytes;
pub use host_header::{HostError, check_host};
use http::{HeaderValue, Request, Response, header};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
pub use lingering_close::DrainOnDrop;
pub use tls::{Certificate, TlsError};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
pub use unix_socket::{UnixSocket, bind_unix};
use write_timeout::WriteTimeout;

use crate::auth::Peer;

/// Open connections of one port; further ones wait in the system's backlog.
const CONNECTIONS: usize = 512;
/// For a request's head; also bounds idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// For the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one request's head, and of one read of a body. The allocator maps buffers of 32 KiB and more from the
/// system each time (`cli/allocator`), which costs more than further reads.
const BUFFER_BYTES: usize = 24 << 10;
/// Header fields of one request; hyper refuses more with 431.
const HEADERS: usize = 256;

/// A source of connections: a TCP port or a unix socket.
pub trait Listener: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = self.accept().await?;
        // Responses are written whole; Nagle's algorithm would only delay them.
        let _ = stream.set_nodelay(true);
        Ok((stream, Peer::Network(address)))
    }
}

/// Why a port or a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {at} (setting {setting}): {reason}")]
pub struct ListenError {
    /// The address or path.
    pub at: String,
    /// The setting it comes from.
    pub setting: &'static str,
    reason: String,
}

/// Listens on a TCP port.
///
/// # Errors
/// The port is in use or not permitted; the message names the flag to change.
pub async fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|error| {
        let flag = setting.trim_start_matches("listen.");
        let reason = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!(
                    "the port is in use by another program; stop that one or choose another with --{flag}"
                )
            }
            std::io::ErrorKind::PermissionDenied => {
                format!("ports under 1024 need special rights; choose another with --{flag}")
            }
            _ => format!("{error}; choose another with --{flag}"),
        };
        ListenError { at: address.to_string(), setting, reason }
    })
}

/// Serves connections until `stop` turns true, then lets requests under way finish for `grace`. With a
/// certificate connections speak TLS. Every response carries `nosniff`.
pub async fn serve<L, S, B>(
    listener: L,
    service: S,
    certificate: Option<Certificate>,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) where
    L: Listener,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let acceptor = match certificate.map(|certificate| certificate.acceptor()).transpose() {
        Ok(acceptor) => acceptor,
        Err(error) => return tracing::error!(%error, "TLS cannot be offered"),
    };
    loop {
        let permit = tokio::select! {
            permit = connections.clone().acquire_owned() => permit,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most likely out of file descriptors: wait for connections to close.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (service, acceptor, watcher) = (service.clone(), acceptor.clone(), graceful.watcher());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let response = service.call(request);
            async move {
                let mut response = response.await?;
                let nosniff = HeaderValue::from_static("nosniff");
                response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
                Ok::<_, S::Error>(response)
            }
        });
        tokio::spawn(async move {
            let Some(acceptor) = acceptor else {
                let connection = builder().serve_connection(TokioIo::new(WriteTimeout::new(stream)), service);
                log_error(watcher.watch(connection).await);
                return drop(permit);
            };
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let connection =
                        builder().serve_connection(TokioIo::new(WriteTimeout::new(stream)), service);
                    log_error(watcher.watch(connection).await);
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake timed out"),
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests still under way after the shutdown's grace period were aborted");
    }
}

/// HTTP/1.1 within the limits above.
fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .max_headers(HEADERS);
    builder
}

fn log_error(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection failed");
    }
}
