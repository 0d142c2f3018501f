//! A histogram with percentiles within 2.5 % for any distribution. Buckets align with 1, 2 and 5 of every power of ten,
//! so that Prometheus's bounds are exact.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Statistics;

/// Buckets of each power of ten: 20 from 1 to 2, 30 from 2 to 5, 20 from 5 to 10. None is wider than 5 % of
/// where it begins.
const A_DECADE: usize = 70;
/// Up to 10^11 microseconds, which is more than a day.
const DECADES: usize = 11;
const BUCKETS: usize = 1 + DECADES * A_DECADE;
/// The number of the last bucket.
pub const MAX_BUCKET: u16 = BUCKETS as u16 - 1;

/// Counts by bucket, with exact sum, minimum and maximum.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
    /// Of the current interval.
    min: AtomicU64,
    max: AtomicU64,
}

/// A histogram's counts at one time.
#[derive(Debug, Clone)]
pub(super) struct Totals {
    buckets: Box<[u64]>,
    sum: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }
}

/// The bucket of a value: `(low, high]`, as Prometheus's `le`.
#[must_use]
pub fn bucket(value: u64) -> usize {
    let Some(below) = value.saturating_sub(1).checked_ilog10() else { return 0 };
    let (value, decade) = (value - 1, below as usize);
    if decade >= DECADES {
        return BUCKETS - 1;
    }
    let one = 10_u64.pow(below);
    let place = match value / one {
        1 => value * 20 / one - 20,
        2..5 => 20 + value * 10 / one - 20,
        _ => 50 + value * 4 / one - 20,
    };
    1 + decade * A_DECADE + place as usize
}

/// Where a bucket begins (exclusive) and ends (inclusive).
#[must_use]
pub fn bounds(bucket: u16) -> (f64, f64) {
    let begin = |bucket: usize| {
        if bucket == 0 {
            return 0.0;
        }
        let (decade, place) = ((bucket - 1) / A_DECADE, (bucket - 1) % A_DECADE);
        let (times, of) = match place as u64 {
            place @ 0..20 => (20 + place, 20),
            place @ 20..50 => (place, 10),
            place => (place - 30, 4),
        };
        // Values are integers, so the first, narrow buckets hold one value or none.
        (times * 10_u64.pow(decade as u32)).div_ceil(of) as f64
    };
    (begin(usize::from(bucket)), begin(usize::from(bucket) + 1))
}

impl Histogram {
    /// Counts one value, in microseconds.
    pub fn observe(&self, value: u64) {
        self.buckets[bucket(value)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
        self.min.fetch_min(value, Relaxed);
        self.max.fetch_max(value, Relaxed);
    }

    /// The number of values up to each of `bounds` and in total, and their sum. A bound must be 1, 2 or 5 of a power of
    /// ten.
    pub(crate) fn cumulative(&self, bounds: &[u64]) -> (Vec<u64>, u64, u64) {
        let counts: Vec<u64> = self.buckets.iter().map(|count| count.load(Relaxed)).collect();
        let up_to = bounds.iter().map(|bound| counts[..=bucket(*bound)].iter().sum()).collect();
        (up_to, counts.iter().sum(), self.sum.load(Relaxed))
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            buckets: self.buckets.iter().map(|count| count.load(Relaxed)).collect(),
            sum: self.sum.load(Relaxed),
        }
    }

    /// The values of an interval; `reset` restarts minimum and maximum.
    pub(super) fn between(&self, before: Option<&Totals>, now: &Totals, reset: bool) -> Statistics {
        let mut buckets = Vec::new();
        let mut count = 0;
        for (index, now) in now.buckets.iter().enumerate() {
            let before = before.map_or(0, |before| before.buckets[index]);
            let more = now.saturating_sub(before);
            if more > 0 {
                buckets.push((index as u16, more));
                count += more;
            }
        }
        let sum = now.sum.saturating_sub(before.map_or(0, |before| before.sum));
        let (min, max) = if reset {
            (self.min.swap(u64::MAX, Relaxed), self.max.swap(0, Relaxed))
        } else {
            (self.min.load(Relaxed), self.max.load(Relaxed))
        };
        if count == 0 {
            return Statistics::default();
        }
        // Values observed concurrently may be in one of the atomics and not yet in the other.
        let (least, greatest) = (bounds(buckets[0].0).0, bounds(buckets[buckets.len() - 1].0).1);
        let min = if min == u64::MAX { least as u64 } else { min };
        let max = if max == 0 { greatest as u64 } else { max };
        Statistics { count, sum, min, max, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_match_their_bounds_and_are_narrow() {
        let mut value = 1_u64;
        while value < 50_000_000_000 {
            for value in [value - 1, value, value + 1] {
                let (low, high) = bounds(bucket(value) as u16);
                let value = value as f64;
                assert!(value == 0.0 || (low < value && value <= high), "{value} in {low}..{high}");
                assert!(low < 10.0 || high <= low * 1.0501 + 1.0, "{low}..{high}");
            }
            value = value + value / 7 + 1;
        }
    }

    #[test]
    fn a_bound_counts_values_up_to_it() {
        let histogram = Histogram::default();
        for value in [0, 1, 999, 1000, 1001, 2000, 2001, 5000] {
            histogram.observe(value);
        }
        assert_eq!(histogram.cumulative(&[1000, 2000, 5000]), (vec![4, 6, 8], 8, 12_002));
    }

    #[test]
    fn percentiles_are_within_their_error() {
        let histogram = Histogram::default();
        let mut values: Vec<u64> = (0..10_000_u64).map(|n| 300 + n * n % 7919 * 37).collect();
        values.iter().for_each(|value| histogram.observe(*value));
        values.sort_unstable();
        let statistics = histogram.between(None, &histogram.totals(), false);
        for (percent, rank) in [(50.0, 4_999), (95.0, 9_499), (99.0, 9_899)] {
            let (found, exact) = (statistics.percentile(percent).unwrap(), values[rank] as f64);
            assert!((found / exact - 1.0).abs() < 0.025, "p{percent}: {found} for {exact}");
        }
        assert_eq!(statistics.percentile(0.0), Some(values[0] as f64));
        assert_eq!(statistics.percentile(100.0), Some(values[9_999] as f64));
    }
}
