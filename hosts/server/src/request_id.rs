//! Ids of requests. They are unique but predictable: not for secrets.

use std::{
    fmt,
    future::Future,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// An id in the form of a UUID (RFC 9562, version 4), as on Lambda.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 36]);

tokio::task_local! {
    /// The id of the request being served.
    static CURRENT: RequestId;
}

/// Runs `work`, which serves a request, under its id.
pub async fn serve<F: Future>(id: RequestId, work: F) -> F::Output {
    CURRENT.scope(id, work).await
}

/// `work` for another thread, where it serves the request that the current task serves.
pub fn carried<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let id = CURRENT.try_with(|id| *id).ok();
    move || match id {
        Some(id) => CURRENT.sync_scope(id, work),
        None => work(),
    }
}

/// The id of the request that the current task serves; elsewhere a new one.
#[must_use]
pub fn current() -> String {
    CURRENT.try_with(|id| *id).unwrap_or_else(|_| RequestId::new()).to_string()
}

impl RequestId {
    /// A new id: a counter with a random start, each half mixed by a bijection, so that ids do not repeat in this
    /// process.
    #[must_use]
    pub fn new() -> Self {
        static START: OnceLock<[u64; 2]> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let [high, low] = *START.get_or_init(random_start);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::from_halves(mix(high.wrapping_add(count)), mix(low.wrapping_add(count)))
    }

    fn from_halves(high: u64, low: u64) -> Self {
        let bits = u128::from(high) << 64 | u128::from(low);
        let bits = bits & !(0xF << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
        let mut text = [b'-'; 36];
        let positions = (0..36).filter(|position| ![8, 13, 18, 23].contains(position));
        for (position, digit) in positions.zip((0..32).rev()) {
            text[position] = b"0123456789abcdef"[(bits >> (4 * digit) & 0xF) as usize];
        }
        Self(text)
    }

    /// The 36 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The random start of the counter.
fn random_start() -> [u64; 2] {
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        // Ids may then repeat across processes; only the reading of logs depends on them.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        random = now.as_nanos().to_le_bytes();
    }
    let bits = u128::from_le_bytes(random);
    [(bits >> 64) as u64, bits as u64]
}

/// A bijection of 64 bits. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators"
/// (SplitMix64).
const fn mix(count: u64) -> u64 {
    let z = count.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_uuids_of_version_4() {
        assert_eq!(
            RequestId::from_halves(0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210).as_str(),
            "01234567-89ab-4def-bedc-ba9876543210"
        );
        assert_eq!(
            RequestId::from_halves(u64::MAX, u64::MAX).as_str(),
            "ffffffff-ffff-4fff-bfff-ffffffffffff"
        );
    }

    #[test]
    fn ids_do_not_repeat() {
        let ids: HashSet<_> = (0..100_000).map(|_| RequestId::new()).collect();
        assert_eq!(ids.len(), 100_000);
    }

    #[tokio::test]
    async fn the_task_that_serves_a_request_knows_its_id() {
        let id = RequestId::new();
        assert_eq!(serve(id, async { current() }).await, id.as_str());
        assert_eq!(
            serve(id, async { std::thread::spawn(carried(current)).join() }).await.unwrap(),
            id.as_str()
        );
        assert_ne!(current(), current());
    }
}
