//! The catalogue of metrics: name, kind, unit, meaning.

use tintype_pipeline::{Ignored, Reason, Unmatched};

/// The unit of a metric where it is rendered; internally, times are microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of items.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// Its name in CloudWatch.
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
    /// Only rises; an interval's value is the increase.
    Counter,
    /// A current value.
    Gauge,
    /// A value for each event, with percentiles.
    Distribution,
}

/// The definition of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// Its name in queries, on the page and in CloudWatch.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its unit.
    pub unit: Unit,
    /// Its family in Prometheus's text; empty if other metrics cover it there.
    pub family: &'static str,
    /// Its labels there.
    pub labels: &'static str,
    /// Its meaning.
    pub help: &'static str,
}

use Kind::{Counter, Distribution, Gauge};
use Unit::{Bytes, Count, Milliseconds};

/// One row a metric: name, kind, unit, family and labels in Prometheus's text, meaning.
macro_rules! metrics {
    ($($name:ident, $kind:ident, $unit:ident, $family:literal, $labels:literal, $help:literal;)*) => {
        /// The metrics. Their numbers are on disk for 15 days: new ones go to the end; changing another number requires
        /// a new layout version, the digit in the names of the tables in the server's `history/series`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Metric {
            $(#[doc = $help] $name,)*
        }

        impl Metric {
            /// Every metric, in order.
            pub const ALL: [Self; [$(stringify!($name)),*].len()] = [$(Self::$name),*];
        }

        const DEFINITIONS: [Definition; Metric::COUNT] = [$(Definition {
            name: stringify!($name),
            kind: $kind,
            unit: $unit,
            family: $family,
            labels: $labels,
            help: $help,
        }),*];
    };
}

metrics! {
    Invocations, Counter, Count, "Invocations", "", "Times the function was called.";
    Errors, Counter, Count, "Errors", "", "Calls that ended in an error or a time-out.";
    Throttles, Counter, Count, "Throttles", "", "Synchronous requests refused with 429.";
    AsyncEventsReceived, Counter, Count, "AsyncEventsReceived", "", "Events queued.";
    AsyncEventsDropped, Counter, Count, "AsyncEventsDropped", "", "Events moved to the dead-letter queue.";
    DeadLetterErrors, Counter, Count, "DeadLetterErrors", "", "Dead letters that could not be written; the event is then due again.";
    RecursiveInvocationsDropped, Counter, Count, "RecursiveInvocationsDropped", "", "Calls ignored because the object is itself a thumbnail.";
    BilledDuration, Counter, Milliseconds, "tintype_billed_milliseconds_total", "", "Milliseconds Lambda would bill: each call's duration, rounded up.";
    Made, Counter, Count, "tintype_outcomes_total", "outcome=\"made\"", "Records by outcome.";
    UpToDate, Counter, Count, "tintype_outcomes_total", "outcome=\"up_to_date\"", "Records whose thumbnails were there already.";
    Removed, Counter, Count, "tintype_outcomes_total", "outcome=\"removed\"", "Records whose thumbnails were removed with their source.";
    Ignored, Counter, Count, "tintype_outcomes_total", "outcome=\"ignored\"", "Records with nothing to do.";
    Failed, Counter, Count, "", "", "Records that could not be done, each attempt counted.";
    FailedMalformed, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"malformed\"", "Records that failed: malformed.";
    FailedUnsupported, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"unsupported\"", "Records that failed: unsupported.";
    FailedTooLarge, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"too_large\"", "Records that failed: too_large.";
    FailedKeyTooLong, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"key_too_long\"", "Records that failed: key_too_long.";
    FailedMissing, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"missing\"", "Records that failed: missing.";
    FailedCollision, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"collision\"", "Records that failed: collision.";
    FailedBadEvent, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"bad_event\"", "Records that failed: bad_event.";
    FailedDenied, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"denied\"", "Records that failed: denied.";
    FailedDamaged, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"damaged\"", "Records that failed: damaged.";
    FailedStopped, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"stopped\"", "Records that failed: stopped.";
    FailedUnavailable, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"unavailable\"", "Records that failed: unavailable.";
    FailedContended, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"contended\"", "Records that failed: contended.";
    FailedInternal, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"internal\"", "Records that failed: internal.";
    IgnoredNoTrigger, Counter, Count, "tintype_ignored_total", "reason=\"no_trigger\"", "Records with nothing to do, by why.";
    IgnoredThumbnail, Counter, Count, "tintype_ignored_total", "reason=\"thumbnail\"", "Records with nothing to do, by why.";
    IgnoredFolderMarker, Counter, Count, "tintype_ignored_total", "reason=\"folder_marker\"", "Records with nothing to do, by why.";
    IgnoredNothingToRemove, Counter, Count, "tintype_ignored_total", "reason=\"nothing_to_remove\"", "Records with nothing to do, by why.";
    SourceBytes, Counter, Bytes, "tintype_source_bytes_total", "", "Bytes of sources read for rendered thumbnails.";
    ThumbnailBytes, Counter, Bytes, "tintype_thumbnail_bytes_total", "", "Bytes of thumbnails written.";
    DeadLettersDropped, Counter, Count, "tintype_dead_letters_dropped_total", "", "Dead letters dropped because there were too many or they were too old (dead_letters.max_count, max_age).";
    HistoryDropped, Counter, Count, "tintype_history_dropped_total", "", "Results not stored in the history, because its disk was full or too slow.";
    ApiRequests, Counter, Count, "", "", "Requests to the HTTP API.";
    Api4xxErrors, Counter, Count, "tintype_request_errors_total", "door=\"api\",class=\"4xx\"", "Requests answered 4xx, by endpoint.";
    Api5xxErrors, Counter, Count, "tintype_request_errors_total", "door=\"api\",class=\"5xx\"", "Requests answered 5xx, by endpoint.";
    S3Requests, Counter, Count, "", "", "Requests to the S3 endpoint.";
    S34xxErrors, Counter, Count, "tintype_request_errors_total", "door=\"s3\",class=\"4xx\"", "Requests answered 4xx, by endpoint.";
    S35xxErrors, Counter, Count, "tintype_request_errors_total", "door=\"s3\",class=\"5xx\"", "Requests answered 5xx, by endpoint.";
    ConcurrentExecutions, Gauge, Count, "ConcurrentExecutions", "", "Calls under way; in statistics, the most at once.";
    QueueDepth, Gauge, Count, "tintype_queue_depth", "", "Events waiting or under way; of a worker, of those at its broker that no worker has yet; no sample if the ledger or the broker cannot be read.";
    QueueAge, Gauge, Milliseconds, "tintype_queue_age_milliseconds", "", "Age of the oldest event waiting or under way, but for maintenance; of a worker, of those at its broker that no worker has yet; no sample if the ledger or the broker cannot be read, nor of SQS.";
    DeadLetters, Gauge, Count, "tintype_dead_letters", "", "Dead letters stored; no sample if the ledger cannot be read.";
    MemoryUsed, Gauge, Bytes, "tintype_memory_used_bytes", "", "Resident memory of the process.";
    SourceMemory, Gauge, Bytes, "tintype_source_memory_bytes", "", "Bytes admitted for sources.";
    RenderMemory, Gauge, Bytes, "tintype_render_memory_bytes", "", "Bytes admitted for renders.";
    Duration, Distribution, Milliseconds, "Duration", "", "Milliseconds a call took.";
    AsyncEventAge, Distribution, Milliseconds, "AsyncEventAge", "", "Milliseconds from queued to called.";
    UploadToThumbnail, Distribution, Milliseconds, "tintype_upload_to_thumbnail_milliseconds", "", "Milliseconds from an upload acknowledged to its thumbnail readable.";
    StageWait, Distribution, Milliseconds, "tintype_stage_milliseconds", "stage=\"wait\"", "Milliseconds a thumbnail spent in each stage.";
    StageRead, Distribution, Milliseconds, "tintype_stage_milliseconds", "stage=\"read\"", "Milliseconds a thumbnail's source took to be read.";
    StageDecode, Distribution, Milliseconds, "tintype_stage_milliseconds", "stage=\"decode\"", "Milliseconds of decoding.";
    StageResample, Distribution, Milliseconds, "tintype_stage_milliseconds", "stage=\"resample\"", "Milliseconds of resampling.";
    StageEncode, Distribution, Milliseconds, "tintype_stage_milliseconds", "stage=\"encode\"", "Milliseconds of encoding.";
    StageWrite, Distribution, Milliseconds, "tintype_stage_milliseconds", "stage=\"write\"", "Milliseconds of writing the thumbnails.";
    ApiLatency, Distribution, Milliseconds, "tintype_api_milliseconds", "", "Milliseconds to answer a request to the HTTP API.";
    S3Latency, Distribution, Milliseconds, "tintype_s3_milliseconds", "", "Milliseconds to answer a request to the S3 endpoint.";
    DiskFree, Gauge, Bytes, "tintype_disk_free_bytes", "", "Bytes the server may still take of the data folder's volume; no sample if they cannot be read.";
    DiskTotal, Gauge, Bytes, "tintype_disk_total_bytes", "", "Size of the data folder's volume; no sample if it cannot be read.";
    FailedArchived, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"archived\"", "Records that failed: archived.";
    FailedKeyRefused, Counter, Count, "tintype_outcomes_total", "outcome=\"failed\",reason=\"key_refused\"", "Records that failed: key_refused.";
    IgnoredEventType, Counter, Count, "tintype_ignored_total", "reason=\"event_type\"", "Records with nothing to do, by why.";
    ConditionalWritesIgnored, Gauge, Count, "tintype_conditional_writes_ignored", "", "1 if the store of a worker ignores conditions on writes, or 0.";
    NotificationsSent, Counter, Count, "tintype_notifications_total", "result=\"sent\"", "Attempts to send bucket events to the targets of the settings, by result.";
    NotificationsFailed, Counter, Count, "tintype_notifications_total", "result=\"failed\"", "Attempts to send bucket events to the targets of the settings, by result.";
    NotificationsDropped, Counter, Count, "tintype_notifications_dropped_total", "", "Bucket events dropped unsent, because more waited than notify.max_waiting, or their target is gone from the settings.";
    NotificationsWaiting, Gauge, Count, "tintype_notifications_waiting", "", "Bucket events that wait to be sent; no sample if the ledger cannot be read.";
    NotificationsAge, Gauge, Milliseconds, "tintype_notifications_age_milliseconds", "", "Age of the oldest bucket event that waits to be sent; no sample if the ledger cannot be read.";
    UploadsIgnoredBucket, Counter, Count, "tintype_uploads_ignored_total", "reason=\"bucket\"", "Uploads that no trigger takes, by why.";
    UploadsIgnoredDestination, Counter, Count, "tintype_uploads_ignored_total", "reason=\"destination\"", "Uploads that no trigger takes, by why.";
    UploadsIgnoredPrefix, Counter, Count, "tintype_uploads_ignored_total", "reason=\"prefix\"", "Uploads that no trigger takes, by why.";
    UploadsIgnoredSuffix, Counter, Count, "tintype_uploads_ignored_total", "reason=\"suffix\"", "Uploads that no trigger takes, by why.";
    UploadsIgnoredEventType, Counter, Count, "tintype_uploads_ignored_total", "reason=\"event_type\"", "Uploads that no trigger takes, by why.";
    AltTextWritten, Counter, Count, "tintype_alt_text_total", "result=\"written\"", "Attempts to have a model describe an image, by result.";
    AltTextFailed, Counter, Count, "tintype_alt_text_total", "result=\"failed\"", "Attempts to have a model describe an image, by result.";
    AltTextInputTokens, Counter, Count, "tintype_alt_text_tokens_total", "direction=\"input\"", "Tokens that describing images took, of requests and of answers.";
    AltTextOutputTokens, Counter, Count, "tintype_alt_text_tokens_total", "direction=\"output\"", "Tokens that describing images took, of requests and of answers.";
    AltTextMicrodollars, Counter, Count, "tintype_alt_text_microdollars_total", "", "What those tokens cost by the prices of the settings, in millionths of a dollar.";
    AltTextWaiting, Gauge, Count, "tintype_alt_text_waiting", "", "Images that wait to be described; no sample if the ledger cannot be read.";
}

impl Metric {
    /// The number of metrics.
    pub const COUNT: usize = Self::ALL.len();
    /// The first of the distributions, which are contiguous.
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
    /// Its definition.
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

    /// Its unit.
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

    /// By its name, ignoring case.
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
            Reason::Archived => Self::FailedArchived,
            Reason::Denied => Self::FailedDenied,
            Reason::KeyRefused => Self::FailedKeyRefused,
            Reason::Corrupt => Self::FailedDamaged,
            Reason::Stopped => Self::FailedStopped,
            Reason::Unavailable => Self::FailedUnavailable,
            Reason::Contended => Self::FailedContended,
            Reason::Internal => Self::FailedInternal,
        }
    }

    /// The counter of a reason to ignore a record.
    #[must_use]
    pub const fn ignored(why: Ignored) -> Self {
        match why {
            Ignored::NoTrigger => Self::IgnoredNoTrigger,
            Ignored::Thumbnail => Self::IgnoredThumbnail,
            Ignored::FolderMarker => Self::IgnoredFolderMarker,
            Ignored::NothingToRemove => Self::IgnoredNothingToRemove,
            Ignored::EventType => Self::IgnoredEventType,
        }
    }

    /// The counter of a reason why no trigger takes an upload.
    #[must_use]
    pub const fn upload_ignored(why: &Unmatched) -> Self {
        match why {
            Unmatched::Bucket => Self::UploadsIgnoredBucket,
            Unmatched::Destination => Self::UploadsIgnoredDestination,
            Unmatched::Prefix(_) => Self::UploadsIgnoredPrefix,
            Unmatched::Suffix(_) => Self::UploadsIgnoredSuffix,
            Unmatched::EventType(_) => Self::UploadsIgnoredEventType,
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
            let distributions = Metric::FIRST_DISTRIBUTION..=Metric::S3Latency;
            assert_eq!(metric.kind() == Distribution, distributions.contains(&metric));
        }
        // Stored measurements have these numbers.
        let stored = [Metric::BilledDuration, Metric::S35xxErrors, Metric::RenderMemory, Metric::DiskTotal];
        assert_eq!(stored.map(|metric| metric as u8), [7, 39, 46, 59]);
        for reason in Reason::ALL {
            let labels = Metric::failed(reason).definition().labels;
            assert!(labels.ends_with(&format!("reason=\"{}\"", reason.name())), "{labels}");
        }
    }
}
