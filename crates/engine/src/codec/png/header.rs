//! PNG: the chunks (W3C PNG, third edition).

use super::text;
use crate::bytes::be32;
use crate::error::Error;
use crate::exif;
use crate::header::{Colour, Details, Format, Header, Orientation, truncated, work};

pub(super) fn read(bytes: &[u8]) -> Result<Details, Error> {
    if bytes.get(12..16).is_some_and(|name| name != b"IHDR") {
        return Err(Error::Malformed("PNG: the first chunk, at byte 8, is not IHDR".into()));
    }
    let ihdr = bytes.get(16..33).ok_or_else(|| truncated("PNG", "its header", bytes.len()))?;
    let (width, height) = (be32(ihdr, 0).unwrap_or(0), be32(ihdr, 4).unwrap_or(0));
    if width == 0 || height == 0 || width > 0x7fff_ffff || height > 0x7fff_ffff {
        return Err(Error::Malformed(format!("PNG: size {width}x{height} in IHDR at byte 16")));
    }
    let (bits, kind, interlace) = (ihdr[8], ihdr[9], ihdr[12]);
    let (colour, depths, alpha): (_, &[u8], _) = match kind {
        0 => (Colour::Gray, &[1, 2, 4, 8, 16], false),
        2 => (Colour::Rgb, &[8, 16], false),
        3 => (Colour::Palette, &[1, 2, 4, 8], false),
        4 => (Colour::Gray, &[8, 16], true),
        6 => (Colour::Rgb, &[8, 16], true),
        _ => return Err(Error::Malformed(format!("PNG: colour type {kind} in IHDR does not exist"))),
    };
    if !depths.contains(&bits) {
        return Err(Error::Malformed(format!(
            "PNG: {bits} bits a sample are not allowed for colour type {kind}"
        )));
    }
    let mut header = Header {
        format: Format::Png,
        width,
        height,
        orientation: Orientation::UPRIGHT,
        colour,
        bits,
        alpha,
        progressive: interlace != 0,
        buffered: false,
        decoder_bytes: 0,
        coded_bytes: 0,
        animated: false,
        profile: false,
        work: 0,
    };
    ancillary(bytes, &mut header);
    let channels = if kind == 0 || kind == 4 { 1 } else { 3 } + u64::from(header.alpha);
    let sample = if bits == 16 { 2 } else { 1 };
    let (passes, rows) = if header.progressive { (2, 2 * u64::from(height)) } else { (1, u64::from(height)) };
    // Pixels of several passes are placed one by one.
    let pixels = header.pixels();
    let placed = if header.progressive { pixels.saturating_mul(PLACED) } else { 0 };
    let samples = pixels.saturating_mul(channels * sample * passes).saturating_add(placed);
    header.work = work(samples, rows, bytes.len());
    let interlaced = if header.progressive { ", interlaced" } else { "" };
    Ok(Details { header, reason: format!("of {bits} bits{interlaced}") })
}

/// Work of placing a pixel of an interlaced image.
const PLACED: u64 = 4;

/// Reads the chunks after IHDR that describe the image; corrupt ones are reported by the decoder.
fn ancillary(bytes: &[u8], header: &mut Header) {
    let (mut frames, mut exif, mut raw) = (1, None, None);
    for chunk in chunks(bytes) {
        match &chunk.name {
            b"tRNS" => header.alpha = true,
            b"iCCP" => header.profile = true,
            b"eXIf" if chunk.is_intact(bytes) => exif = Some(exif::orientation(chunk.data)),
            b"tEXt" | b"zTXt" | b"iTXt" if raw.is_none() && chunk.is_intact(bytes) => {
                raw = text::exif(chunk.name, chunk.data).map(|block| exif::orientation(&block));
            }
            b"acTL" => frames = be32(chunk.data, 0).unwrap_or(1).max(1),
            b"IEND" => break,
            _ => {}
        }
    }
    // Before there was the chunk, software wrote the block as text.
    header.orientation = exif.or(raw).unwrap_or(Orientation::UPRIGHT);
    header.animated = frames > 1;
}

/// A chunk of the file (W3C PNG, third edition, section 5.3).
pub(super) struct Chunk<'a> {
    pub(super) name: [u8; 4],
    pub(super) data: &'a [u8],
    /// Offset of its length field.
    pub(super) at: usize,
    /// The CRC over its type and data, as stored.
    pub(super) crc: Option<u32>,
}

impl Chunk<'_> {
    /// Whether its CRC matches.
    pub(super) fn is_intact(&self, bytes: &[u8]) -> bool {
        let covered = bytes.get(self.at + 4..self.at + 8 + self.data.len());
        covered.is_some_and(|covered| self.crc == Some(crc32fast::hash(covered)))
    }
}

/// The chunks after IHDR, up to the first truncated one.
pub(super) fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    chunks_from(bytes, 33)
}

/// The chunks from offset `at` on, up to the first truncated one.
pub(super) fn chunks_from(bytes: &[u8], mut at: usize) -> impl Iterator<Item = Chunk<'_>> {
    std::iter::from_fn(move || {
        let length = be32(bytes, at)? as usize;
        let name = *bytes.get(at + 4..)?.first_chunk()?;
        let end = (at + 8).checked_add(length)?;
        let chunk = Chunk { name, data: bytes.get(at + 8..end)?, at, crc: be32(bytes, end) };
        at = end + 4;
        Some(chunk)
    })
}
