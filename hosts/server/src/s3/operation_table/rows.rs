//! The rows of the table: one an operation.
//! Sources: AWS, "Amazon S3 API Reference"; "Actions, resources, and condition keys for Amazon S3".

use super::{Level, Operation, RequestBody};

/// Headers that any request may have: those of its signature, and those that ask for nothing.
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
/// `x-amz-meta-` stands for all that begin with it.
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

const BASE: Operation = Operation {
    name: "",
    action: None,
    body: RequestBody::None,
    method: "",
    level: Level::Object,
    selectors: &[],
    is_copy: false,
    parameters: &[],
    headers: &[],
    conditions: &[],
};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "ListBuckets",
        action: Some("s3:ListAllMyBuckets"),
        method: "GET",
        level: Level::Service,
        parameters: &["bucket-region", "continuation-token", "max-buckets", "prefix"],
        ..BASE
    },
    // Buckets.
    Operation {
        name: "ListObjects",
        action: Some("s3:ListBucket"),
        method: "GET",
        level: Level::Bucket,
        parameters: &["delimiter", "encoding-type", "marker", "max-keys", "prefix"],
        headers: &[OPTIONAL_ATTRIBUTES],
        ..BASE
    },
    Operation {
        name: "ListObjectsV2",
        action: Some("s3:ListBucket"),
        method: "GET",
        level: Level::Bucket,
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
        ..BASE
    },
    Operation {
        name: "ListMultipartUploads",
        action: Some("s3:ListBucketMultipartUploads"),
        method: "GET",
        level: Level::Bucket,
        selectors: &["uploads"],
        parameters: &[
            "delimiter",
            "encoding-type",
            "key-marker",
            "max-uploads",
            "prefix",
            "upload-id-marker",
        ],
        ..BASE
    },
    Operation {
        name: "GetBucketLocation",
        action: Some("s3:GetBucketLocation"),
        method: "GET",
        level: Level::Bucket,
        selectors: &["location"],
        ..BASE
    },
    Operation {
        name: "GetBucketCors",
        action: Some("s3:GetBucketCORS"),
        method: "GET",
        level: Level::Bucket,
        selectors: &["cors"],
        ..BASE
    },
    Operation {
        name: "GetBucketNotificationConfiguration",
        action: Some("s3:GetBucketNotification"),
        method: "GET",
        level: Level::Bucket,
        selectors: &["notification"],
        ..BASE
    },
    Operation {
        name: "HeadBucket",
        action: Some("s3:ListBucket"),
        method: "HEAD",
        level: Level::Bucket,
        ..BASE
    },
    Operation {
        name: "CreateBucket",
        action: Some("s3:CreateBucket"),
        body: RequestBody::Document { checksums: true },
        method: "PUT",
        level: Level::Bucket,
        headers: &[&["x-amz-acl", "x-amz-bucket-object-lock-enabled", "x-amz-object-ownership"]],
        ..BASE
    },
    Operation {
        name: "PutBucketCors",
        action: Some("s3:PutBucketCORS"),
        body: RequestBody::Document { checksums: true },
        method: "PUT",
        level: Level::Bucket,
        selectors: &["cors"],
        headers: &[CHECKSUMS, TRAILER],
        ..BASE
    },
    Operation {
        name: "PutBucketNotificationConfiguration",
        action: Some("s3:PutBucketNotification"),
        body: RequestBody::Document { checksums: true },
        method: "PUT",
        level: Level::Bucket,
        selectors: &["notification"],
        headers: &[CHECKSUMS, TRAILER],
        ..BASE
    },
    Operation {
        name: "DeleteObjects",
        // Each key of the list is asked for by itself.
        action: None,
        body: RequestBody::Document { checksums: true },
        method: "POST",
        level: Level::Bucket,
        selectors: &["delete"],
        headers: &[CHECKSUMS, TRAILER],
        ..BASE
    },
    Operation {
        name: "DeleteBucket",
        action: Some("s3:DeleteBucket"),
        method: "DELETE",
        level: Level::Bucket,
        ..BASE
    },
    Operation {
        name: "DeleteBucketCors",
        action: Some("s3:PutBucketCORS"),
        method: "DELETE",
        level: Level::Bucket,
        selectors: &["cors"],
        ..BASE
    },
    // Objects.
    Operation {
        name: "GetObject",
        action: Some("s3:GetObject"),
        method: "GET",
        parameters: READ,
        headers: &[CHECKSUM_MODE],
        conditions: CONDITIONS,
        ..BASE
    },
    Operation {
        name: "GetObjectTagging",
        action: Some("s3:GetObjectTagging"),
        method: "GET",
        selectors: &["tagging"],
        ..BASE
    },
    Operation {
        name: "ListParts",
        action: Some("s3:ListMultipartUploadParts"),
        method: "GET",
        selectors: &["uploadId"],
        parameters: &["max-parts", "part-number-marker"],
        ..BASE
    },
    Operation {
        name: "HeadObject",
        action: Some("s3:GetObject"),
        method: "HEAD",
        parameters: READ,
        headers: &[CHECKSUM_MODE],
        conditions: CONDITIONS,
        ..BASE
    },
    Operation {
        name: "PutObject",
        action: Some("s3:PutObject"),
        body: RequestBody::Object,
        method: "PUT",
        headers: &[NEW_OBJECT, CHECKSUMS, TRAILER],
        conditions: &["if-match", "if-none-match"],
        ..BASE
    },
    Operation {
        name: "CopyObject",
        action: Some("s3:PutObject"),
        method: "PUT",
        is_copy: true,
        headers: &[
            NEW_OBJECT,
            COPY_SOURCE,
            CHECKSUM_ALGORITHM,
            &["x-amz-metadata-directive", "x-amz-tagging-directive"],
        ],
        conditions: &["if-match", "if-none-match"],
        ..BASE
    },
    Operation {
        name: "UploadPart",
        action: Some("s3:PutObject"),
        body: RequestBody::Object,
        method: "PUT",
        selectors: &["partNumber", "uploadId"],
        headers: &[CHECKSUMS, TRAILER],
        ..BASE
    },
    Operation {
        name: "UploadPartCopy",
        action: Some("s3:PutObject"),
        method: "PUT",
        selectors: &["partNumber", "uploadId"],
        is_copy: true,
        headers: &[COPY_SOURCE, &["x-amz-copy-source-range"]],
        ..BASE
    },
    Operation {
        name: "CreateMultipartUpload",
        action: Some("s3:PutObject"),
        method: "POST",
        selectors: &["uploads"],
        headers: &[NEW_OBJECT, CHECKSUM_ALGORITHM, &["x-amz-checksum-type"]],
        ..BASE
    },
    Operation {
        name: "CompleteMultipartUpload",
        action: Some("s3:PutObject"),
        body: RequestBody::Document { checksums: false },
        method: "POST",
        selectors: &["uploadId"],
        headers: &[CHECKSUMS, &["x-amz-checksum-type", "x-amz-mp-object-size"]],
        conditions: &["if-match", "if-none-match"],
        ..BASE
    },
    Operation {
        name: "DeleteObject",
        action: Some("s3:DeleteObject"),
        method: "DELETE",
        conditions: &["if-match"],
        ..BASE
    },
    Operation {
        name: "AbortMultipartUpload",
        action: Some("s3:AbortMultipartUpload"),
        method: "DELETE",
        selectors: &["uploadId"],
        ..BASE
    },
];
