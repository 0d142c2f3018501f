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
};
use crate::storage::{ObjectRecord, OpenObject, Storage, StoreFault, VERIFIED_BYTES};

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

fn range(
    range: Option<Range>,
    part: Option<i32>,
    record: &ObjectRecord,
) -> S3Result<(u64, u64, Option<String>)> {
    if part.is_some_and(|part| part != 1 || record.parts.is_some_and(|parts| parts > 1)) {
        return Err(s3_error!(NotImplemented, "reading by part number is not offered; use a range"));
    }
    let Some(range) = range else { return Ok((0, record.size, None)) };
    let bytes = range.check(record.size)?;
    if bytes.is_empty() {
        // A suffix of an empty object.
        return Err(s3_error!(InvalidRange, "the object has no byte in that range"));
    }
    let shown = format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, record.size);
    Ok((bytes.start, bytes.end - bytes.start, Some(shown)))
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
    let input = request.input;
    let at = answers::location(&input.bucket, &input.key)?;
    let store = endpoint.store.clone();
    let (input, (store, at, object), first, length, shown, whole) = blocking(move || {
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
        let (first, length, shown) = range(input.range, input.part_number, &object.record)?;
        let whole =
            if object.record.size <= MAX_BUFFERED { Some(object.bytes().map_err(failed)?) } else { None };
        Ok((input, (store, at, object), first, length, shown, whole))
    })
    .await?;
    let record = object.record.clone();
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
        expires: input.response_expires.or_else(|| headers.expires.as_deref().and_then(answers::date)),
        ..GetObjectOutput::default()
    };
    // The checksum of the whole object does not match a range of it.
    if input.checksum_mode.is_some() && shown.is_none() {
        with_checksums!(output, &record.checksums);
        output.checksum_type = answers::checksum_type(&record.checksums);
    }
    let status = shown.map(|_| http::StatusCode::PARTIAL_CONTENT);
    let mut response = S3Response::new(output);
    response.status = status;
    Ok(response)
}

/// The type of objects that were stored without one, as in S3.
const DEFAULT_TYPE: &str = "binary/octet-stream";

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
    let input = request.input;
    let at = answers::location(&input.bucket, &input.key)?;
    let store = endpoint.store.clone();
    let (input, record) = blocking(move || {
        let record = store.objects.head(&at).map_err(s3)?.ok_or_else(|| no_such_key(&at))?;
        Ok((input, record))
    })
    .await?;
    let conditions = ReadConditions {
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        if_modified_since: input.if_modified_since.as_ref(),
        if_unmodified_since: input.if_unmodified_since.as_ref(),
    };
    check(&conditions, &record)?;
    let (_, length, shown) = range(input.range, input.part_number, &record)?;
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
        expires: headers.expires.as_deref().and_then(answers::date),
        parts_count: None,
        ..HeadObjectOutput::default()
    };
    if input.checksum_mode.is_some() && shown.is_none() {
        with_checksums!(output, &record.checksums);
        output.checksum_type = answers::checksum_type(&record.checksums);
    }
    let mut response = S3Response::new(output);
    response.status = shown.map(|_| http::StatusCode::PARTIAL_CONTENT);
    Ok(response)
}
