//! The operations offered, in one table: what selects each, which query parameters and `x-amz-*` headers it may carry,
//! and the right it needs. What is not in the table is refused before anything is read or written: to ignore a
//! parameter would turn one operation into another, and an ignored header is a condition or an option not honoured.

mod rows;

use http::HeaderMap;
use s3s::{S3Result, path::S3Path, s3_error};

use super::query::Query;
use crate::auth::Action;
pub(super) use rows::OPERATIONS;
use rows::{CONDITIONS, COPY_SOURCE, EVERY, METADATA};

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
    /// Empty.
    None,
    /// An object's bytes, which the operation takes as they come.
    Object,
    /// A document in JSON.
    Json,
    /// An XML document.
    Document {
        /// Whether `x-amz-checksum-*` are of the document, and not of the object that it creates.
        checksums: bool,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    /// As the S3 API names it.
    pub(super) name: &'static str,
    /// The right that it needs, on what its path names.
    pub(super) action: Action,
    /// Which rights it needs is in its document: on each of the objects that it names, or to set the tags that it has.
    pub(super) is_decided_by_document: bool,
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
    /// Conditional headers it honours.
    conditions: &'static [&'static str],
}

/// Headers that are accepted with these values only.
const VALUES: &[(&str, &[&str])] = &[
    // The AWS SDK for C++ writes it in lower case.
    ("x-amz-checksum-mode", &["ENABLED", "enabled"]),
    ("x-amz-metadata-directive", &["COPY", "REPLACE"]),
    ("x-amz-tagging-directive", &["COPY", "REPLACE"]),
    // The one version of S3's API; the AWS SDK for C++ sends it.
    ("x-amz-api-version", &["2006-03-01"]),
    ("x-amz-bypass-governance-retention", &["true", "false"]),
    // Nothing is ever archived.
    ("x-amz-optional-object-attributes", &["RestoreStatus"]),
    ("x-amz-request-payer", &["requester"]),
];

impl Operation {
    /// The operation of a request, if the table allows all its parameters and headers.
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
        if query.get("versionId").is_some_and(|version| version != "null") {
            return Err(s3_error!(
                InvalidArgument,
                "Invalid version id specified: versions are not stored, so there is \"null\" only"
            ));
        }
        // A read may ignore a condition; a write must not be done against one.
        let is_read = matches!(self.method, "GET" | "HEAD");
        let unsupported = CONDITIONS
            .iter()
            .chain(&["content-range"])
            .find(|name| headers.contains_key(**name) && !self.conditions.contains(name) && !is_read);
        if let Some(name) = unsupported {
            return Err(s3_error!(
                NotImplemented,
                "{} with {name} is not offered; nothing was done",
                self.name
            ));
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
        }
        for (name, allowed) in VALUES {
            let value = headers.get(*name);
            if value.is_some_and(|value| !allowed.iter().any(|allowed| value == allowed)) {
                return Err(s3_error!(InvalidArgument, "{name} must be {}", allowed.join(" or ")));
            }
        }
        let encryption = headers.get("x-amz-server-side-encryption");
        if encryption.is_some_and(|kind| kind != "AES256") {
            return Err(s3_error!(
                NotImplemented,
                "x-amz-server-side-encryption other than AES256 is not offered; nothing was done"
            ));
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

    /// Whether it is a listing, whose parameters policies may name.
    pub(super) fn is_listing(&self) -> bool {
        matches!(
            self.action,
            Action::ListBucket | Action::ListBucketMultipartUploads | Action::ListBucketVersions
        )
    }

    /// The right to the ACL that the request names, of an operation that creates what it is of.
    pub(super) fn acl_action(&self) -> Option<Action> {
        let of_acl = match self.action {
            Action::PutObject => Action::PutObjectAcl,
            Action::CreateBucket => Action::PutBucketAcl,
            _ => return None,
        };
        self.headers.iter().any(|list| list.contains(&"x-amz-acl")).then_some(of_acl)
    }

    /// The right to the ownership controls that a request names, of an operation that creates a bucket.
    pub(super) fn ownership_action(&self) -> Option<Action> {
        (self.action == Action::CreateBucket).then_some(Action::PutBucketOwnershipControls)
    }

    /// The right to set the tags that the request names, of an operation that creates an object.
    pub(super) fn tagging_action(&self) -> Option<Action> {
        let takes = self.headers.iter().any(|list| list.contains(&"x-amz-tagging"));
        takes.then_some(Action::PutObjectTagging)
    }

    /// Whether it puts or deletes an object.
    pub(super) const fn is_write_of_object(&self) -> bool {
        matches!(self.action, Action::PutObject | Action::DeleteObject)
    }

    fn takes_header(&self, name: &str) -> bool {
        let all = self.headers.iter().copied().chain([EVERY]).flatten();
        let is_metadata = name.starts_with(METADATA) && name.len() > METADATA.len();
        is_metadata && all.clone().any(|known| *known == METADATA)
            || name != METADATA && all.into_iter().any(|known| *known == name)
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
                .map(|name| {
                    let value = match *name {
                        "list-type" => "2",
                        "versionId" => "null",
                        _ => "1",
                    };
                    format!("{name}={value}")
                })
                .collect();
            let headers = if operation.is_copy { &["x-amz-copy-source"][..] } else { &[] };
            let headers = [headers, operation.conditions].concat();
            let found = find(operation.method, operation.level, &query.join("&"), &headers);
            assert_eq!(found.as_deref(), Ok(operation.name));
        }
    }

    #[test]
    fn what_the_table_does_not_name_is_another_operation_and_refused() {
        let object = [
            "annotation",
            "append",
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
            "versions",
            "website",
            "ACL",
            "upload",
            "partnumber=1",
            "%74orrent",
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
            "analytics&id=1",
            "intelligent-tiering",
            "inventory",
            "metadataConfiguration",
            "metadataTable",
            "metrics",
            "session",
            "abac",
            "metadataInventoryTable",
        ];
        for query in bucket {
            for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
                let found = find(method, Level::Bucket, query, &[]);
                assert_eq!(found, Err("NotImplemented".into()), "{method} {query}");
            }
        }
        for (method, query) in [
            ("HEAD", "policy"),
            ("POST", "policy"),
            ("PUT", "policyStatus"),
            ("DELETE", "policyStatus"),
            ("POST", "publicAccessBlock"),
            ("POST", "ownershipControls"),
            ("HEAD", "ownershipControls"),
        ] {
            assert_eq!(
                find(method, Level::Bucket, query, &[]),
                Err("NotImplemented".into()),
                "{method} {query}"
            );
        }
        for query in [
            "accelerate",
            "encryption",
            "lifecycle",
            "logging",
            "object-lock",
            "replication",
            "requestPayment",
            "tagging",
            "versioning",
            "versions",
            "website",
        ] {
            for method in ["HEAD", "PUT", "POST", "DELETE"] {
                assert_eq!(
                    find(method, Level::Bucket, query, &[]),
                    Err("NotImplemented".into()),
                    "{method} {query}"
                );
            }
        }
        for method in ["HEAD", "POST", "DELETE"] {
            for level in [Level::Bucket, Level::Object] {
                assert_eq!(find(method, level, "acl", &[]), Err("NotImplemented".into()), "{method} acl");
            }
        }
        for method in ["GET", "HEAD", "DELETE"] {
            assert_eq!(
                find(method, Level::Object, "versionId=1", &[]),
                Err("InvalidArgument".into()),
                "{method}"
            );
        }
        assert_eq!(find("PUT", Level::Object, "versionId=null", &[]), Err("NotImplemented".into()));
        assert_eq!(find("GET", Level::Bucket, "list-type=1", &[]), Err("InvalidArgument".into()));
        assert_eq!(find("POST", Level::Service, "", &[]), Err("NotImplemented".into()));
    }

    #[test]
    fn a_write_is_not_done_against_a_condition_that_it_does_not_look_at() {
        for (method, query, name) in [
            ("DELETE", "", "if-none-match"),
            ("DELETE", "", "if-unmodified-since"),
            ("PUT", "", "if-modified-since"),
            ("PUT", "", "content-range"),
            ("PUT", "partNumber=1&uploadId=1", "if-match"),
            ("POST", "uploads", "if-none-match"),
        ] {
            assert_eq!(
                find(method, Level::Object, query, &[name]),
                Err("NotImplemented".into()),
                "{method} {name}"
            );
        }
        assert_eq!(find("PUT", Level::Bucket, "cors", &["if-match"]), Err("NotImplemented".into()));
    }

    #[test]
    fn headers_that_cannot_be_honoured_are_refused() {
        for name in [
            "x-amz-checksum-md5",
            "x-amz-checksum-sha512",
            "x-amz-checksum-xxhash64",
            "x-amz-grant-read",
            "x-amz-object-lock-mode",
            "x-amz-server-side-encryption-aws-kms-key-id",
            "x-amz-server-side-encryption-customer-key",
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
