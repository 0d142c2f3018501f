//! Connections to the server, kept and used again; as many as are needed at once. They cost as little as they can,
//! because they take it from the cores that the server is measured on: requests are laid out beforehand, and of an
//! answer only what is needed is looked at.

use std::cell::{Cell, RefCell};

use anyhow::Context as _;
use bytes::Bytes;
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The largest answer: head and thumbnail.
const LARGEST_ANSWER: usize = 1 << 20;

pub(super) struct Connections {
    address: String,
    /// Whole requests, heads and pictures.
    requests: Vec<Vec<u8>>,
    next: Cell<usize>,
    idle: RefCell<Vec<TcpStream>>,
}

/// What an answer's head says.
struct Head {
    status: StatusCode,
    /// Where its body begins and ends in what was read.
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

    /// Posts the next picture whole, whatever is answered meanwhile, and reads the whole answer; only a picture is a
    /// good one.
    pub(super) async fn post(&self) -> anyhow::Result<StatusCode> {
        let number = self.next.get();
        self.next.set(number + 1);
        let mut stream = match self.kept() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        stream.write_all(&self.requests[number % self.requests.len()]).await?;
        let mut answer = Vec::with_capacity(4096);
        let head = loop {
            anyhow::ensure!(
                stream.read_buf(&mut answer).await? > 0,
                "the connection ended without an answer"
            );
            anyhow::ensure!(answer.len() < LARGEST_ANSWER, "an answer without end");
            if let Some(head) = Head::of(&answer)?.filter(|head| answer.len() >= head.body.end) {
                break head;
            }
        };
        let is_picture = answer[head.body.clone()].starts_with(&[0xFF, 0xD8]);
        anyhow::ensure!(head.status != StatusCode::OK || is_picture, "no JPEG came back");
        if !head.closes {
            self.idle.borrow_mut().push(stream);
        }
        Ok(head.status)
    }

    /// A connection that was used before; those that the server has closed meanwhile are dropped.
    fn kept(&self) -> Option<TcpStream> {
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop()).find(|stream| {
            // Nothing to be read, which is not the end either.
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
    /// The head, once all of it has been read. This server's answers say how long they are.
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
