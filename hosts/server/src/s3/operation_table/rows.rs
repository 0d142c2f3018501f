//! The rows of the table: one an operation.
//! Sources: AWS, "Amazon S3 API Reference"; "Actions, resources, and condition keys for Amazon S3".

use super::{Level, Operation, RequestBody};
use crate::auth::Action;

/// Headers that any request may have: those of its signature, and those without effect.
pub(super) const EVERY: &[&str] = &[
    "x-amz-api-version",
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
/// Of no effect, as nothing is ever retained.
const BYPASS: &[&str] = &["x-amz-bypass-governance-retention"];
const TRAILER: &[&str] = &["x-amz-trailer"];
/// `x-amz-meta-`: all that begin with it.
const NEW_OBJECT: &[&str] =
    &["x-amz-acl", METADATA, "x-amz-server-side-encryption", "x-amz-storage-class", "x-amz-tagging"];
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
/// The version that is meant; there is one of each object, "null".
const VERSION: &str = "versionId";
/// Query parameters of a read: most override headers of the answer.
const READ: &[&str] = &[
    VERSION,
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
        is_decided_by_document: false,
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
    Operation {
        selectors: &["policy"],
        ..row("GetBucketPolicy", Action::GetBucketPolicy, "GET", Level::Bucket)
    },
    Operation {
        body: RequestBody::Json,
        selectors: &["policy"],
        headers: &[CHECKSUMS, TRAILER, &["x-amz-confirm-remove-self-bucket-access"]],
        ..row("PutBucketPolicy", Action::PutBucketPolicy, "PUT", Level::Bucket)
    },
    Operation {
        selectors: &["policy"],
        ..row("DeleteBucketPolicy", Action::DeleteBucketPolicy, "DELETE", Level::Bucket)
    },
    Operation {
        selectors: &["policyStatus"],
        ..row("GetBucketPolicyStatus", Action::GetBucketPolicyStatus, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["publicAccessBlock"],
        ..row("GetPublicAccessBlock", Action::GetBucketPublicAccessBlock, "GET", Level::Bucket)
    },
    Operation {
        body: RequestBody::Document { checksums: true },
        selectors: &["publicAccessBlock"],
        headers: &[CHECKSUMS, TRAILER],
        ..row("PutPublicAccessBlock", Action::PutBucketPublicAccessBlock, "PUT", Level::Bucket)
    },
    Operation {
        selectors: &["publicAccessBlock"],
        ..row("DeletePublicAccessBlock", Action::PutBucketPublicAccessBlock, "DELETE", Level::Bucket)
    },
    Operation { selectors: &["acl"], ..row("GetBucketAcl", Action::GetBucketAcl, "GET", Level::Bucket) },
    Operation {
        selectors: &["acl"],
        body: RequestBody::Document { checksums: true },
        headers: &[CHECKSUMS, TRAILER, &["x-amz-acl"]],
        ..row("PutBucketAcl", Action::PutBucketAcl, "PUT", Level::Bucket)
    },
    Operation {
        selectors: &["accelerate"],
        ..row("GetBucketAccelerateConfiguration", Action::GetAccelerateConfiguration, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["encryption"],
        ..row("GetBucketEncryption", Action::GetEncryptionConfiguration, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["lifecycle"],
        ..row("GetBucketLifecycleConfiguration", Action::GetLifecycleConfiguration, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["logging"],
        ..row("GetBucketLogging", Action::GetBucketLogging, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["ownershipControls"],
        ..row("GetBucketOwnershipControls", Action::GetBucketOwnershipControls, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["ownershipControls"],
        body: RequestBody::Document { checksums: true },
        headers: &[CHECKSUMS, TRAILER],
        ..row("PutBucketOwnershipControls", Action::PutBucketOwnershipControls, "PUT", Level::Bucket)
    },
    Operation {
        selectors: &["ownershipControls"],
        ..row("DeleteBucketOwnershipControls", Action::PutBucketOwnershipControls, "DELETE", Level::Bucket)
    },
    Operation {
        selectors: &["replication"],
        ..row("GetBucketReplication", Action::GetReplicationConfiguration, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["requestPayment"],
        ..row("GetBucketRequestPayment", Action::GetBucketRequestPayment, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["tagging"],
        ..row("GetBucketTagging", Action::GetBucketTagging, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["versioning"],
        ..row("GetBucketVersioning", Action::GetBucketVersioning, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["website"],
        ..row("GetBucketWebsite", Action::GetBucketWebsite, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["object-lock"],
        ..row("GetObjectLockConfiguration", Action::GetBucketObjectLockConfiguration, "GET", Level::Bucket)
    },
    Operation {
        selectors: &["versions"],
        parameters: &["delimiter", "encoding-type", "key-marker", "max-keys", "prefix", "version-id-marker"],
        headers: &[OPTIONAL_ATTRIBUTES],
        ..row("ListObjectVersions", Action::ListBucketVersions, "GET", Level::Bucket)
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
        is_decided_by_document: true,
        body: RequestBody::Document { checksums: true },
        selectors: &["delete"],
        headers: &[CHECKSUMS, TRAILER, BYPASS],
        ..row("DeleteObjects", Action::DeleteObject, "POST", Level::Bucket)
    },
    row("DeleteBucket", Action::DeleteBucket, "DELETE", Level::Bucket),
    Operation {
        selectors: &["cors"],
        ..row("DeleteBucketCors", Action::PutBucketCors, "DELETE", Level::Bucket)
    },
    // Objects.
    Operation {
        selectors: &["acl"],
        parameters: &[VERSION],
        ..row("GetObjectAcl", Action::GetObjectAcl, "GET", Level::Object)
    },
    Operation {
        selectors: &["acl"],
        parameters: &[VERSION],
        body: RequestBody::Document { checksums: true },
        headers: &[CHECKSUMS, TRAILER, &["x-amz-acl"]],
        ..row("PutObjectAcl", Action::PutObjectAcl, "PUT", Level::Object)
    },
    Operation {
        parameters: READ,
        headers: &[CHECKSUM_MODE],
        conditions: CONDITIONS,
        ..row("GetObject", Action::GetObject, "GET", Level::Object)
    },
    Operation {
        selectors: &["attributes"],
        parameters: &[VERSION],
        headers: &[&["x-amz-max-parts", "x-amz-object-attributes", "x-amz-part-number-marker"]],
        ..row("GetObjectAttributes", Action::GetObjectAttributes, "GET", Level::Object)
    },
    Operation {
        selectors: &["tagging"],
        parameters: &[VERSION],
        ..row("GetObjectTagging", Action::GetObjectTagging, "GET", Level::Object)
    },
    Operation {
        is_decided_by_document: true,
        selectors: &["tagging"],
        parameters: &[VERSION],
        body: RequestBody::Document { checksums: true },
        headers: &[CHECKSUMS, TRAILER],
        ..row("PutObjectTagging", Action::PutObjectTagging, "PUT", Level::Object)
    },
    Operation {
        selectors: &["tagging"],
        parameters: &[VERSION],
        ..row("DeleteObjectTagging", Action::DeleteObjectTagging, "DELETE", Level::Object)
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
        parameters: &[VERSION],
        headers: &[BYPASS],
        conditions: &["if-match"],
        ..row("DeleteObject", Action::DeleteObject, "DELETE", Level::Object)
    },
    Operation {
        selectors: &["uploadId"],
        ..row("AbortMultipartUpload", Action::AbortMultipartUpload, "DELETE", Level::Object)
    },
];
