//! The measurements: one struct of counters, gauges and histograms, updated without locks; read as rows of intervals
//! and rendered as Prometheus text ([`prometheus`](crate::render::prometheus)) or as CloudWatch's
//! embedded format ([`emf`](crate::render::emf)).
//! Names and meanings are Lambda's where Lambda has them (AWS, "Types of metrics for Lambda functions").
//!
//! ```
//! use tintype_pipeline::Report;
//! use tintype_telemetry::{metrics::{Metrics, MetricsSnapshot}, render::emf};
//!
//! let metrics = Metrics::default();
//! let mut snapshot = MetricsSnapshot::default();
//! metrics.report(&Report::bad_event("no Records".into()), None);
//! for line in emf::lines(&metrics.take(&mut snapshot), "Thumbnails", 1_700_000_000_000) {
//!     println!("{line}");
//! }
//! ```

mod catalogue;
mod histogram;
mod row;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

pub use catalogue::{Definition, Kind, Metric, Unit};
pub use histogram::{Histogram, MAX_BUCKET, bounds, bucket};
pub use row::{Row, Statistics};

use tintype_pipeline::{Ignored, Outcome, Report};

use crate::requests::{Endpoint, Requests};

/// The value of a gauge that could not be read.
const UNKNOWN: u64 = u64::MAX;

/// Every measurement of one process.
#[derive(Debug)]
pub struct Metrics {
    /// Counters and gauges, by the metric's code.
    numbers: [AtomicU64; Metric::COUNT],
    /// Distributions, by the metric's code less that of the first.
    distributions: Vec<Histogram>,
    concurrent_peak: AtomicU64,
    pub(crate) concurrent_peak_ever: AtomicU64,
    requests: Requests,
}

impl Default for Metrics {
    fn default() -> Self {
        let distributions = Metric::ALL.iter().filter(|metric| metric.kind() == Kind::Distribution);
        Self {
            numbers: std::array::from_fn(|_| AtomicU64::new(0)),
            distributions: distributions.map(|_| Histogram::default()).collect(),
            concurrent_peak: AtomicU64::new(0),
            concurrent_peak_ever: AtomicU64::new(0),
            requests: Requests::default(),
        }
    }
}

/// The totals at the last [`Metrics::take`], where the next interval begins.
#[derive(Debug, Clone, Default)]
pub struct MetricsSnapshot {
    numbers: Vec<u64>,
    distributions: Vec<histogram::Totals>,
}

/// Counts an invocation as concurrent until dropped.
#[derive(Debug)]
pub struct InvocationGuard<'a>(&'a Metrics);

impl Drop for InvocationGuard<'_> {
    fn drop(&mut self) {
        self.0.number(Metric::ConcurrentExecutions).fetch_sub(1, Relaxed);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Metrics {
    fn number(&self, metric: Metric) -> &AtomicU64 {
        &self.numbers[metric as usize]
    }

    pub(crate) fn distribution(&self, metric: Metric) -> &Histogram {
        &self.distributions[metric as usize - Metric::FIRST_DISTRIBUTION as usize]
    }

    /// Adds `amount` to a counter.
    pub fn add(&self, metric: Metric, amount: u64) {
        self.number(metric).fetch_add(amount, Relaxed);
    }

    /// The value of a counter since the start, or of a gauge now, in its base unit; `None` for a gauge that could not be
    /// read.
    #[must_use]
    pub fn value(&self, metric: Metric) -> Option<u64> {
        Some(self.number(metric).load(Relaxed)).filter(|value| *value != UNKNOWN)
    }

    /// Sets a gauge; times in microseconds. `None` where it cannot be read, so that no stale value is reported.
    pub fn set(&self, metric: Metric, value: impl Into<Option<u64>>) {
        self.number(metric).store(value.into().unwrap_or(UNKNOWN), Relaxed);
    }

    /// Adds a duration to a distribution.
    pub fn observe(&self, metric: Metric, time: Duration) {
        self.distribution(metric).observe(micros(time));
    }

    /// An invocation begins.
    pub fn invocation(&self) -> InvocationGuard<'_> {
        self.add(Metric::Invocations, 1);
        let now = self.number(Metric::ConcurrentExecutions).fetch_add(1, Relaxed) + 1;
        self.concurrent_peak.fetch_max(now, Relaxed);
        self.concurrent_peak_ever.fetch_max(now, Relaxed);
        InvocationGuard(self)
    }

    /// An invocation ended after `duration`, in an error or not.
    pub fn ended(&self, duration: Duration, error: bool) {
        self.observe(Metric::Duration, duration);
        self.add(Metric::BilledDuration, micros(duration).div_ceil(1000));
        self.add(Metric::Errors, u64::from(error));
    }

    /// Counts a record: outcome, bytes and the time of each stage; for a thumbnail also the time since its source was
    /// uploaded, where it is known.
    pub fn report(&self, report: &Report, since_upload: Option<Duration>) {
        match &report.outcome {
            Outcome::Rendered => {
                self.add(Metric::Made, 1);
                if let Some(time) = since_upload {
                    self.observe(Metric::UploadToThumbnail, time);
                }
                self.add(Metric::SourceBytes, report.source_bytes);
                let written = report.renditions.iter().map(|rendition| rendition.bytes).sum();
                self.add(Metric::ThumbnailBytes, written);
                for (metric, time) in Metric::STAGES.into_iter().zip(report.stages.all()) {
                    self.observe(metric, time);
                }
            }
            Outcome::UpToDate => self.add(Metric::UpToDate, 1),
            Outcome::Removed => self.add(Metric::Removed, 1),
            Outcome::Ignored(why) => {
                self.add(Metric::Ignored, 1);
                self.add(Metric::ignored(*why), 1);
                if *why == Ignored::Thumbnail {
                    self.add(Metric::RecursiveInvocationsDropped, 1);
                }
            }
            Outcome::Failed(failure) => {
                self.add(Metric::Failed, 1);
                self.add(Metric::failed(failure.reason), 1);
            }
        }
    }

    /// Counts a request.
    pub fn request(&self, endpoint: Endpoint, route: &str, status: u16, duration: Duration) {
        let (all, wrong, fault, latency) = match endpoint {
            Endpoint::Api => {
                (Metric::ApiRequests, Metric::Api4xxErrors, Metric::Api5xxErrors, Metric::ApiLatency)
            }
            Endpoint::S3 => (Metric::S3Requests, Metric::S34xxErrors, Metric::S35xxErrors, Metric::S3Latency),
        };
        self.add(all, 1);
        self.add(wrong, u64::from((400..500).contains(&status)));
        self.add(fault, u64::from(status >= 500));
        self.observe(latency, duration);
        self.requests.count(endpoint, route, status);
    }

    /// Requests by route and status.
    #[must_use]
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// The statistics of the interval since the last call with this `snapshot`.
    pub fn take(&self, snapshot: &mut MetricsSnapshot) -> Row {
        let now = self.totals();
        let row = self.between(snapshot, &now, true);
        *snapshot = now;
        row
    }

    /// The statistics of the current interval, without ending it.
    #[must_use]
    pub fn peek(&self, snapshot: &MetricsSnapshot) -> Row {
        self.between(snapshot, &self.totals(), false)
    }

    /// The current totals. Each number is read once, so a concurrent count falls into this interval or the next one.
    fn totals(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            numbers: self.numbers.iter().map(|number| number.load(Relaxed)).collect(),
            distributions: self.distributions.iter().map(Histogram::totals).collect(),
        }
    }

    fn between(&self, before: &MetricsSnapshot, now: &MetricsSnapshot, reset: bool) -> Row {
        let mut row = Row::default();
        for metric in Metric::ALL {
            let index = metric as usize;
            let number = now.numbers[index];
            let statistics = match metric.kind() {
                Kind::Counter => {
                    let before = before.numbers.get(index).copied().unwrap_or(0);
                    Statistics::one(number.saturating_sub(before))
                }
                Kind::Gauge if metric == Metric::ConcurrentExecutions => {
                    let peak = if reset {
                        self.concurrent_peak.swap(number, Relaxed)
                    } else {
                        self.concurrent_peak.load(Relaxed)
                    };
                    Statistics::one(peak.max(number))
                }
                Kind::Gauge if number == UNKNOWN => Statistics::default(),
                Kind::Gauge => Statistics::one(number),
                Kind::Distribution => {
                    let place = index - Metric::FIRST_DISTRIBUTION as usize;
                    let before = before.distributions.get(place);
                    self.distributions[place].between(before, &now.distributions[place], reset)
                }
            };
            row.insert(metric, statistics);
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_pipeline::{Failure, Reason};

    use crate::render::prometheus;

    #[test]
    fn intervals_add_up_to_the_whole() {
        let metrics = Metrics::default();
        let mut snapshot = MetricsSnapshot::default();
        for n in 1..=3 {
            drop(metrics.invocation());
            metrics.ended(Duration::from_micros(n * 1500), n == 2);
        }
        assert_eq!(metrics.peek(&snapshot).of(Metric::Invocations).sum, 3);
        let first = metrics.take(&mut snapshot);
        drop(metrics.invocation());
        metrics.ended(Duration::from_micros(10), false);
        let second = metrics.take(&mut snapshot);
        let mut both = first.clone();
        both.merge(&second);
        assert_eq!((first.of(Metric::Duration).min, first.of(Metric::Duration).max), (1500, 4500));
        assert_eq!((second.of(Metric::Duration).count, second.of(Metric::Duration).min), (1, 10));
        assert_eq!((both.of(Metric::Duration).count, both.of(Metric::Duration).sum), (4, 9010));
        assert_eq!((both.of(Metric::Errors).sum, both.of(Metric::BilledDuration).sum), (1, 2 + 3 + 5 + 1));
        assert_eq!(metrics.take(&mut snapshot).of(Metric::Invocations).sum, 0);
    }

    #[test]
    fn the_peak_is_that_of_the_interval() {
        let metrics = Metrics::default();
        let mut snapshot = MetricsSnapshot::default();
        let (first, second) = (metrics.invocation(), metrics.invocation());
        drop(first);
        assert_eq!(metrics.take(&mut snapshot).of(Metric::ConcurrentExecutions).max, 2);
        assert_eq!(metrics.take(&mut snapshot).of(Metric::ConcurrentExecutions).max, 1);
        drop(second);
        metrics.take(&mut snapshot);
        assert_eq!(metrics.take(&mut snapshot).of(Metric::ConcurrentExecutions).max, 0);
    }

    #[test]
    fn outcomes_are_counted_by_reason() {
        let metrics = Metrics::default();
        let mut report = Report::bad_event("no".into());
        metrics.report(&report, None);
        report.outcome = Outcome::Ignored(Ignored::Thumbnail);
        metrics.report(&report, None);
        report.outcome = Outcome::Failed(Failure::new(Reason::Malformed, "cut"));
        metrics.report(&report, None);
        assert_eq!(metrics.value(Metric::Failed), Some(2));
        assert_eq!(metrics.value(Metric::failed(Reason::Malformed)), Some(1));
        assert_eq!(metrics.value(Metric::failed(Reason::BadEvent)), Some(1));
        assert_eq!(metrics.value(Metric::RecursiveInvocationsDropped), Some(1));
    }

    #[test]
    fn only_a_thumbnail_has_a_time_since_its_upload() {
        let metrics = Metrics::default();
        let mut report = Report::bad_event("no".into());
        let since_upload = Some(Duration::from_millis(7));
        metrics.report(&report, since_upload);
        report.outcome = Outcome::Rendered;
        metrics.report(&report, None);
        metrics.report(&report, since_upload);
        let row = metrics.take(&mut MetricsSnapshot::default());
        let statistics = row.of(Metric::UploadToThumbnail);
        assert_eq!((statistics.count, statistics.sum), (1, 7000));
    }

    #[test]
    fn a_gauge_that_cannot_be_read_has_no_value_until_it_can() {
        let metrics = Metrics::default();
        for value in [Some(7), None, Some(8)] {
            metrics.set(Metric::DiskFree, value);
            assert_eq!(metrics.value(Metric::DiskFree), value);
            let row = metrics.take(&mut MetricsSnapshot::default());
            assert_eq!(row.get(Metric::DiskFree).map(|statistics| statistics.max), value);
            let text = prometheus::text(&metrics, "Thumbnails");
            let sample = text.lines().find(|line| line.starts_with("tintype_disk_free_bytes{"));
            assert_eq!(
                sample.map(str::to_owned),
                value.map(|value| format!("tintype_disk_free_bytes{{function_name=\"Thumbnails\"}} {value}"))
            );
        }
    }
}
