//! Accepting connections: the limits and the graceful end that both ports share.

mod client;
mod host_header;
mod idle;
mod linger;
mod stall;
mod tls;
mod unix;

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
pub use client::{Client, Peer};
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
pub use idle::{IdleLimited, Silent};
pub use linger::Lingering;
use stall::Stalling;
pub use tls::{Certificate, TlsError};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
pub use unix::{UnixSocket, bind_unix};

/// Connections at once on one port; further ones wait in the system's backlog.
const CONNECTIONS: usize = 512;
/// A client must have sent its request's head in this time; also bounds idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A client must have agreed on TLS in this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one request's head, and of what is read of a body at a time. Buffers of 32 KiB and more the allocator is set
/// to take from the system and give back, each time (`cli/allocator`), which costs more than reading more often.
const BUFFER_BYTES: usize = 24 << 10;
/// Header fields of one request, beyond which a connection refuses it without asking anybody.
const HEADERS: usize = 256;

/// Where connections come from.
pub trait Listener: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next one.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = self.accept().await?;
        // Answers are written whole; waiting to fill packets only delays them.
        let _ = stream.set_nodelay(true);
        Ok((stream, Peer::Network(address)))
    }
}

/// Why a port or a socket could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {at} (setting {setting}): {words}")]
pub struct ListenError {
    /// The address or path.
    pub at: String,
    /// The setting it comes from.
    pub setting: &'static str,
    words: String,
}

/// Takes a port.
///
/// # Errors
/// It is in use, or may not be used; says what to do.
pub async fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|error| {
        let flag = setting.trim_start_matches("listen.");
        let words = match error.kind() {
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
        ListenError { at: address.to_string(), setting, words }
    })
}

/// Serves connections until `stop` turns true, then lets requests under way finish for `grace`. With a
/// certificate connections speak TLS. No answer may be taken for another type than it says.
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
                // Out of file descriptors, most likely: waiting lets connections end.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (service, acceptor, watcher) = (service.clone(), acceptor.clone(), graceful.watcher());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let answering = service.call(request);
            async move {
                let mut response = answering.await?;
                let nosniff = HeaderValue::from_static("nosniff");
                response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
                Ok::<_, S::Error>(response)
            }
        });
        tokio::spawn(async move {
            let Some(acceptor) = acceptor else {
                let connection = builder().serve_connection(TokioIo::new(Stalling::new(stream)), service);
                ended(watcher.watch(connection).await);
                return drop(permit);
            };
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let connection = builder().serve_connection(TokioIo::new(Stalling::new(stream)), service);
                    ended(watcher.watch(connection).await);
                }
                Ok(Err(error)) => tracing::debug!(%error, "a connection did not agree on TLS"),
                Err(_) => tracing::debug!("a connection took too long to agree on TLS"),
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests still under way at the end of the shutdown's grace were cut off");
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

fn ended(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended in an error");
    }
}
