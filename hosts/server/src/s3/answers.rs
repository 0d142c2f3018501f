//! Between S3's types and the store's.

use s3s::{
    S3Result,
    dto::{self, CopySource, ETag, Timestamp, TimestampFormat},
    s3_error,
};
use tintype_pipeline::store::{Location, ObjectKey};

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

/// A date header as text and back.
pub(super) fn date_text(date: &Timestamp) -> Option<String> {
    let mut text = Vec::new();
    date.format(TimestampFormat::HttpDate, &mut text).ok()?;
    String::from_utf8(text).ok()
}

pub(super) fn date(text: &str) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, text).ok()
}

pub(super) fn metadata(stored: &StoredHeaders) -> Option<dto::Metadata> {
    (!stored.metadata.is_empty())
        .then(|| stored.metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// The headers that are stored with an object, of any request that creates one.
macro_rules! stored_headers {
    ($input:expr) => {
        $crate::storage::StoredHeaders {
            content_type: $input.content_type.clone(),
            cache_control: $input.cache_control.clone(),
            content_disposition: $input.content_disposition.clone(),
            content_encoding: $crate::s3::answers::without_transfer_encoding(
                $input.content_encoding.as_deref(),
            ),
            content_language: $input.content_language.clone(),
            expires: $input.expires.as_ref().and_then($crate::s3::answers::date_text),
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
    let encodings: Vec<&str> = encoding?
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty() && *part != "aws-chunked")
        .collect();
    (!encodings.is_empty()).then(|| encodings.join(","))
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
        CopySource::Bucket { version_id: Some(_), .. } => Err(s3_error!(
            NotImplemented,
            "versions are not stored; leave versionId out of x-amz-copy-source"
        )),
        CopySource::Bucket { bucket, key, version_id: None } => location(bucket, key),
        CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => {
            Err(s3_error!(NotImplemented, "x-amz-copy-source names an access point; name a bucket"))
        }
    }
}

/// Objects are private; no other canned ACL could be honoured.
pub(super) fn check_acl(acl: Option<&str>) -> S3Result<()> {
    match acl {
        None | Some("private" | "bucket-owner-full-control") => Ok(()),
        Some(other) => {
            Err(s3_error!(NotImplemented, "the canned ACL \"{other}\" is not offered; objects are private"))
        }
    }
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
