//! Every metric there is: name, kind, unit, meaning.

use crate::{Ignored, Reason};

/// What a metric counts in, outside; inside, times are microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// CloudWatch's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Milliseconds => "Milliseconds",
            Self::Bytes => "Bytes",
        }
    }
}

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises; an interval's value is by how much.
    Counter,
    /// Is what it is at the moment of looking.
    Gauge,
    /// Has a value each time, and percentiles.
    Distribution,
}

/// A metric described.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// Its name in queries, on the page and in CloudWatch.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it counts in.
    pub unit: Unit,
    /// Its family in Prometheus's text; empty if that has it by other labels.
    pub family: &'static str,
    /// Its labels there.
    pub labels: &'static str,
    /// What it means.
    pub help: &'static str,
}

/// The metrics. Their numbers are written to disk: a new one goes to the end of its kind, and the file's
/// format is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Metric {
    /// Times the function was called.
    Invocations,
    /// Calls that ended in an error or a time-out.
    Errors,
    /// Synchronous requests refused with 429.
    Throttles,
    /// Events queued.
    AsyncEventsReceived,
    /// Events given up as dead letters.
    AsyncEventsDropped,
    /// Dead letters that could not be written; the event is then due again.
    DeadLetterErrors,
    /// Calls ignored because the object is itself a thumbnail.
    RecursiveInvocationsDropped,
    /// Milliseconds Lambda would bill: each call's duration, rounded up.
    BilledDuration,
    /// Records by what became of them.
    Made,
    /// Records whose thumbnails were there already.
    UpToDate,
    /// Records whose thumbnails were removed with their source.
    Removed,
    /// Records with nothing to do.
    Ignored,
    /// Records that could not be done, each attempt counted.
    Failed,
    /// Records that failed: malformed.
    FailedMalformed,
    /// Records that failed: unsupported.
    FailedUnsupported,
    /// Records that failed: too_large.
    FailedTooLarge,
    /// Records that failed: key_too_long.
    FailedKeyTooLong,
    /// Records that failed: missing.
    FailedMissing,
    /// Records that failed: collision.
    FailedCollision,
    /// Records that failed: bad_event.
    FailedBadEvent,
    /// Records that failed: denied.
    FailedDenied,
    /// Records that failed: damaged.
    FailedDamaged,
    /// Records that failed: stopped.
    FailedStopped,
    /// Records that failed: unavailable.
    FailedUnavailable,
    /// Records that failed: contended.
    FailedContended,
    /// Records that failed: internal.
    FailedInternal,
    /// Records with nothing to do, by why.
    IgnoredNoTrigger,
    /// Records with nothing to do, by why.
    IgnoredThumbnail,
    /// Records with nothing to do, by why.
    IgnoredFolderMarker,
    /// Records with nothing to do, by why.
    IgnoredNothingToRemove,
    /// Bytes of sources read for thumbnails that were made.
    SourceBytes,
    /// Bytes of thumbnails written.
    ThumbnailBytes,
    /// Results not kept in the history, because its disk was full or too slow.
    HistoryDropped,
    /// Requests to the HTTP API.
    ApiRequests,
    /// Of these, answered 4xx.
    Api4xxErrors,
    /// Of these, answered 5xx.
    Api5xxErrors,
    /// Requests to the S3 endpoint.
    S3Requests,
    /// Of these, answered 4xx.
    S34xxErrors,
    /// Of these, answered 5xx.
    S35xxErrors,
    /// Calls under way; in statistics, the most at once.
    ConcurrentExecutions,
    /// Events waiting or under way.
    QueueDepth,
    /// Age of the oldest event waiting or under way.
    QueueAge,
    /// Dead letters kept.
    DeadLetters,
    /// Resident memory of the process.
    MemoryUsed,
    /// Bytes admitted for sources.
    SourceMemory,
    /// Bytes admitted for renders.
    RenderMemory,
    /// Milliseconds a call took.
    Duration,
    /// Milliseconds from queued to called.
    AsyncEventAge,
    /// Milliseconds from an upload acknowledged to its thumbnail readable.
    UploadToThumbnail,
    /// Milliseconds a thumbnail spent in each stage.
    StageWait,
    /// Milliseconds a thumbnail's source took to be read.
    StageRead,
    /// Milliseconds of decoding.
    StageDecode,
    /// Milliseconds of resampling.
    StageResample,
    /// Milliseconds of encoding.
    StageEncode,
    /// Milliseconds of writing the thumbnails.
    StageWrite,
    /// Milliseconds to answer a request to the HTTP API.
    ApiLatency,
    /// Milliseconds to answer a request to the S3 endpoint.
    S3Latency,
}

const fn definition(
    name: &'static str,
    kind: Kind,
    unit: Unit,
    (family, labels): (&'static str, &'static str),
    help: &'static str,
) -> Definition {
    Definition { name, kind, unit, family, labels, help }
}

use Kind::{Counter, Distribution, Gauge};
use Unit::{Bytes, Count, Milliseconds};

const DEFINITIONS: [Definition; Metric::COUNT] = [
    definition("Invocations", Counter, Count, ("Invocations", ""), "Times the function was called."),
    definition("Errors", Counter, Count, ("Errors", ""), "Calls that ended in an error or a time-out."),
    definition("Throttles", Counter, Count, ("Throttles", ""), "Synchronous requests refused with 429."),
    definition("AsyncEventsReceived", Counter, Count, ("AsyncEventsReceived", ""), "Events queued."),
    definition(
        "AsyncEventsDropped",
        Counter,
        Count,
        ("AsyncEventsDropped", ""),
        "Events given up as dead letters.",
    ),
    definition(
        "DeadLetterErrors",
        Counter,
        Count,
        ("DeadLetterErrors", ""),
        "Dead letters that could not be written; the event is then due again.",
    ),
    definition(
        "RecursiveInvocationsDropped",
        Counter,
        Count,
        ("RecursiveInvocationsDropped", ""),
        "Calls ignored because the object is itself a thumbnail.",
    ),
    definition(
        "BilledDuration",
        Counter,
        Milliseconds,
        ("tintype_billed_milliseconds_total", ""),
        "Milliseconds Lambda would bill: each call's duration, rounded up.",
    ),
    definition(
        "Made",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"made\""),
        "Records by what became of them.",
    ),
    definition(
        "UpToDate",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"up_to_date\""),
        "Records whose thumbnails were there already.",
    ),
    definition(
        "Removed",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"removed\""),
        "Records whose thumbnails were removed with their source.",
    ),
    definition(
        "Ignored",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"ignored\""),
        "Records with nothing to do.",
    ),
    definition("Failed", Counter, Count, ("", ""), "Records that could not be done, each attempt counted."),
    definition(
        "FailedMalformed",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"failed\",reason=\"malformed\""),
        "Records that failed: malformed.",
    ),
    definition(
        "FailedUnsupported",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"failed\",reason=\"unsupported\""),
        "Records that failed: unsupported.",
    ),
    definition(
        "FailedTooLarge",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"failed\",reason=\"too_large\""),
        "Records that failed: too_large.",
    ),
    definition(
        "FailedKeyTooLong",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"failed\",reason=\"key_too_long\""),
        "Records that failed: key_too_long.",
    ),
    definition(
        "FailedMissing",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"failed\",reason=\"missing\""),
        "Records that failed: missing.",
    ),
    definition(
        "FailedCollision",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"failed\",reason=\"collision\""),
        "Records that failed: collision.",
    ),
    definition(
        "FailedBadEvent",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"failed\",reason=\"bad_event\""),
        "Records that failed: bad_event.",
    ),
    definition(
        "FailedDenied",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"failed\",reason=\"denied\""),
        "Records that failed: denied.",
    ),
    definition(
        "FailedDamaged",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"failed\",reason=\"damaged\""),
        "Records that failed: damaged.",
    ),
    definition(
        "FailedStopped",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"failed\",reason=\"stopped\""),
        "Records that failed: stopped.",
    ),
    definition(
        "FailedUnavailable",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"failed\",reason=\"unavailable\""),
        "Records that failed: unavailable.",
    ),
    definition(
        "FailedContended",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"failed\",reason=\"contended\""),
        "Records that failed: contended.",
    ),
    definition(
        "FailedInternal",
        Counter,
        Count,
        ("tintype_outcomes_total", "outcome=\"failed\",reason=\"internal\""),
        "Records that failed: internal.",
    ),
    definition(
        "IgnoredNoTrigger",
        Counter,
        Count,
        ("tintype_ignored_total", "reason=\"no_trigger\""),
        "Records with nothing to do, by why.",
    ),
    definition(
        "IgnoredThumbnail",
        Counter,
        Count,
        ("tintype_ignored_total", "reason=\"thumbnail\""),
        "Records with nothing to do, by why.",
    ),
    definition(
        "IgnoredFolderMarker",
        Counter,
        Count,
        ("tintype_ignored_total", "reason=\"folder_marker\""),
        "Records with nothing to do, by why.",
    ),
    definition(
        "IgnoredNothingToRemove",
        Counter,
        Count,
        ("tintype_ignored_total", "reason=\"nothing_to_remove\""),
        "Records with nothing to do, by why.",
    ),
    definition(
        "SourceBytes",
        Counter,
        Bytes,
        ("tintype_source_bytes_total", ""),
        "Bytes of sources read for thumbnails that were made.",
    ),
    definition(
        "ThumbnailBytes",
        Counter,
        Bytes,
        ("tintype_thumbnail_bytes_total", ""),
        "Bytes of thumbnails written.",
    ),
    definition(
        "HistoryDropped",
        Counter,
        Count,
        ("tintype_history_dropped_total", ""),
        "Results not kept in the history, because its disk was full or too slow.",
    ),
    definition("ApiRequests", Counter, Count, ("", ""), "Requests to the HTTP API."),
    definition("Api4xxErrors", Counter, Count, ("", ""), "Of these, answered 4xx."),
    definition("Api5xxErrors", Counter, Count, ("", ""), "Of these, answered 5xx."),
    definition("S3Requests", Counter, Count, ("", ""), "Requests to the S3 endpoint."),
    definition("S34xxErrors", Counter, Count, ("", ""), "Of these, answered 4xx."),
    definition("S35xxErrors", Counter, Count, ("", ""), "Of these, answered 5xx."),
    definition(
        "ConcurrentExecutions",
        Gauge,
        Count,
        ("ConcurrentExecutions", ""),
        "Calls under way; in statistics, the most at once.",
    ),
    definition("QueueDepth", Gauge, Count, ("tintype_queue_depth", ""), "Events waiting or under way."),
    definition(
        "QueueAge",
        Gauge,
        Milliseconds,
        ("tintype_queue_age_milliseconds", ""),
        "Age of the oldest event waiting or under way.",
    ),
    definition("DeadLetters", Gauge, Count, ("tintype_dead_letters", ""), "Dead letters kept."),
    definition(
        "MemoryUsed",
        Gauge,
        Bytes,
        ("tintype_memory_used_bytes", ""),
        "Resident memory of the process.",
    ),
    definition(
        "SourceMemory",
        Gauge,
        Bytes,
        ("tintype_source_memory_bytes", ""),
        "Bytes admitted for sources.",
    ),
    definition(
        "RenderMemory",
        Gauge,
        Bytes,
        ("tintype_render_memory_bytes", ""),
        "Bytes admitted for renders.",
    ),
    definition("Duration", Distribution, Milliseconds, ("Duration", ""), "Milliseconds a call took."),
    definition(
        "AsyncEventAge",
        Distribution,
        Milliseconds,
        ("AsyncEventAge", ""),
        "Milliseconds from queued to called.",
    ),
    definition(
        "UploadToThumbnail",
        Distribution,
        Milliseconds,
        ("tintype_upload_to_thumbnail_milliseconds", ""),
        "Milliseconds from an upload acknowledged to its thumbnail readable.",
    ),
    definition(
        "StageWait",
        Distribution,
        Milliseconds,
        ("tintype_stage_milliseconds", "stage=\"wait\""),
        "Milliseconds a thumbnail spent in each stage.",
    ),
    definition(
        "StageRead",
        Distribution,
        Milliseconds,
        ("tintype_stage_milliseconds", "stage=\"read\""),
        "Milliseconds a thumbnail's source took to be read.",
    ),
    definition(
        "StageDecode",
        Distribution,
        Milliseconds,
        ("tintype_stage_milliseconds", "stage=\"decode\""),
        "Milliseconds of decoding.",
    ),
    definition(
        "StageResample",
        Distribution,
        Milliseconds,
        ("tintype_stage_milliseconds", "stage=\"resample\""),
        "Milliseconds of resampling.",
    ),
    definition(
        "StageEncode",
        Distribution,
        Milliseconds,
        ("tintype_stage_milliseconds", "stage=\"encode\""),
        "Milliseconds of encoding.",
    ),
    definition(
        "StageWrite",
        Distribution,
        Milliseconds,
        ("tintype_stage_milliseconds", "stage=\"write\""),
        "Milliseconds of writing the thumbnails.",
    ),
    definition(
        "ApiLatency",
        Distribution,
        Milliseconds,
        ("tintype_api_milliseconds", ""),
        "Milliseconds to answer a request to the HTTP API.",
    ),
    definition(
        "S3Latency",
        Distribution,
        Milliseconds,
        ("tintype_s3_milliseconds", ""),
        "Milliseconds to answer a request to the S3 endpoint.",
    ),
];

impl Metric {
    /// How many there are.
    pub const COUNT: usize = 57;
    /// From here on they are distributions.
    pub(super) const FIRST_DISTRIBUTION: Self = Self::Duration;
    /// Those of the stages of a thumbnail, in order.
    pub const STAGES: [Self; 6] = [
        Self::StageWait,
        Self::StageRead,
        Self::StageDecode,
        Self::StageResample,
        Self::StageEncode,
        Self::StageWrite,
    ];
    /// Every metric, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Invocations,
        Self::Errors,
        Self::Throttles,
        Self::AsyncEventsReceived,
        Self::AsyncEventsDropped,
        Self::DeadLetterErrors,
        Self::RecursiveInvocationsDropped,
        Self::BilledDuration,
        Self::Made,
        Self::UpToDate,
        Self::Removed,
        Self::Ignored,
        Self::Failed,
        Self::FailedMalformed,
        Self::FailedUnsupported,
        Self::FailedTooLarge,
        Self::FailedKeyTooLong,
        Self::FailedMissing,
        Self::FailedCollision,
        Self::FailedBadEvent,
        Self::FailedDenied,
        Self::FailedDamaged,
        Self::FailedStopped,
        Self::FailedUnavailable,
        Self::FailedContended,
        Self::FailedInternal,
        Self::IgnoredNoTrigger,
        Self::IgnoredThumbnail,
        Self::IgnoredFolderMarker,
        Self::IgnoredNothingToRemove,
        Self::SourceBytes,
        Self::ThumbnailBytes,
        Self::HistoryDropped,
        Self::ApiRequests,
        Self::Api4xxErrors,
        Self::Api5xxErrors,
        Self::S3Requests,
        Self::S34xxErrors,
        Self::S35xxErrors,
        Self::ConcurrentExecutions,
        Self::QueueDepth,
        Self::QueueAge,
        Self::DeadLetters,
        Self::MemoryUsed,
        Self::SourceMemory,
        Self::RenderMemory,
        Self::Duration,
        Self::AsyncEventAge,
        Self::UploadToThumbnail,
        Self::StageWait,
        Self::StageRead,
        Self::StageDecode,
        Self::StageResample,
        Self::StageEncode,
        Self::StageWrite,
        Self::ApiLatency,
        Self::S3Latency,
    ];

    /// What it is.
    #[must_use]
    pub const fn definition(self) -> &'static Definition {
        &DEFINITIONS[self as usize]
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.definition().name
    }

    /// How it behaves.
    #[must_use]
    pub const fn kind(self) -> Kind {
        self.definition().kind
    }

    /// What it counts in.
    #[must_use]
    pub const fn unit(self) -> Unit {
        self.definition().unit
    }

    /// A value in its unit, from the base unit.
    #[must_use]
    pub fn in_unit(self, value: f64) -> f64 {
        // The billed duration is the one time that is counted in whole milliseconds.
        if matches!(self.unit(), Milliseconds) && !matches!(self.kind(), Counter) {
            value / 1e3
        } else {
            value
        }
    }

    /// By its number on disk.
    #[must_use]
    pub fn by_code(code: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// By its name, however written.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name().eq_ignore_ascii_case(name))
    }

    /// The counter of a class of failures.
    #[must_use]
    pub const fn failed(reason: Reason) -> Self {
        match reason {
            Reason::Malformed => Self::FailedMalformed,
            Reason::Unsupported => Self::FailedUnsupported,
            Reason::TooLarge => Self::FailedTooLarge,
            Reason::KeyTooLong => Self::FailedKeyTooLong,
            Reason::Missing => Self::FailedMissing,
            Reason::Collision => Self::FailedCollision,
            Reason::BadEvent => Self::FailedBadEvent,
            Reason::Denied => Self::FailedDenied,
            Reason::Damaged => Self::FailedDamaged,
            Reason::Stopped => Self::FailedStopped,
            Reason::Unavailable => Self::FailedUnavailable,
            Reason::Contended => Self::FailedContended,
            Reason::Internal => Self::FailedInternal,
        }
    }

    /// The counter of a reason to do nothing.
    #[must_use]
    pub const fn ignored(why: Ignored) -> Self {
        match why {
            Ignored::NoTrigger => Self::IgnoredNoTrigger,
            Ignored::Thumbnail => Self::IgnoredThumbnail,
            Ignored::FolderMarker => Self::IgnoredFolderMarker,
            Ignored::NothingToRemove => Self::IgnoredNothingToRemove,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_kinds_agree() {
        for (index, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, index);
            assert_eq!(metric.name(), format!("{metric:?}"));
            assert_eq!(Metric::by_name(&metric.name().to_lowercase()), Some(metric));
            assert_eq!(metric.kind() == Distribution, metric >= Metric::FIRST_DISTRIBUTION);
        }
        for reason in Reason::ALL {
            let labels = Metric::failed(reason).definition().labels;
            assert!(labels.ends_with(&format!("reason=\"{}\"", reason.name())), "{labels}");
        }
    }
}
