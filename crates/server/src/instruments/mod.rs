//! What is measured, under the names CloudWatch gives it, and how it is shown.
//! Source: AWS, "Types of metrics for Lambda functions".

mod histogram;
mod prometheus;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

pub use histogram::Histogram;
pub use prometheus::Gauges;
use tintype_function::{Outcome, Reason, Report};

/// Counters and histograms, updated without locks.
#[derive(Debug, Default)]
pub struct Instruments {
    invocations: AtomicU64,
    errors: AtomicU64,
    throttles: AtomicU64,
    concurrent: AtomicU64,
    concurrent_peak: AtomicU64,
    async_received: AtomicU64,
    async_dropped: AtomicU64,
    duration: Histogram,
    async_age: Histogram,
    latency: Histogram,
    made: AtomicU64,
    up_to_date: AtomicU64,
    removed: AtomicU64,
    ignored: AtomicU64,
    failed: [AtomicU64; Reason::ALL.len()],
    source_bytes: AtomicU64,
    thumbnail_bytes: AtomicU64,
}

/// An invocation under way; counted as ended when dropped.
#[derive(Debug)]
pub struct UnderWay<'a>(&'a Instruments);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.concurrent.fetch_sub(1, Ordering::Relaxed);
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

impl Instruments {
    /// An invocation begins.
    pub fn invocation(&self) -> UnderWay<'_> {
        add(&self.invocations, 1);
        let now = self.concurrent.fetch_add(1, Ordering::Relaxed) + 1;
        self.concurrent_peak.fetch_max(now, Ordering::Relaxed);
        UnderWay(self)
    }

    /// An invocation ended after `duration`, in an error or not.
    pub fn ended(&self, duration: Duration, error: bool) {
        self.duration.observe(duration);
        add(&self.errors, u64::from(error));
    }

    /// A synchronous request was refused with 429.
    pub fn throttled(&self) {
        add(&self.throttles, 1);
    }

    /// An event was queued.
    pub fn event_received(&self) {
        add(&self.async_received, 1);
    }

    /// An event was taken from the queue at this age.
    pub fn event_taken(&self, age: Duration) {
        self.async_age.observe(age);
    }

    /// An event was given up.
    pub fn event_dropped(&self) {
        add(&self.async_dropped, 1);
    }

    /// A thumbnail is readable this long after its upload was acknowledged.
    pub fn thumbnail_ready(&self, latency: Duration) {
        self.latency.observe(latency);
    }

    /// The numbers a person looks at first, by name.
    #[must_use]
    pub fn overview(&self, gauges: Gauges) -> Vec<(&'static str, u64)> {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            ("Invocations", get(&self.invocations)),
            ("Errors", get(&self.errors)),
            ("Throttles", get(&self.throttles)),
            ("ConcurrentExecutions", get(&self.concurrent)),
            ("AsyncEventsReceived", get(&self.async_received)),
            ("AsyncEventsDropped", get(&self.async_dropped)),
            ("Thumbnails made", get(&self.made)),
            ("Waiting", gauges.queue_depth),
            ("Dead letters", gauges.dead_letters),
        ]
    }

    /// What became of a record.
    pub fn report(&self, report: &Report) {
        match &report.outcome {
            Outcome::Made => {
                add(&self.made, 1);
                add(&self.source_bytes, report.source_bytes);
                add(&self.thumbnail_bytes, report.renditions.iter().map(|rendition| rendition.bytes).sum());
            }
            Outcome::UpToDate => add(&self.up_to_date, 1),
            Outcome::Removed => add(&self.removed, 1),
            Outcome::Ignored(_) => add(&self.ignored, 1),
            Outcome::Failed(failure) => {
                if let Some(index) = Reason::ALL.iter().position(|reason| *reason == failure.reason) {
                    add(&self.failed[index], 1);
                }
            }
        }
    }
}
