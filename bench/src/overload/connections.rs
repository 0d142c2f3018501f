//! Connections to the server, kept and used again; as many as are needed at once.

use std::cell::{Cell, RefCell};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub(super) struct Connections {
    address: String,
    bodies: Vec<Bytes>,
    next: Cell<usize>,
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
}

impl Connections {
    pub(super) fn new(address: &str, bodies: Vec<Bytes>) -> Self {
        Self { address: address.to_owned(), bodies, next: Cell::new(0), idle: RefCell::default() }
    }

    /// Posts the next picture and reads the whole answer; only a picture is a good one.
    pub(super) async fn post(&self) -> anyhow::Result<StatusCode> {
        let number = self.next.get();
        self.next.set(number + 1);
        let mut connection = self.connection().await?;
        let request = Request::post("/dev1/myimage")
            .header(header::HOST, &self.address)
            .header(header::CONTENT_TYPE, "image/jpeg")
            .body(Full::new(self.bodies[number % self.bodies.len()].clone()))?;
        let response = connection.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::ensure!(status != StatusCode::OK || body.starts_with(&[0xFF, 0xD8]), "no JPEG came back");
        self.idle.borrow_mut().push(connection);
        Ok(status)
    }

    async fn connection(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let kept = {
            let mut idle = self.idle.borrow_mut();
            idle.retain(|connection| !connection.is_closed());
            idle.iter().rposition(SendRequest::is_ready).map(|ready| idle.swap_remove(ready))
        };
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let stream = TcpStream::connect(&self.address).await.context("no connection")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(async move {
            // How it ends is told to whoever waits for an answer on it.
            let _ = connection.await;
        });
        Ok(sender)
    }
}
