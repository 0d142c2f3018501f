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

const fn line(name: &'static str, metric: Metric, statistic: Statistic) -> Line {
    Line { name, metric, statistic }
}

const P50: Statistic = Percentile(50.0);
const P95: Statistic = Percentile(95.0);
const P99: Statistic = Percentile(99.0);

const fn chart(title: &'static str, help: &'static str, unit: Unit, lines: &'static [Line]) -> Chart {
    Chart { title, help, unit, alarming: false, limit: None, lines }
}

const fn alarm(title: &'static str, help: &'static str, lines: &'static [Line]) -> Chart {
    Chart { title, help, unit: Unit::Number, alarming: true, limit: None, lines }
}

/// The same, under a limit.
const fn limited(limit: Limit, chart: Chart) -> Chart {
    Chart { limit: Some(limit), ..chart }
}

/// Lambda's eight by their exact names, and the memory of the process that does the function's work.
pub(super) const LAMBDA: [Chart; 9] = [
    limited(
        Limit::Timeout,
        chart(
            "Duration",
            "of a call",
            Unit::Milliseconds,
            &[
                line("p50", Metric::Duration, P50),
                line("p95", Metric::Duration, P95),
                line("p99", Metric::Duration, P99),
            ],
        ),
    ),
    alarm("Throttles", "refused with 429", &[line("Sum", Metric::Throttles, Sum)]),
    limited(
        Limit::Concurrency,
        chart(
            "ConcurrentExecutions",
            "calls at once",
            Unit::Number,
            &[line("Maximum", Metric::ConcurrentExecutions, Maximum)],
        ),
    ),
    chart("Invocations", "calls", Unit::Number, &[line("Sum", Metric::Invocations, Sum)]),
    alarm("Errors", "failures and time-outs", &[line("Sum", Metric::Errors, Sum)]),
    chart(
        "AsyncEventsReceived",
        "uploads queued",
        Unit::Number,
        &[line("Sum", Metric::AsyncEventsReceived, Sum)],
    ),
    alarm("AsyncEventsDropped", "moved to the dead letters", &[line("Sum", Metric::AsyncEventsDropped, Sum)]),
    limited(
        Limit::EventAge,
        chart(
            "AsyncEventAge",
            "queued to called",
            Unit::Milliseconds,
            &[line("p50", Metric::AsyncEventAge, P50), line("Maximum", Metric::AsyncEventAge, Maximum)],
        ),
    ),
    chart(
        "Memory",
        "of the process, and admitted",
        Unit::Bytes,
        &[
            line("used", Metric::MemoryUsed, Maximum),
            line("renders", Metric::RenderMemory, Maximum),
            line("sources", Metric::SourceMemory, Maximum),
        ],
    ),
];

/// This server's own.
pub(super) const MORE: [Chart; 6] = [
    chart(
        "Upload to thumbnail",
        "acknowledged to readable",
        Unit::Milliseconds,
        &[
            line("p50", Metric::UploadToThumbnail, P50),
            line("p95", Metric::UploadToThumbnail, P95),
            line("p99", Metric::UploadToThumbnail, P99),
        ],
    ),
    chart(
        "Outcomes",
        "of records",
        Unit::Number,
        &[
            line("made", Metric::Made, Sum),
            line("up to date", Metric::UpToDate, Sum),
            line("ignored", Metric::Ignored, Sum),
            line("failed", Metric::Failed, Sum),
        ],
    ),
    chart(
        "Stages",
        "median of each",
        Unit::Milliseconds,
        &[
            line("wait", Metric::StageWait, P50),
            line("read", Metric::StageRead, P50),
            line("decode", Metric::StageDecode, P50),
            line("resample", Metric::StageResample, P50),
            line("encode", Metric::StageEncode, P50),
            line("write", Metric::StageWrite, P50),
        ],
    ),
    chart("Queue", "waiting or running", Unit::Number, &[line("depth", Metric::QueueDepth, Maximum)]),
    alarm("Dead letters", "stored", &[line("stored", Metric::DeadLetters, Maximum)]),
    chart(
        "Requests",
        "HTTP API and S3 endpoint",
        Unit::Number,
        &[
            line("API", Metric::ApiRequests, Sum),
            line("S3", Metric::S3Requests, Sum),
            line("API 4xx", Metric::Api4xxErrors, Sum),
            line("API 5xx", Metric::Api5xxErrors, Sum),
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
    let lines = LAMBDA.iter().chain(&MORE).flat_map(|chart| chart.lines);
    let figures = [Metric::BilledDuration, Metric::SourceBytes, Metric::ThumbnailBytes, Metric::QueueAge];
    lines.map(|line| line.metric).chain(figures).collect()
}
