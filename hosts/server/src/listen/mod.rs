//! Accepting connections: the limits and the graceful shutdown that both ports share.

mod admission;
mod body_timeout;
mod descriptors;
mod host_header;
mod lingering_close;
mod refusal;
mod tally;
mod tls;
mod tracked_stream;
mod unix_socket;
mod write_timeout;

use std::{
    convert::Infallible,
    future::Future,
    io::{
        self,
        ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted},
    },
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

pub use admission::{Admission, MAX_FOR_HEALTH};
use admission::{Connection, NoRoom, Phase};
pub use body_timeout::{BodyTimeoutError, TimeoutBody};
use bytes::Bytes;
pub use descriptors::{connections_of_each, raise_descriptor_limit};
pub use host_header::{HostError, check_host};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Either};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
pub use lingering_close::DrainOnDrop;
use refusal::Refusals;
use tally::Tally;
pub use tls::{Certificate, TlsError};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    time::MissedTickBehavior,
};
use tokio_util::task::TaskTracker;
use tracked_stream::TrackedStream;
pub use unix_socket::{UnixSocket, bind_unix};
use write_timeout::WriteTimeout;

use crate::auth::Peer;

/// For a request's head; also bounds idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that wait to be accepted, within the system's bound (`net.core.somaxconn`). Where they overflow, clients
/// try again after a second.
const BACKLOG: u32 = 4096;
/// How often slow heads are closed and counts logged.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a connection may ask for where there is no room for others.
const HEALTH_PATH: &str = "/healthz";
/// Bytes of one request's head, and of one read of a body. The allocator maps buffers of 32 KiB and more from the
/// system each time (`cli/allocator`), which costs more than further reads.
const BUFFER_BYTES: usize = 24 << 10;
/// Header fields of one request; hyper refuses more with 431.
const HEADERS: usize = 256;

/// A source of connections: a TCP port or a unix socket.
pub trait Listener: Send + 'static {
    /// Whether its clients have addresses.
    const HAS_ADDRESSES: bool;
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Listener for TcpListener {
    const HAS_ADDRESSES: bool = true;
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
pub fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, ListenError> {
    listen(address).map_err(|error| {
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

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted server must not wait for connections of the one before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves connections that are admitted until `stop` turns true, then lets requests under way finish for `grace`. With a
/// certificate connections speak TLS. Every response carries `nosniff`.
pub async fn serve<L, S, B>(
    listener: L,
    service: S,
    certificate: Option<Certificate>,
    admission: Arc<Admission>,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) where
    L: Listener,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let connections = TaskTracker::new();
    let acceptor = match certificate.map(|certificate| certificate.acceptor()).transpose() {
        Ok(acceptor) => acceptor,
        Err(error) => return tracing::error!(%error, "TLS cannot be offered"),
    };
    let refusals = Refusals::default();
    let (failures, mut last_failure) = (Tally::default(), None);
    let mut check = tokio::time::interval(CHECK_INTERVAL);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    'accepting: loop {
        if let Some(error) = &last_failure
            && let Some(count) = failures.due()
        {
            tracing::warn!(%error, count, "connections could not be accepted");
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = check.tick() => {
                admission.close_slow_heads();
                refusals.log();
                continue;
            }
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // Of one connection, not of the port.
            Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) => {
                continue;
            }
            Err(error) => {
                // Most likely the whole system is out of descriptors.
                failures.add();
                last_failure = Some(error);
                admission.shed();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let admitted = loop {
            match admission.admit(peer) {
                Ok(admitted) => break admitted,
                Err(refused) if L::HAS_ADDRESSES => {
                    refusals.refuse(stream, refused, acceptor.is_some());
                    continue 'accepting;
                }
                // Clients that cannot be distinguished wait, the others of them in the system's backlog.
                Err(_) => tokio::select! {
                    () = admission.released() => {}
                    _ = check.tick() => {}
                    _ = stop.wait_for(|stop| *stop) => break 'accepting,
                },
            }
        };
        let service = tracked(service.clone(), peer, &admission, &admitted.connection);
        let (acceptor, stop) = (acceptor.clone(), stop.clone());
        connections.spawn(async move {
            let admitted = Arc::new(admitted);
            let serving = async {
                let Some(acceptor) = acceptor else {
                    let stream = TrackedStream::new(WriteTimeout::new(stream), admitted.clone());
                    return log_error(serve_connection(stream, service, stop).await);
                };
                match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let stream = TrackedStream::new(WriteTimeout::new(stream), admitted.clone());
                        log_error(serve_connection(stream, service, stop).await);
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake timed out"),
                }
            };
            tokio::select! {
                biased;
                () = admitted.connection.closed() => tracing::debug!("a connection was closed to make room"),
                () = pin!(serving) => {}
            }
        });
    }
    // A socket's file is removed, which waits for the disk.
    drop(tokio::task::spawn_blocking(move || drop(listener)));
    let close_heads = async {
        loop {
            check.tick().await;
            admission.close_heads();
        }
    };
    connections.close();
    tokio::select! {
        ended = tokio::time::timeout(grace, connections.wait()) => if ended.is_err() {
            tracing::warn!("requests still under way after the shutdown's grace period were aborted");
        },
        () = close_heads => {}
    }
}

/// Serves one connection until it ends, or another protocol has it. Once `stop` turns true no further request begins.
async fn serve_connection<T, S, B>(
    stream: T,
    service: S,
    mut stop: watch::Receiver<bool>,
) -> Result<(), hyper::Error>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let mut connection = pin!(builder().serve_connection(TokioIo::new(stream), service).with_upgrades());
    tokio::select! {
        ended = connection.as_mut() => return ended,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// The service of one connection: names the peer, counts requests of clients behind a proxy, notes when a request
/// begins and when its response was written, and forbids sniffing.
fn tracked<S, B>(
    service: S,
    peer: Peer,
    admission: &Arc<Admission>,
    connection: &Arc<Connection>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<impl http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static>,
    Error = S::Error,
    Future: Send,
> + Send
+ 'static
where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (admission, connection) = (admission.clone(), connection.clone());
    service_fn(move |mut request: Request<Incoming>| {
        connection.advance(&[Phase::Head, Phase::Idle, Phase::Response], Phase::Request);
        let (written, is_for_health) = (ResponseGuard(connection.clone()), connection.is_for_health);
        request.extensions_mut().insert(peer);
        let admitted = match admission.begin(peer, request.headers()) {
            _ if connection.is_closing() => None,
            // Its body is not received: that would occupy a place.
            Ok(_) if connection.is_for_health && !asks_for_health(&request) => Some(Err(NoRoom::Full)),
            Ok(counted) => Some(Ok((counted, service.call(request)))),
            Err(refused) => {
                // An unread body is received: closing under a sending client would discard the response.
                drop(DrainOnDrop::new(request.into_body()));
                Some(Err(refused))
            }
        };
        async move {
            // Its task is about to drop it.
            let Some(admitted) = admitted else { return std::future::pending().await };
            let mut response = match admitted {
                Ok((mut counted, response)) => {
                    let response = response.await?;
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                        written.0.upgrade(counted.take());
                    }
                    response.map(|body| {
                        Either::Left(body.map_err(move |error| {
                            let _ = (&written, &counted);
                            error.into()
                        }))
                    })
                }
                Err(refused) => refusal::response(refused).map(|body| {
                    Either::Right(body.map_err(move |error: Infallible| {
                        let _ = &written;
                        match error {}
                    }))
                }),
            };
            let nosniff = HeaderValue::from_static("nosniff");
            response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
            if is_for_health {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, S::Error>(response)
        }
    })
}

fn asks_for_health(request: &Request<Incoming>) -> bool {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    is_read && request.uri().path() == HEALTH_PATH && request.body().is_end_stream()
}

/// Held by a response's body, which hyper drops once it is written.
struct ResponseGuard(Arc<Connection>);

impl Drop for ResponseGuard {
    fn drop(&mut self) {
        self.0.advance(&[Phase::Request], Phase::Response);
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

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
