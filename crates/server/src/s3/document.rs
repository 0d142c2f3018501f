//! XML documents that come with a request, such as the list of `DeleteObjects`: read whole, and compared with the checksums
//! that the client sent, which the crate s3s does not do.
//! Source: AWS, "`DeleteObjects`", "Checking object integrity".

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use md5::{Digest as _, Md5};
use s3s::{Body, S3Result, TrailingHeaders, s3_error};

use super::receive::{ALGORITHMS, announced_trailer, body_error, checksum_header, hasher_for, values};

/// A list of 1,000 keys of 1,024 bytes, each of which XML may write in six.
const LARGEST: usize = 8 << 20;

/// The document's bytes.
pub(super) async fn read(
    body: Body,
    headers: &HeaderMap,
    trailers: Option<TrailingHeaders>,
) -> S3Result<Bytes> {
    let body = Limited::new(body, LARGEST).collect().await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => s3_error!(
            MaxMessageLengthExceeded,
            "the document has more than {LARGEST} bytes; ask for less at once (nothing was done)"
        ),
        false => body_error(&*error),
    })?;
    let body = body.to_bytes();
    verify(headers, trailers.and_then(|trailers| trailers.take()).as_ref(), &body)?;
    Ok(body)
}

fn verify(headers: &HeaderMap, trailers: Option<&HeaderMap>, body: &Bytes) -> S3Result<()> {
    if let Some(md5) = headers.get("content-md5") {
        let given = STANDARD.decode(md5).ok().filter(|md5| md5.len() == 16);
        let Some(given) = given else {
            return Err(s3_error!(InvalidDigest, "Content-MD5 is not the base64 of 16 bytes"));
        };
        if given != Md5::digest(body).as_slice() {
            return Err(s3_error!(BadDigest, "Content-MD5 does not match the body; nothing was done"));
        }
    }
    let trailing = announced_trailer(headers, trailers)?;
    let trailing = trailing.as_ref().map(|(name, value)| (*name, value.as_bytes()));
    let leading = ALGORITHMS
        .into_iter()
        .filter_map(|name| headers.get(checksum_header(name)).map(|value| (name, value.as_bytes())));
    for (name, given) in leading.chain(trailing) {
        let mut hasher = hasher_for(name)?;
        hasher.update(body);
        let computed = values(hasher.finalize()).values.remove(name).unwrap_or_default();
        let is_well_formed = STANDARD.decode(given).is_ok_and(|given| {
            STANDARD.decode(&computed).is_ok_and(|computed| computed.len() == given.len())
        });
        if !is_well_formed {
            let header = checksum_header(name);
            return Err(s3_error!(InvalidRequest, "the value of {header} is not one of that checksum"));
        }
        if computed.as_bytes() != given {
            return Err(s3_error!(
                BadDigest,
                "the {name} checksum does not match the body; nothing was done"
            ));
        }
    }
    Ok(())
}

/// The headers that a document's body has once it is read.
pub(super) fn set_length(headers: &mut HeaderMap, body: &Bytes) {
    headers.insert(header::CONTENT_LENGTH, body.len().into());
}
