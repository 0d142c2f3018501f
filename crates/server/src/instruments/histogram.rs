//! A histogram of times, in milliseconds.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Upper bounds of the buckets in milliseconds; the last bucket has none.
pub(super) const BOUNDS_MS: [f64; 16] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 30_000.0,
    60_000.0, 300_000.0,
];

/// Counts by bucket, and the sum.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Counts one time.
    pub fn observe(&self, time: Duration) {
        let milliseconds = time.as_secs_f64() * 1e3;
        let bucket = BOUNDS_MS.partition_point(|bound| *bound < milliseconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Counts up to each bound and in all, and the sum in milliseconds.
    pub(super) fn snapshot(&self) -> ([u64; BOUNDS_MS.len() + 1], f64) {
        let mut running = 0;
        let cumulative = std::array::from_fn(|index| {
            running += self.buckets[index].load(Ordering::Relaxed);
            running
        });
        (cumulative, self.sum_micros.load(Ordering::Relaxed) as f64 / 1e3)
    }
}
