//! What nobody reads of a request's body is taken all the same, within bounds: closing a connection whose other
//! end is still sending throws away the answer that is on its way (RFC 9112, section 9.6).

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

/// So much of a body that was refused is taken; then the connection ends.
const MOST_BYTES: usize = 16 << 20;
/// For so long.
const LONGEST: Duration = Duration::from_secs(5);

/// A body whose rest is taken and thrown away once it is dropped.
#[derive(Debug)]
pub struct Lingering<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    body: Option<B>,
    lingers: bool,
}

impl<B> Lingering<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    /// A body that is being sent.
    pub fn new(body: B) -> Self {
        Self { body: Some(body), lingers: true }
    }

    /// A body of which nothing is taken that is not asked for.
    pub fn passing(body: B) -> Self {
        Self { body: Some(body), lingers: false }
    }
}

impl<B> Body for Lingering<B>
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
            // It has ended, some way or other.
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

impl<B> Drop for Lingering<B>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| self.lingers && !body.is_end_stream());
        let Some(body) = rest else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(LONGEST, take(body)));
        }
    }
}

async fn take<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let mut taken = 0;
    while taken <= MOST_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        taken += frame.data_ref().map_or(0, Bytes::len);
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

    /// A body of so many pieces of 1 MiB that counts what is taken of it.
    fn body(
        pieces: usize,
        taken: Arc<AtomicUsize>,
    ) -> impl Body<Data = Bytes, Error = std::io::Error> + Unpin + Send {
        let pieces = (0..pieces).map(move |_| {
            taken.fetch_add(1, Ordering::SeqCst);
            Ok(Frame::data(Bytes::from(vec![0; 1 << 20])))
        });
        StreamBody::new(futures::stream::iter(pieces))
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_read_is_taken_up_to_a_bound() {
        // The bound, and the piece that shows that it is passed.
        for (pieces, taken_in_all) in [(3, 3), (1000, 18)] {
            let taken = Arc::new(AtomicUsize::new(0));
            let mut lingering = Lingering::new(body(pieces, taken.clone()));
            lingering.frame().await.unwrap().unwrap();
            assert_eq!(taken.load(Ordering::SeqCst), 1);
            drop(lingering);
            tokio::time::sleep(LONGEST).await;
            assert_eq!(taken.load(Ordering::SeqCst), taken_in_all);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_nothing_is_not_waited_for() {
        let silent = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let (gone, mut is_gone) = tokio::sync::mpsc::channel::<()>(1);
        let body = silent.map_frame(move |frame| {
            let _ = &gone;
            frame
        });
        drop(Lingering::new(body));
        // The other half goes with the body.
        assert_eq!(is_gone.recv().await, None);
    }
}
