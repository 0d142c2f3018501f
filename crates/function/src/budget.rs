//! Admission by memory: how many bytes of sources and of renders may be held at once.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// Bytes that may be held at once, in two pools: sources read, and renders under way. Whoever waits for a
/// render holds its source already and nobody who holds a render waits for a source, so the two pools
/// cannot wait for each other in a circle.
#[derive(Debug)]
pub struct MemoryBudget {
    sources: Pool,
    renders: Pool,
}

#[derive(Debug)]
struct Pool {
    total: u64,
    used: Mutex<u64>,
    freed: Condvar,
}

/// Bytes held until dropped.
#[derive(Debug)]
pub struct Reservation<'a> {
    pool: &'a Pool,
    bytes: u64,
}

impl MemoryBudget {
    /// A quarter of `total_bytes` for sources, the rest for renders.
    #[must_use]
    pub fn new(total_bytes: u64) -> Self {
        let sources = total_bytes / 4;
        Self { sources: Pool::new(sources), renders: Pool::new(total_bytes - sources) }
    }

    /// Waits until a source of `bytes` may be read; `None` once `stop` says so.
    pub fn source(&self, bytes: u64, stop: &dyn Fn() -> bool) -> Option<Reservation<'_>> {
        self.sources.take(bytes, stop)
    }

    /// Waits until a render that holds `bytes` may begin; `None` once `stop` says so.
    pub fn render(&self, bytes: u64, stop: &dyn Fn() -> bool) -> Option<Reservation<'_>> {
        self.renders.take(bytes, stop)
    }

    /// Bytes reserved now, of sources and of renders.
    #[must_use]
    pub fn used(&self) -> (u64, u64) {
        (self.sources.used(), self.renders.used())
    }
}

impl Pool {
    const fn new(total: u64) -> Self {
        Self { total, used: Mutex::new(0), freed: Condvar::new() }
    }

    fn used(&self) -> u64 {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is larger than the whole pool gets the whole pool: it runs alone.
    fn take(&self, bytes: u64, stop: &dyn Fn() -> bool) -> Option<Reservation<'_>> {
        let bytes = bytes.min(self.total);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used + bytes > self.total {
            if stop() {
                return None;
            }
            let woken = self.freed.wait_timeout(used, Duration::from_millis(50));
            used = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        *used += bytes;
        Some(Reservation { pool: self, bytes })
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        *self.pool.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.pool.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn never_more_than_the_pool_and_the_largest_runs_alone() {
        let budget = MemoryBudget::new(400);
        let peak = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for bytes in [100, 250, 300, 9999, 1, 150, 150] {
                let (budget, peak) = (&budget, &peak);
                scope.spawn(move || {
                    for _ in 0..50 {
                        let held = budget.render(bytes, &|| false);
                        peak.fetch_max(budget.used().1, Ordering::Relaxed);
                        drop(held);
                    }
                });
            }
        });
        assert!(peak.into_inner() <= 300);
        assert_eq!(budget.used(), (0, 0));
    }

    #[test]
    fn waiting_ends_when_stopped() {
        let budget = MemoryBudget::new(400);
        let _held = budget.source(100, &|| false);
        assert!(budget.source(1, &|| true).is_none());
    }
}
