//! What became of one attempt, as it is shown, kept and logged.

use serde::{Deserialize, Serialize};
use tintype_pipeline::{Outcome, Report, outcome::Stages, store::Location};

/// What comes after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Nothing.
    Done,
    /// It is tried again.
    Retry,
    /// Its event is a dead letter.
    DeadLetter,
}

/// A thumbnail of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thumbnail {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes of the file.
    pub bytes: u64,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since 1970 when it ended.
    pub ended_ms: i64,
    /// Milliseconds since 1970 when its event was queued: its upload acknowledged, or the object queued again; none
    /// of a request that waited for the answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub queued_ms: Option<i64>,
    /// The source's bucket.
    pub bucket: String,
    /// The source's key.
    pub key: String,
    /// The request that caused it: the upload's, or the API's.
    pub request_id: String,
    /// The dead letter's id, where it is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub event: Option<u64>,
    /// S3's name for what happened, such as `ObjectCreated:Put`; or `ObjectCreated:` with `Backfill`, `Retry` or
    /// `Redrive`.
    pub cause: String,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// Name of the outcome.
    pub outcome: String,
    /// Class of the failure.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
    /// Why, where there is something to say.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub why: String,
    /// What comes after it.
    pub next: Next,
    /// Microseconds it took.
    pub duration_us: u64,
    /// Of these, in each stage; see [`Stages::NAMES`].
    pub stages_us: [u64; 6],
    /// Bytes of the source.
    pub source_bytes: u64,
    /// Megabytes of memory the program had when it ended; 0 of results that older programs kept.
    #[serde(default)]
    pub memory_mb: u64,
    /// Its thumbnails.
    pub thumbnails: Vec<Thumbnail>,
}

/// Whether a cause is an upload, and not that an object which was there already is queued again.
#[must_use]
pub fn is_an_upload(cause: &str) -> bool {
    !["Backfill", "Retry", "Redrive"].iter().any(|again| cause.ends_with(again))
}

impl Entry {
    /// Of a report on an object.
    #[must_use]
    pub fn of(report: &Report, at: &Location, ended_ms: i64) -> Self {
        Self { bucket: at.bucket.clone(), key: at.key.to_string(), ..Self::unnamed(report, ended_ms) }
    }

    /// Of a report on a picture that is no object, or not told as one.
    #[must_use]
    pub fn unnamed(report: &Report, ended_ms: i64) -> Self {
        let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let reason = match &report.outcome {
            Outcome::Failed(failure) => failure.reason.name(),
            _ => "",
        };
        let thumbnails = report.renditions.iter().map(|made| Thumbnail {
            bucket: made.at.bucket.clone(),
            key: made.at.key.to_string(),
            width: made.width,
            height: made.height,
            bytes: made.bytes,
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
            next: Next::Done,
            duration_us: micros(report.total),
            stages_us: report.stages.all().map(micros),
            source_bytes: report.source_bytes,
            memory_mb: super::resident_bytes().map_or(0, |bytes| bytes.div_ceil(1 << 20)),
            thumbnails: thumbnails.collect(),
        }
    }

    /// Whether its event was queued by an upload, and not for an object that was there already.
    #[must_use]
    pub fn is_of_an_upload(&self) -> bool {
        is_an_upload(&self.cause)
    }

    /// Whether it failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.outcome == "failed"
    }

    /// Milliseconds from the upload's acknowledgement to the end.
    #[must_use]
    pub fn latency_ms(&self) -> Option<i64> {
        Some((self.ended_ms - self.queued_ms?).max(0))
    }

    /// The stages by name, in milliseconds.
    pub fn stages_ms(&self) -> impl Iterator<Item = (&'static str, f64)> {
        Stages::NAMES.into_iter().zip(self.stages_us.map(|micros| micros as f64 / 1e3))
    }
}
