//! The rows of the table: one an operation.
//! Sources: AWS, "Amazon S3 API Reference"; "Actions, resources, and condition keys for Amazon S3".

use super::{Level, Operation, RequestBody};
use crate::auth::Action;

/// Headers that any request may have: those of its signature, and those without effect.
pub(super) const EVERY: &[&str] = &[
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-expected-bucket-owner",
    "x-amz-request-payer",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-user-agent",
];
const CHECKSUMS: &[&str] = &[
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
];
const CHECKSUM_ALGORITHM: &[&str] = &["x-amz-checksum-algorithm"];
const CHECKSUM_MODE: &[&str] = &["x-amz-checksum-mode"];
const OPTIONAL_ATTRIBUTES: &[&str] = &["x-amz-optional-object-attributes"];
const TRAILER: &[&str] = &["x-amz-trailer"];
/// `x-amz-meta-`: all that begin with it.
const NEW_OBJECT: &[&str] = &["x-amz-acl", METADATA, "x-amz-storage-class"];
pub(super) const METADATA: &str = "x-amz-meta-";
pub(super) const COPY_SOURCE: &[&str] = &[
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-source-expected-bucket-owner",
];
/// The conditional headers of HTTP.
pub(super) const CONDITIONS: &[&str] =
    &["if-match", "if-modified-since", "if-none-match", "if-unmodified-since"];
/// Query parameters of a read: most override headers of the answer.
const READ: &[&str] = &[
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];

/// A row without parameters, headers or a body of its own.
const fn row(name: &'static str, action: Action, method: &'static str, level: Level) -> Operation {
    Operation {
        name,
        action,
        is_per_object: false,
        body: RequestBody::None,
        method,
        level,
        selectors: &[],
        is_copy: false,
        parameters: &[],
        headers: &[],
        conditions: &[],
    }
}

pub(in crate::s3) const OPERATIONS: &[Operation] = &[
    Operation {
        parameters: &["bucket-region", "continuation-token", "max-buckets", "prefix"],
        ..row("ListBuckets", Action::ListAllMyBuckets, "GET", Level::Service)
    },
    // Buckets.
    Operation {
        parameters: &["delimiter", "encoding-type", "marker", "max-keys", "prefix"],
        headers: &[OPTIONAL_ATTRIBUTES],
        ..row("ListObjects", Action::ListBucket, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["list-type"],
        parameters: &[
            "continuation-token",
            "delimiter",
            "encoding-type",
            "fetch-owner",
            "max-keys",
            "prefix",
            "start-after",
        ],
        headers: &[OPTIONAL_ATTRIBUTES],
        ..row("ListObjectsV2", Action::ListBucket, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["uploads"],
        parameters: &[
            "delimiter",
            "encoding-type",
            "key-marker",
            "max-uploads",
            "prefix",
            "upload-id-marker",
        ],
        ..row("ListMultipartUploads", Action::ListBucketMultipartUploads, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["location"],
        ..row("GetBucketLocation", Action::GetBucketLocation, "GET", Level::Bucket)
    },
    Operation { selectors: &["cors"], ..row("GetBucketCors", Action::GetBucketCors, "GET", Level::Bucket) },
    Operation {
        selectors: &["notification"],
        ..row("GetBucketNotificationConfiguration", Action::GetBucketNotification, "GET", Level::Bucket)
    },
    row("HeadBucket", Action::ListBucket, "HEAD", Level::Bucket),
    Operation {
        body: RequestBody::Document { checksums: true },
        headers: &[&["x-amz-acl", "x-amz-bucket-object-lock-enabled", "x-amz-object-ownership"]],
        ..row("CreateBucket", Action::CreateBucket, "PUT", Level::Bucket)
    },
    Operation {
        body: RequestBody::Document { checksums: true },
        selectors: &["cors"],
        headers: &[CHECKSUMS, TRAILER],
        ..row("PutBucketCors", Action::PutBucketCors, "PUT", Level::Bucket)
    },
    Operation {
        body: RequestBody::Document { checksums: true },
        selectors: &["notification"],
        headers: &[CHECKSUMS, TRAILER],
        ..row("PutBucketNotificationConfiguration", Action::PutBucketNotification, "PUT", Level::Bucket)
    },
    Operation {
        is_per_object: true,
        body: RequestBody::Document { checksums: true },
        selectors: &["delete"],
        headers: &[CHECKSUMS, TRAILER],
        ..row("DeleteObjects", Action::DeleteObject, "POST", Level::Bucket)
    },
    row("DeleteBucket", Action::DeleteBucket, "DELETE", Level::Bucket),
    Operation {
        selectors: &["cors"],
        ..row("DeleteBucketCors", Action::PutBucketCors, "DELETE", Level::Bucket)
    },
    // Objects.
    Operation {
        parameters: READ,
        headers: &[CHECKSUM_MODE],
        conditions: CONDITIONS,
        ..row("GetObject", Action::GetObject, "GET", Level::Object)
    },
    Operation {
        selectors: &["tagging"],
        ..row("GetObjectTagging", Action::GetObjectTagging, "GET", Level::Object)
    },
    Operation {
        selectors: &["uploadId"],
        parameters: &["max-parts", "part-number-marker"],
        ..row("ListParts", Action::ListMultipartUploadParts, "GET", Level::Object)
    },
    Operation {
        parameters: READ,
        headers: &[CHECKSUM_MODE],
        conditions: CONDITIONS,
        ..row("HeadObject", Action::GetObject, "HEAD", Level::Object)
    },
    Operation {
        body: RequestBody::Object,
        headers: &[NEW_OBJECT, CHECKSUMS, TRAILER],
        conditions: &["if-match", "if-none-match"],
        ..row("PutObject", Action::PutObject, "PUT", Level::Object)
    },
    Operation {
        is_copy: true,
        headers: &[
            NEW_OBJECT,
            COPY_SOURCE,
            CHECKSUM_ALGORITHM,
            &["x-amz-metadata-directive", "x-amz-tagging-directive"],
        ],
        conditions: &["if-match", "if-none-match"],
        ..row("CopyObject", Action::PutObject, "PUT", Level::Object)
    },
    Operation {
        body: RequestBody::Object,
        selectors: &["partNumber", "uploadId"],
        headers: &[CHECKSUMS, TRAILER],
        ..row("UploadPart", Action::PutObject, "PUT", Level::Object)
    },
    Operation {
        selectors: &["partNumber", "uploadId"],
        is_copy: true,
        headers: &[COPY_SOURCE, &["x-amz-copy-source-range"]],
        ..row("UploadPartCopy", Action::PutObject, "PUT", Level::Object)
    },
    Operation {
        selectors: &["uploads"],
        headers: &[NEW_OBJECT, CHECKSUM_ALGORITHM, &["x-amz-checksum-type"]],
        ..row("CreateMultipartUpload", Action::PutObject, "POST", Level::Object)
    },
    Operation {
        body: RequestBody::Document { checksums: false },
        selectors: &["uploadId"],
        headers: &[CHECKSUMS, &["x-amz-checksum-type", "x-amz-mp-object-size"]],
        conditions: &["if-match", "if-none-match"],
        ..row("CompleteMultipartUpload", Action::PutObject, "POST", Level::Object)
    },
    Operation {
        conditions: &["if-match"],
        ..row("DeleteObject", Action::DeleteObject, "DELETE", Level::Object)
    },
    Operation {
        selectors: &["uploadId"],
        ..row("AbortMultipartUpload", Action::AbortMultipartUpload, "DELETE", Level::Object)
    },
];
