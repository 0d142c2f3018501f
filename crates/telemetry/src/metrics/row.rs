//! The statistics of one interval, with merging and a compact encoding.

use std::collections::BTreeMap;

use super::{Kind, MAX_BUCKET, Metric, bounds};

/// A metric's statistics of an interval, in its base unit (times in microseconds).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The number of values.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The minimum.
    pub min: u64,
    /// The maximum.
    pub max: u64,
    /// Counts by bucket, of distributions; see [`bounds`].
    pub buckets: Vec<(u16, u64)>,
}

impl Statistics {
    /// The statistics of one value.
    #[must_use]
    pub const fn one(value: u64) -> Self {
        Self { count: 1, sum: value, min: value, max: value, buckets: Vec::new() }
    }

    /// Adds another interval's.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.sum += other.sum;
        match (self.buckets.is_empty(), other.buckets.is_empty()) {
            (_, true) => {}
            (true, false) => self.buckets.clone_from(&other.buckets),
            (false, false) => self.buckets = merged(&self.buckets, &other.buckets),
        }
    }

    /// The percentile, within 2.5 %; `None` where there are no values or no buckets.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let total: u64 = self.buckets.iter().map(|(_, count)| count).sum();
        if total == 0 {
            return None;
        }
        let rank = (percent / 100.0 * total as f64).ceil().max(1.0);
        let mut below = 0.0;
        for (bucket, count) in &self.buckets {
            let count = *count as f64;
            if below + count >= rank {
                let (low, high) = bounds(*bucket);
                let value = low + (high - low) * ((rank - below - 0.5) / count);
                let value = if rank <= 1.0 { self.min as f64 } else { value };
                let value = if rank >= total as f64 { self.max as f64 } else { value };
                return Some(value.clamp(self.min as f64, self.max as f64));
            }
            below += count;
        }
        None
    }
}

/// Merges two lists of counts; all are in the order of their buckets.
fn merged(a: &[(u16, u64)], b: &[(u16, u64)]) -> Vec<(u16, u64)> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    while let Some(bucket) = [a.peek(), b.peek()].into_iter().flatten().map(|(bucket, _)| *bucket).min() {
        let of_a = a.next_if(|(other, _)| *other == bucket);
        let of_b = b.next_if(|(other, _)| *other == bucket);
        out.push((bucket, of_a.map_or(0, |(_, count)| count) + of_b.map_or(0, |(_, count)| count)));
    }
    out
}

/// Every metric's statistics of one interval.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row(BTreeMap<Metric, Statistics>);

impl Row {
    /// Sets a metric's statistics.
    pub fn insert(&mut self, metric: Metric, statistics: Statistics) {
        if statistics.count > 0 {
            self.0.insert(metric, statistics);
        }
    }

    /// A metric's statistics; empty if there are none.
    #[must_use]
    pub fn of(&self, metric: Metric) -> Statistics {
        self.0.get(&metric).cloned().unwrap_or_default()
    }

    /// A metric's statistics, if there are any.
    #[must_use]
    pub fn get(&self, metric: Metric) -> Option<&Statistics> {
        self.0.get(&metric)
    }

    /// All metrics with statistics.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, &Statistics)> {
        self.0.iter().map(|(metric, statistics)| (*metric, statistics))
    }

    /// Adds another interval's.
    pub fn merge(&mut self, other: &Self) {
        for (metric, statistics) in &other.0 {
            self.0.entry(*metric).or_default().merge(statistics);
        }
    }

    /// As bytes: for each metric its code, count, sum, minimum and range, and for distributions their buckets as deltas
    /// and counts, all as LEB128. A counter or gauge of zero takes two bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (metric, statistics) in &self.0 {
            let code = (*metric as u64) << 1;
            if statistics.max == 0 && metric.kind() != Kind::Distribution {
                write(&mut out, code);
                write(&mut out, statistics.count);
                continue;
            }
            write(&mut out, code | 1);
            for number in [statistics.count, statistics.sum, statistics.min, statistics.max - statistics.min]
            {
                write(&mut out, number);
            }
            if metric.kind() == Kind::Distribution {
                write(&mut out, statistics.buckets.len() as u64);
                let mut last = 0;
                for (bucket, count) in &statistics.buckets {
                    write(&mut out, u64::from(bucket - last));
                    write(&mut out, *count);
                    last = *bucket;
                }
            }
        }
        out
    }

    /// Decodes the output of [`Row::encode`] up to the first metric that this program does not know. `None` if it is corrupt.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut row = Self::default();
        while !bytes.is_empty() {
            let code = read(&mut bytes)?;
            let Some(metric) = Metric::by_code(code >> 1) else { return Some(row) };
            let count = read(&mut bytes)?;
            if code & 1 == 0 {
                row.insert(metric, Statistics { count, ..Statistics::default() });
                continue;
            }
            let (sum, min) = (read(&mut bytes)?, read(&mut bytes)?);
            let max = min.checked_add(read(&mut bytes)?)?;
            let mut buckets = Vec::new();
            if metric.kind() == Kind::Distribution {
                let mut bucket = 0_u64;
                for _ in 0..read(&mut bytes)? {
                    bucket = bucket.checked_add(read(&mut bytes)?).filter(|b| *b <= u64::from(MAX_BUCKET))?;
                    buckets.push((u16::try_from(bucket).ok()?, read(&mut bytes)?));
                }
            }
            row.insert(metric, Statistics { count, sum, min, max, buckets });
        }
        Some(row)
    }
}

fn write(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7F) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, MetricsSnapshot};
    use std::time::Duration;

    fn sample() -> Row {
        let metrics = Metrics::default();
        drop(metrics.invocation());
        for n in 0..500 {
            metrics.ended(Duration::from_micros(n * n), n % 3 == 0);
        }
        metrics.set(Metric::MemoryUsed, 12_345_678);
        metrics.take(&mut MetricsSnapshot::default())
    }

    #[test]
    fn encoding_round_trips() {
        let row = sample();
        assert_eq!(Row::decode(&row.encode()), Some(row));
    }

    #[test]
    fn corrupt_input_never_panics() {
        let bytes = sample().encode();
        for cut in 0..bytes.len() {
            let _ = Row::decode(&bytes[..cut]);
            let mut flipped = bytes.clone();
            flipped[cut] ^= 0xFF;
            let _ = Row::decode(&flipped);
        }
    }

    #[test]
    fn merged_intervals_equal_one_interval() {
        let (whole, parts) = (Metrics::default(), Metrics::default());
        let mut snapshot = MetricsSnapshot::default();
        let mut merged = Row::default();
        for n in 1..=100 {
            whole.ended(Duration::from_micros(n * 77), false);
            parts.ended(Duration::from_micros(n * 77), false);
            if n % 10 == 0 {
                merged.merge(&parts.take(&mut snapshot));
            }
        }
        let whole = whole.take(&mut MetricsSnapshot::default());
        assert_eq!(whole.of(Metric::Duration), merged.of(Metric::Duration));
    }
}
