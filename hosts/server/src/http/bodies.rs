//! Bodies of requests, read whole under a bound on the memory of all of them. A body reserves its buffer's capacity,
//! which grows as bytes arrive and never by what its head announces alone; one that finds no memory left is refused, so
//! bodies never wait for each other.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use tintype_api::settings::ApiSettings;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory that bodies may reserve at once, in steps.
const STEPS: usize = ApiSettings::ALL_BODIES as usize / STEP;
/// Bytes of a step.
const STEP: usize = 64 << 10;
/// The largest initial capacity of a buffer; then it doubles, up to the announced length.
const FIRST: usize = 256 << 10;

/// Buffers that are reused, and the capacity of the largest of them: memory fresh from the system costs a page fault
/// for each page.
const SPARE: usize = 8;
const LARGEST_SPARE: usize = 512 << 10;

/// The memory for bodies; cheap to clone, all clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Bodies {
    steps: Arc<Semaphore>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// Why a body was refused.
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
        Self::of(STEPS)
    }
}

impl Bodies {
    fn of(steps: usize) -> Self {
        Self { steps: Arc::new(Semaphore::new(steps)), spare: Arc::default() }
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body with its reservation of memory, which is released with the last slice of it.
struct Buffer {
    bytes: Vec<u8>,
    reserved: Option<OwnedSemaphorePermit>,
    bodies: Bodies,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut spare = self.bodies.spare();
        if (1..=LARGEST_SPARE).contains(&bytes.capacity()) && spare.len() < SPARE {
            bytes.clear();
            spare.push(bytes);
        }
    }
}

impl Buffer {
    /// Reserves memory for `total` bytes in all; `false` if there is not as much.
    fn reserve(&mut self, total: usize) -> bool {
        let steps = total.div_ceil(STEP);
        let reserved = self.reserved.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(steps.saturating_sub(reserved)).unwrap_or(u32::MAX);
        let Ok(more) = self.bodies.steps.clone().try_acquire_many_owned(more) else { return false };
        match &mut self.reserved {
            Some(reserved) => reserved.merge(more),
            None => self.reserved = Some(more),
        }
        true
    }
}

/// All of a body, if it has at most `max` bytes; `length` is what its head announces.
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
    let mut buffer = Buffer { bytes: Vec::new(), reserved: None, bodies: bodies.clone() };
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(Refusal::Broken)?.into_data() else { continue };
        let total = buffer.bytes.len() + piece.len();
        if total > max {
            return Err(Refusal::TooLarge);
        }
        if buffer.bytes.capacity() == 0 {
            buffer.bytes = bodies.spare().pop().unwrap_or_default();
        }
        // The capacity is what is reserved. Where the doubled capacity does not fit, the bytes that came may.
        let has = buffer.bytes.capacity();
        let capacity = match has < total {
            true => length.min(FIRST.max(2 * buffer.bytes.len())).max(total),
            false => has,
        };
        let granted = [capacity, has.max(total)].into_iter().find(|&size| buffer.reserve(size));
        let granted = granted.ok_or(Refusal::NoMemory)?;
        if granted > has {
            buffer.bytes.reserve_exact(granted - buffer.bytes.len());
        }
        buffer.bytes.extend_from_slice(&piece);
    }
    Ok(match buffer.bytes.is_empty() {
        true => Bytes::new(),
        false => Bytes::from_owner(buffer),
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

    /// A body of which so many pieces arrive and then nothing more.
    fn unfinished(count: usize, bytes: usize) -> impl Body<Data = Bytes, Error = std::io::Error> + Unpin {
        let piece = move |_| Ok(Frame::data(Bytes::from(vec![0; bytes])));
        StreamBody::new(futures::stream::iter(0..count).map(piece).chain(futures::stream::pending()))
    }

    #[tokio::test]
    async fn the_bytes_are_those_that_arrived_however_they_are_split() {
        for (count, bytes) in [(1, 10), (1000, 1), (7, 100_000), (3, FIRST + 1)] {
            let wanted: Vec<u8> = (0..count).flat_map(|number| vec![number as u8; bytes]).collect();
            for announced in [None, Some((count * bytes) as u64)] {
                let all = whole(pieces(count, bytes), announced, 10 << 20, &Bodies::default()).await.unwrap();
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
    async fn an_announced_length_reserves_nothing_and_memory_is_released_with_the_last_slice() {
        let bodies = Bodies::default();
        let free = || bodies.steps.available_permits();
        let mut silent = Box::pin(whole(unfinished(0, 0), Some(10 << 20), 10 << 20, &bodies));
        assert!(futures::poll!(&mut silent).is_pending());
        assert_eq!(free(), STEPS);
        let mut begun = Box::pin(whole(unfinished(2, STEP), Some(10 << 20), 10 << 20, &bodies));
        assert!(futures::poll!(&mut begun).is_pending());
        assert_eq!(free(), STEPS - FIRST / STEP);
        drop(begun);
        assert_eq!(free(), STEPS);

        let all = whole(pieces(3, STEP), None, 10 << 20, &bodies).await.unwrap();
        let part = all.slice(1..2);
        drop(all);
        assert_eq!(free(), STEPS - FIRST / STEP);
        drop(part);
        assert_eq!(free(), STEPS);
    }

    #[tokio::test]
    async fn few_buffers_are_reused_and_no_large_ones() {
        let bodies = Bodies::default();
        let all: Vec<_> = futures::future::join_all(
            (0..20).map(|_| whole(pieces(2, 1000), None, 10 << 20, &bodies)).collect::<Vec<_>>(),
        )
        .await;
        drop(all);
        assert_eq!(bodies.spare().len(), SPARE);
        bodies.spare().clear();
        drop(whole(pieces(2, LARGEST_SPARE), None, 10 << 20, &bodies).await.unwrap());
        assert!(bodies.spare().is_empty());
        // Bytes of one body are not in the next.
        drop(whole(pieces(1, 1000), None, 10 << 20, &bodies).await.unwrap());
        assert_eq!(whole(pieces(1, 10), None, 10 << 20, &bodies).await.unwrap().as_ref(), [0; 10]);
    }

    #[tokio::test]
    async fn while_unfinished_bodies_have_all_memory_the_next_is_refused_and_does_not_wait() {
        let bodies = Bodies::of(2 * FIRST / STEP);
        let mut first = Box::pin(whole(unfinished(2, STEP), None, 10 << 20, &bodies));
        let mut second = Box::pin(whole(unfinished(2, STEP), None, 10 << 20, &bodies));
        assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
        let refusal = whole(pieces(1, 1), None, 10 << 20, &bodies).await.unwrap_err();
        assert!(matches!(refusal, Refusal::NoMemory), "{refusal:?}");
        drop(first);
        assert!(whole(pieces(2, STEP), None, 10 << 20, &bodies).await.is_ok());
    }
}
