//! Bodies in the encoding `aws-chunked` end with a chunk of no bytes. The crate s3s decodes them, but accepts the
//! end of the connection's body as the end of the chunks; here a body without the final chunk ends in an error.
//! Source: AWS, "Signature calculations for the authorization header: transferring payload in multiple chunks".

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The body ended before its final chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body ends before its final chunk, which has 0 bytes")]
pub(super) struct MissingFinalChunk;

/// Parses the framing of a body, piece by piece: `size[;extension]\r\n`, the bytes, `\r\n`, and so on.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a chunk's head; the size as read so far.
    Size(u64),
    /// After the size, before the end of the line.
    Extension(u64),
    /// The bytes left of a chunk, with the line end after it.
    Data(u64),
    /// After the head of the final chunk: trailers may follow.
    Final,
}

impl Default for State {
    fn default() -> Self {
        Self::Size(0)
    }
}

impl Framing {
    /// Takes the next piece. Malformed ones are left to the decoder to refuse.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            self.state = match self.state {
                State::Final => return,
                State::Data(left) => {
                    let step = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    bytes = &bytes[step..];
                    let left = left - step as u64;
                    self.state = if left == 0 { State::Size(0) } else { State::Data(left) };
                    continue;
                }
                State::Size(size) => match (byte as char).to_digit(16) {
                    Some(digit) => State::Size(size.saturating_mul(16).saturating_add(digit.into())),
                    None if byte == b'\n' => after_head(size),
                    None => State::Extension(size),
                },
                State::Extension(size) if byte == b'\n' => after_head(size),
                extension @ State::Extension(_) => extension,
            };
            bytes = rest;
        }
    }

    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.state, State::Final)
    }
}

const fn after_head(size: u64) -> State {
    if size == 0 { State::Final } else { State::Data(size.saturating_add(2)) }
}

/// A body that must have a final chunk.
#[derive(Debug)]
pub(super) struct Terminated<B> {
    body: B,
    framing: Framing,
}

impl<B> Terminated<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, framing: Framing::default() }
    }
}

impl<B> Body for Terminated<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    self.framing.push(bytes);
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(error.into())),
            None if self.framing.has_ended() => None,
            None => Some(Err(MissingFinalChunk.into())),
        })
    }

    // Not the body's own: a decoder must poll on until the error.
    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two chunks, the first of which contains what looks like a final one.
    const BODY: &[u8] =
        b"10;chunk-signature=00\r\n\r\n0;chunk\r\n\r\n123\r\n2\r\nab\r\n0;chunk-signature=00\r\n\r\n";

    fn has_ended(pieces: &[&[u8]]) -> bool {
        let mut framing = Framing::default();
        pieces.iter().for_each(|piece| framing.push(piece));
        framing.has_ended()
    }

    #[test]
    fn only_the_final_chunk_ends_a_body_however_it_is_cut() {
        let last = BODY.len() - b"\r\n".len();
        for cut in 0..=BODY.len() {
            assert_eq!(has_ended(&[&BODY[..cut]]), cut >= last, "cut at {cut}");
            assert!(has_ended(&[&BODY[..cut], &BODY[cut..]]), "in pieces of {cut}");
        }
        let single: Vec<&[u8]> = BODY.chunks(1).collect();
        assert!(has_ended(&single));
        assert!(has_ended(&[b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"]));
        assert!(!has_ended(&[b"ffffffffffffffffffffffff\r\n0\r\n\r\n"]));
    }

    #[tokio::test]
    async fn a_body_without_it_ends_in_an_error() {
        use http_body_util::{BodyExt as _, Full};
        let read = |bytes: &'static [u8]| Terminated::new(Full::new(Bytes::from_static(bytes))).collect();
        assert_eq!(read(BODY).await.unwrap().to_bytes(), BODY);
        let error = read(b"2\r\nab\r\n").await.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&MissingFinalChunk));
    }
}
