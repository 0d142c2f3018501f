//! GetObject and HeadObject.

use std::sync::Arc;

use bytes::Bytes;
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Range, StreamingBlob},
    s3_error,
};
use tintype_pipeline::store::Location;

use super::{
    Endpoint,
    answers::{self, with_checksums},
    blocking,
    conditions::{ReadConditions, Verdict, precondition_failed},
    faults::s3,
    http_dates::is_range_of,
};
use crate::storage::{Checksums, ObjectRecord, OpenObject, Storage, StoreFault, VERIFIED_BYTES};

/// Objects up to this size are read and verified before the answer begins.
const MAX_BUFFERED: u64 = 256 << 10;

/// Checks the conditions; a fulfilled If-None-Match or If-Modified-Since is a 304, which S3's protocol layer
/// carries as an error.
fn check(conditions: &ReadConditions<'_>, record: &ObjectRecord) -> S3Result<()> {
    match conditions.evaluate(record) {
        Verdict::Met => Ok(()),
        Verdict::Failed => Err(precondition_failed()),
        Verdict::NotModified => {
            let mut error = s3_error!(NotModified, "not modified");
            error.set_status_code(http::StatusCode::NOT_MODIFIED);
            let mut headers = http::HeaderMap::new();
            if let Ok(etag) = http::HeaderValue::from_str(&format!("\"{}\"", record.etag)) {
                headers.insert(http::header::ETAG, etag);
            }
            // RFC 9110, section 15.4.5: what a 200 would send for caches.
            for (name, value) in [
                (http::header::CACHE_CONTROL, &record.headers.cache_control),
                (http::header::EXPIRES, &record.headers.expires),
            ] {
                if let Some(value) =
                    value.as_deref().and_then(|value| http::HeaderValue::from_str(value).ok())
                {
                    headers.insert(name, value);
                }
            }
            error.set_headers(headers);
            Err(error)
        }
    }
}

/// Which bytes of an object are read.
struct Selection {
    first: u64,
    length: u64,
    /// `Content-Range`, of a part of the object.
    range: Option<String>,
    /// How many parts the object has, where one of them was asked for.
    parts_count: Option<i32>,
    /// The checksums of these bytes: of the whole object or of a part, none of a range.
    checksums: Option<Checksums>,
}

/// The bytes of a range or of a part.
fn select(
    store: &Storage,
    at: &Location,
    range: Option<Range>,
    part: Option<i32>,
    record: &ObjectRecord,
) -> S3Result<Selection> {
    let shown = |first: u64, length: u64| match length {
        0 => None,
        _ => Some(format!("bytes {first}-{}/{}", first + length - 1, record.size)),
    };
    match (range, part) {
        (Some(_), Some(_)) => {
            Err(s3_error!(InvalidRequest, "Cannot specify both Range header and partNumber query parameter"))
        }
        (None, None) => Ok(Selection {
            first: 0,
            length: record.size,
            range: None,
            parts_count: None,
            checksums: Some(record.checksums.clone()),
        }),
        (Some(range), None) => {
            let bytes = range.check(record.size)?;
            if bytes.is_empty() {
                // A suffix of an empty object.
                return Err(s3_error!(InvalidRange, "the object has no byte in that range"));
            }
            let length = bytes.end - bytes.start;
            let range = shown(bytes.start, length);
            Ok(Selection { first: bytes.start, length, range, parts_count: None, checksums: None })
        }
        (None, Some(number)) => {
            let (first, length, checksums) = stored_part(store, at, number, record)?;
            let parts_count = record.parts.and_then(|count| i32::try_from(count).ok());
            Ok(Selection { first, length, range: shown(first, length), parts_count, checksums })
        }
    }
}

/// Where a part lies in an object, its length, and its checksums if they were stored. An object that was put in one piece is
/// its own part 1.
fn stored_part(
    store: &Storage,
    at: &Location,
    number: i32,
    record: &ObjectRecord,
) -> S3Result<(u64, u64, Option<Checksums>)> {
    if number == 1 && record.parts.is_none() {
        return Ok((0, record.size, Some(record.checksums.clone())));
    }
    let layout = match record.parts {
        Some(_) => store.objects.part_layout(at, record).map_err(s3)?,
        None => Vec::new(),
    };
    if layout.is_empty() && number == 1 && record.parts == Some(1) {
        return Ok((0, record.size, None));
    }
    if layout.is_empty() && record.parts.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "the sizes of this object's parts were not stored, as it was uploaded with an earlier version; use a range"
        ));
    }
    let mut first = 0;
    for part in layout {
        if i32::from(part.number) == number {
            // As S3 answers it, of the type that the object's own has.
            let checksums = Checksums { values: part.checksums, composite: record.checksums.composite };
            return Ok((first, part.size, Some(checksums)));
        }
        first += part.size;
    }
    Err(s3_error!(InvalidPart, "the object has no part {number}"))
}

/// A fault of reading; if a thumbnail is corrupt that can be rendered again, that is queued.
fn repaired(store: &Storage, at: &Location, fault: StoreFault) -> StoreFault {
    let is_corrupt = match fault {
        StoreFault::Corrupt(..) => true,
        // A failed read may be corruption, too.
        StoreFault::Unavailable(_) => matches!(store.objects.corruption(at, VERIFIED_BYTES), Ok(Some(_))),
        _ => false,
    };
    let is_repairing = is_corrupt && store.backfill.repair_thumbnail(at).unwrap_or(false);
    if is_repairing { StoreFault::Repairing(at.clone()) } else { fault }
}

fn no_such_key(at: &Location) -> s3s::S3Error {
    s3(StoreFault::NoSuchKey(at.clone()))
}

pub(super) async fn get(
    endpoint: &Endpoint,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let (input, headers, extensions) = (request.input, request.headers, request.extensions);
    let at = answers::location(&input.bucket, &input.key)?;
    let (store, of_tags) = (endpoint.store.clone(), endpoint.clone());
    let (mut input, (store, at, object), selection, whole, tag_count) = blocking(move || {
        let failed = |fault| s3(repaired(&store, &at, fault));
        let object = store.objects.open(&at).map_err(failed)?;
        let object = object.ok_or_else(|| no_such_key(&at))?;
        let conditions = ReadConditions {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            if_modified_since: input.if_modified_since.as_ref(),
            if_unmodified_since: input.if_unmodified_since.as_ref(),
        };
        check(&conditions, &object.record)?;
        let record = &object.record;
        let range = input.range.filter(|_| is_range_of(&headers, &record.etag, record.modified_ms));
        let selection = select(&store, &at, range, input.part_number, record)?;
        let tag_count = of_tags.tag_count(&extensions, &at, record)?;
        let whole =
            if object.record.size <= MAX_BUFFERED { Some(object.bytes().map_err(failed)?) } else { None };
        Ok((input, (store, at, object), selection, whole, tag_count))
    })
    .await?;
    let record = object.record.clone();
    let Selection { first, length, range: shown, parts_count, checksums } = selection;
    let body = match whole {
        Some(bytes) => {
            let end = usize::try_from(first + length).unwrap_or(usize::MAX);
            let slice = Bytes::from(bytes).slice(usize::try_from(first).unwrap_or(usize::MAX)..end);
            StreamingBlob::wrap(futures::stream::once(async move { Ok::<_, std::io::Error>(slice) }))
        }
        None => StreamingBlob::wrap(stream(store, at, object, first, length)),
    };
    let headers = record.headers;
    let mut output = GetObjectOutput {
        accept_ranges: Some("bytes".into()),
        body: Some(body),
        content_length: Some(answers::size(length)),
        content_range: shown.clone(),
        e_tag: Some(answers::etag(&record.etag)),
        last_modified: Some(answers::timestamp(record.modified_ms)),
        metadata: answers::metadata(&headers),
        cache_control: input.response_cache_control.or(headers.cache_control),
        content_disposition: input.response_content_disposition.or(headers.content_disposition),
        content_encoding: input.response_content_encoding.or(headers.content_encoding),
        content_language: input.response_content_language.or(headers.content_language),
        content_type: input
            .response_content_type
            .or(headers.content_type)
            .or_else(|| Some(DEFAULT_TYPE.into())),
        expires: input.response_expires.take(),
        parts_count,
        server_side_encryption: endpoint.encryption.clone(),
        tag_count,
        ..GetObjectOutput::default()
    };
    if let Some(checksums) = checksums.filter(|_| input.checksum_mode.is_some()) {
        with_checksums!(output, &checksums);
        output.checksum_type = answers::checksum_type(&checksums);
    }
    let is_partial = shown.is_some() || parts_count.is_some();
    let is_overridden = output.expires.is_some();
    let mut response = S3Response::new(output);
    answers::set_status(&mut response, is_partial.then_some(http::StatusCode::PARTIAL_CONTENT));
    if !is_overridden {
        answers::add_header(&mut response.headers, http::header::EXPIRES, headers.expires.as_deref());
    }
    Ok(response)
}

/// The type of objects that were stored without one, as in S3.
const DEFAULT_TYPE: &str = "binary/octet-stream";

const TAGGING_COUNT: http::HeaderName = http::HeaderName::from_static("x-amz-tagging-count");

struct ReadState {
    store: Arc<Storage>,
    at: Location,
    object: Arc<OpenObject>,
    offset: u64,
    remaining: u64,
    /// Only if the whole object is read.
    check: Option<crate::storage::WholeCheck>,
}

/// Streams bytes from the open file. Corruption ends the stream in an error, so that no client takes a corrupt object
/// for a whole one.
fn stream(
    store: Arc<Storage>,
    at: Location,
    object: OpenObject,
    first: u64,
    length: u64,
) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> + Send + Sync {
    let check = (first == 0 && length == object.record.size).then(|| object.whole_check());
    let state = ReadState { store, at, object: Arc::new(object), offset: first, remaining: length, check };
    futures::stream::try_unfold(state, |mut state| async move {
        if state.remaining == 0 {
            return Ok(None);
        }
        let read = tokio::task::spawn_blocking(move || {
            let failed = |fault| repaired(&state.store, &state.at, fault);
            let chunk = state.object.read_chunk(state.offset, state.remaining).map_err(failed)?;
            state.offset += chunk.len() as u64;
            state.remaining -= chunk.len() as u64;
            if let Some(mut check) = state.check.take() {
                check.update(&chunk);
                if state.remaining == 0 {
                    check.finish().map_err(failed)?;
                } else {
                    state.check = Some(check);
                }
            }
            Ok::<_, StoreFault>((Bytes::from(chunk), state))
        });
        let read = read.await.map_err(std::io::Error::other)?;
        read.map(Some).map_err(|fault| std::io::Error::other(fault.to_string()))
    })
}

pub(super) async fn head(
    endpoint: &Endpoint,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let (input, headers, extensions) = (request.input, request.headers, request.extensions);
    let at = answers::location(&input.bucket, &input.key)?;
    let (store, of_tags) = (endpoint.store.clone(), endpoint.clone());
    let (input, record, selection, tag_count) = blocking(move || {
        let record = store.objects.head(&at).map_err(s3)?.ok_or_else(|| no_such_key(&at))?;
        let conditions = ReadConditions {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            if_modified_since: input.if_modified_since.as_ref(),
            if_unmodified_since: input.if_unmodified_since.as_ref(),
        };
        check(&conditions, &record)?;
        let range = input.range.filter(|_| is_range_of(&headers, &record.etag, record.modified_ms));
        let selection = select(&store, &at, range, input.part_number, &record)?;
        let tag_count = of_tags.tag_count(&extensions, &at, &record)?;
        Ok((input, record, selection, tag_count))
    })
    .await?;
    let Selection { length, range: shown, parts_count, checksums, .. } = selection;
    let headers = record.headers;
    let mut output = HeadObjectOutput {
        accept_ranges: Some("bytes".into()),
        content_length: Some(answers::size(length)),
        content_range: shown.clone(),
        e_tag: Some(answers::etag(&record.etag)),
        last_modified: Some(answers::timestamp(record.modified_ms)),
        metadata: answers::metadata(&headers),
        cache_control: headers.cache_control,
        content_disposition: headers.content_disposition,
        content_encoding: headers.content_encoding,
        content_language: headers.content_language,
        content_type: headers.content_type.or_else(|| Some(DEFAULT_TYPE.into())),
        parts_count,
        server_side_encryption: endpoint.encryption.clone(),
        ..HeadObjectOutput::default()
    };
    if let Some(checksums) = checksums.filter(|_| input.checksum_mode.is_some()) {
        with_checksums!(output, &checksums);
        output.checksum_type = answers::checksum_type(&checksums);
    }
    let is_partial = shown.is_some() || parts_count.is_some();
    let mut response = S3Response::new(output);
    answers::set_status(&mut response, is_partial.then_some(http::StatusCode::PARTIAL_CONTENT));
    answers::add_header(&mut response.headers, http::header::EXPIRES, headers.expires.as_deref());
    let tag_count = tag_count.map(|count| count.to_string());
    answers::add_header(&mut response.headers, TAGGING_COUNT, tag_count.as_deref());
    Ok(response)
}
