//! One attempt, as it is stored, shown and logged.

use serde::{Deserialize, Serialize};
use tintype_pipeline::{Outcome, Report, outcome::Stages, store::Location};

/// How an attempt's event was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// The event is done, or there was none.
    Done,
    /// The event is retried.
    Retry,
    /// The event was moved to the dead letters.
    DeadLetter,
}

/// A thumbnail of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thumbnail {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes of the file.
    pub bytes: u64,
}

/// An attempt that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: i64,
    /// When its event was queued (the upload was acknowledged, or the object queued again), in milliseconds since 1970;
    /// none for a synchronous request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub queued_ms: Option<i64>,
    /// The source's bucket.
    pub bucket: String,
    /// The source's key.
    pub key: String,
    /// The request that caused it: the upload's, or the API's.
    pub request_id: String,
    /// The id of the dead letter, if it became one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub event: Option<u64>,
    /// S3's event name, such as `ObjectCreated:Put`; or `ObjectCreated:` with `Backfill`, `Retry` or `Redrive`.
    pub cause: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The outcome's name.
    pub outcome: String,
    /// The failure's class; empty if it did not fail.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
    /// The explanation for people; may be empty.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub why: String,
    /// How its event was settled.
    pub next: Settlement,
    /// The duration in microseconds.
    pub duration_us: u64,
    /// The duration of each stage in microseconds; see [`Stages::NAMES`].
    pub stages_us: [u64; 6],
    /// Bytes of the source.
    pub source_bytes: u64,
    /// The process's resident memory when it ended, in MiB; 0 in results stored by earlier versions.
    #[serde(default)]
    pub memory_mb: u64,
    /// The thumbnails it stored.
    pub thumbnails: Vec<Thumbnail>,
}

/// Whether a cause is an upload, as opposed to an existing object that was queued again.
#[must_use]
pub fn is_upload_cause(cause: &str) -> bool {
    !["Backfill", "Mend", "Retry", "Redrive"].iter().any(|requeued| cause.ends_with(requeued))
}

impl Entry {
    /// From the report on an object.
    #[must_use]
    pub fn new(report: &Report, at: &Location, ended_ms: i64) -> Self {
        Self { bucket: at.bucket.clone(), key: at.key.to_string(), ..Self::without_object(report, ended_ms) }
    }

    /// From the report on an image whose object is none or not known.
    #[must_use]
    pub fn without_object(report: &Report, ended_ms: i64) -> Self {
        let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let reason = match &report.outcome {
            Outcome::Failed(failure) => failure.reason.name(),
            _ => "",
        };
        let thumbnails = report.renditions.iter().map(|rendition| Thumbnail {
            bucket: rendition.at.bucket.clone(),
            key: rendition.at.key.to_string(),
            width: rendition.width,
            height: rendition.height,
            bytes: rendition.bytes,
        });
        Self {
            ended_ms,
            queued_ms: None,
            bucket: String::new(),
            key: String::new(),
            request_id: String::new(),
            event: None,
            cause: String::new(),
            attempt: 1,
            outcome: report.outcome.name().into(),
            reason: reason.into(),
            why: report.outcome.why().unwrap_or_default(),
            next: Settlement::Done,
            duration_us: micros(report.total),
            stages_us: report.stages.all().map(micros),
            source_bytes: report.source_bytes,
            memory_mb: super::resident_bytes().map_or(0, |bytes| bytes.div_ceil(1 << 20)),
            thumbnails: thumbnails.collect(),
        }
    }

    /// Whether its event was queued by an upload, as opposed to an existing object that was queued again.
    #[must_use]
    pub fn is_from_upload(&self) -> bool {
        is_upload_cause(&self.cause)
    }

    /// Whether it failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.outcome == "failed"
    }

    /// Milliseconds from the acknowledgement of the upload to the end of the attempt.
    #[must_use]
    pub fn latency_ms(&self) -> Option<i64> {
        Some((self.ended_ms - self.queued_ms?).max(0))
    }

    /// The stages by name, in milliseconds.
    pub fn stages_ms(&self) -> impl Iterator<Item = (&'static str, f64)> {
        Stages::NAMES.into_iter().zip(self.stages_us.map(|micros| micros as f64 / 1e3))
    }
}
