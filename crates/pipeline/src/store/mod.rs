//! The port to objects in buckets, under keys exactly as S3 has them.

mod arrival;
mod wrapper;

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use arrival::{Arrival, WithArrival};
pub use wrapper::Wrapper;

use crate::naming::MAX_KEY_BYTES;

/// An object's key: 1 to 1,024 bytes of UTF-8. It is data, never a path: `a//b`, `../x`,
/// `photos/` and `/lead` are four ordinary keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(Box<str>);

impl TryFrom<String> for ObjectKey {
    type Error = String;
    fn try_from(key: String) -> Result<Self, String> {
        Self::new(&key)
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        key.0.into()
    }
}

impl ObjectKey {
    /// Checks the length.
    ///
    /// # Errors
    /// The key is empty or too long.
    pub fn new(key: &str) -> Result<Self, String> {
        match key.len() {
            0 => Err("the key is empty".into()),
            1..=MAX_KEY_BYTES => Ok(Self(key.into())),
            bytes => Err(format!("the key has {bytes} bytes; S3 allows {MAX_KEY_BYTES}")),
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object's bucket and key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Location {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: ObjectKey,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// An object's properties, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its media type.
    pub content_type: Option<String>,
    /// Its user metadata, names in lower case without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    /// Milliseconds since 1970 when it was last written.
    pub modified_ms: i64,
}

/// An object with its bytes, of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its properties.
    pub stat: Stat,
    /// All of its bytes.
    pub bytes: Bytes,
}

/// What must hold of the destination of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Any,
    /// There is no object (`If-None-Match: *`).
    Absent,
    /// The object has this ETag (`If-Match`).
    Matches(String),
}

/// One object to write.
#[derive(Debug, Clone)]
pub struct Put {
    /// Where.
    pub at: Location,
    /// The condition.
    pub condition: Condition,
    /// The bytes.
    pub bytes: Bytes,
    /// The media type.
    pub content_type: String,
    /// User metadata, names in lower case without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
}

/// A version of a source object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceVersion {
    /// The object.
    pub at: Location,
    /// The ETag of the version.
    pub etag: String,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Keys in byte order, with their properties.
    pub objects: Vec<(ObjectKey, Stat)>,
    /// Whether there is more after the last of them.
    pub more: bool,
}

/// Why a store did not carry out an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The bucket does not exist.
    #[error("bucket \"{0}\" does not exist")]
    NoSuchBucket(String),
    /// A condition does not hold, or the source is no longer at that version.
    #[error("{0} was changed by another writer")]
    Conflict(Location),
    /// The object is larger than the caller's limit.
    #[error("the object has {size} bytes, more than limits.source_bytes allows ({limit})")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The caller's limit.
        limit: u64,
    },
    /// No permission.
    #[error("access denied: {0}")]
    Denied(String),
    /// The key that the object is encrypted with cannot be used.
    #[error("{0}")]
    KeyRefused(String),
    /// The object is in an archive, and cannot be read before it is restored.
    #[error("{0} is archived: restore it, or upload it again")]
    Archived(Location),
    /// The stored bytes are not those that were written.
    #[error("{0}")]
    Corrupt(String),
    /// The store is unavailable; retrying later may help.
    #[error("{0}")]
    Unavailable(String),
}

/// Objects in buckets. All methods see whole versions, never a mix of two. Object-safe: hosts share an
/// `Arc<dyn Store>`. `tintype-stores` has implementations, and the suite that each must pass.
#[async_trait]
pub trait Store: Send + Sync {
    /// An object's properties; `None` if there is no object.
    async fn head(&self, at: &Location) -> Result<Option<Stat>, StoreError>;

    /// An object with its bytes, if it has at most `limit` of them; `None` if there is no object.
    async fn get(&self, at: &Location, limit: u64) -> Result<Option<Object>, StoreError>;

    /// Writes an object if its condition holds; returns its ETag.
    async fn put(&self, put: Put) -> Result<String, StoreError>;

    /// Writes all of `puts` if every condition holds and `source`, if given, is still at that version;
    /// returns their ETags in order. A store with transactions does it in one.
    ///
    /// Without transactions they are written in order, and the version of the source is checked at the end. Conditions
    /// on the destination alone are not enough: a thumbnail rewritten with the same bytes has the same ETag, so a
    /// writer with an old source would pass.
    async fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> Result<Vec<String>, StoreError> {
        let mut etags = Vec::with_capacity(puts.len());
        for put in puts {
            etags.push(self.put(put).await?);
        }
        if let Some(source) = source
            && self.head(&source.at).await?.is_none_or(|stat| stat.etag != source.etag)
        {
            return Err(StoreError::Conflict(source.at.clone()));
        }
        Ok(etags)
    }

    /// Deletes an object, if it has the ETag `if_match` (where given). A missing object is no error.
    async fn delete(&self, at: &Location, if_match: Option<&str>) -> Result<(), StoreError>;

    /// The next at most `max` keys with `prefix`, after `after`.
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&ObjectKey>,
        max: usize,
    ) -> Result<Listing, StoreError>;
}

/// The ETag of the one object that was written, for stores whose [`Store::put`] is a [`Store::put_all`].
///
/// # Errors
/// There is none, against the contract of [`Store::put_all`].
pub fn single_etag(etags: Vec<String>) -> Result<String, StoreError> {
    let none =
        || StoreError::Unavailable("the store returned no ETag; the object will be written again".into());
    etags.into_iter().next().ok_or_else(none)
}
