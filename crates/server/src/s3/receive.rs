//! Receiving a body: from the connection into the store, hashed on the way and checked against what the
//! client says of it.

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

use super::{LARGEST_BODY, blocking, faults::s3};
use crate::{ledger::Checksums, listen::Silent, store::Incoming};

/// Chunks in flight between connection and disk: what bounds the memory of an upload.
const CHUNKS_IN_FLIGHT: usize = 4;

/// The checksum algorithms of S3, by their names there.
pub(super) const ALGORITHMS: [&str; 5] = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];

/// What the client says of a body.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) length: Option<i64>,
    /// Base64.
    pub(super) md5: Option<String>,
    /// By algorithm, base64.
    pub(super) checksums: Vec<(&'static str, String)>,
    /// An algorithm whose value comes in a trailer, or is only asked to be computed.
    pub(super) algorithm: Option<String>,
}

/// Collects what a put or a part says of its body.
macro_rules! expected {
    ($request:expr) => {{
        let input = &$request.input;
        let given = [
            ("CRC32", &input.checksum_crc32),
            ("CRC32C", &input.checksum_crc32c),
            ("CRC64NVME", &input.checksum_crc64nvme),
            ("SHA1", &input.checksum_sha1),
            ("SHA256", &input.checksum_sha256),
        ];
        let trailer = $request.headers.get("x-amz-trailer").and_then(|value| value.to_str().ok());
        let trailer =
            trailer.and_then(|text| text.trim().strip_prefix("x-amz-checksum-")).map(str::to_ascii_uppercase);
        $crate::s3::receive::Expected {
            length: input.content_length,
            md5: input.content_md5.clone(),
            checksums: given
                .into_iter()
                .filter_map(|(name, value)| value.clone().map(|value| (name, value)))
                .collect(),
            algorithm: trailer
                .or_else(|| input.checksum_algorithm.as_ref().map(|name| name.as_str().to_ascii_uppercase())),
        }
    }};
}
pub(super) use expected;

enum Message {
    Data(Bytes),
    End(Option<http::HeaderMap>),
}

/// Receives a body into what `begin` opens and hands it to `commit` once it is whole and as the client
/// says. Nothing of a body that is not is ever visible.
pub(super) async fn receive<T: Send + 'static>(
    body: Option<StreamingBlob>,
    trailers: Option<TrailingHeaders>,
    expected: Expected,
    begin: impl FnOnce() -> S3Result<Incoming> + Send + 'static,
    commit: impl FnOnce(Incoming) -> S3Result<T> + Send + 'static,
) -> S3Result<T> {
    let (sender, mut messages) = mpsc::channel(CHUNKS_IN_FLIGHT);
    let storing = blocking(move || {
        let mut incoming = begin()?;
        let mut hasher = hasher(&expected)?;
        loop {
            match messages.blocking_recv() {
                Some(Message::Data(bytes)) => {
                    hasher.update(&bytes);
                    incoming.write(&bytes).map_err(s3)?;
                    if incoming.size() > LARGEST_BODY {
                        return Err(s3_error!(
                            EntityTooLarge,
                            "a put may have at most 5 GiB; use a multipart upload"
                        ));
                    }
                }
                Some(Message::End(trailers)) => {
                    let checksums = verify(&expected, &incoming, hasher.finalize(), trailers.as_ref())?;
                    incoming.set_checksums(checksums);
                    return commit(incoming);
                }
                None => return Err(s3_error!(IncompleteBody, "the body ended early; nothing was stored")),
            }
        }
    });
    let mut storing = std::pin::pin!(storing);
    let fed = tokio::select! {
        // Storing gives up early where the bucket is missing or the disk is full: no need for the body.
        stored = &mut storing => return stored,
        fed = feed(body, trailers, sender) => fed,
    };
    match (storing.await, fed) {
        (Err(_), Err(client)) => Err(client),
        (stored, _) => stored,
    }
}

async fn feed(
    body: Option<StreamingBlob>,
    trailers: Option<TrailingHeaders>,
    sender: mpsc::Sender<Message>,
) -> Result<(), S3Error> {
    if let Some(mut body) = body {
        loop {
            let Some(chunk) = body.next().await else { break };
            let chunk = chunk.map_err(|error| body_error(&*error))?;
            if sender.send(Message::Data(chunk)).await.is_err() {
                return Ok(());
            }
        }
    }
    let _ = sender.send(Message::End(trailers.and_then(|trailers| trailers.take()))).await;
    Ok(())
}

/// Errors of a body's stream. Those of s3s are private types, known only by what they say.
pub(super) fn body_error(error: &(dyn std::error::Error + Send + Sync)) -> S3Error {
    let said = error.to_string();
    if said.contains(&Silent.to_string()) {
        s3_error!(RequestTimeout, "{Silent}; nothing was stored")
    } else if said.contains("Sha256Mismatch") {
        let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
        let words = "x-amz-content-sha256 does not match the body; nothing was stored";
        let mut error = S3Error::with_message(code, words);
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        error
    } else if said.contains("SignatureMismatch") {
        s3_error!(SignatureDoesNotMatch, "the signature of a chunk is wrong; nothing was stored")
    } else {
        s3_error!(IncompleteBody, "the body could not be read: {said}; nothing was stored")
    }
}

/// A hasher for one algorithm; S3's default if the client asks for none.
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
    let given = expected.checksums.first().map(|(name, _)| *name);
    hasher_for(given.or(expected.algorithm.as_deref()).unwrap_or("CRC64NVME"))
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
            "the body has another length than Content-Length says; nothing was stored"
        ));
    }
    if let Some(md5) = &expected.md5 {
        use base64::Engine as _;
        let given = base64::engine::general_purpose::STANDARD.decode(md5).ok().filter(|md5| md5.len() == 16);
        let Some(given) = given else {
            return Err(s3_error!(InvalidDigest, "Content-MD5 is not the base64 of 16 bytes"));
        };
        if given != incoming.md5() {
            return Err(s3_error!(BadDigest, "Content-MD5 does not match the body; nothing was stored"));
        }
    }
    let computed = values(computed);
    let mut given: Vec<(String, String)> =
        expected.checksums.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    for name in ALGORITHMS {
        let header = format!("x-amz-checksum-{}", name.to_ascii_lowercase());
        let value = trailers.and_then(|trailers| trailers.get(header)).and_then(|value| value.to_str().ok());
        given.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }
    for (name, value) in given {
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
