//! What the ledger's rows hold, as JSON: readable by people, and open to new fields.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use tintype_pipeline::{event::Kind, store::Location};
use tintype_policy::{CannedAcl, PublicAccessBlock};

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
    /// The name of the access key that created it; none: it is the root key's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Its canned ACL.
    #[serde(flatten)]
    pub acl: AclRecord,
    /// Its ownership controls, by the name of the setting; none: none were put, or they were deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ownership: Option<ObjectOwnership>,
    /// Its policy, as it was put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What may be public; none: what the settings say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_access_block: Option<PublicAccessBlockRecord>,
}

/// Whose the objects of a bucket are, and whether ACLs count there. Every object is the bucket owner's, whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as S3 names them")]
pub enum ObjectOwnership {
    /// ACLs are disabled.
    BucketOwnerEnforced,
    BucketOwnerPreferred,
    ObjectWriter,
}

/// A canned ACL as it is stored. Programs that do not know the field `acl` take what is named there for `private`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclRecord {
    /// Whether it is `public-read`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_public_read: bool,
    /// The name of any other that allows somebody something.
    #[serde(default, rename = "acl", skip_serializing_if = "Option::is_none")]
    other: Option<String>,
}

impl From<CannedAcl> for AclRecord {
    fn from(acl: CannedAcl) -> Self {
        let is_public_read = acl == CannedAcl::PublicRead;
        let other = (acl.is_public() && !is_public_read).then(|| acl.name().to_owned());
        Self { is_public_read, other }
    }
}

impl AclRecord {
    /// The ACL; one that is not known allows nobody anything.
    #[must_use]
    pub fn canned(&self) -> CannedAcl {
        match &self.other {
            Some(name) => name.parse().unwrap_or_default(),
            None if self.is_public_read => CannedAcl::PublicRead,
            None => CannedAcl::Private,
        }
    }
}

/// A bucket's PublicAccessBlock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicAccessBlockRecord {
    /// It was put.
    Set(PublicAccess),
    /// It was deleted: nothing is blocked.
    Removed,
}

/// The four settings of a PublicAccessBlock, see [`tintype_policy::PublicAccessBlock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as S3 names them")]
pub struct PublicAccess {
    pub block_public_acls: bool,
    pub ignore_public_acls: bool,
    pub block_public_policy: bool,
    pub restrict_public_buckets: bool,
}

impl From<PublicAccess> for PublicAccessBlock {
    fn from(set: PublicAccess) -> Self {
        Self {
            block_public_acls: set.block_public_acls,
            ignore_public_acls: set.ignore_public_acls,
            block_public_policy: set.block_public_policy,
            restrict_public_buckets: set.restrict_public_buckets,
        }
    }
}

impl BucketRecord {
    /// An empty one.
    #[must_use]
    pub fn new(created_ms: i64, owner: Option<String>) -> Self {
        Self {
            created_ms,
            notifications: Vec::new(),
            cors: Vec::new(),
            owner,
            acl: AclRecord::default(),
            ownership: None,
            policy: None,
            public_access_block: None,
        }
    }
}

/// An access key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKeyRecord {
    /// Milliseconds since 1970 when it was added.
    pub created_ms: i64,
    /// What requests are signed with: one pair, or two while clients change from the first to the second.
    pub credentials: Vec<CredentialRecord>,
    /// Rights in the short form, `ACTION:BUCKET[/PREFIX]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Rights by the name of a preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Rights as an identity policy in JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Bytes it may upload in a day (UTC); none: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_bytes: Option<u64>,
}

/// An id and its secret. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRecord {
    /// The access key id.
    pub id: String,
    /// The secret access key.
    pub secret: String,
    /// Milliseconds since 1970 when it was created.
    pub created_ms: i64,
}

impl fmt::Debug for CredentialRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialRecord").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What an access key was used for. Stored apart from the key, whose row changes seldom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUsageRecord {
    /// Milliseconds since 1970 of the last request.
    pub last_used_ms: i64,
    /// The day (UTC) that `bytes` are of, in days since 1970.
    pub day: i64,
    /// Bytes uploaded on that day.
    pub bytes: u64,
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

impl ObjectRecord {
    /// Whether clients mark a folder that is empty by an object like this one.
    #[must_use]
    pub fn is_folder_marker(&self, key: &str) -> bool {
        self.size == 0 && key.ends_with('/')
    }
}

/// What is stored beside an object's row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectDetails {
    /// Its canned ACL.
    pub acl: CannedAcl,
    /// Its tags, name and value, in their order.
    pub tags: Vec<(String, String)>,
    /// The parts it was uploaded in, by number.
    pub parts: Vec<ObjectPart>,
}

/// A part that an object was joined from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectPart {
    /// Its number.
    pub number: u16,
    /// Bytes.
    pub size: u64,
    /// Its checksums, by the algorithm's name, base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checksums: BTreeMap<String, String>,
}

/// The canned ACL of a version of an object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ObjectAclRecord {
    /// The version's order.
    pub(super) order: u64,
    /// The ACL.
    #[serde(flatten)]
    pub(super) acl: AclRecord,
}

/// The tags of a version of an object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TagsRecord {
    /// The version's order.
    pub(super) order: u64,
    /// Name and value.
    pub(super) tags: Vec<(String, String)>,
}

/// The parts that a version of an object was uploaded in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PartLayoutRecord {
    /// The version's order.
    pub(super) order: u64,
    /// By number.
    pub(super) parts: Vec<ObjectPart>,
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
    /// The object's canned ACL.
    #[serde(flatten)]
    pub acl: AclRecord,
    /// The object's tags, name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<(String, String)>,
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
    /// Its place among the events that are ready; `None` while it waits for `due_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<i64>,
    /// Events of one group take turns with those of others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Attempts that the time-out stopped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timed_out: u32,
}

/// Which events go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Uploads, deletes, and what people ask for.
    Normal,
    /// Maintenance: only while no other event is ready, and without an age at which it is dropped.
    Low,
}

/// S3-like names of events that maintenance enqueues.
const MAINTENANCE: [&str; 2] = ["ObjectCreated:Backfill", "ObjectCreated:Mend"];

impl EventRecord {
    /// What caused it, by name: S3's, unless it was a dead letter before.
    #[must_use]
    pub fn cause(&self) -> &str {
        if self.redriven { "ObjectCreated:Redrive" } else { &self.name }
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

impl EventRecord {
    /// Whether it goes before others.
    #[must_use]
    pub fn priority(&self) -> Priority {
        let is_maintenance = !self.redriven && MAINTENANCE.contains(&self.name.as_str());
        if is_maintenance { Priority::Low } else { Priority::Normal }
    }

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

/// The name of events that an image is to be described.
pub const ALT_TEXT_EVENT: &str = "AltText";

impl EventRecord {
    /// Whether it is that an image is to be described: then it waits apart from the function's events.
    #[must_use]
    pub fn is_alt_text(&self) -> bool {
        self.name == ALT_TEXT_EVENT
    }
}

/// What was written of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AltTextRecord {
    /// The sidecar.
    pub sidecar: Location,
    /// The sidecar's ETag: of another version this is no longer right.
    pub etag: String,
    /// The ETag of the source that it was written of, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_etag: Option<String>,
    /// By language.
    pub alt: BTreeMap<String, String>,
    /// Whether a person wrote it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
}

/// A bucket event to be sent to a target of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRecord {
    /// Whether the object was removed (otherwise created).
    pub removed: bool,
    /// Whether it replaced another version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaced: bool,
    /// S3's name for it, such as `ObjectCreated:Put`.
    pub name: String,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The object's ETag; of a removed one its last.
    pub etag: String,
    /// The object's size.
    pub size: u64,
    /// Milliseconds since 1970 when it was committed.
    pub time_ms: i64,
    /// The request that caused it.
    pub request_id: String,
    /// The name of the access key that the request was sent with; none: the root key, or nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<String>,
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
