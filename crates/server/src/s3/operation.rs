//! The operations offered, in one table: what selects each, which query parameters and `x-amz-*` headers it may carry,
//! and the right it needs. What is not in the table is refused before anything is read or written: a parameter that is
//! passed over would turn one operation into another, and a header into a promise that nobody holds.
//! Sources: AWS, "Amazon S3 API Reference"; "Actions, resources, and condition keys for Amazon S3".

use http::HeaderMap;
use s3s::{S3Result, path::S3Path, s3_error};

use super::query::Query;

/// The owner of every bucket, as listings name it.
pub(super) const OWNER: &str = "tintype";

/// What a request's path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Service,
    Bucket,
    Object,
}

impl Level {
    pub(super) const fn of(path: &S3Path) -> Self {
        match path {
            S3Path::Root => Self::Service,
            S3Path::Bucket { .. } => Self::Bucket,
            S3Path::Object { .. } => Self::Object,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Service => "the service",
            Self::Bucket => "a bucket",
            Self::Object => "an object",
        }
    }
}

/// What a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestBody {
    /// An object's bytes, a list of parts, or nothing that is read.
    Own,
    /// An XML document, with which its checksums are compared.
    Document,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    /// As the S3 API names it.
    pub(super) name: &'static str,
    /// The right that it needs, in the words of IAM.
    pub(super) action: &'static str,
    pub(super) body: RequestBody,
    method: &'static str,
    level: Level,
    /// The query parameters that select it, all of them.
    selectors: &'static [&'static str],
    /// A copy is selected by `x-amz-copy-source`.
    is_copy: bool,
    /// Query parameters it may have besides.
    parameters: &'static [&'static str],
    /// `x-amz-*` headers it may have besides those of every request.
    headers: &'static [&'static [&'static str]],
}

/// Headers that any request may have: those of its signature, and those that ask for nothing.
const EVERY: &[&str] = &[
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
const TRAILER: &[&str] = &["x-amz-trailer"];
/// `x-amz-meta-` stands for all that begin with it.
const NEW_OBJECT: &[&str] = &["x-amz-acl", METADATA, "x-amz-storage-class"];
const METADATA: &str = "x-amz-meta-";
const COPY_SOURCE: &[&str] = &[
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-source-expected-bucket-owner",
];
/// Query parameters that override headers of an answer.
const OVERRIDES: [&str; 6] = [
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];
const READ: &[&str] =
    &["partNumber", OVERRIDES[0], OVERRIDES[1], OVERRIDES[2], OVERRIDES[3], OVERRIDES[4], OVERRIDES[5]];

const BASE: Operation = Operation {
    name: "",
    action: "",
    body: RequestBody::Own,
    method: "",
    level: Level::Object,
    selectors: &[],
    is_copy: false,
    parameters: &[],
    headers: &[],
};

const OPERATIONS: &[Operation] = &[
    Operation {
        name: "ListBuckets",
        action: "s3:ListAllMyBuckets",
        method: "GET",
        level: Level::Service,
        parameters: &["bucket-region", "continuation-token", "max-buckets", "prefix"],
        ..BASE
    },
    // Buckets.
    Operation {
        name: "ListObjects",
        action: "s3:ListBucket",
        method: "GET",
        level: Level::Bucket,
        parameters: &["delimiter", "encoding-type", "marker", "max-keys", "prefix"],
        ..BASE
    },
    Operation {
        name: "ListObjectsV2",
        action: "s3:ListBucket",
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
        ..BASE
    },
    Operation {
        name: "ListMultipartUploads",
        action: "s3:ListBucketMultipartUploads",
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
        action: "s3:GetBucketLocation",
        method: "GET",
        level: Level::Bucket,
        selectors: &["location"],
        ..BASE
    },
    Operation {
        name: "GetBucketCors",
        action: "s3:GetBucketCORS",
        method: "GET",
        level: Level::Bucket,
        selectors: &["cors"],
        ..BASE
    },
    Operation {
        name: "GetBucketNotificationConfiguration",
        action: "s3:GetBucketNotification",
        method: "GET",
        level: Level::Bucket,
        selectors: &["notification"],
        ..BASE
    },
    Operation { name: "HeadBucket", action: "s3:ListBucket", method: "HEAD", level: Level::Bucket, ..BASE },
    Operation {
        name: "CreateBucket",
        action: "s3:CreateBucket",
        body: RequestBody::Document,
        method: "PUT",
        level: Level::Bucket,
        headers: &[&["x-amz-acl", "x-amz-bucket-object-lock-enabled", "x-amz-object-ownership"]],
        ..BASE
    },
    Operation {
        name: "PutBucketCors",
        action: "s3:PutBucketCORS",
        body: RequestBody::Document,
        method: "PUT",
        level: Level::Bucket,
        selectors: &["cors"],
        headers: &[CHECKSUMS, TRAILER],
        ..BASE
    },
    Operation {
        name: "PutBucketNotificationConfiguration",
        action: "s3:PutBucketNotification",
        body: RequestBody::Document,
        method: "PUT",
        level: Level::Bucket,
        selectors: &["notification"],
        headers: &[CHECKSUMS, TRAILER],
        ..BASE
    },
    Operation {
        name: "DeleteObjects",
        action: "s3:DeleteObject",
        body: RequestBody::Document,
        method: "POST",
        level: Level::Bucket,
        selectors: &["delete"],
        headers: &[CHECKSUMS, TRAILER],
        ..BASE
    },
    Operation {
        name: "DeleteBucket",
        action: "s3:DeleteBucket",
        method: "DELETE",
        level: Level::Bucket,
        ..BASE
    },
    Operation {
        name: "DeleteBucketCors",
        action: "s3:PutBucketCORS",
        method: "DELETE",
        level: Level::Bucket,
        selectors: &["cors"],
        ..BASE
    },
    // Objects.
    Operation {
        name: "GetObject",
        action: "s3:GetObject",
        method: "GET",
        parameters: READ,
        headers: &[CHECKSUM_MODE],
        ..BASE
    },
    Operation {
        name: "GetObjectTagging",
        action: "s3:GetObjectTagging",
        method: "GET",
        selectors: &["tagging"],
        ..BASE
    },
    Operation {
        name: "ListParts",
        action: "s3:ListMultipartUploadParts",
        method: "GET",
        selectors: &["uploadId"],
        parameters: &["max-parts", "part-number-marker"],
        ..BASE
    },
    Operation {
        name: "HeadObject",
        action: "s3:GetObject",
        method: "HEAD",
        parameters: READ,
        headers: &[CHECKSUM_MODE],
        ..BASE
    },
    Operation {
        name: "PutObject",
        action: "s3:PutObject",
        method: "PUT",
        headers: &[NEW_OBJECT, CHECKSUMS, TRAILER],
        ..BASE
    },
    Operation {
        name: "CopyObject",
        action: "s3:PutObject",
        method: "PUT",
        is_copy: true,
        headers: &[
            NEW_OBJECT,
            COPY_SOURCE,
            CHECKSUM_ALGORITHM,
            &["x-amz-metadata-directive", "x-amz-tagging-directive"],
        ],
        ..BASE
    },
    Operation {
        name: "UploadPart",
        action: "s3:PutObject",
        method: "PUT",
        selectors: &["partNumber", "uploadId"],
        headers: &[CHECKSUMS, TRAILER],
        ..BASE
    },
    Operation {
        name: "UploadPartCopy",
        action: "s3:PutObject",
        method: "PUT",
        selectors: &["partNumber", "uploadId"],
        is_copy: true,
        headers: &[COPY_SOURCE, &["x-amz-copy-source-range"]],
        ..BASE
    },
    Operation {
        name: "CreateMultipartUpload",
        action: "s3:PutObject",
        method: "POST",
        selectors: &["uploads"],
        headers: &[NEW_OBJECT, CHECKSUM_ALGORITHM, &["x-amz-checksum-type"]],
        ..BASE
    },
    Operation {
        name: "CompleteMultipartUpload",
        action: "s3:PutObject",
        method: "POST",
        selectors: &["uploadId"],
        headers: &[CHECKSUMS, &["x-amz-checksum-type", "x-amz-mp-object-size"]],
        ..BASE
    },
    Operation { name: "DeleteObject", action: "s3:DeleteObject", method: "DELETE", ..BASE },
    Operation {
        name: "AbortMultipartUpload",
        action: "s3:AbortMultipartUpload",
        method: "DELETE",
        selectors: &["uploadId"],
        ..BASE
    },
];

impl Operation {
    /// The operation that a request asks for, with all that it carries.
    ///
    /// # Errors
    /// `NotImplemented` for whatever the table does not name.
    pub(super) fn find(
        method: &str,
        level: Level,
        query: &Query,
        headers: &HeaderMap,
    ) -> S3Result<&'static Self> {
        let is_copy = level == Level::Object && method == "PUT" && headers.contains_key(COPY_SOURCE[0]);
        let here =
            OPERATIONS.iter().filter(|operation| operation.method == method && operation.level == level);
        let selected =
            here.filter(|operation| operation.is_copy == is_copy && operation.is_selected_by(query));
        let Some(operation) = selected.max_by_key(|operation| operation.selectors.len()) else {
            return Err(s3_error!(
                NotImplemented,
                "{method} of {} is not offered{}",
                level.name(),
                if query.iter().next().is_some() { " with these query parameters" } else { "" }
            ));
        };
        operation.check(query, headers)?;
        Ok(operation)
    }

    fn is_selected_by(&self, query: &Query) -> bool {
        self.selectors.iter().all(|name| query.has(name))
    }

    fn check(&self, query: &Query, headers: &HeaderMap) -> S3Result<()> {
        let is_known = |name: &str| self.selectors.contains(&name) || self.parameters.contains(&name);
        if let Some((name, _)) = query.iter().find(|(name, _)| !is_known(name)) {
            return Err(s3_error!(
                NotImplemented,
                "{} with the query parameter \"{name}\" is not offered; nothing was done",
                self.name
            ));
        }
        if query.get("list-type").is_some_and(|version| version != "2") {
            return Err(s3_error!(InvalidArgument, "list-type must be 2"));
        }
        let amz = headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with("x-amz-"));
        for name in amz {
            if !self.takes_header(name) {
                return Err(s3_error!(
                    NotImplemented,
                    "A header you provided implies functionality that is not implemented: {} with {name}; nothing was \
                     done",
                    self.name
                ));
            }
            // Which of two values counts is anybody's guess.
            if headers.get_all(name).iter().nth(1).is_some() {
                return Err(s3_error!(InvalidArgument, "the header {name} was sent more than once"));
            }
        }
        for name in ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"] {
            if headers.get(name).is_some_and(|owner| owner != OWNER) {
                return Err(s3_error!(
                    AccessDenied,
                    "{name} is not the bucket's owner, which is \"{OWNER}\""
                ));
            }
        }
        Ok(())
    }

    fn takes_header(&self, name: &str) -> bool {
        let all = self.headers.iter().copied().chain([EVERY]).flatten();
        all.into_iter().any(|known| *known == name || *known == METADATA && name.starts_with(METADATA))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(
        method: &str,
        level: Level,
        query: &str,
        headers: &[&'static str],
    ) -> Result<&'static str, String> {
        let headers = headers.iter().map(|name| {
            let value = if name.ends_with("owner") { "111122223333" } else { "x" };
            (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
        });
        let query = Query::of(&format!("/b/k?{query}").parse().unwrap()).of_operation();
        let found = Operation::find(method, level, &query, &headers.collect());
        found.map(|operation| operation.name).map_err(|error| error.code().as_str().to_owned())
    }

    #[test]
    fn each_operation_is_found_by_what_selects_it() {
        for operation in OPERATIONS {
            let query: Vec<String> = operation
                .selectors
                .iter()
                .chain(operation.parameters)
                .map(|name| format!("{name}={}", if *name == "list-type" { "2" } else { "1" }))
                .collect();
            let headers = if operation.is_copy { &["x-amz-copy-source"][..] } else { &[] };
            let found = find(operation.method, operation.level, &query.join("&"), headers);
            assert_eq!(found.as_deref(), Ok(operation.name));
        }
    }

    #[test]
    fn what_the_table_does_not_name_is_another_operation_and_refused() {
        let object = [
            "acl",
            "annotation",
            "append",
            "attributes",
            "encryption",
            "legal-hold",
            "metadata",
            "object-lock",
            "policy",
            "renameObject",
            "restore",
            "retention",
            "select&select-type=2",
            "tagging=1&x=2",
            "torrent",
            "uploads=&x=1",
            "versionId=1",
            "versions",
            "website",
            "ACL",
            "upload",
            "partnumber=1",
            "%61cl",
        ];
        for query in object {
            for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
                let found = find(method, Level::Object, query, &[]);
                assert_eq!(found, Err("NotImplemented".into()), "{method} {query}");
            }
        }
        for (method, query) in [
            ("PUT", "uploads"),
            ("PUT", "uploadId=x"),
            ("PUT", "partNumber=1"),
            ("PUT", "delete"),
            ("DELETE", "tagging"),
            ("DELETE", "uploadId=1&acl"),
            ("POST", ""),
            ("POST", "delete"),
            ("PATCH", ""),
            ("GET", "list-type=2"),
        ] {
            assert_eq!(
                find(method, Level::Object, query, &[]),
                Err("NotImplemented".into()),
                "{method} {query}"
            );
        }
        let bucket = [
            "accelerate",
            "acl",
            "analytics&id=1",
            "encryption",
            "intelligent-tiering",
            "inventory",
            "lifecycle",
            "logging",
            "metadataConfiguration",
            "metadataTable",
            "metrics",
            "object-lock",
            "ownershipControls",
            "policy",
            "policyStatus",
            "publicAccessBlock",
            "replication",
            "requestPayment",
            "session",
            "tagging",
            "versioning",
            "versions",
            "website",
            "abac",
            "metadataInventoryTable",
        ];
        for query in bucket {
            for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
                let found = find(method, Level::Bucket, query, &[]);
                assert_eq!(found, Err("NotImplemented".into()), "{method} {query}");
            }
        }
        assert_eq!(find("GET", Level::Bucket, "list-type=1", &[]), Err("InvalidArgument".into()));
        assert_eq!(find("POST", Level::Service, "", &[]), Err("NotImplemented".into()));
    }

    #[test]
    fn headers_that_cannot_be_honoured_are_refused() {
        for name in [
            "x-amz-checksum-md5",
            "x-amz-checksum-sha512",
            "x-amz-checksum-xxhash64",
            "x-amz-grant-read",
            "x-amz-object-lock-mode",
            "x-amz-server-side-encryption",
            "x-amz-server-side-encryption-customer-key",
            "x-amz-tagging",
            "x-amz-website-redirect-location",
            "x-amz-write-offset-bytes",
            "x-amz-unheard-of",
        ] {
            assert_eq!(find("PUT", Level::Object, "", &[name]), Err("NotImplemented".into()), "{name}");
        }
        for (method, name) in [
            ("GET", "x-amz-copy-source"),
            ("GET", "x-amz-server-side-encryption-customer-key-md5"),
            ("DELETE", "x-amz-if-match-size"),
            ("DELETE", "x-amz-if-match-last-modified-time"),
            ("DELETE", "x-amz-mfa"),
            ("DELETE", "x-amz-bypass-governance-retention"),
            ("HEAD", "x-amz-meta-a"),
        ] {
            assert_eq!(
                find(method, Level::Object, "", &[name]),
                Err("NotImplemented".into()),
                "{method} {name}"
            );
        }
        assert_eq!(
            find("GET", Level::Object, "", &["x-amz-expected-bucket-owner"]),
            Err("AccessDenied".into())
        );
        assert_eq!(
            find("PUT", Level::Object, "x-id=PutObject", &["x-amz-meta-a", "x-amz-acl"]),
            Ok("PutObject")
        );
    }
}
