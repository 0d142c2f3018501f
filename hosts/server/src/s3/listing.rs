//! ListObjects, both versions.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        self, ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput,
        ListObjectsV2Input, ListObjectsV2Output,
    },
    s3_error,
};

use super::{Endpoint, answers, blocking, bucket_configuration, faults::s3};
use crate::storage::{ObjectRecord, Page, PageRequest};

/// S3's bound on a page.
const MAX_PAGE: i32 = 1000;
/// The id of every object's one version, as in buckets that never had versioning.
const NULL_VERSION: &str = "null";

/// What `encoding-type=url` escapes, as S3 does it.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');

/// Keys in the encoding of the request: XML 1.0 cannot represent every character of a key.
pub(super) struct Encoder(bool);

impl Encoder {
    pub(super) fn new(encoding: Option<&dto::EncodingType>) -> S3Result<Self> {
        match encoding.map(dto::EncodingType::as_str) {
            None => Ok(Self(false)),
            Some("url") => Ok(Self(true)),
            Some(other) => Err(s3_error!(InvalidArgument, "encoding-type \"{other}\" is not url")),
        }
    }

    pub(super) fn text(&self, text: &str) -> String {
        if self.0 { utf8_percent_encode(text, ESCAPED).to_string() } else { text.to_owned() }
    }

    fn object(&self, (key, record): &(String, ObjectRecord), has_owner: bool) -> dto::Object {
        let algorithm = record.checksums.values.keys().map(|name| dto::ChecksumAlgorithm::from(name.clone()));
        dto::Object {
            key: Some(self.text(key)),
            size: Some(answers::size(record.size)),
            e_tag: Some(answers::etag(&record.etag)),
            last_modified: Some(answers::timestamp(record.modified_ms)),
            storage_class: Some(dto::ObjectStorageClass::from_static(dto::ObjectStorageClass::STANDARD)),
            checksum_algorithm: Some(algorithm.collect()),
            checksum_type: answers::checksum_type(&record.checksums),
            owner: has_owner.then(bucket_configuration::owner),
            ..dto::Object::default()
        }
    }

    fn objects(&self, page: &Page, has_owner: bool) -> Vec<dto::Object> {
        page.objects.iter().map(|object| self.object(object, has_owner)).collect()
    }

    /// An object as its one version.
    fn version(&self, object: &(String, ObjectRecord)) -> dto::ObjectVersion {
        let object = self.object(object, true);
        dto::ObjectVersion {
            checksum_algorithm: object.checksum_algorithm,
            checksum_type: object.checksum_type,
            e_tag: object.e_tag,
            is_latest: Some(true),
            key: object.key,
            last_modified: object.last_modified,
            owner: object.owner,
            restore_status: None,
            size: object.size,
            storage_class: Some(dto::ObjectVersionStorageClass::from_static(
                dto::ObjectVersionStorageClass::STANDARD,
            )),
            version_id: Some(NULL_VERSION.into()),
        }
    }

    fn prefixes(&self, page: &Page) -> Vec<dto::CommonPrefix> {
        page.prefixes.iter().map(|prefix| dto::CommonPrefix { prefix: Some(self.text(prefix)) }).collect()
    }
}

/// The most entries of a page, by the parameter that sets it.
pub(super) fn page_size(parameter: &str, requested: Option<i32>) -> S3Result<i32> {
    match requested {
        None => Ok(MAX_PAGE),
        Some(size) if size >= 0 => Ok(size.min(MAX_PAGE)),
        Some(size) => Err(s3_error!(InvalidArgument, "{parameter} {size} is negative")),
    }
}

async fn page(endpoint: &Endpoint, bucket: String, request: PageRequest) -> S3Result<Page> {
    let store = endpoint.store.clone();
    blocking(move || store.listing.page(&bucket, &request).map_err(s3)).await
}

pub(super) async fn v1(
    endpoint: &Endpoint,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let input = request.input;
    let encoder = Encoder::new(input.encoding_type.as_ref())?;
    let max = page_size("max-keys", input.max_keys)?;
    let request = PageRequest {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after: input.marker.clone().unwrap_or_default(),
        max: usize::try_from(max).unwrap_or(0),
    };
    let page = page(endpoint, input.bucket.clone(), request).await?;
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(encoder.text(&input.prefix.unwrap_or_default())),
        marker: Some(encoder.text(&input.marker.unwrap_or_default())),
        max_keys: Some(max),
        is_truncated: Some(page.next.is_some()),
        contents: Some(encoder.objects(&page, true)),
        common_prefixes: Some(encoder.prefixes(&page)),
        // Without a delimiter clients continue from the last key, as with S3.
        next_marker: page.next.as_ref().filter(|_| input.delimiter.is_some()).map(|next| encoder.text(next)),
        delimiter: input.delimiter.filter(|text| !text.is_empty()).map(|text| encoder.text(&text)),
        encoding_type: input.encoding_type,
        ..ListObjectsOutput::default()
    }))
}

pub(super) async fn v2(
    endpoint: &Endpoint,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let input = request.input;
    let encoder = Encoder::new(input.encoding_type.as_ref())?;
    let max = page_size("max-keys", input.max_keys)?;
    let after = match &input.continuation_token {
        None => input.start_after.clone().unwrap_or_default(),
        Some(token) => URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| s3_error!(InvalidArgument, "the continuation token provided is incorrect"))?,
    };
    let request = PageRequest {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after,
        max: usize::try_from(max).unwrap_or(0),
    };
    let page = page(endpoint, input.bucket.clone(), request).await?;
    let count = i32::try_from(page.objects.len() + page.prefixes.len()).unwrap_or(i32::MAX);
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encoder.text(&input.prefix.unwrap_or_default())),
        max_keys: Some(max),
        key_count: Some(count),
        continuation_token: input.continuation_token,
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_ref().map(|next| URL_SAFE_NO_PAD.encode(next)),
        contents: Some(encoder.objects(&page, input.fetch_owner == Some(true))),
        common_prefixes: Some(encoder.prefixes(&page)),
        delimiter: input.delimiter.filter(|text| !text.is_empty()).map(|text| encoder.text(&text)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|after| encoder.text(&after)),
        ..ListObjectsV2Output::default()
    }))
}

/// Each object once.
pub(super) async fn versions(
    endpoint: &Endpoint,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let input = request.input;
    let encoder = Encoder::new(input.encoding_type.as_ref())?;
    let max = page_size("max-keys", input.max_keys)?;
    if input.version_id_marker.as_ref().is_some_and(|marker| !marker.is_empty()) && input.key_marker.is_none()
    {
        return Err(s3_error!(
            InvalidArgument,
            "A version-id marker cannot be specified without a key marker."
        ));
    }
    let request = PageRequest {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after: input.key_marker.clone().unwrap_or_default(),
        max: usize::try_from(max).unwrap_or(0),
    };
    let page = page(endpoint, input.bucket.clone(), request).await?;
    let is_truncated = page.next.is_some();
    Ok(S3Response::new(ListObjectVersionsOutput {
        name: Some(input.bucket),
        prefix: Some(encoder.text(&input.prefix.unwrap_or_default())),
        key_marker: Some(encoder.text(&input.key_marker.unwrap_or_default())),
        version_id_marker: input.version_id_marker,
        max_keys: Some(max),
        is_truncated: Some(is_truncated),
        versions: Some(page.objects.iter().map(|object| encoder.version(object)).collect()),
        common_prefixes: Some(encoder.prefixes(&page)),
        next_key_marker: page.next.as_ref().map(|next| encoder.text(next)),
        next_version_id_marker: is_truncated.then(|| NULL_VERSION.into()),
        delimiter: input.delimiter.filter(|text| !text.is_empty()).map(|text| encoder.text(&text)),
        encoding_type: input.encoding_type,
        ..ListObjectVersionsOutput::default()
    }))
}
