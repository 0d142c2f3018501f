//! Reading an object: by one request, or where it is large by ranges, several at once. A body that breaks off is continued from
//! there by a range of the same version.
//! Source: RFC 9110, sections 13 (If-Match) and 14 (Range).

use std::{ops::Range, time::Duration};

use aws_sdk_s3::{Client, operation::get_object::GetObjectOutput, primitives::ByteStream};
use bytes::BytesMut;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tintype_pipeline::{
    Location,
    store::{Object, Stat},
};

use super::{ServiceError, parts_of_get, quoted};

/// Where a caller takes more, ranges are asked for.
const RANGED_FROM: u64 = 16 << 20;
/// Bytes of one range.
const RANGE: u64 = 8 << 20;
/// Ranges at once.
const AT_ONCE: usize = 4;
/// Breaks in a row without a byte in between after which reading is given up.
const MOST_BREAKS: u32 = 4;
/// The longest wait after the first break in a row, doubled with each other one; shortened by chance.
const PAUSE: Duration = Duration::from_millis(100);

/// Why an object was not read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// There is none.
    Absent,
    /// It has another version by now.
    Replaced,
    /// It has so many bytes, more than wanted.
    TooLarge(u64),
    /// The store refused.
    Refused(ServiceError),
    /// Its bytes did not come, whatever was tried.
    Interrupted(String),
}

impl From<ServiceError> for ReadError {
    fn from(error: ServiceError) -> Self {
        if error.is_absent() { Self::Absent } else { Self::Refused(error) }
    }
}

/// One version of an object.
struct Version<'a> {
    client: &'a Client,
    at: &'a Location,
    etag: &'a str,
}

/// Reads an object of at most `limit` bytes into one allocation of its size.
pub(super) async fn read(client: &Client, at: &Location, limit: u64) -> Result<Object, ReadError> {
    let (mut stat, body, length) = open(client, at, limit).await?;
    let Some(length) = length else {
        let bytes = gather_all(body, limit).await?;
        stat.size = bytes.len() as u64;
        return Ok(Object { bytes: bytes.freeze(), stat });
    };
    if stat.size > limit {
        // Dropping the unread body closes its connection.
        return Err(ReadError::TooLarge(stat.size));
    }
    let size = usize::try_from(stat.size).map_err(|error| ReadError::Interrupted(error.to_string()))?;
    let version = Version { client, at, etag: &stat.etag };
    let mut whole = BytesMut::with_capacity(size);
    let mut parts = Vec::new();
    let mut body = Some(body);
    let mut start = 0;
    while start < stat.size {
        let end = if start == 0 { length } else { stat.size.min(start + RANGE) };
        // Within the allocation: no range is longer than the whole.
        let rest = whole.split_off((end - start) as usize);
        parts.push(version.fill(std::mem::replace(&mut whole, rest), start..end, body.take()));
        start = end;
    }
    let join = |mut bytes: BytesMut, part| async move {
        bytes.unsplit(part);
        Ok(bytes)
    };
    let bytes = stream::iter(parts).buffered(AT_ONCE).try_fold(BytesMut::new(), join).await?;
    Ok(Object { bytes: bytes.freeze(), stat })
}

/// Asks for an object, or for the first range of one that may be large: its properties, with the size of all of it, the body, and
/// the length of that, where the store says it.
async fn open(
    client: &Client,
    at: &Location,
    limit: u64,
) -> Result<(Stat, ByteStream, Option<u64>), ReadError> {
    let get = || client.get_object().bucket(&at.bucket).key(at.key.as_str());
    if limit > RANGED_FROM {
        match get().range(format!("bytes=0-{}", RANGE - 1)).send().await.map_err(ServiceError::from) {
            Ok(found) => {
                let (range, is_known) = (content_range(&found), found.content_length.is_some());
                let (mut stat, body) = parts_of_get(found);
                let length = stat.size;
                match range {
                    // A weak ETag matches no condition, so that the rest could not be asked for.
                    Some((0, total))
                        if length == total.min(RANGE) && (is_strong(&stat.etag) || length == total) =>
                    {
                        stat.size = total;
                        return Ok((stat, body, Some(length)));
                    }
                    // All of it, from a store without ranges.
                    None if length != RANGE => return Ok((stat, body, is_known.then_some(length))),
                    _ => {}
                }
            }
            // An empty object has no first byte.
            Err(error) if error.is_range_unsatisfiable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let found = get().send().await.map_err(ServiceError::from)?;
    let is_known = found.content_length.is_some();
    let (stat, body) = parts_of_get(found);
    let length = is_known.then_some(stat.size);
    Ok((stat, body, length))
}

/// Whether an ETag names a version that can be asked for again.
fn is_strong(etag: &str) -> bool {
    !etag.is_empty() && !etag.starts_with("W/")
}

/// Reads a body of unknown length.
async fn gather_all(mut body: ByteStream, limit: u64) -> Result<BytesMut, ReadError> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| ReadError::Interrupted(super::chain(&error)))?);
        if bytes.len() as u64 > limit {
            return Err(ReadError::TooLarge(bytes.len() as u64));
        }
    }
    Ok(bytes)
}

/// The first byte of a range, and the size of the whole, where the answer is a range.
fn content_range(found: &GetObjectOutput) -> Option<(u64, u64)> {
    let (range, total) = found.content_range.as_deref()?.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()?))
}

impl Version<'_> {
    /// Fills `buffer` with a range, beginning with `body`, and continuing after breaks.
    async fn fill(
        &self,
        mut buffer: BytesMut,
        range: Range<u64>,
        mut body: Option<ByteStream>,
    ) -> Result<BytesMut, ReadError> {
        let length = (range.end - range.start) as usize;
        let mut breaks = 0;
        loop {
            let before = buffer.len();
            let why = match body.take() {
                Some(body) => gather(body, &mut buffer, length).await,
                None => match self.rest(range.start + before as u64..range.end).await {
                    Ok(body) => gather(body, &mut buffer, length).await,
                    Err(ReadError::Interrupted(why)) => Err(why),
                    Err(error) => return Err(error),
                },
            };
            let Err(why) = why else { return Ok(buffer) };
            breaks = if buffer.len() > before { 1 } else { breaks + 1 };
            // All bytes came and are wrong, or nothing names the version that was begun.
            if buffer.len() >= length || !is_strong(self.etag) || breaks > MOST_BREAKS {
                return Err(ReadError::Interrupted(why));
            }
            tracing::debug!(at = %self.at, from = range.start + buffer.len() as u64, why, "reading is continued after a break");
            tokio::time::sleep(PAUSE.mul_f64(fastrand::f64() * f64::from(1 << (breaks - 1)))).await;
        }
    }

    /// Asks for a range of this version.
    async fn rest(&self, range: Range<u64>) -> Result<ByteStream, ReadError> {
        let Location { bucket, key } = self.at;
        let request = self.client.get_object().bucket(bucket).key(key.as_str()).if_match(quoted(self.etag));
        let answer = request.range(format!("bytes={}-{}", range.start, range.end - 1)).send().await;
        let found = match answer.map_err(ServiceError::from) {
            Ok(found) => found,
            Err(error) if error.is_conflict() || error.is_range_unsatisfiable() => {
                return Err(ReadError::Replaced);
            }
            Err(error) if error.is_unanswered() => return Err(ReadError::Interrupted(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        let start = content_range(&found).map(|(start, _)| start);
        let (stat, body) = parts_of_get(found);
        if stat.etag != self.etag {
            return Err(ReadError::Replaced);
        }
        if start != Some(range.start) || stat.size != range.end - range.start {
            return Err(ReadError::Interrupted(
                "the store answers with another range than that asked for".into(),
            ));
        }
        Ok(body)
    }
}

/// Appends a body to `buffer` until that has `length` bytes.
async fn gather(mut body: ByteStream, buffer: &mut BytesMut, length: usize) -> Result<(), String> {
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| super::chain(&error))?;
        if buffer.len() + chunk.len() > length {
            return Err(format!("more than {length} bytes received"));
        }
        buffer.extend_from_slice(&chunk);
    }
    if buffer.len() < length {
        return Err(format!("{} of {length} bytes received", buffer.len()));
    }
    Ok(())
}
