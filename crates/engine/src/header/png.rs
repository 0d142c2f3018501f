//! PNG: the chunks (W3C PNG, third edition).

use super::{Details, Format, Header, Orientation, truncated};
use crate::bytes::be32;
use crate::error::Error;
use crate::exif;

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
        0 => ("gray", &[1, 2, 4, 8, 16], false),
        2 => ("rgb", &[8, 16], false),
        3 => ("palette", &[1, 2, 4, 8], false),
        4 => ("gray", &[8, 16], true),
        6 => ("rgb", &[8, 16], true),
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
        animated: false,
        profile: false,
    };
    let frames = ancillary(bytes, &mut header);
    Ok(Details { header, frames })
}

/// Reads the chunks after IHDR that describe the image; corrupt ones are reported by the decoder. Returns the frames.
fn ancillary(bytes: &[u8], header: &mut Header) -> u32 {
    let mut frames = 1;
    for chunk in chunks(bytes) {
        match &chunk.name {
            b"tRNS" => header.alpha = true,
            b"iCCP" => header.profile = true,
            b"eXIf" => header.orientation = exif::orientation(chunk.data),
            b"acTL" => frames = be32(chunk.data, 0).unwrap_or(1).max(1),
            b"IEND" => break,
            _ => {}
        }
    }
    header.animated = frames > 1;
    frames
}

/// A chunk of the file (W3C PNG, third edition, section 5.3).
pub(crate) struct Chunk<'a> {
    pub(crate) name: [u8; 4],
    pub(crate) data: &'a [u8],
    /// Offset of its length field.
    pub(crate) at: usize,
    /// The CRC over its type and data, as stored.
    pub(crate) crc: Option<u32>,
}

/// The chunks after IHDR, up to the first truncated one.
pub(crate) fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut at = 33;
    std::iter::from_fn(move || {
        let length = be32(bytes, at)? as usize;
        let name = *bytes.get(at + 4..)?.first_chunk()?;
        let end = (at + 8).checked_add(length)?;
        let chunk = Chunk { name, data: bytes.get(at + 8..end)?, at, crc: be32(bytes, end) };
        at = end + 4;
        Some(chunk)
    })
}
