//! Metrics and results of the running server: live, and stored for 15 days in a database of their own, so that nothing
//! here blocks a put or a thumbnail.
//!
//! Data flows one way: the other modules call [`History`]; every ten seconds the recorder writes the interval's
//! measurements; queries read what is written and what is not written yet.

mod cost;
mod database;
mod entry;
mod log_line;
pub mod otlp;
pub mod query;
mod recorder;
mod request_metrics;
mod result_stream;
mod results;
mod series;
mod usage;

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

pub use cost::{Cost, Price, REQUESTS, cost, slowdown};
pub use database::{Database, DatabaseError};
pub use entry::{Entry, Settlement, Thumbnail, is_upload_cause};
pub use log_line::{ReportLine, ReportMetrics, ReportRecord, start_line, text_line};
pub use query::{Period, Point, QueryError};
pub use recorder::Recorder;
pub use request_metrics::{RequestMetrics, RouteNames};
pub use result_stream::{ResultStream, Subscription};
pub use results::Search;
pub use series::Interval;
use tintype_alt_text::Tokens;
use tintype_pipeline::{Report, Unmatched};
use tintype_telemetry::{
    metrics::{InvocationGuard, Metric, Metrics, MetricsSnapshot, Row},
    render::prometheus,
    requests::Endpoint,
};
pub use usage::Usage;

/// How long measurements and results are stored.
pub const RETENTION: Duration = Duration::from_secs(series::RETENTION_S.unsigned_abs());

/// How long gauges may take to be read, before the values of the last time stand.
pub const SAMPLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Sets the gauges to their current values.
type Sampler = Box<dyn Fn(&Metrics) + Send + Sync>;
/// Is shown every result.
type Observer = Box<dyn Fn(&Entry) + Send + Sync>;

/// Metrics, results and key usage of the server; shared behind an `Arc`.
#[derive(Default)]
pub struct History {
    metrics: Metrics,
    /// The counters at the begin of the current interval.
    taken: Mutex<MetricsSnapshot>,
    result_stream: ResultStream,
    sampler: OnceLock<Sampler>,
    observer: OnceLock<Observer>,
    /// Whether the gauges are being updated: one thread at a time, since a disk that hangs holds it.
    is_sampling: Mutex<bool>,
    sampled: Condvar,
    usage: Usage,
    recorder: OnceLock<Recorder>,
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").finish_non_exhaustive()
    }
}

impl History {
    /// Sets the function that updates the gauges before they are read. Only the first call has an effect.
    pub fn set_sampler(&self, sampler: impl Fn(&Metrics) + Send + Sync + 'static) {
        let _ = self.sampler.set(Box::new(sampler));
    }

    /// Sets the function that is called with every result, on the thread that worked on it: it must be quick. Only the first
    /// call has an effect.
    pub fn set_observer(&self, observer: impl Fn(&Entry) + Send + Sync + 'static) {
        let _ = self.observer.set(Box::new(observer));
    }

    /// Starts recording to `database`. Only the first call has an effect.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn record_to(self: &Arc<Self>, database: Database) -> std::io::Result<()> {
        let recorder = Recorder::start(self, Arc::new(database))?;
        let _ = self.recorder.set(recorder);
        Ok(())
    }

    /// Ends every stream of results.
    pub fn end_streams(&self) {
        self.result_stream.close();
    }

    /// Ends every stream of results and writes what is not written yet.
    pub fn close(&self) {
        self.end_streams();
        if let Some(recorder) = self.recorder.get() {
            recorder.stop();
        }
    }

    /// The recorder, if there is a database.
    #[must_use]
    pub fn recorder(&self) -> Option<&Recorder> {
        self.recorder.get()
    }

    /// The requests of the day by API key, including those before this start once [`History::read_usage`] succeeded.
    #[must_use]
    pub const fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Reads the usage of API keys before this start. On failure the recorder retries. Blocks.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn read_usage(&self) -> Result<(), DatabaseError> {
        self.recorder.get().map_or(Ok(()), |recorder| self.usage.read(recorder.database()))
    }

    /// The results as they are produced.
    #[must_use]
    pub const fn result_stream(&self) -> &ResultStream {
        &self.result_stream
    }

    /// The value of a counter since the start, or of a gauge now; `None` for a gauge that could not be read.
    #[must_use]
    pub fn value(&self, metric: Metric) -> Option<u64> {
        self.metrics.value(metric)
    }

    /// Counts an invocation, which is under way until the guard is dropped.
    pub fn invocation(&self) -> InvocationGuard<'_> {
        self.metrics.invocation()
    }

    /// Records the end of an invocation after `duration`, in an error or not.
    pub fn ended(&self, duration: Duration, error: bool) {
        self.metrics.ended(duration, error);
    }

    /// Records the outcome of a record and, for an upload, the time from its acknowledgement to a readable thumbnail.
    pub fn report(&self, report: &Report, since_upload: Option<Duration>) {
        self.metrics.report(report, since_upload);
    }

    /// Counts a synchronous request refused with 429.
    pub fn throttled(&self) {
        self.metrics.add(Metric::Throttles, 1);
    }

    /// Counts a queued event.
    pub fn event_received(&self) {
        self.metrics.add(Metric::AsyncEventsReceived, 1);
    }

    /// Counts an upload that no trigger takes.
    pub fn upload_ignored(&self, why: &Unmatched) {
        self.metrics.add(Metric::upload_ignored(why), 1);
    }

    /// Records the age of an event when it was leased.
    pub fn event_taken(&self, age: Duration) {
        self.metrics.observe(Metric::AsyncEventAge, age);
    }

    /// Counts an event moved to the dead letters.
    pub fn event_dropped(&self) {
        self.metrics.add(Metric::AsyncEventsDropped, 1);
    }

    /// Counts dead letters dropped for their age or number.
    pub fn dead_letters_dropped(&self, count: u64) {
        self.metrics.add(Metric::DeadLettersDropped, count);
    }

    /// Counts an event that a target of the settings has confirmed.
    pub fn notification_sent(&self) {
        self.metrics.add(Metric::NotificationsSent, 1);
    }

    /// Counts an attempt to send an event to a target of the settings that failed.
    pub fn notification_failed(&self) {
        self.metrics.add(Metric::NotificationsFailed, 1);
    }

    /// Counts events that were dropped before a target of the settings had confirmed them.
    pub fn notifications_dropped(&self, count: u64) {
        self.metrics.add(Metric::NotificationsDropped, count);
    }

    /// Counts an attempt to describe an image, with what it took and what that costs in dollars.
    pub fn described(&self, is_described: bool, tokens: Tokens, dollars: f64) {
        let result = if is_described { Metric::AltTextWritten } else { Metric::AltTextFailed };
        self.metrics.add(result, 1);
        self.metrics.add(Metric::AltTextInputTokens, tokens.input);
        self.metrics.add(Metric::AltTextOutputTokens, tokens.output);
        self.metrics.add(Metric::AltTextMicrodollars, (dollars * 1e6).round() as u64);
    }

    /// Counts a dead letter that could not be written.
    pub fn dead_letter_error(&self) {
        self.metrics.add(Metric::DeadLetterErrors, 1);
    }

    /// Records a response.
    pub fn request(&self, endpoint: Endpoint, route: &str, status: u16, duration: Duration) {
        self.metrics.request(endpoint, route, status, duration);
    }

    /// Records an ended attempt, then publishes it: subscribers can query it at once.
    pub fn result(&self, entry: Entry) {
        let entry = Arc::new(entry);
        if let Some(observer) = self.observer.get() {
            observer(&entry);
        }
        if let Some(recorder) = self.recorder.get() {
            let dropped = recorder.push(entry.clone());
            self.metrics.add(Metric::HistoryDropped, dropped);
        }
        self.result_stream.publish(&entry);
    }

    /// All metrics as Prometheus text, the gauges as last sampled.
    #[must_use]
    pub fn prometheus(&self, function: &str) -> String {
        prometheus::text(&self.metrics, function)
    }

    /// Updates the gauges. Reads the ledger, so it blocks; if another call has not returned within [`SAMPLE_TIMEOUT`],
    /// the gauges stay as they are.
    pub fn sample(&self) {
        let sampling = self.is_sampling.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.sampled.wait_timeout_while(sampling, SAMPLE_TIMEOUT, |is_sampling| *is_sampling);
        let (mut is_sampling, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *is_sampling, true) {
            return;
        }
        drop(is_sampling);
        let _ended = Sampling(self);
        self.metrics.set(Metric::MemoryUsed, resident_bytes());
        if let Some(sampler) = self.sampler.get() {
            sampler(&self.metrics);
        }
    }

    fn taken(&self) -> MutexGuard<'_, MetricsSnapshot> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the current interval and returns its measurements, the gauges as last sampled.
    fn take(&self) -> Row {
        self.metrics.take(&mut self.taken())
    }

    /// The measurements of the current interval.
    fn peek(&self) -> Row {
        self.metrics.peek(&self.taken())
    }
}

/// An update of the gauges, until it is dropped.
struct Sampling<'a>(&'a History);

impl Drop for Sampling<'_> {
    fn drop(&mut self) {
        *self.0.is_sampling.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.sampled.notify_all();
    }
}

/// The resident memory of this process in bytes; `None` where the kernel does not report it.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages = text.split(' ').nth(1)?.parse::<u64>().ok()?;
    Some(pages * PAGE_BYTES)
}

/// The kernel's page size, the unit of `statm`.
const PAGE_BYTES: u64 = 4096;
