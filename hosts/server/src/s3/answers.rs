//! Between S3's types and the store's.

use s3s::{
    S3Result,
    dto::{self, CopySource, ETag, Timestamp},
    s3_error,
};
use tintype_pipeline::store::{Location, ObjectKey};
use tintype_policy::CannedAcl;

use super::http_dates::Expires;
use crate::storage::{Checksums, StoredHeaders};

pub(super) fn location(bucket: &str, key: &str) -> S3Result<Location> {
    let key = ObjectKey::new(key).map_err(|message| match key.len() {
        0 => s3_error!(InvalidArgument, "{message}"),
        _ => s3_error!(KeyTooLongError, "{message}"),
    })?;
    Ok(Location { bucket: bucket.into(), key })
}

pub(super) fn timestamp(milliseconds: i64) -> Timestamp {
    let nanoseconds = i128::from(milliseconds) * 1_000_000;
    time::OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
        .into()
}

pub(super) fn etag(value: &str) -> ETag {
    ETag::Strong(value.to_owned())
}

pub(super) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// `Expires` of a request that creates an object.
pub(super) fn expires(of_request: &http::Extensions) -> Option<String> {
    of_request.get::<Expires>().map(|expires| expires.0.clone())
}

/// The status of an answer, which s3s does not take from all operations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Status(pub(super) http::StatusCode);

/// Sets the status of an answer that has another than its operation's usual one.
pub(super) fn set_status<T>(response: &mut s3s::S3Response<T>, status: Option<http::StatusCode>) {
    status.map(|status| response.extensions.insert(Status(status)));
}

/// Adds headers that s3s has no field for, or only for one format of dates.
pub(super) fn add_header(headers: &mut http::HeaderMap, name: http::HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| http::HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}

/// An object's URL, as its client reaches this server.
pub(super) fn url(host: Option<&http::HeaderValue>, is_secure: bool, at: &Location) -> String {
    let key = percent_encoding::utf8_percent_encode(at.key.as_str(), super::URL_ESCAPED);
    match host.and_then(|host| host.to_str().ok()) {
        Some(host) => format!("{}://{host}/{}/{key}", if is_secure { "https" } else { "http" }, at.bucket),
        None => format!("/{}/{key}", at.bucket),
    }
}

pub(super) fn metadata(stored: &StoredHeaders) -> Option<dto::Metadata> {
    (!stored.metadata.is_empty())
        .then(|| stored.metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// The headers that are stored with an object, of any request that creates one.
macro_rules! stored_headers {
    ($input:expr, $expires:expr) => {
        $crate::storage::StoredHeaders {
            content_type: $input.content_type.clone(),
            cache_control: $input.cache_control.clone(),
            content_disposition: $input.content_disposition.clone(),
            content_encoding: $crate::s3::answers::without_transfer_encoding(
                $input.content_encoding.as_deref(),
            ),
            content_language: $input.content_language.clone(),
            expires: $expires,
            metadata: $input
                .metadata
                .iter()
                .flatten()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
                .collect(),
        }
    };
}
pub(super) use stored_headers;

/// Without `aws-chunked`, which encodes the transfer and not the object.
pub(super) fn without_transfer_encoding(encoding: Option<&str>) -> Option<String> {
    let sent = encoding?;
    let parts = sent.split(',').map(str::trim);
    let is_of_object = |part: &&str| !part.is_empty() && !part.eq_ignore_ascii_case("aws-chunked");
    let encodings: Vec<&str> = parts.clone().filter(is_of_object).collect();
    match encodings.is_empty() {
        true => None,
        // As it was sent, where nothing is left out of it.
        false if encodings.len() == parts.count() => Some(sent.to_owned()),
        false => Some(encodings.join(", ")),
    }
}

/// Fills the checksum fields of an answer.
macro_rules! with_checksums {
    ($output:expr, $checksums:expr) => {{
        let checksums: &$crate::storage::Checksums = $checksums;
        let value = |name: &str| checksums.values.get(name).cloned();
        $output.checksum_crc32 = value("CRC32");
        $output.checksum_crc32c = value("CRC32C");
        $output.checksum_crc64nvme = value("CRC64NVME");
        $output.checksum_sha1 = value("SHA1");
        $output.checksum_sha256 = value("SHA256");
    }};
}
pub(super) use with_checksums;

pub(super) fn checksum_type(checksums: &Checksums) -> Option<dto::ChecksumType> {
    if checksums.values.is_empty() {
        return None;
    }
    let name =
        if checksums.composite { dto::ChecksumType::COMPOSITE } else { dto::ChecksumType::FULL_OBJECT };
    Some(dto::ChecksumType::from_static(name))
}

pub(super) fn copy_source(source: &CopySource) -> S3Result<Location> {
    match source {
        CopySource::Bucket { version_id: Some(version), .. } if &**version != "null" => Err(s3_error!(
            NotImplemented,
            "versions are not stored; leave versionId out of x-amz-copy-source, or name \"null\""
        )),
        CopySource::Bucket { bucket, key, .. } => location(bucket, key),
        CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => {
            Err(s3_error!(NotImplemented, "x-amz-copy-source names an access point; name a bucket"))
        }
    }
}

/// Canned ACLs of S3 that are not offered: they name services of AWS.
const OTHER_ACLS: [&str; 2] = ["aws-exec-read", "log-delivery-write"];

/// The canned ACL of a request.
pub(super) fn canned_acl(acl: Option<&str>) -> S3Result<CannedAcl> {
    let Some(name) = acl else { return Ok(CannedAcl::Private) };
    if OTHER_ACLS.contains(&name) {
        return Err(s3_error!(
            NotImplemented,
            "the canned ACL \"{name}\" is not offered; there are {}",
            CannedAcl::ALL.map(CannedAcl::name).join(", ")
        ));
    }
    name.parse().map_err(|error| s3_error!(InvalidArgument, "{error}"))
}

/// There is one class of storage.
pub(super) fn check_storage_class(class: Option<&str>) -> S3Result<()> {
    match class {
        None | Some("STANDARD") => Ok(()),
        Some(other) => {
            Err(s3_error!(InvalidStorageClass, "the storage class \"{other}\" is not offered; use STANDARD"))
        }
    }
}
