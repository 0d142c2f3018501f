//! Why the store did not do what it was asked.

use tintype_pipeline::store::{Location, StoreError};

use crate::ledger::LedgerError;

/// A refusal or failure of the store. Each has its error code in S3; see the `s3` module.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreFault {
    /// The bucket does not exist.
    #[error("bucket \"{0}\" does not exist; create it first")]
    NoSuchBucket(String),
    /// The bucket exists.
    #[error("bucket \"{0}\" exists already and is yours")]
    BucketExists(String),
    /// The bucket exists, and is another key's.
    #[error(
        "The requested bucket name is not available: \"{0}\" is another key's. Please select a different name and try again"
    )]
    BucketOfAnother(String),
    /// The bucket holds objects.
    #[error("bucket \"{0}\" is not empty; delete its objects first")]
    BucketNotEmpty(String),
    /// A trigger needs the bucket.
    #[error("bucket \"{0}\" is used by a trigger in the settings; take it out of the settings first")]
    BucketInUse(String),
    /// The bucket's ownership controls disable ACLs.
    #[error(
        "The bucket does not allow ACLs: its ownership controls say BucketOwnerEnforced; leave x-amz-acl out, or name bucket-owner-full-control"
    )]
    AclsDisabled,
    /// ACLs cannot be disabled while the bucket's own is public.
    #[error(
        "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting: its ACL is public; make it private first"
    )]
    AclContradictsOwnership,
    /// The name is no bucket name.
    #[error("{0}")]
    InvalidBucketName(String),
    /// The object does not exist.
    #[error("{0} does not exist")]
    NoSuchKey(Location),
    /// A condition does not hold.
    #[error("{0} does not meet the condition")]
    PreconditionFailed(Location),
    /// The upload does not exist.
    #[error("multipart upload \"{0}\" does not exist: it was completed or aborted, or its id is wrong")]
    NoSuchUpload(String),
    /// A part was not uploaded, or has another ETag.
    #[error("part {0} was not uploaded or has another ETag than given")]
    InvalidPart(u16),
    /// Parts are not in ascending order.
    #[error("the parts are not in ascending order of their numbers")]
    InvalidPartOrder,
    /// A part but the last is under 5 MiB.
    #[error("part {number} has {size} bytes; every part but the last needs at least 5 MiB")]
    PartTooSmall {
        /// Its number.
        number: u16,
        /// Its size.
        size: u64,
    },
    /// A checksum the client gave does not match.
    #[error("{0}")]
    BadDigest(String),
    /// User metadata is longer than S3 allows.
    #[error("the metadata has {0} bytes; S3 allows 2048, names and values together")]
    MetadataTooLarge(usize),
    /// The request contradicts itself or a rule.
    #[error("{0}")]
    Invalid(String),
    /// The notification configuration is refused.
    #[error("{0}")]
    Notification(String),
    /// Bytes on disk are not what was written.
    #[error("the stored file of {0} is corrupt ({1}); upload the object again")]
    Corrupt(Location, String),
    /// Bytes on disk were not what was written; they are of a thumbnail, which is being rendered again.
    #[error(
        "the stored file of {0} was corrupt; the thumbnail is being rendered again: try again in a few seconds"
    )]
    Repairing(Location),
    /// No space is left; nothing was changed.
    #[error(
        "the disk that holds the data folder is full, nothing was stored; free some space and try again ({0})"
    )]
    Full(String),
    /// Whether the change was made is not known yet.
    #[error("{0}; check whether it was made before trying again")]
    InDoubt(String),
    /// The disk or the ledger cannot be used.
    #[error("the store cannot be used now: {0}")]
    Unavailable(String),
}

impl From<LedgerError> for StoreFault {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Full(message) => Self::Full(message),
            in_doubt @ LedgerError::InDoubt(_) => Self::InDoubt(in_doubt.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<std::io::Error> for StoreFault {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::Full(error.to_string())
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<StoreFault> for StoreError {
    fn from(fault: StoreFault) -> Self {
        match fault {
            StoreFault::NoSuchBucket(name) => Self::NoSuchBucket(name),
            StoreFault::PreconditionFailed(at) | StoreFault::NoSuchKey(at) => Self::Conflict(at),
            corrupt @ StoreFault::Corrupt(..) => Self::Corrupt(corrupt.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}
