//! Admission by memory: how many bytes of sources and of renders may be held at once.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tintype_engine::Limits;

use crate::settings::Function;

/// The bounds of a process that may use `available_bytes`: on one image, and in bytes on all at once. What the settings
/// give stands; their defaults shrink where there is less than they take.
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
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    /// Who waits, in the order of arrival: a large render is not passed by small ones for ever.
    waiting: VecDeque<u64>,
    next_ticket: u64,
}

/// Bytes held until dropped.
#[derive(Debug)]
pub struct Reservation<'a> {
    pool: &'a Pool,
    bytes: u64,
}

impl MemoryBudget {
    /// A quarter of `total_bytes` for sources, the rest for renders. A render larger than that runs alone,
    /// and may exceed the total by what the sources hold meanwhile.
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
        (self.sources.state().used, self.renders.state().used)
    }
}

impl Pool {
    fn new(total: u64) -> Self {
        Self { total, state: Mutex::default(), freed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is larger than the whole pool gets the whole pool: it runs alone.
    fn take(&self, bytes: u64, stop: &dyn Fn() -> bool) -> Option<Reservation<'_>> {
        let bytes = bytes.min(self.total);
        let mut state = self.state();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(ticket);
        while state.waiting.front() != Some(&ticket) || state.used + bytes > self.total {
            if stop() {
                state.waiting.retain(|waiting| *waiting != ticket);
                self.freed.notify_all();
                return None;
            }
            let woken = self.freed.wait_timeout(state, Duration::from_millis(50));
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.waiting.pop_front();
        state.used += bytes;
        // The next in line may fit, too.
        self.freed.notify_all();
        Some(Reservation { pool: self, bytes })
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.pool.state().used -= self.bytes;
        self.pool.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn bounds_fit_into_what_there_is() {
        let mb = |text: &str, available: u64| {
            let settings = crate::settings::tests::load(text, &[]).unwrap();
            let (limits, total) = bounds(&settings.function, settings.limits, available << 20);
            (limits.source_bytes >> 20, limits.memory_bytes >> 20, total >> 20)
        };
        assert_eq!(mb("", 16 << 10), (100, 512, 4096));
        assert_eq!(mb("", 1024), (100, 512, 682));
        assert_eq!(mb("", 256), (64, 128, 192));
        assert_eq!(mb("[function]\nmemory_mb = 512", 256), (64, 512, 192), "asked for, so it runs alone");
        assert_eq!(mb("[limits]\nsource_bytes = \"80 MiB\"", 256), (80, 128, 192));
        assert_eq!(mb("[function]\ntotal_memory_mb = 400", 256), (100, 300, 400));
    }

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
    fn a_large_render_is_not_passed_for_ever() {
        let budget = MemoryBudget::new(400);
        let small = budget.render(100, &|| false);
        std::thread::scope(|scope| {
            let large = scope.spawn(|| drop(budget.render(300, &|| false)));
            while budget.renders.state().waiting.is_empty() {
                std::thread::yield_now();
            }
            // There would be room for it, but somebody was here before.
            let asked = std::sync::atomic::AtomicU32::new(0);
            let stop = || asked.fetch_add(1, Ordering::Relaxed) > 1;
            assert!(budget.render(100, &stop).is_none());
            drop(small);
            large.join().unwrap();
        });
    }

    #[test]
    fn waiting_ends_when_stopped() {
        let budget = MemoryBudget::new(400);
        let _held = budget.source(100, &|| false);
        assert!(budget.source(1, &|| true).is_none());
    }
}
