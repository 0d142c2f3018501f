//! A request body that must not fall silent.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// Between two pieces of a body there may be at most this long.
const IDLE: Duration = Duration::from_secs(60);

/// A body that ends in an error once nothing of it came for [`IDLE`].
#[derive(Debug)]
pub struct IdleLimited<B> {
    body: B,
    silence: Pin<Box<Sleep>>,
}

/// Nothing came for too long.
#[derive(Debug, thiserror::Error)]
#[error("no byte of the body came for {} s", IDLE.as_secs())]
pub struct Silent;

impl<B> IdleLimited<B> {
    /// Puts the limit on a body.
    pub fn new(body: B) -> Self {
        Self { body, silence: Box::pin(tokio::time::sleep(IDLE)) }
    }
}

impl<B> Body for IdleLimited<B>
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
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.silence.as_mut().reset(Instant::now() + IDLE);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        match self.silence.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(Silent.into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, StreamBody};

    #[tokio::test(start_paused = true)]
    async fn silence_ends_in_an_error_and_slowness_does_not() {
        let pieces = futures::stream::unfold(0_u64, |number| async move {
            tokio::time::sleep(Duration::from_secs(if number < 3 { 50 } else { 70 })).await;
            Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"x"))), number + 1))
        });
        let mut body = IdleLimited::new(StreamBody::new(Box::pin(pieces)));
        for _ in 0..3 {
            assert!(body.frame().await.unwrap().is_ok());
        }
        assert!(body.frame().await.unwrap().unwrap_err().is::<Silent>());
    }
}
