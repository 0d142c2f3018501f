//! Compressed drawings (RFC 1952), by the decompressor of PNG.

use crate::bytes::{le16, le32};
use crate::codec::png::decode::inflate::{Fault, Inflater, PIECE, Source};
use crate::error::Error;
use crate::simd::SimdLevel;

/// The most bytes that a drawing may have once it is decompressed.
const MOST: usize = 32 << 20;

pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x1f\x8b\x08")
}

/// The decompressed beginning; `None` where nothing can be decompressed.
pub(super) fn beginning(bytes: &[u8]) -> Option<Vec<u8>> {
    let (text, _) = inflate(bytes, super::header::BEGINNING).ok()?;
    (!text.is_empty()).then_some(text)
}

/// The length that the file declares, which is that of the decompressed drawing.
pub(super) fn length(bytes: &[u8]) -> Result<usize, Error> {
    let declared = bytes.len().checked_sub(4).and_then(|at| le32(bytes, at)).unwrap_or(0) as usize;
    if declared > MOST {
        return Err(Error::TooLarge(format!(
            "svg: {declared} bytes once decompressed, more than the {MOST} that are read"
        )));
    }
    // Deflate does not compress better than this.
    Ok(declared.min(bytes.len().saturating_mul(1032)))
}

/// The drawing, of the length declared.
pub(super) fn decompress(bytes: &[u8], length: usize) -> Result<Vec<u8>, Error> {
    let (text, ended) = inflate(bytes, length + 1).map_err(|fault| corrupt(&fault.to_string()))?;
    if !ended || text.len() != length {
        return Err(corrupt("its length is not the one declared"));
    }
    Ok(text)
}

fn corrupt(why: &str) -> Error {
    Error::Malformed(format!("svg: the compressed data is corrupt: {why}; send it again"))
}

/// Decompresses up to `limit` bytes; whether that is all.
fn inflate(bytes: &[u8], limit: usize) -> Result<(Vec<u8>, bool), Fault> {
    let data = &bytes[header(bytes).ok_or(Fault::Ended)?..];
    let mut source = Raw { head: b"\x78\x9c", data };
    let mut inflater = Inflater::new(SimdLevel::detect().dispatch_level());
    let mut text = Vec::new();
    while text.len() < limit {
        let next = inflater.peek(PIECE.min(limit - text.len()), &mut source)?;
        if next.is_empty() {
            return Ok((text, true));
        }
        text.extend_from_slice(next);
        let taken = next.len();
        inflater.consume(taken);
    }
    Ok((text, false))
}

/// The bytes before the compressed data.
fn header(bytes: &[u8]) -> Option<usize> {
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const CHECKSUM: u8 = 2;
    let flags = *bytes.get(3)?;
    let mut at = 10;
    if flags & EXTRA != 0 {
        at += 2 + usize::from(le16(bytes, at)?);
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            at += memchr::memchr(0, bytes.get(at..)?)? + 1;
        }
    }
    if flags & CHECKSUM != 0 {
        at += 2;
    }
    (at <= bytes.len()).then_some(at)
}

/// Compressed data without a header, preceded by that of a zlib stream.
struct Raw<'a> {
    head: &'static [u8],
    data: &'a [u8],
}

impl Source for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        if self.head.is_empty() { self.data.read(buffer) } else { self.head.read(buffer) }
    }
}
