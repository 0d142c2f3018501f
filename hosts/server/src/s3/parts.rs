//! Multipart uploads.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    checksum::ChecksumHasher,
    dto::{
        self, AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
        ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput,
        UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
    },
    s3_error,
};

use super::{
    Endpoint,
    answers::{self, check_storage_class, stored_headers, with_checksums},
    blocking, bucket_configuration,
    conditions::{self, copy_source_conditions},
    faults::s3,
    listing::{Encoder, page_size},
    operations::sender,
    tagging,
    upload_body::{self, ALGORITHMS, expected, hasher_for},
};
use crate::{
    auth::Action,
    storage::{
        Checksums, CompletedPart, Completion, JoinedChecksum, NewUpload, PartRecord, StoreFault,
        UploadRecord, UploadsRequest,
    },
};

/// S3's bound on part numbers.
const MAX_PART_NUMBER: i32 = 10_000;

fn number(number: i32) -> S3Result<u16> {
    u16::try_from(number).ok().filter(|_| (1..=MAX_PART_NUMBER).contains(&number)).ok_or_else(|| {
        s3_error!(InvalidArgument, "part number {number} is out of range; it must be 1 to {MAX_PART_NUMBER}")
    })
}

pub(super) async fn create(
    endpoint: &Endpoint,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let expires = answers::expires(&request.extensions);
    let input = request.input;
    let tags = input.tagging.as_deref().map(tagging::of_header).transpose()?.unwrap_or_default();
    endpoint.check_encryption(input.server_side_encryption.as_ref())?;
    let acl =
        endpoint.acl_of_new_object(&input.bucket, input.acl.as_ref().map(dto::ObjectCannedACL::as_str))?;
    check_storage_class(input.storage_class.as_ref().map(dto::StorageClass::as_str))?;
    let at = answers::location(&input.bucket, &input.key)?;
    let algorithm = input.checksum_algorithm.as_ref().map(|name| name.as_str().to_ascii_uppercase());
    if let Some(algorithm) = &algorithm {
        hasher_for(algorithm)?;
    }
    // CRC64NVME knows only whole objects; the others default to the parts' checksums.
    let full_object = is_full_object(input.checksum_type.as_ref())?
        .unwrap_or(matches!(algorithm.as_deref(), None | Some("CRC64NVME")));
    if !full_object && algorithm.as_deref() == Some("CRC64NVME") {
        return Err(s3_error!(
            InvalidRequest,
            "CRC64NVME checksums of multipart uploads are FULL_OBJECT only"
        ));
    }
    if full_object && matches!(algorithm.as_deref(), Some("SHA1" | "SHA256")) {
        return Err(s3_error!(
            InvalidRequest,
            "SHA1 and SHA256 checksums of multipart uploads are COMPOSITE only"
        ));
    }
    let new = NewUpload {
        headers: stored_headers!(input, expires),
        checksum_algorithm: algorithm,
        full_object_checksum: full_object,
        acl,
        tags,
    };
    let store = endpoint.store.clone();
    let location = at.clone();
    let id = blocking(move || store.uploads.create(&location, new).map_err(s3)).await?;
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(at.bucket),
        key: Some(at.key.to_string()),
        upload_id: Some(id),
        checksum_type: input.checksum_algorithm.as_ref().map(|_| checksum_type(full_object)),
        checksum_algorithm: input.checksum_algorithm,
        server_side_encryption: endpoint.encryption.clone(),
        ..CreateMultipartUploadOutput::default()
    }))
}

fn checksum_type(is_full_object: bool) -> dto::ChecksumType {
    dto::ChecksumType::from_static(match is_full_object {
        true => dto::ChecksumType::FULL_OBJECT,
        false => dto::ChecksumType::COMPOSITE,
    })
}

fn is_full_object(kind: Option<&dto::ChecksumType>) -> S3Result<Option<bool>> {
    match kind.map(dto::ChecksumType::as_str) {
        None => Ok(None),
        Some(dto::ChecksumType::FULL_OBJECT) => Ok(Some(true)),
        Some(dto::ChecksumType::COMPOSITE) => Ok(Some(false)),
        Some(other) => {
            Err(s3_error!(InvalidRequest, "the checksum type \"{other}\" is none of COMPOSITE, FULL_OBJECT"))
        }
    }
}

pub(super) async fn upload_part(
    endpoint: &Endpoint,
    mut request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let mut expected = expected!(request);
    let body = request.input.body.take();
    let input = request.input;
    let number = number(input.part_number)?;
    let at = answers::location(&input.bucket, &input.key)?;
    let store = endpoint.store.clone();
    let (location, id) = (at.clone(), input.upload_id.clone());
    let upload = blocking(move || store.uploads.get(&location, &id).map_err(s3)).await?;
    // A part's checksum is of the upload's kind, so that the object's can be computed from it.
    if expected.checksums.is_empty() && expected.trailer.is_none() {
        expected.algorithm = upload.checksum_algorithm;
    }
    let (store, commit_store) = (endpoint.store.clone(), endpoint.store.clone());
    let id = input.upload_id;
    let upload_id = id.clone();
    let part = upload_body::receive(
        body,
        request.extensions.remove(),
        expected,
        move || store.uploads.begin_part(&at, &upload_id, number).map_err(s3),
        move |incoming| commit_store.uploads.commit_part(&id, number, incoming).map_err(s3),
    )
    .await?;
    let mut output =
        UploadPartOutput { e_tag: Some(answers::etag(&part.etag)), ..UploadPartOutput::default() };
    with_checksums!(output, &part.checksums);
    Ok(S3Response::new(output))
}

pub(super) async fn upload_part_copy(
    endpoint: &Endpoint,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let input = request.input;
    let number = number(input.part_number)?;
    let at = answers::location(&input.bucket, &input.key)?;
    let from = answers::copy_source(&input.copy_source)?;
    endpoint.authorize(&request.extensions, Action::GetObject, &from)?;
    let (endpoint, extensions) = (endpoint.clone(), request.extensions);
    let part = blocking(move || {
        let store = &endpoint.store;
        let source = store.objects.open(&from).map_err(s3)?.ok_or_else(|| s3(StoreFault::NoSuchKey(from)))?;
        let size = source.record.size;
        let (first, length) = match input.copy_source_range.as_deref() {
            None => (0, size),
            Some(text) => copy_range(text, size)?,
        };
        conditions::check_copy_source(copy_source_conditions!(input), &source.record)?;
        endpoint.charge(&extensions, length)?;
        let algorithm = store.uploads.get(&at, &input.upload_id).map_err(s3)?.checksum_algorithm;
        let mut hasher = hasher_for(algorithm.as_deref().unwrap_or("CRC64NVME"))?;
        let mut incoming = store.uploads.begin_part(&at, &input.upload_id, number).map_err(s3)?;
        let mut offset = first;
        while offset < first + length {
            let chunk = source.read_chunk(offset, first + length - offset).map_err(s3)?;
            hasher.update(&chunk);
            incoming.write(&chunk).map_err(s3)?;
            offset += chunk.len() as u64;
        }
        incoming.set_checksums(upload_body::values(hasher.finalize()));
        store.uploads.commit_part(&input.upload_id, number, incoming).map_err(s3)
    })
    .await?;
    let mut result = dto::CopyPartResult {
        e_tag: Some(answers::etag(&part.etag)),
        last_modified: Some(answers::timestamp(part.modified_ms)),
        ..dto::CopyPartResult::default()
    };
    with_checksums!(result, &part.checksums);
    Ok(S3Response::new(UploadPartCopyOutput {
        copy_part_result: Some(result),
        ..UploadPartCopyOutput::default()
    }))
}

/// `bytes=first-last`, both given (AWS, "UploadPartCopy").
fn copy_range(text: &str, size: u64) -> S3Result<(u64, u64)> {
    let range = text.strip_prefix("bytes=").and_then(|text| text.split_once('-'));
    let range = range.and_then(|(first, last)| Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?)));
    match range {
        Some((first, last)) if first <= last && last < size => Ok((first, last - first + 1)),
        Some(_) => Err(s3_error!(InvalidRange, "the range {text} is not within the source's {size} bytes")),
        None => {
            Err(s3_error!(InvalidArgument, "x-amz-copy-source-range \"{text}\" is not of the form bytes=0-9"))
        }
    }
}

/// Computes the object's checksums while the parts are joined.
struct JoinedHasher {
    /// Over all bytes, for a full-object checksum.
    whole: Option<ChecksumHasher>,
    algorithm: String,
    /// What the client expects.
    expected: Vec<(&'static str, String)>,
}

impl JoinedChecksum for JoinedHasher {
    fn update(&mut self, bytes: &[u8]) {
        if let Some(whole) = &mut self.whole {
            whole.update(bytes);
        }
    }

    fn finish(self: Box<Self>, parts: &[PartRecord]) -> Result<Checksums, StoreFault> {
        let checksums = match self.whole {
            Some(whole) => upload_body::values(whole.finalize()),
            None => composite(&self.algorithm, parts)?,
        };
        for (name, value) in &self.expected {
            if checksums.values.get(*name) != Some(value) {
                return Err(StoreFault::BadDigest(format!(
                    "the {name} checksum is not that of the joined parts"
                )));
            }
        }
        Ok(checksums)
    }
}

/// The checksum of the parts' checksums, with their number (AWS, "Checking object integrity").
fn composite(algorithm: &str, parts: &[PartRecord]) -> Result<Checksums, StoreFault> {
    let mut hasher = hasher_for(algorithm).map_err(|error| StoreFault::Invalid(error.to_string()))?;
    for part in parts {
        let value = part.checksums.values.get(algorithm).and_then(|value| STANDARD.decode(value).ok());
        let Some(value) = value else {
            return Err(StoreFault::Invalid(format!(
                "a part was uploaded without the {algorithm} checksum of the upload"
            )));
        };
        hasher.update(&value);
    }
    let mut checksums = upload_body::values(hasher.finalize());
    checksums.values.values_mut().for_each(|value| *value = format!("{value}-{}", parts.len()));
    checksums.composite = true;
    Ok(checksums)
}

fn joined_hasher(upload: &UploadRecord, expected: Vec<(&'static str, String)>) -> S3Result<JoinedHasher> {
    let algorithm = upload.checksum_algorithm.clone().unwrap_or_else(|| "CRC64NVME".into());
    let whole = if upload.full_object_checksum { Some(hasher_for(&algorithm)?) } else { None };
    Ok(JoinedHasher { whole, algorithm, expected })
}

pub(super) async fn complete(
    endpoint: &Endpoint,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let cause = endpoint.cause("ObjectCreated:CompleteMultipartUpload", &request.extensions);
    let is_secure = sender(&request.extensions)?.1.is_secure;
    let host = request.headers.get(http::header::HOST).cloned();
    let input = request.input;
    let at = answers::location(&input.bucket, &input.key)?;
    let condition = conditions::write(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let mut parts = Vec::new();
    for part in input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default() {
        let (Some(part_number), Some(etag)) = (part.part_number, part.e_tag) else {
            return Err(s3_error!(MalformedXML, "every Part needs PartNumber and ETag"));
        };
        let checksums = ALGORITHMS.into_iter().zip([
            part.checksum_crc32,
            part.checksum_crc32c,
            part.checksum_crc64nvme,
            part.checksum_sha1,
            part.checksum_sha256,
        ]);
        let checksums = checksums.filter_map(|(name, value)| value.map(|value| (name, value))).collect();
        parts.push(CompletedPart { number: number(part_number)?, etag: etag.into_value(), checksums });
    }
    if parts.is_empty() {
        return Err(s3_error!(MalformedXML, "CompleteMultipartUpload needs at least one Part"));
    }
    let expected = ALGORITHMS.into_iter().zip([
        input.checksum_crc32,
        input.checksum_crc32c,
        input.checksum_crc64nvme,
        input.checksum_sha1,
        input.checksum_sha256,
    ]);
    let expected = expected.filter_map(|(name, value)| value.map(|value| (name, value))).collect();
    let store = endpoint.store.clone();
    let full_object = is_full_object(input.checksum_type.as_ref())?;
    let size = input.mpu_object_size.map(u64::try_from).transpose();
    let size = size.map_err(|_| s3_error!(InvalidArgument, "x-amz-mp-object-size is negative"))?;
    let (location, id) = (at.clone(), input.upload_id);
    let record = blocking(move || {
        let upload = match store.uploads.get(&location, &id) {
            Err(gone @ StoreFault::NoSuchUpload(_)) => {
                return store.uploads.completed(&location, &parts).map_err(s3)?.ok_or_else(|| s3(gone));
            }
            found => found.map_err(s3)?,
        };
        if full_object.is_some_and(|full_object| full_object != upload.full_object_checksum) {
            return Err(s3_error!(
                InvalidRequest,
                "x-amz-checksum-type is not the one that the upload was created with"
            ));
        }
        let checksum = Box::new(joined_hasher(&upload, expected)?);
        let completion = Completion { parts, size, condition };
        store.uploads.complete(&location, &id, &completion, cause, checksum).map_err(s3)
    })
    .await?;
    let mut output = CompleteMultipartUploadOutput {
        bucket: Some(at.bucket.clone()),
        key: Some(at.key.to_string()),
        location: Some(answers::url(host.as_ref(), is_secure, &at)),
        e_tag: Some(answers::etag(&record.etag)),
        checksum_type: answers::checksum_type(&record.checksums),
        server_side_encryption: endpoint.encryption.clone(),
        ..CompleteMultipartUploadOutput::default()
    };
    with_checksums!(output, &record.checksums);
    Ok(S3Response::new(output))
}

pub(super) async fn abort(
    endpoint: &Endpoint,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let input = request.input;
    let at = answers::location(&input.bucket, &input.key)?;
    let store = endpoint.store.clone();
    blocking(move || store.uploads.abort(&at, &input.upload_id).map_err(s3)).await?;
    Ok(S3Response::with_status(AbortMultipartUploadOutput::default(), http::StatusCode::NO_CONTENT))
}

pub(super) async fn list_parts(
    endpoint: &Endpoint,
    request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let input = request.input;
    let at = answers::location(&input.bucket, &input.key)?;
    let store = endpoint.store.clone();
    let (location, id) = (at.clone(), input.upload_id.clone());
    let (upload, parts) = blocking(move || {
        let upload = store.uploads.get(&location, &id).map_err(s3)?;
        Ok((upload, store.uploads.parts(&location, &id).map_err(s3)?))
    })
    .await?;
    let marker = input.part_number_marker.unwrap_or(0);
    let max = page_size("max-parts", input.max_parts)?;
    let mut later = parts.into_iter().filter(|(number, _)| i32::from(*number) > marker);
    let shown: Vec<dto::Part> = later
        .by_ref()
        .take(usize::try_from(max).unwrap_or(0))
        .map(|(number, part)| shown(number, &part))
        .collect();
    let next = shown.last().and_then(|part| part.part_number);
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(at.bucket),
        key: Some(at.key.to_string()),
        upload_id: Some(input.upload_id),
        max_parts: Some(max),
        part_number_marker: Some(marker),
        next_part_number_marker: next,
        is_truncated: Some(later.next().is_some()),
        parts: Some(shown),
        storage_class: Some(dto::StorageClass::from_static(dto::StorageClass::STANDARD)),
        checksum_type: upload.checksum_algorithm.as_ref().map(|_| checksum_type(upload.full_object_checksum)),
        checksum_algorithm: upload.checksum_algorithm.map(Into::into),
        owner: Some(bucket_configuration::owner()),
        initiator: Some(bucket_configuration::initiator()),
        ..ListPartsOutput::default()
    }))
}

fn shown(number: u16, part: &PartRecord) -> dto::Part {
    let mut shown = dto::Part {
        part_number: Some(number.into()),
        e_tag: Some(answers::etag(&part.etag)),
        size: Some(answers::size(part.size)),
        last_modified: Some(answers::timestamp(part.modified_ms)),
        ..dto::Part::default()
    };
    with_checksums!(shown, &part.checksums);
    shown
}

pub(super) async fn list_uploads(
    endpoint: &Endpoint,
    request: S3Request<ListMultipartUploadsInput>,
) -> Result<S3Response<ListMultipartUploadsOutput>, S3Error> {
    let input = request.input;
    let encoder = Encoder::new(input.encoding_type.as_ref())?;
    if input.delimiter.as_ref().is_some_and(|delimiter| !delimiter.is_empty()) {
        return Err(s3_error!(
            NotImplemented,
            "listing uploads with a delimiter is not offered; use a prefix"
        ));
    }
    let store = endpoint.store.clone();
    let bucket = input.bucket.clone();
    let request = UploadsRequest {
        prefix: input.prefix.clone().unwrap_or_default(),
        after_key: input.key_marker.clone().unwrap_or_default(),
        after_id: input.upload_id_marker.clone().unwrap_or_default(),
    };
    let max = page_size("max-uploads", input.max_uploads)?;
    let limit = usize::try_from(max).unwrap_or(0);
    let mut uploads = blocking(move || store.uploads.list(&bucket, &request, limit + 1).map_err(s3)).await?;
    let truncated = uploads.len() > limit;
    uploads.truncate(limit);
    let last = uploads.last().filter(|_| truncated).cloned();
    let list = uploads.into_iter().map(|upload| dto::MultipartUpload {
        key: Some(encoder.text(&upload.key)),
        upload_id: Some(upload.id),
        initiated: Some(answers::timestamp(upload.initiated_ms)),
        storage_class: Some(dto::StorageClass::from_static(dto::StorageClass::STANDARD)),
        owner: Some(bucket_configuration::owner()),
        initiator: Some(bucket_configuration::initiator()),
        ..dto::MultipartUpload::default()
    });
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: input.prefix.map(|prefix| encoder.text(&prefix)),
        key_marker: input.key_marker.map(|marker| encoder.text(&marker)),
        encoding_type: input.encoding_type,
        upload_id_marker: input.upload_id_marker,
        max_uploads: Some(max),
        is_truncated: Some(truncated),
        next_key_marker: last.as_ref().map(|upload| encoder.text(&upload.key)),
        next_upload_id_marker: last.map(|upload| upload.id),
        uploads: Some(list.collect()),
        ..ListMultipartUploadsOutput::default()
    }))
}
