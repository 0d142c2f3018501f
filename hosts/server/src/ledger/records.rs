//! What the ledger's rows hold, as JSON: readable by people, and open to new fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tintype_pipeline::{event::Kind, store::Location};

/// A bucket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BucketRecord {
    /// Milliseconds since 1970 when it was created.
    pub created_ms: i64,
    /// Notifications set through `PutBucketNotificationConfiguration`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notifications: Vec<NotificationRecord>,
    /// Rules set through `PutBucketCors`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cors: Vec<CorsRecord>,
}

/// Which pages of other origins may do what with a bucket. Patterns hold at most one `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsRecord {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Patterns of origins.
    pub origins: Vec<String>,
    /// Methods.
    pub methods: Vec<String>,
    /// Patterns of headers that requests may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Headers of answers that pages may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<String>,
    /// How long browsers may remember a preflight, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<i32>,
}

/// A notification set through the S3 endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationRecord {
    /// Its name.
    pub id: String,
    /// What a key must begin with.
    pub prefix: String,
    /// What a key must end with.
    pub suffix: String,
    /// For created objects.
    pub created: bool,
    /// For removed objects.
    pub removed: bool,
    /// The event types as they were written.
    pub events: Vec<String>,
}

/// Headers given at the upload and answered with every read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredHeaders {
    /// `Content-Type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `Cache-Control`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    /// `Content-Encoding`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    /// `Expires`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// `x-amz-meta-…`, names in lower case without that prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// Checksums as S3 states them: base64, by the algorithm's name (`CRC32`, `SHA256`, …).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksums {
    /// The values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// Whether they are checksums of the parts' checksums (multipart) instead of the whole object's.
    #[serde(default)]
    pub composite: bool,
}

/// The current version of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Commit order: names its file, orders its versions, and is its events' sequencer.
    pub order: u64,
    /// Bytes.
    pub size: u64,
    /// ETag without quotes.
    pub etag: String,
    /// Milliseconds since 1970.
    pub modified_ms: i64,
    /// CRC-64/NVME of the bytes, to find corruption on disk.
    pub crc64: u64,
    /// Where the bytes begin in the file.
    pub body_offset: u64,
    /// Parts, if it was uploaded in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
    /// Headers and metadata.
    #[serde(flatten)]
    pub headers: StoredHeaders,
    /// Checksums.
    #[serde(default)]
    pub checksums: Checksums,
}

/// A multipart upload under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadRecord {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// Milliseconds since 1970 when it began.
    pub initiated_ms: i64,
    /// Headers for the object.
    pub headers: StoredHeaders,
    /// Name of the checksum algorithm asked for.
    pub checksum_algorithm: Option<String>,
    /// Whether the object's checksum covers the whole object instead of the parts' checksums.
    pub full_object_checksum: bool,
}

/// An uploaded part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartRecord {
    /// Names its file.
    pub order: u64,
    /// Bytes.
    pub size: u64,
    /// MD5, in hexadecimal.
    pub etag: String,
    /// Milliseconds since 1970.
    pub modified_ms: i64,
    /// CRC-64/NVME of the bytes.
    pub crc64: u64,
    /// Where the bytes begin in the file.
    pub body_offset: u64,
    /// Checksums.
    #[serde(default)]
    pub checksums: Checksums,
}

/// An event waiting for the function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Commit order of the change: its identity and its sequencer.
    pub id: u64,
    /// Whether the object was removed (otherwise created).
    pub removed: bool,
    /// S3's name for it, such as `ObjectCreated:Put`.
    pub name: String,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The object's ETag.
    pub etag: String,
    /// The object's size.
    pub size: u64,
    /// Milliseconds since 1970 when it was queued.
    pub queued_ms: i64,
    /// When it may next be tried, in milliseconds since 1970.
    pub due_ms: i64,
    /// The request that caused it.
    pub request_id: String,
    /// Attempts begun.
    pub started: u32,
    /// Attempts that ended in an error.
    pub failed: u32,
    /// Attempts deferred because the store was unavailable.
    #[serde(default)]
    pub deferred: u32,
    /// How the last of them ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Whether it was redriven from the dead letters: then it was queued later than its id shows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redriven: bool,
    /// The run of the program that queued it again after its last attempt; 0: none did.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tried_in: u64,
}

impl EventRecord {
    /// What caused it, by name: S3's, unless it was a dead letter before.
    #[must_use]
    pub fn cause(&self) -> &str {
        if self.redriven { "ObjectCreated:Redrive" } else { &self.name }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl EventRecord {
    /// The kind of change.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        if self.removed { Kind::Removed } else { Kind::Created }
    }
}

/// An event in the dead-letter queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The event as it last was.
    pub event: EventRecord,
    /// Class of the failure.
    pub reason: String,
    /// The whole reason.
    pub message: String,
    /// Milliseconds since 1970 when it became one.
    pub dead_ms: i64,
}

/// What last became of a source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResultRecord {
    /// The event's identity.
    pub event: u64,
    /// Name of the outcome.
    pub outcome: String,
    /// Why, where the outcome has a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its thumbnails.
    pub renditions: Vec<Location>,
    /// Milliseconds since 1970 when it was queued.
    pub queued_ms: i64,
    /// Milliseconds since 1970 when it ended.
    pub ended_ms: i64,
    /// Attempts begun.
    pub attempts: u32,
}
