//! The body of a put or a part: from the connection into the store, hashed on the way and compared with the length and the
//! checksums that the client sent.

use bytes::Bytes;
use futures::StreamExt;
use s3s::{
    S3Error, S3ErrorCode, S3Result, TrailingHeaders,
    checksum::ChecksumHasher,
    crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256},
    dto::{self, StreamingBlob},
    s3_error,
};
use tokio::sync::mpsc;

use super::{MAX_BODY, aws_chunked::MissingFinalChunk, blocking, faults::s3};
use crate::{
    listen::BodyTimeoutError,
    storage::{Checksums, Incoming},
};

/// Chunks in flight between connection and disk: what bounds the memory of an upload.
const CHUNKS_IN_FLIGHT: usize = 4;

/// The checksum algorithms of S3, by their names there.
pub(super) const ALGORITHMS: [&str; 5] = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];

/// Signs the trailers; the decoder has compared it.
const SIGNATURE_TRAILER: &str = "x-amz-trailer-signature";

/// What the client expects of a body.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) length: Option<i64>,
    /// Base64.
    pub(super) md5: Option<String>,
    /// By algorithm, base64.
    pub(super) checksums: Vec<(&'static str, String)>,
    /// The algorithm of the checksum to compute if the client sends none.
    pub(super) algorithm: Option<String>,
    /// The algorithm of the checksum in the trailer.
    pub(super) trailer: Option<&'static str>,
}

/// What a put or a part expects of its body.
macro_rules! expected {
    ($request:expr) => {{
        let input = &$request.input;
        let sent = [
            ("CRC32", &input.checksum_crc32),
            ("CRC32C", &input.checksum_crc32c),
            ("CRC64NVME", &input.checksum_crc64nvme),
            ("SHA1", &input.checksum_sha1),
            ("SHA256", &input.checksum_sha256),
        ];
        $crate::s3::upload_body::Expected {
            length: input.content_length,
            md5: input.content_md5.clone(),
            checksums: sent
                .into_iter()
                .filter_map(|(name, value)| value.clone().map(|value| (name, value)))
                .collect(),
            algorithm: None,
            trailer: $crate::s3::upload_body::trailer_algorithm(&$request.headers)?,
        }
    }};
}
pub(super) use expected;

/// The header or trailer of a checksum.
pub(super) fn checksum_header(algorithm: &str) -> String {
    format!("x-amz-checksum-{}", algorithm.to_ascii_lowercase())
}

/// The checksum of no bytes.
pub(super) fn empty_checksum(algorithm: &str) -> Option<String> {
    let name = ALGORITHMS.into_iter().find(|name| name.eq_ignore_ascii_case(algorithm))?;
    values(hasher_for(name).ok()?.finalize()).values.remove(name)
}

/// The algorithm that `x-amz-sdk-checksum-algorithm` names must be that of a checksum that is sent.
pub(super) fn check_named_algorithm(headers: &http::HeaderMap) -> S3Result<()> {
    let Some(named) = headers.get("x-amz-sdk-checksum-algorithm") else { return Ok(()) };
    let header = checksum_header(named.to_str().unwrap_or_default());
    let is_announced = headers
        .get("x-amz-trailer")
        .is_some_and(|trailer| trailer.as_bytes().eq_ignore_ascii_case(header.as_bytes()));
    if is_announced || headers.contains_key(&header) {
        return Ok(());
    }
    Err(s3_error!(
        InvalidRequest,
        "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
    ))
}

/// The algorithm that `x-amz-trailer` announces.
pub(super) fn trailer_algorithm(headers: &http::HeaderMap) -> S3Result<Option<&'static str>> {
    let Some(announced) = headers.get("x-amz-trailer") else { return Ok(None) };
    let announced = announced.to_str().unwrap_or_default().trim().to_ascii_lowercase();
    let known = ALGORITHMS.into_iter().find(|name| checksum_header(name) == announced);
    known.map(Some).ok_or_else(|| {
        s3_error!(
            InvalidRequest,
            "the trailer \"{announced}\" is not offered; x-amz-trailer announces one checksum, of {}",
            ALGORITHMS.join(", ")
        )
    })
}

/// The checksum in the trailer that was announced. There must be exactly that one.
pub(super) fn announced_trailer(
    headers: &http::HeaderMap,
    trailers: Option<&http::HeaderMap>,
) -> S3Result<Option<(&'static str, String)>> {
    arrived_trailer(trailer_algorithm(headers)?, trailers)
}

fn arrived_trailer(
    announced: Option<&'static str>,
    trailers: Option<&http::HeaderMap>,
) -> S3Result<Option<(&'static str, String)>> {
    let malformed = |message: String| {
        let mut error = S3Error::with_message(S3ErrorCode::Custom("MalformedTrailerError".into()), message);
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        error
    };
    let name = announced.map(checksum_header);
    let others = trailers.into_iter().flat_map(http::HeaderMap::keys).map(http::HeaderName::as_str);
    let mut others = others.filter(|found| *found != SIGNATURE_TRAILER && Some(*found) != name.as_deref());
    if let Some(other) = others.next() {
        return Err(malformed(format!(
            "the trailer {other} was not announced in x-amz-trailer; nothing was stored"
        )));
    }
    let (Some(algorithm), Some(name)) = (announced, name) else { return Ok(None) };
    let values: Vec<_> = trailers.into_iter().flat_map(|trailers| trailers.get_all(&name)).collect();
    let [value] = values.as_slice() else {
        return Err(malformed(format!(
            "the trailer {name} was announced and must be sent once; nothing was stored"
        )));
    };
    Ok(Some((algorithm, value.to_str().unwrap_or_default().to_owned())))
}

enum Piece {
    Data(Bytes),
    End(Option<http::HeaderMap>),
}

/// Receives a body into what `begin` opens, and passes it to `commit` once it is whole and as the client expects. Nothing
/// of any other body is ever visible.
pub(super) async fn receive<T: Send + 'static>(
    body: Option<StreamingBlob>,
    trailers: Option<TrailingHeaders>,
    expected: Expected,
    begin: impl FnOnce() -> S3Result<Incoming> + Send + 'static,
    commit: impl FnOnce(Incoming) -> S3Result<T> + Send + 'static,
) -> S3Result<T> {
    let (sender, mut pieces) = mpsc::channel(CHUNKS_IN_FLIGHT);
    let storing = blocking(move || {
        let mut incoming = begin()?;
        let mut hasher = hasher(&expected)?;
        loop {
            match pieces.blocking_recv() {
                Some(Piece::Data(bytes)) => {
                    hasher.update(&bytes);
                    incoming.write(&bytes).map_err(s3)?;
                    if incoming.size() > MAX_BODY {
                        return Err(s3_error!(
                            EntityTooLarge,
                            "an object may be put with at most 5 GiB; use a multipart upload"
                        ));
                    }
                }
                Some(Piece::End(trailers)) => {
                    let checksums = verify(&expected, &incoming, hasher.finalize(), trailers.as_ref())?;
                    incoming.set_checksums(checksums);
                    return commit(incoming);
                }
                None => return Err(s3_error!(IncompleteBody, "the body ended early; nothing was stored")),
            }
        }
    });
    let mut storing = std::pin::pin!(storing);
    let sent = tokio::select! {
        // Storing fails early where the bucket is missing or the disk is full: the body is not needed.
        stored = &mut storing => return stored,
        sent = send(body, trailers, sender) => sent,
    };
    match (storing.await, sent) {
        (Err(_), Err(client)) => Err(client),
        (stored, _) => stored,
    }
}

async fn send(
    body: Option<StreamingBlob>,
    trailers: Option<TrailingHeaders>,
    sender: mpsc::Sender<Piece>,
) -> Result<(), S3Error> {
    if let Some(mut body) = body {
        loop {
            let Some(chunk) = body.next().await else { break };
            let chunk = chunk.map_err(|error| body_error(&*error))?;
            if sender.send(Piece::Data(chunk)).await.is_err() {
                return Ok(());
            }
        }
    }
    let _ = sender.send(Piece::End(trailers.and_then(|trailers| trailers.take()))).await;
    Ok(())
}

/// Errors of a body's stream. Those of s3s are private types, recognised by their text.
pub(super) fn body_error(error: &(dyn std::error::Error + Send + Sync)) -> S3Error {
    let text = error.to_string();
    if text.contains(&BodyTimeoutError.to_string()) {
        s3_error!(RequestTimeout, "{BodyTimeoutError}; nothing was stored")
    } else if text.contains("Sha256Mismatch") {
        let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
        let message = "x-amz-content-sha256 does not match the body; nothing was stored";
        let mut error = S3Error::with_message(code, message);
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        error
    } else if text.contains(&MissingFinalChunk.to_string()) {
        s3_error!(IncompleteBody, "{MissingFinalChunk}; nothing was stored")
    } else if text.contains("SignatureMismatch") {
        s3_error!(SignatureDoesNotMatch, "the signature of a chunk is wrong; nothing was stored")
    } else {
        s3_error!(IncompleteBody, "the body could not be read: {text}; nothing was stored")
    }
}

/// A hasher for one algorithm; by S3's names.
pub(super) fn hasher_for(algorithm: &str) -> S3Result<ChecksumHasher> {
    let mut hasher = ChecksumHasher::default();
    match algorithm {
        "CRC32" => hasher.crc32 = Some(Crc32::new()),
        "CRC32C" => hasher.crc32c = Some(Crc32c::new()),
        "CRC64NVME" => hasher.crc64nvme = Some(Crc64Nvme::new()),
        "SHA1" => hasher.sha1 = Some(Sha1::new()),
        "SHA256" => hasher.sha256 = Some(Sha256::new()),
        other => {
            return Err(s3_error!(
                InvalidRequest,
                "the checksum algorithm \"{other}\" is none of {}",
                ALGORITHMS.join(", ")
            ));
        }
    }
    Ok(hasher)
}

fn hasher(expected: &Expected) -> S3Result<ChecksumHasher> {
    let sent = expected.checksums.first().map(|(name, _)| *name);
    hasher_for(sent.or(expected.trailer).or(expected.algorithm.as_deref()).unwrap_or("CRC64NVME"))
}

/// A finished hasher's values by algorithm.
pub(super) fn values(computed: dto::Checksum) -> Checksums {
    let fields = [
        computed.checksum_crc32,
        computed.checksum_crc32c,
        computed.checksum_crc64nvme,
        computed.checksum_sha1,
        computed.checksum_sha256,
    ];
    let values = ALGORITHMS.iter().zip(fields);
    let values = values.filter_map(|(name, value)| value.map(|value| ((*name).to_owned(), value))).collect();
    Checksums { values, composite: false }
}

fn verify(
    expected: &Expected,
    incoming: &Incoming,
    computed: dto::Checksum,
    trailers: Option<&http::HeaderMap>,
) -> S3Result<Checksums> {
    if expected.length.is_some_and(|length| u64::try_from(length) != Ok(incoming.size())) {
        return Err(s3_error!(
            IncompleteBody,
            "the body's length is not that of Content-Length; nothing was stored"
        ));
    }
    if let Some(md5) = &expected.md5 {
        use base64::Engine as _;
        let expected_md5 =
            base64::engine::general_purpose::STANDARD.decode(md5).ok().filter(|md5| md5.len() == 16);
        let Some(expected_md5) = expected_md5 else {
            return Err(s3_error!(InvalidDigest, "Content-MD5 is not the base64 of 16 bytes"));
        };
        if expected_md5 != incoming.md5() {
            return Err(s3_error!(BadDigest, "Content-MD5 does not match the body; nothing was stored"));
        }
    }
    let computed = values(computed);
    let mut sent: Vec<(String, String)> =
        expected.checksums.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let trailing = arrived_trailer(expected.trailer, trailers)?;
    sent.extend(trailing.map(|(name, value)| (name.to_owned(), value)));
    for (name, value) in sent {
        match computed.values.get(&name) {
            Some(computed) if *computed == value => {}
            Some(_) => {
                return Err(s3_error!(
                    BadDigest,
                    "the {name} checksum does not match the body; nothing was stored"
                ));
            }
            None => {
                return Err(s3_error!(InvalidRequest, "more than one kind of checksum was sent; send one"));
            }
        }
    }
    Ok(computed)
}
