//! Admission by memory: how many bytes of sources and of renders may be held at once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tintype_engine::Limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::settings::Function;

/// The bounds of a process that may use `available_bytes`: on one image, and in bytes on all at once. Written settings
/// stand; defaults shrink to the memory available.
#[must_use]
pub fn bounds(function: &Function, mut limits: Limits, available_bytes: u64) -> (Limits, u64) {
    if function.total_memory_mb > 0 {
        return (limits, function.total_memory_mb << 20);
    }
    if limits.source_bytes == Limits::default().source_bytes {
        limits.source_bytes = limits.source_bytes.min(available_bytes / 4);
    }
    if !function.is_memory_given {
        limits.memory_bytes = limits.memory_bytes.min(available_bytes / 2);
    }
    // Three quarters are for renders, one for sources: the largest of each must fit.
    let largest = (limits.memory_bytes * 4).div_ceil(3).max(limits.source_bytes * 4);
    (limits, largest.min(available_bytes / 4 * 3).max(available_bytes / 4))
}

/// Bytes that may be held at once, in two pools: sources read, and renders under way. A task that waits for a render
/// already holds its source, and none that holds a render waits for a source, so the two pools cannot deadlock. Clones
/// share the pools.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    sources: Pool,
    renders: Pool,
}

/// Admits in order of arrival, so that small renders cannot starve a large one.
#[derive(Debug, Clone)]
struct Pool {
    total: u64,
    /// One permit for each [`UNIT`] of `total`.
    free: Arc<Semaphore>,
    /// Waiters collect permits before they are admitted, so permits taken are not bytes in use.
    used: Arc<AtomicU64>,
}

/// Bytes of one permit: coarse, so that terabytes are few enough permits.
const UNIT: u64 = 1024;

/// Bytes held until dropped.
#[derive(Debug)]
pub struct Reservation {
    bytes: u64,
    used: Arc<AtomicU64>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl MemoryBudget {
    /// A quarter of `total_bytes` for sources, the rest for renders. A render larger than that runs alone,
    /// and may exceed the total by what the sources hold meanwhile.
    #[must_use]
    pub fn new(total_bytes: u64) -> Self {
        let sources = total_bytes / 4;
        Self { sources: Pool::new(sources), renders: Pool::new(total_bytes - sources) }
    }

    /// Waits until a source of `bytes` may be read.
    pub async fn source(&self, bytes: u64) -> Reservation {
        self.sources.take(bytes).await
    }

    /// Waits until a render that holds `bytes` may begin.
    pub async fn render(&self, bytes: u64) -> Reservation {
        self.renders.take(bytes).await
    }

    /// Bytes reserved now, of sources and of renders.
    #[must_use]
    pub fn used(&self) -> (u64, u64) {
        (self.sources.used.load(Ordering::Relaxed), self.renders.used.load(Ordering::Relaxed))
    }
}

/// Permits for so many bytes, of a pool of any size.
fn permits(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

impl Pool {
    fn new(total: u64) -> Self {
        Self { total, free: Arc::new(Semaphore::new(permits(total) as usize)), used: Arc::default() }
    }

    /// A request larger than the pool gets the whole pool: it runs alone.
    async fn take(&self, bytes: u64) -> Reservation {
        let bytes = bytes.min(self.total);
        // The semaphore is never closed.
        let permit = self.free.clone().acquire_many_owned(permits(bytes)).await.ok();
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Reservation { bytes, used: self.used.clone(), _permit: permit }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::{executor::block_on, poll};

    use super::*;

    #[test]
    fn bounds_fit_the_available_memory() {
        let mb = |text: &str, available: u64| {
            let settings = crate::settings::tests::load(text, &[]).unwrap();
            let (limits, total) = bounds(&settings.function, settings.limits, available << 20);
            (limits.source_bytes >> 20, limits.memory_bytes >> 20, total >> 20)
        };
        assert_eq!(mb("", 16 << 10), (100, 512, 4096));
        assert_eq!(mb("", 1024), (100, 512, 682));
        assert_eq!(mb("", 256), (64, 128, 192));
        assert_eq!(
            mb("[function]\nmemory_mb = 512", 256),
            (64, 512, 192),
            "set explicitly, so it runs alone"
        );
        assert_eq!(mb("[limits]\nsource_bytes = \"80 MiB\"", 256), (80, 128, 192));
        assert_eq!(mb("[function]\ntotal_memory_mb = 400", 256), (100, 300, 400));
    }

    const KIB: u64 = 1024;

    #[test]
    fn never_more_than_the_pool_and_the_largest_runs_alone() {
        let budget = MemoryBudget::new(400 * KIB);
        let peak = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for kib in [100, 250, 300, 9999, 1, 150, 150] {
                let (budget, peak) = (&budget, &peak);
                scope.spawn(move || {
                    for _ in 0..50 {
                        let reserved = block_on(budget.render(kib * KIB));
                        peak.fetch_max(budget.used().1, Ordering::Relaxed);
                        drop(reserved);
                    }
                });
            }
        });
        assert!(peak.into_inner() <= 300 * KIB);
        assert_eq!(budget.used(), (0, 0));
    }

    #[test]
    fn a_large_render_is_not_starved() {
        block_on(async {
            let budget = MemoryBudget::new(400 * KIB);
            let small = budget.render(100 * KIB).await;
            let mut large = pin!(budget.render(300 * KIB));
            assert!(poll!(&mut large).is_pending());
            assert_eq!(budget.used().1, 100 * KIB, "a waiter holds nothing");
            // There is room for it, but the large one came first.
            let mut late = Box::pin(budget.render(100 * KIB));
            assert!(poll!(&mut late).is_pending());
            drop(small);
            let large = large.await;
            assert!(poll!(&mut late).is_pending());
            drop(large);
            late.await;
        });
    }

    #[test]
    fn a_cancelled_wait_blocks_no_other() {
        block_on(async {
            let budget = MemoryBudget::new(400 * KIB);
            let reserved = budget.source(100 * KIB).await;
            let mut cancelled = Box::pin(budget.source(KIB));
            assert!(poll!(&mut cancelled).is_pending());
            drop((cancelled, reserved));
            assert_eq!(budget.source(100 * KIB).await.bytes, 100 * KIB);
        });
    }
}
