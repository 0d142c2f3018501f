//! The store's faults as S3's errors.
//! Source: AWS, "Error responses" (S3 API reference).

use s3s::{S3Error, S3ErrorCode};

use crate::storage::StoreFault;

pub(super) fn s3(fault: impl Into<StoreFault>) -> S3Error {
    let fault = fault.into();
    let code = match &fault {
        StoreFault::NoSuchBucket(_) => S3ErrorCode::NoSuchBucket,
        StoreFault::BucketExists(_) => S3ErrorCode::BucketAlreadyOwnedByYou,
        StoreFault::BucketOfAnother(_) => S3ErrorCode::BucketAlreadyExists,
        StoreFault::BucketNotEmpty(_) => S3ErrorCode::BucketNotEmpty,
        StoreFault::BucketInUse(_) => S3ErrorCode::OperationAborted,
        StoreFault::AclsDisabled => S3ErrorCode::AccessControlListNotSupported,
        StoreFault::AclContradictsOwnership => S3ErrorCode::InvalidBucketAclWithObjectOwnership,
        StoreFault::InvalidBucketName(_) => S3ErrorCode::InvalidBucketName,
        StoreFault::NoSuchKey(_) => S3ErrorCode::NoSuchKey,
        StoreFault::PreconditionFailed(_) => S3ErrorCode::PreconditionFailed,
        StoreFault::NoSuchUpload(_) => S3ErrorCode::NoSuchUpload,
        StoreFault::InvalidPart(_) => S3ErrorCode::InvalidPart,
        StoreFault::InvalidPartOrder => S3ErrorCode::InvalidPartOrder,
        StoreFault::PartTooSmall { .. } => S3ErrorCode::EntityTooSmall,
        StoreFault::BadDigest(_) => S3ErrorCode::BadDigest,
        StoreFault::MetadataTooLarge(_) => S3ErrorCode::MetadataTooLarge,
        StoreFault::Invalid(_) | StoreFault::Notification(_) => S3ErrorCode::InvalidArgument,
        StoreFault::Corrupt(..) => S3ErrorCode::InternalError,
        // S3 itself is never full; on 503 clients retry the upload.
        StoreFault::Full(_)
        | StoreFault::InDoubt(_)
        | StoreFault::Unavailable(_)
        | StoreFault::Repairing(_) => S3ErrorCode::ServiceUnavailable,
    };
    if matches!(
        fault,
        StoreFault::Corrupt(..) | StoreFault::Full(_) | StoreFault::InDoubt(_) | StoreFault::Unavailable(_)
    ) {
        tracing::error!(%fault, "an S3 request failed");
    }
    S3Error::with_message(code, fault.to_string())
}
