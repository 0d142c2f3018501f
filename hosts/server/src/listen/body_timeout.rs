//! The time-out between two pieces of a request body.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// The longest time between two pieces of a body.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A body that fails with [`BodyTimeoutError`] when no byte of it arrives for 60 s.
#[derive(Debug)]
pub struct TimeoutBody<B> {
    body: B,
    deadline: Pin<Box<Sleep>>,
}

/// No byte of a body arrived in time.
#[derive(Debug, thiserror::Error)]
#[error("no byte of the body arrived for {} s", TIMEOUT.as_secs())]
pub struct BodyTimeoutError;

impl<B> TimeoutBody<B> {
    /// Applies the time-out to a body.
    pub fn new(body: B) -> Self {
        Self { body, deadline: Box::pin(tokio::time::sleep(TIMEOUT)) }
    }
}

impl<B> Body for TimeoutBody<B>
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
            self.deadline.as_mut().reset(Instant::now() + TIMEOUT);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(BodyTimeoutError.into()))),
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
    async fn a_body_that_stops_times_out_and_a_slow_one_does_not() {
        let pieces = futures::stream::unfold(0_u64, |number| async move {
            tokio::time::sleep(Duration::from_secs(if number < 3 { 50 } else { 70 })).await;
            Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"x"))), number + 1))
        });
        let mut body = TimeoutBody::new(StreamBody::new(Box::pin(pieces)));
        for _ in 0..3 {
            assert!(body.frame().await.unwrap().is_ok());
        }
        assert!(body.frame().await.unwrap().unwrap_err().is::<BodyTimeoutError>());
    }
}
