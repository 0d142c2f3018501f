//! Bodies of requests, taken whole under a bound on the memory of all of them. A body takes of it as its bytes
//! arrive, never by what its head promises; one that finds none left is refused, so bodies never wait for each
//! other.

use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory that bodies may take at once, in steps.
const STEPS: usize = (256 << 20) / STEP;
/// A body takes memory in steps of so many bytes.
const STEP: usize = 64 << 10;
/// A buffer begins with at most this; then it doubles, up to what the head promises.
const FIRST: usize = 256 << 10;

/// The memory for bodies; cheap to clone, all clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Bodies(Arc<Semaphore>);

/// Why a body was not taken.
#[derive(Debug)]
pub(super) enum Refusal<E> {
    /// It has more bytes than one body may have.
    TooLarge,
    /// All memory for bodies is in use.
    NoMemory,
    /// The connection failed.
    Broken(E),
}

impl Default for Bodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STEPS)))
    }
}

/// A body as it arrives, with the memory it has taken.
struct Arriving {
    bytes: Vec<u8>,
    taken: Option<OwnedSemaphorePermit>,
}

/// A whole body, which gives its memory back once nobody has any of it.
struct Whole {
    bytes: Vec<u8>,
    _taken: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Arriving {
    fn has_room_for(&mut self, total: usize, bodies: &Bodies) -> bool {
        let steps = total.div_ceil(STEP);
        let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(steps.saturating_sub(taken)).unwrap_or(u32::MAX);
        let Ok(more) = bodies.0.clone().try_acquire_many_owned(more) else { return false };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        true
    }
}

/// All of a body, if it has at most `max` bytes; `length` is what its head promises.
pub(super) async fn whole<B>(
    mut body: B,
    length: Option<u64>,
    max: u64,
    bodies: &Bodies,
) -> Result<Bytes, Refusal<B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(max).min(max);
    let mut arriving = Arriving { bytes: Vec::new(), taken: None };
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(Refusal::Broken)?.into_data() else { continue };
        let total = arriving.bytes.len() + piece.len();
        if total > max {
            return Err(Refusal::TooLarge);
        }
        if !arriving.has_room_for(total, bodies) {
            return Err(Refusal::NoMemory);
        }
        if arriving.bytes.capacity() < total {
            let wanted = length.min(FIRST.max(2 * arriving.bytes.len())).max(total);
            arriving.bytes.reserve_exact(wanted - arriving.bytes.len());
        }
        arriving.bytes.extend_from_slice(&piece);
    }
    let Arriving { bytes, taken } = arriving;
    Ok(match bytes.is_empty() {
        true => Bytes::new(),
        false => Bytes::from_owner(Whole { bytes, _taken: taken }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;
    use http_body::Frame;
    use http_body_util::StreamBody;

    fn pieces(count: usize, bytes: usize) -> impl Body<Data = Bytes, Error = std::io::Error> + Unpin {
        let piece = move |number| Ok(Frame::data(Bytes::from(vec![number as u8; bytes])));
        StreamBody::new(futures::stream::iter((0..count).map(piece)))
    }

    /// A body of which so many pieces come and then nothing more.
    fn half(count: usize, bytes: usize) -> impl Body<Data = Bytes, Error = std::io::Error> + Unpin {
        let piece = move |_| Ok(Frame::data(Bytes::from(vec![0; bytes])));
        StreamBody::new(futures::stream::iter(0..count).map(piece).chain(futures::stream::pending()))
    }

    #[tokio::test]
    async fn the_bytes_are_those_that_came_however_they_came() {
        for (count, bytes) in [(1, 10), (1000, 1), (7, 100_000), (3, FIRST + 1)] {
            let wanted: Vec<u8> = (0..count).flat_map(|number| vec![number as u8; bytes]).collect();
            for promised in [None, Some((count * bytes) as u64)] {
                let all = whole(pieces(count, bytes), promised, 10 << 20, &Bodies::default()).await.unwrap();
                assert!(all == wanted, "{count} pieces of {bytes}");
            }
        }
        let empty = whole(pieces(0, 0), Some(0), 10, &Bodies::default()).await.unwrap();
        assert!(empty.is_empty());
    }

    #[tokio::test]
    async fn one_byte_too_many_is_too_many() {
        assert!(whole(pieces(10, 10), None, 100, &Bodies::default()).await.is_ok());
        let refusal = whole(pieces(10, 10), None, 99, &Bodies::default()).await.unwrap_err();
        assert!(matches!(refusal, Refusal::TooLarge), "{refusal:?}");
    }

    #[tokio::test]
    async fn what_is_promised_takes_nothing_and_what_came_is_given_back_with_the_last_of_it() {
        let bodies = Bodies::default();
        let free = || bodies.0.available_permits();
        let mut silent = Box::pin(whole(half(0, 0), Some(10 << 20), 10 << 20, &bodies));
        assert!(futures::poll!(&mut silent).is_pending());
        assert_eq!(free(), STEPS);
        let mut begun = Box::pin(whole(half(2, STEP), Some(10 << 20), 10 << 20, &bodies));
        assert!(futures::poll!(&mut begun).is_pending());
        assert_eq!(free(), STEPS - 2);
        drop(begun);
        assert_eq!(free(), STEPS);

        let all = whole(pieces(3, STEP), None, 10 << 20, &bodies).await.unwrap();
        let part = all.slice(1..2);
        drop(all);
        assert_eq!(free(), STEPS - 3);
        drop(part);
        assert_eq!(free(), STEPS);
    }

    #[tokio::test]
    async fn half_bodies_that_hold_all_memory_have_the_next_refused_and_not_wait() {
        let bodies = Bodies(Arc::new(Semaphore::new(4)));
        let mut first = Box::pin(whole(half(2, STEP), None, 10 << 20, &bodies));
        let mut second = Box::pin(whole(half(2, STEP), None, 10 << 20, &bodies));
        assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
        let refusal = whole(pieces(1, 1), None, 10 << 20, &bodies).await.unwrap_err();
        assert!(matches!(refusal, Refusal::NoMemory), "{refusal:?}");
        drop(first);
        assert!(whole(pieces(2, STEP), None, 10 << 20, &bodies).await.is_ok());
    }
}
