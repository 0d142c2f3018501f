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
    pub(super) lines: &'static [Line],
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

const P50: Statistic = Percentile(50.0);
const P95: Statistic = Percentile(95.0);
const P99: Statistic = Percentile(99.0);

/// Lines of one statistic, each by its name.
const fn each<const N: usize>(statistic: Statistic, named: [(&'static str, Metric); N]) -> [Line; N] {
    let mut lines = [Line { name: "", metric: Metric::Duration, statistic }; N];
    let mut at = 0;
    while at < N {
        (lines[at].name, lines[at].metric) = named[at];
        at += 1;
    }
    lines
}

const fn sum(metric: Metric) -> [Line; 1] {
    each(Sum, [("Sum", metric)])
}

const fn percentiles(metric: Metric) -> [Line; 3] {
    [
        Line { name: "p50", metric, statistic: P50 },
        Line { name: "p95", metric, statistic: P95 },
        Line { name: "p99", metric, statistic: P99 },
    ]
}

const fn chart(title: &'static str, help: &'static str, unit: Unit, lines: &'static [Line]) -> Chart {
    Chart { title, help, unit, alarming: false, limit: None, lines }
}

impl Chart {
    const fn alarming(self) -> Self {
        Self { alarming: true, ..self }
    }

    const fn under(self, limit: Limit) -> Self {
        Self { limit: Some(limit), ..self }
    }
}

/// Lambda's eight by their exact names, and the memory of the process that does the function's work.
pub(super) const LAMBDA: [Chart; 9] = [
    chart("Duration", "of a call", Milliseconds, &percentiles(Metric::Duration)).under(Limit::Timeout),
    chart("Throttles", "refused with 429", Number, &sum(Metric::Throttles)).alarming(),
    chart(
        "ConcurrentExecutions",
        "calls at once",
        Number,
        &each(Maximum, [("Maximum", Metric::ConcurrentExecutions)]),
    )
    .under(Limit::Concurrency),
    chart("Invocations", "calls", Number, &sum(Metric::Invocations)),
    chart("Errors", "failures and time-outs", Number, &sum(Metric::Errors)).alarming(),
    chart("AsyncEventsReceived", "uploads queued", Number, &sum(Metric::AsyncEventsReceived)),
    chart("AsyncEventsDropped", "moved to the dead letters", Number, &sum(Metric::AsyncEventsDropped))
        .alarming(),
    chart(
        "AsyncEventAge",
        "queued to called",
        Milliseconds,
        &[
            Line { name: "p50", metric: Metric::AsyncEventAge, statistic: P50 },
            Line { name: "Maximum", metric: Metric::AsyncEventAge, statistic: Maximum },
        ],
    )
    .under(Limit::EventAge),
    chart(
        "Memory",
        "of the process, and admitted",
        Bytes,
        &each(
            Maximum,
            [
                ("used", Metric::MemoryUsed),
                ("renders", Metric::RenderMemory),
                ("sources", Metric::SourceMemory),
            ],
        ),
    ),
];

/// This server's own.
pub(super) const MORE: [Chart; 7] = [
    chart(
        "Upload to thumbnail",
        "acknowledged to readable",
        Milliseconds,
        &percentiles(Metric::UploadToThumbnail),
    ),
    chart(
        "Outcomes",
        "of records",
        Number,
        &each(
            Sum,
            [
                ("made", Metric::Made),
                ("up to date", Metric::UpToDate),
                ("ignored", Metric::Ignored),
                ("failed", Metric::Failed),
            ],
        ),
    ),
    chart(
        "Ignored uploads",
        "no trigger takes them",
        Number,
        &each(
            Sum,
            [
                ("bucket", Metric::UploadsIgnoredBucket),
                ("destination", Metric::UploadsIgnoredDestination),
                ("prefix", Metric::UploadsIgnoredPrefix),
                ("suffix", Metric::UploadsIgnoredSuffix),
                ("event type", Metric::UploadsIgnoredEventType),
            ],
        ),
    ),
    chart(
        "Stages",
        "median of each",
        Milliseconds,
        &each(
            P50,
            [
                ("wait", Metric::StageWait),
                ("read", Metric::StageRead),
                ("decode", Metric::StageDecode),
                ("resample", Metric::StageResample),
                ("encode", Metric::StageEncode),
                ("write", Metric::StageWrite),
            ],
        ),
    ),
    chart("Queue", "waiting or running", Number, &each(Maximum, [("depth", Metric::QueueDepth)])),
    chart("Dead letters", "stored", Number, &each(Maximum, [("stored", Metric::DeadLetters)])).alarming(),
    chart(
        "Requests",
        "HTTP API and S3 endpoint",
        Number,
        &each(
            Sum,
            [
                ("API", Metric::ApiRequests),
                ("S3", Metric::S3Requests),
                ("API 4xx", Metric::Api4xxErrors),
                ("API 5xx", Metric::Api5xxErrors),
            ],
        ),
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
    let lines = LAMBDA.iter().chain(&MORE).flat_map(|chart| chart.lines);
    let figures = [Metric::BilledDuration, Metric::SourceBytes, Metric::ThumbnailBytes, Metric::QueueAge];
    lines.map(|line| line.metric).chain(figures).collect()
}
