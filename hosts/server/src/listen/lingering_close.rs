//! Lingering close: the unread rest of a request's body is read and discarded, within bounds. Closing a connection
//! while the client is still sending would reset it and lose the response (RFC 9112, section 9.6).

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

/// Bytes of a refused body that are discarded before the connection is closed.
const MAX_BYTES: usize = 16 << 20;
/// The longest time spent on it.
const MAX_DURATION: Duration = Duration::from_secs(5);

/// A body whose unread rest is discarded in a task of its own when it is dropped.
#[derive(Debug)]
pub struct DrainOnDrop<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    body: Option<B>,
    is_enabled: bool,
}

impl<B> DrainOnDrop<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    /// For a body that the client is sending.
    pub fn new(body: B) -> Self {
        Self { body: Some(body), is_enabled: true }
    }

    /// Discards nothing: for a body that the client sends only after `100 Continue`.
    pub fn disabled(body: B) -> Self {
        Self { body: Some(body), is_enabled: false }
    }
}

impl<B> Body for DrainOnDrop<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            // Complete or failed: there is nothing left to discard.
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for DrainOnDrop<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| self.is_enabled && !body.is_end_stream());
        let Some(body) = rest else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(MAX_DURATION, discard(body)));
        }
    }
}

async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let mut discarded = 0;
    while discarded <= MAX_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        discarded += frame.data_ref().map_or(0, Bytes::len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use http_body_util::StreamBody;

    /// A body of `pieces` pieces of 1 MiB that counts those read.
    fn body(
        pieces: usize,
        read: Arc<AtomicUsize>,
    ) -> impl Body<Data = Bytes, Error = std::io::Error> + Unpin + Send {
        let pieces = (0..pieces).map(move |_| {
            read.fetch_add(1, Ordering::SeqCst);
            Ok(Frame::data(Bytes::from(vec![0; 1 << 20])))
        });
        StreamBody::new(futures::stream::iter(pieces))
    }

    #[tokio::test(start_paused = true)]
    async fn an_unread_body_is_discarded_up_to_a_bound() {
        // The last of the 18 is the piece that exceeds the bound.
        for (pieces, read_in_all) in [(3, 3), (1000, 18)] {
            let read = Arc::new(AtomicUsize::new(0));
            let mut draining = DrainOnDrop::new(body(pieces, read.clone()));
            draining.frame().await.unwrap().unwrap();
            assert_eq!(read.load(Ordering::SeqCst), 1);
            drop(draining);
            tokio::time::sleep(MAX_DURATION).await;
            assert_eq!(read.load(Ordering::SeqCst), read_in_all);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_dropped_in_time() {
        let idle = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<()>(1);
        let body = idle.map_frame(move |frame| {
            let _ = &sender;
            frame
        });
        drop(DrainOnDrop::new(body));
        // The sender is dropped with the body.
        assert_eq!(receiver.recv().await, None);
    }
}
