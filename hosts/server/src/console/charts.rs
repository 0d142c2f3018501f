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
    Metrics(Statistic, &'static [(&'static str, Metric)]),
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

const P50: (&str, Statistic) = ("p50", Percentile(50.0));
const PERCENTILES: &[(&str, Statistic)] = &[P50, ("p95", Percentile(95.0)), ("p99", Percentile(99.0))];

const fn chart(title: &'static str, help: &'static str, unit: Unit, lines: Lines) -> Chart {
    Chart { title, help, unit, alarming: false, limit: None, lines }
}

/// How often something happened.
const fn count(title: &'static str, help: &'static str, metric: Metric) -> Chart {
    chart(title, help, Number, Lines::Statistics(metric, &[("Sum", Sum)]))
}

/// How often each of these happened.
const fn counts(
    title: &'static str,
    help: &'static str,
    metrics: &'static [(&'static str, Metric)],
) -> Chart {
    chart(title, help, Number, Lines::Metrics(Sum, metrics))
}

/// The greatest of each.
const fn highest(
    title: &'static str,
    help: &'static str,
    unit: Unit,
    metrics: &'static [(&'static str, Metric)],
) -> Chart {
    chart(title, help, unit, Lines::Metrics(Maximum, metrics))
}

/// How long something took.
const fn times(
    title: &'static str,
    help: &'static str,
    metric: Metric,
    statistics: &'static [(&'static str, Statistic)],
) -> Chart {
    chart(title, help, Milliseconds, Lines::Statistics(metric, statistics))
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
            Lines::Metrics(statistic, named) => {
                named.iter().map(|&(name, metric)| Line { name, metric, statistic }).collect()
            }
            Lines::Statistics(metric, named) => {
                named.iter().map(|&(name, statistic)| Line { name, metric, statistic }).collect()
            }
        }
    }
}

/// Lambda's eight by their exact names, and the memory of the process that does the function's work.
pub(super) const LAMBDA: [Chart; 9] = [
    times("Duration", "of a call", Metric::Duration, PERCENTILES).under(Limit::Timeout),
    count("Throttles", "refused with 429", Metric::Throttles).alarming(),
    highest("ConcurrentExecutions", "calls at once", Number, &[("Maximum", Metric::ConcurrentExecutions)])
        .under(Limit::Concurrency),
    count("Invocations", "calls", Metric::Invocations),
    count("Errors", "failures and time-outs", Metric::Errors).alarming(),
    count("AsyncEventsReceived", "uploads queued", Metric::AsyncEventsReceived),
    count("AsyncEventsDropped", "moved to the dead letters", Metric::AsyncEventsDropped).alarming(),
    times("AsyncEventAge", "queued to called", Metric::AsyncEventAge, &[P50, ("Maximum", Maximum)])
        .under(Limit::EventAge),
    highest(
        "Memory",
        "of the process, and admitted",
        Bytes,
        &[("used", Metric::MemoryUsed), ("renders", Metric::RenderMemory), ("sources", Metric::SourceMemory)],
    ),
];

/// This server's own.
pub(super) const MORE: [Chart; 7] = [
    times("Upload to thumbnail", "acknowledged to readable", Metric::UploadToThumbnail, PERCENTILES),
    counts(
        "Outcomes",
        "of records",
        &[
            ("made", Metric::Made),
            ("up to date", Metric::UpToDate),
            ("ignored", Metric::Ignored),
            ("failed", Metric::Failed),
        ],
    ),
    counts(
        "Ignored uploads",
        "no trigger takes them",
        &[
            ("bucket", Metric::UploadsIgnoredBucket),
            ("destination", Metric::UploadsIgnoredDestination),
            ("prefix", Metric::UploadsIgnoredPrefix),
            ("suffix", Metric::UploadsIgnoredSuffix),
            ("event type", Metric::UploadsIgnoredEventType),
        ],
    ),
    chart(
        "Stages",
        "median of each",
        Milliseconds,
        Lines::Metrics(
            P50.1,
            &[
                ("wait", Metric::StageWait),
                ("read", Metric::StageRead),
                ("decode", Metric::StageDecode),
                ("resample", Metric::StageResample),
                ("encode", Metric::StageEncode),
                ("write", Metric::StageWrite),
            ],
        ),
    ),
    highest("Queue", "waiting or running", Number, &[("depth", Metric::QueueDepth)]),
    highest("Dead letters", "stored", Number, &[("stored", Metric::DeadLetters)]).alarming(),
    counts(
        "Requests",
        "HTTP API and S3 endpoint",
        &[
            ("API", Metric::ApiRequests),
            ("S3", Metric::S3Requests),
            ("API 4xx", Metric::Api4xxErrors),
            ("API 5xx", Metric::Api5xxErrors),
        ],
    ),
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
