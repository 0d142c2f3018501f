//! What is seen of the server at work: the metrics, the latest results as they come, and both kept for 15
//! days in a database of their own, so that nothing here ever holds up a put or a thumbnail.
//!
//! A measurement flows one way: the parts that work call [`History`]; every ten seconds the recorder
//! takes what was measured since and writes it; queries read what was written and what came after it.

mod cost;
mod counted;
mod database;
mod entry;
mod feed;
mod log_line;
pub mod otlp;
pub mod query;
mod recorder;
mod results;
mod series;
mod usage;

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

pub use cost::{Cost, Price, REQUESTS, cost, slowdown};
pub use counted::Counted;
pub use database::{KeepError, Keeper};
pub use entry::{Entry, Next, Thumbnail, is_an_upload};
pub use feed::{Feed, Follower};
pub use log_line::{human, report_line, start_line};
pub use query::{Period, Point, QueryError};
pub use recorder::Recorder;
pub use results::Search;
pub use series::Interval;
use tintype_pipeline::Report;
use tintype_telemetry::{
    metrics::{InvocationGuard, Metric, Metrics, MetricsSnapshot, Row},
    render::prometheus,
    requests::Endpoint,
};
pub use usage::Usage;

/// How long measurements and results are kept.
pub const KEPT: Duration = Duration::from_secs(series::KEPT_S.unsigned_abs());

/// Sets the gauges that are looked at instead of being counted.
type Sampler = Box<dyn Fn(&Metrics) + Send + Sync>;

/// The history; share them behind an `Arc`.
#[derive(Default)]
pub struct History {
    metrics: Metrics,
    /// Where the interval under way began.
    taken: Mutex<MetricsSnapshot>,
    feed: Feed,
    sampler: OnceLock<Sampler>,
    usage: Usage,
    recorder: OnceLock<Recorder>,
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").finish_non_exhaustive()
    }
}

impl History {
    /// Has `sampler` set the gauges whenever they are asked for. Only the first call counts.
    pub fn sample_by(&self, sampler: impl Fn(&Metrics) + Send + Sync + 'static) {
        let _ = self.sampler.set(Box::new(sampler));
    }

    /// Keeps what is measured in `keeper` from now on.
    ///
    /// # Errors
    /// The system does not give another thread.
    pub fn keep(self: &Arc<Self>, keeper: Keeper) -> std::io::Result<()> {
        let recorder = Recorder::start(self, Arc::new(keeper))?;
        let _ = self.recorder.set(recorder);
        Ok(())
    }

    /// Ends every stream of results.
    pub fn end_streams(&self) {
        self.feed.close();
    }

    /// Ends every stream of results and writes down what is not written yet.
    pub fn close(&self) {
        self.end_streams();
        if let Some(recorder) = self.recorder.get() {
            recorder.stop();
        }
    }

    /// The recorder, if what is measured is kept.
    #[must_use]
    pub fn recorder(&self) -> Option<&Recorder> {
        self.recorder.get()
    }

    /// What API keys have used of their day; also before this start, once that was read.
    #[must_use]
    pub const fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Reads what API keys had used before this start. Where it cannot be read the recorder tries again. Blocks.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn read_usage(&self) -> Result<(), KeepError> {
        self.recorder.get().map_or(Ok(()), |recorder| self.usage.read(recorder.keeper()))
    }

    /// The latest results, as they come.
    #[must_use]
    pub const fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The value of a counter since the start, or of a gauge now; `None` for a gauge that could not be read.
    #[must_use]
    pub fn value(&self, metric: Metric) -> Option<u64> {
        self.metrics.value(metric)
    }

    /// An invocation begins.
    pub fn invocation(&self) -> InvocationGuard<'_> {
        self.metrics.invocation()
    }

    /// An invocation ended after `duration`, in an error or not.
    pub fn ended(&self, duration: Duration, error: bool) {
        self.metrics.ended(duration, error);
    }

    /// What became of a record; for a thumbnail, how long after its upload was acknowledged it is readable, if that is
    /// known.
    pub fn report(&self, report: &Report, since_upload: Option<Duration>) {
        self.metrics.report(report, since_upload);
    }

    /// A synchronous request was refused with 429.
    pub fn throttled(&self) {
        self.metrics.add(Metric::Throttles, 1);
    }

    /// An event was queued.
    pub fn event_received(&self) {
        self.metrics.add(Metric::AsyncEventsReceived, 1);
    }

    /// An event was taken from the queue at this age.
    pub fn event_taken(&self, age: Duration) {
        self.metrics.observe(Metric::AsyncEventAge, age);
    }

    /// An event was given up.
    pub fn event_dropped(&self) {
        self.metrics.add(Metric::AsyncEventsDropped, 1);
    }

    /// Dead letters were dropped for their age or number.
    pub fn dead_letters_dropped(&self, count: u64) {
        self.metrics.add(Metric::DeadLettersDropped, count);
    }

    /// A dead letter could not be written.
    pub fn dead_letter_error(&self) {
        self.metrics.add(Metric::DeadLetterErrors, 1);
    }

    /// A request was answered.
    pub fn request(&self, endpoint: Endpoint, route: &str, status: u16, duration: Duration) {
        self.metrics.request(endpoint, route, status, duration);
    }

    /// An attempt ended: kept, and then shown to whoever follows, who may ask for it at once.
    pub fn result(&self, entry: Entry) {
        let entry = Arc::new(entry);
        if let Some(recorder) = self.recorder.get() {
            let dropped = recorder.push(entry.clone());
            self.metrics.add(Metric::HistoryDropped, dropped);
        }
        self.feed.publish(&entry);
    }

    /// Everything, as Prometheus text. Looks at the ledger: call it where blocking is allowed.
    #[must_use]
    pub fn prometheus(&self, function: &str) -> String {
        self.sample();
        prometheus::text(&self.metrics, function)
    }

    /// Sets the gauges to what they are now. Looks at the ledger.
    pub fn sample(&self) {
        self.metrics.set(Metric::MemoryUsed, resident_bytes());
        if let Some(sampler) = self.sampler.get() {
            sampler(&self.metrics);
        }
    }

    fn taken(&self) -> MutexGuard<'_, MetricsSnapshot> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the interval under way and answers what was measured in it, the gauges as last sampled.
    fn take(&self) -> Row {
        self.metrics.take(&mut self.taken())
    }

    /// What was measured in the interval under way.
    fn peek(&self) -> Row {
        self.metrics.peek(&self.taken())
    }
}

/// The memory this process has, from the kernel; `None` where it has no such figure.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages = text.split(' ').nth(1)?.parse::<u64>().ok()?;
    Some(pages * PAGE_BYTES)
}

/// The kernel's pages on the machines this runs on; `statm` counts in them.
const PAGE_BYTES: u64 = 4096;
