//! The dashboard's charts: the reference's eight first, then what an operator here asks for.

use tintype_telemetry::metrics::Metric;

use crate::{
    admin::Statistic::{self, Maximum, Percentile, Sum},
    settings::Settings,
};

/// A line of a chart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) metric: Metric,
    pub(super) statistic: Statistic,
}

/// The unit of a chart's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Number,
    Milliseconds,
    Bytes,
}

use Lines::{Metrics, Statistics};
use Unit::{Bytes, Milliseconds, Number};

/// A chart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) help: &'static str,
    pub(super) unit: Unit,
    /// Whether any value above zero is an alarm.
    pub(super) alarming: bool,
    /// What limits its values.
    pub(super) limit: Option<Limit>,
    lines: Lines,
}

/// The lines of a chart.
#[derive(Debug, Clone, Copy)]
enum Lines {
    /// One statistic of several metrics, each by its name.
    Metrics(Statistic, Named),
    /// Several statistics of one metric.
    Statistics(Metric, &'static [(&'static str, Statistic)]),
}

/// A limit of the settings that a chart's values are under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// `function.timeout_s`.
    Timeout,
    /// `function.concurrency`, or the cores.
    Concurrency,
    /// `function.max_event_age`.
    EventAge,
}

const SUM: &[(&str, Statistic)] = &[("Sum", Sum)];
const MAXIMUM: (&str, Statistic) = ("Maximum", Maximum);
const P50: (&str, Statistic) = ("p50", Percentile(50.0));
const PERCENTILES: &[(&str, Statistic)] = &[P50, ("p95", Percentile(95.0)), ("p99", Percentile(99.0))];

const fn chart(title: &'static str, help: &'static str, unit: Unit, lines: Lines) -> Chart {
    Chart { title, help, unit, alarming: false, limit: None, lines }
}

impl Chart {
    const fn alarming(self) -> Self {
        Self { alarming: true, ..self }
    }

    const fn under(self, limit: Limit) -> Self {
        Self { limit: Some(limit), ..self }
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        match self.lines {
            Metrics(statistic, named) => {
                named.iter().map(|&(name, metric)| Line { name, metric, statistic }).collect()
            }
            Statistics(metric, named) => {
                named.iter().map(|&(name, statistic)| Line { name, metric, statistic }).collect()
            }
        }
    }
}

/// Lambda's eight by their exact names, and the memory of the process that does the function's work.
pub(super) const LAMBDA: [Chart; 9] = [
    chart("Duration", "of a call", Milliseconds, Statistics(Metric::Duration, PERCENTILES))
        .under(Limit::Timeout),
    chart("Throttles", "refused with 429", Number, Statistics(Metric::Throttles, SUM)).alarming(),
    chart(
        "ConcurrentExecutions",
        "calls at once",
        Number,
        Statistics(Metric::ConcurrentExecutions, &[MAXIMUM]),
    )
    .under(Limit::Concurrency),
    chart("Invocations", "calls", Number, Statistics(Metric::Invocations, SUM)),
    chart("Errors", "failures and time-outs", Number, Statistics(Metric::Errors, SUM)).alarming(),
    chart("AsyncEventsReceived", "uploads queued", Number, Statistics(Metric::AsyncEventsReceived, SUM)),
    chart(
        "AsyncEventsDropped",
        "moved to the dead letters",
        Number,
        Statistics(Metric::AsyncEventsDropped, SUM),
    )
    .alarming(),
    chart(
        "AsyncEventAge",
        "queued to called",
        Milliseconds,
        Statistics(Metric::AsyncEventAge, &[P50, MAXIMUM]),
    )
    .under(Limit::EventAge),
    chart("Memory", "of the process, and admitted", Bytes, Metrics(Maximum, MEMORY)),
];

/// This server's own.
pub(super) const MORE: [Chart; 7] = [
    chart(
        "Upload to thumbnail",
        "acknowledged to readable",
        Milliseconds,
        Statistics(Metric::UploadToThumbnail, PERCENTILES),
    ),
    chart("Outcomes", "of records", Number, Metrics(Sum, OUTCOMES)),
    chart("Ignored uploads", "no trigger takes them", Number, Metrics(Sum, IGNORED)),
    chart("Stages", "median of each", Milliseconds, Metrics(P50.1, STAGES)),
    chart("Queue", "waiting or running", Number, Metrics(Maximum, &[("depth", Metric::QueueDepth)])),
    chart("Dead letters", "stored", Number, Metrics(Maximum, &[("stored", Metric::DeadLetters)])).alarming(),
    chart("Requests", "HTTP API and S3 endpoint", Number, Metrics(Sum, REQUESTS)),
];

/// Metrics of one chart, each by its name.
type Named = &'static [(&'static str, Metric)];

const MEMORY: Named =
    &[("used", Metric::MemoryUsed), ("renders", Metric::RenderMemory), ("sources", Metric::SourceMemory)];
const OUTCOMES: Named = &[
    ("made", Metric::Made),
    ("up to date", Metric::UpToDate),
    ("ignored", Metric::Ignored),
    ("failed", Metric::Failed),
];
const IGNORED: Named = &[
    ("bucket", Metric::UploadsIgnoredBucket),
    ("destination", Metric::UploadsIgnoredDestination),
    ("prefix", Metric::UploadsIgnoredPrefix),
    ("suffix", Metric::UploadsIgnoredSuffix),
    ("event type", Metric::UploadsIgnoredEventType),
];
const STAGES: Named = &[
    ("wait", Metric::StageWait),
    ("read", Metric::StageRead),
    ("decode", Metric::StageDecode),
    ("resample", Metric::StageResample),
    ("encode", Metric::StageEncode),
    ("write", Metric::StageWrite),
];
const REQUESTS: Named = &[
    ("API", Metric::ApiRequests),
    ("S3", Metric::S3Requests),
    ("API 4xx", Metric::Api4xxErrors),
    ("API 5xx", Metric::Api5xxErrors),
];

impl Limit {
    /// Its value in the chart's unit, and its name.
    pub(super) fn of(self, settings: &Settings) -> (f64, &'static str) {
        let function = &settings.function;
        match self {
            Self::Timeout => (function.timeout.as_secs_f64() * 1e3, "time-out"),
            Self::EventAge => (function.max_event_age.as_secs_f64() * 1e3, "dead letter after"),
            Self::Concurrency => {
                let cores = || std::thread::available_parallelism().map_or(1, usize::from);
                let workers = if function.concurrency == 0 { cores() } else { function.concurrency };
                (workers as f64, "workers")
            }
        }
    }
}

/// Every metric of the charts and of the figures above them.
pub(super) fn metrics() -> Vec<Metric> {
    let lines = LAMBDA.iter().chain(&MORE).flat_map(Chart::lines);
    let figures = [Metric::BilledDuration, Metric::SourceBytes, Metric::ThumbnailBytes, Metric::QueueAge];
    lines.map(|line| line.metric).chain(figures).collect()
}
