//! A pool of persistent connections to the server. Client and server share the cores, so requests are serialised
//! beforehand and responses are parsed minimally.

use std::cell::{Cell, RefCell};

use anyhow::Context as _;
use bytes::Bytes;
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The largest response: head and thumbnail.
const LARGEST_ANSWER: usize = 1 << 20;

pub(super) struct Connections {
    address: String,
    /// Complete requests, heads and images.
    requests: Vec<Vec<u8>>,
    next: Cell<usize>,
    idle: RefCell<Vec<TcpStream>>,
}

/// The head of a response.
struct Head {
    status: StatusCode,
    /// The range of its body in the bytes read.
    body: std::ops::Range<usize>,
    closes: bool,
}

impl Connections {
    pub(super) fn new(address: &str, bodies: &[Bytes]) -> Self {
        let requests = bodies.iter().map(|body| {
            let length = body.len();
            let head = format!(
                "POST /dev1/myimage HTTP/1.1\r\nhost: {address}\r\ncontent-type: image/jpeg\r\ncontent-length: {length}\r\n\r\n"
            );
            [head.as_bytes(), body].concat()
        });
        Self {
            address: address.to_owned(),
            requests: requests.collect(),
            next: Cell::new(0),
            idle: RefCell::default(),
        }
    }

    /// Posts the next image completely and reads the complete response; a success must be an image.
    pub(super) async fn post(&self) -> anyhow::Result<StatusCode> {
        let number = self.next.get();
        self.next.set(number + 1);
        let mut stream = match self.reuse() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        stream.write_all(&self.requests[number % self.requests.len()]).await?;
        let mut answer = Vec::with_capacity(4096);
        let head = loop {
            anyhow::ensure!(
                stream.read_buf(&mut answer).await? > 0,
                "the connection ended without a response"
            );
            anyhow::ensure!(answer.len() < LARGEST_ANSWER, "an endless response");
            if let Some(head) = Head::of(&answer)?.filter(|head| answer.len() >= head.body.end) {
                break head;
            }
        };
        let is_image = answer[head.body.clone()].starts_with(&[0xFF, 0xD8]);
        anyhow::ensure!(head.status != StatusCode::OK || is_image, "the response is no JPEG");
        if !head.closes {
            self.idle.borrow_mut().push(stream);
        }
        Ok(head.status)
    }

    /// An idle connection; those that the server has closed are dropped.
    fn reuse(&self) -> Option<TcpStream> {
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop()).find(|stream| {
            // Neither data nor end of stream.
            stream.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        })
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(&self.address).await.context("no connection")?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Head {
    /// The head, once all of it has been read. This server's responses have Content-Length.
    fn of(answer: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&answer[..end])?.to_ascii_lowercase();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?;
        let field = |name: &str| {
            let value = head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(str::trim)
        };
        let length: usize = field("content-length").context("no length")?.parse()?;
        let closes = field("connection") == Some("close");
        Ok(Some(Self { status: status.parse()?, body: end + 4..end + 4 + length, closes }))
    }
}
