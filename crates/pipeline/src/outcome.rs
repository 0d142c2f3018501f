//! The outcome of a record, and its reason.

use std::time::Duration;

use serde::Serialize;
use tintype_engine as engine;

use crate::{
    event::Record,
    store::{Location, StoreError},
};

/// The outcome of a record. Each host maps it to retry, dead letter or status in one exhaustive match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Thumbnails were written.
    Rendered,
    /// The thumbnails are current: of this version of the source, by this recipe.
    UpToDate,
    /// The source is gone and its thumbnails were removed (`mirror_deletes`).
    Removed,
    /// There is nothing to do.
    Ignored(Ignored),
    /// It could not be done.
    Failed(Failure),
}

impl Outcome {
    /// Its name in reports, logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Rendered => "made",
            Self::UpToDate => "up_to_date",
            Self::Removed => "removed",
            Self::Ignored(_) => "ignored",
            Self::Failed(_) => "failed",
        }
    }

    /// The reason of a failure or of ignoring the record.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        match self {
            Self::Rendered | Self::UpToDate | Self::Removed => None,
            Self::Ignored(why) => Some(why.to_string()),
            Self::Failed(failure) => Some(failure.message.clone()),
        }
    }
}

/// Why a record was ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// No trigger's filter passes the key.
    #[error("no trigger matches this bucket and key; see the triggers' prefix and suffixes")]
    NoTrigger,
    /// The object is a thumbnail: rendering it again would be a loop.
    #[error("the object is itself a thumbnail, or a copy of one")]
    Thumbnail,
    /// An empty object whose key ends in `/`: a folder, as consoles create them.
    #[error("the object is an empty folder marker")]
    FolderMarker,
    /// The source exists again, or the removal was not to be mirrored.
    #[error("the removal needs nothing done")]
    NothingToRemove,
    /// The event is of a type that needs nothing done.
    #[error("events of this type need nothing done: the object was neither created nor removed")]
    EventType,
}

/// A failure, classified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Its class.
    pub reason: Reason,
    /// What happened, where, and what to do.
    pub message: String,
}

impl Failure {
    /// A failure of class `reason`.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Classes of failure, by what must happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The image is corrupt.
    Malformed,
    /// Not an image, or of an unsupported format.
    Unsupported,
    /// A limit would be exceeded.
    TooLarge,
    /// The thumbnail's key would be longer than S3 allows.
    KeyTooLong,
    /// The source object or its bucket does not exist.
    Missing,
    /// The thumbnail's name is taken by another source's thumbnail.
    Collision,
    /// The event itself cannot be read.
    BadEvent,
    /// The source is in an archive.
    Archived,
    /// The store refused access.
    Denied,
    /// The key that objects are encrypted with cannot be used.
    KeyRefused,
    #[serde(rename = "damaged")]
    /// The stored source is corrupt.
    Corrupt,
    /// A time-out or shutdown.
    Stopped,
    /// The store cannot be used now.
    Unavailable,
    /// Other writers changed the same object repeatedly.
    Contended,
    /// A fault of the program.
    Internal,
}

impl Reason {
    /// What every message of [`Self::Collision`] holds, between the thumbnail and the other source: where only the message is
    /// stored, the class is recognised by it.
    pub const COLLISION_WORDS: &str = "is the thumbnail of";

    /// Every class.
    pub const ALL: [Self; 15] = [
        Self::Malformed,
        Self::Unsupported,
        Self::TooLarge,
        Self::KeyTooLong,
        Self::Missing,
        Self::Collision,
        Self::BadEvent,
        Self::Archived,
        Self::Denied,
        Self::KeyRefused,
        Self::Corrupt,
        Self::Stopped,
        Self::Unavailable,
        Self::Contended,
        Self::Internal,
    ];

    /// Whether trying again cannot help.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        match self {
            Self::Malformed
            | Self::Unsupported
            | Self::TooLarge
            | Self::KeyTooLong
            | Self::Missing
            | Self::Collision
            | Self::BadEvent
            | Self::Archived => true,
            Self::Denied
            | Self::KeyRefused
            | Self::Corrupt
            | Self::Stopped
            | Self::Unavailable
            | Self::Contended
            | Self::Internal => false,
        }
    }

    /// Its name in reports, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::TooLarge => "too_large",
            Self::KeyTooLong => "key_too_long",
            Self::Missing => "missing",
            Self::Collision => "collision",
            Self::BadEvent => "bad_event",
            Self::Archived => "archived",
            Self::Denied => "denied",
            Self::KeyRefused => "key_refused",
            Self::Corrupt => "damaged",
            Self::Stopped => "stopped",
            Self::Unavailable => "unavailable",
            Self::Contended => "contended",
            Self::Internal => "internal",
        }
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        let reason = match error {
            engine::Error::Unsupported(_) => Reason::Unsupported,
            engine::Error::Malformed(_) => Reason::Malformed,
            engine::Error::TooLarge(_) => Reason::TooLarge,
            engine::Error::Stopped(_) => Reason::Stopped,
            engine::Error::Unavailable(_) => Reason::Unavailable,
            _ => Reason::Internal,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let reason = match error {
            StoreError::NoSuchBucket(_) => Reason::Missing,
            StoreError::Conflict(_) => Reason::Contended,
            StoreError::TooLarge { .. } => Reason::TooLarge,
            StoreError::Denied(_) => Reason::Denied,
            StoreError::KeyRefused(_) => Reason::KeyRefused,
            StoreError::Archived(_) => Reason::Archived,
            StoreError::Corrupt(_) => Reason::Corrupt,
            StoreError::Unavailable(_) => Reason::Unavailable,
        };
        Self::new(reason, error.to_string())
    }
}

/// A thumbnail in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenditionReport {
    /// Where it is.
    pub at: Location,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Its ETag, without quotes.
    pub etag: String,
    /// What could not be done as asked, where it was rendered now.
    pub note: Option<String>,
}

impl RenditionReport {
    fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({
            "bucket": self.at.bucket,
            "key": self.at.key.as_str(),
            "width": self.width,
            "height": self.height,
            "bytes": self.bytes,
            "etag": self.etag,
        });
        if let Some(note) = &self.note {
            json["note"] = note.as_str().into();
        }
        json
    }
}

/// Time spent, by stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    /// Waiting for memory.
    pub wait: Duration,
    /// Checking the destination and reading the source.
    pub read: Duration,
    /// Reading the image's header and samples.
    pub decode: Duration,
    /// To light and to the thumbnail's size.
    pub resample: Duration,
    /// Orientation, colour and the thumbnail's file.
    pub encode: Duration,
    /// Writing the thumbnails.
    pub write: Duration,
}

impl Stages {
    /// Their names in reports, logs and metrics, in order.
    pub const NAMES: [&str; 6] = ["wait", "read", "decode", "resample", "encode", "write"];

    /// Adds the time of others.
    pub fn add(&mut self, other: &Self) {
        self.wait += other.wait;
        self.read += other.read;
        self.decode += other.decode;
        self.resample += other.resample;
        self.encode += other.encode;
        self.write += other.write;
    }

    /// All of them, in order.
    #[must_use]
    pub const fn all(&self) -> [Duration; 6] {
        [self.wait, self.read, self.decode, self.resample, self.encode, self.write]
    }
}

/// The result of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The source, unless the record could not be read.
    pub source: Option<Location>,
    /// Its outcome.
    pub outcome: Outcome,
    /// Its thumbnails in the store.
    pub renditions: Vec<RenditionReport>,
    /// Bytes of the source that were read.
    pub source_bytes: u64,
    /// Time spent.
    pub stages: Stages,
    /// All of the time spent.
    pub total: Duration,
}

impl Report {
    /// The report of a record that could not be parsed.
    #[must_use]
    pub fn bad_event(message: String) -> Self {
        Self::unhandled(None, Outcome::Failed(Failure::new(Reason::BadEvent, message)))
    }

    /// The report of a record for which the function was not called.
    #[must_use]
    pub fn of(record: &Record, outcome: Outcome) -> Self {
        let at = Location { bucket: record.bucket.clone(), key: record.key.clone() };
        Self::unhandled(Some(at), outcome)
    }

    fn unhandled(source: Option<Location>, outcome: Outcome) -> Self {
        Self {
            source,
            outcome,
            renditions: Vec::new(),
            source_bytes: 0,
            stages: Stages::default(),
            total: Duration::ZERO,
        }
    }

    /// As JSON, the form of API answers and command-line output.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let milliseconds = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let mut json = serde_json::json!({
            "source": self.source.as_ref().map(|at| serde_json::json!({"bucket": at.bucket, "key": at.key.as_str()})),
            "outcome": self.outcome.name(),
            "renditions": self.renditions.iter().map(RenditionReport::to_json).collect::<Vec<_>>(),
            "milliseconds": milliseconds(self.total),
            "stages": Stages::NAMES.iter().zip(self.stages.all())
                .map(|(name, time)| ((*name).to_owned(), milliseconds(time).into()))
                .collect::<serde_json::Map<_, _>>(),
        });
        if let Some(why) = self.outcome.why() {
            json["why"] = why.into();
        }
        if let Outcome::Failed(failure) = &self.outcome {
            json["reason"] = failure.reason.name().into();
            json["permanent"] = failure.reason.is_permanent().into();
        }
        json
    }
}
