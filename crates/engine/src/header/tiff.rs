//! TIFF: the tags of the first directory (TIFF 6.0).

use super::{Details, Format, Header, truncated};
use crate::error::Error;
use crate::exif;
use crate::ifd::Ifd;

pub(super) fn read(bytes: &[u8]) -> Result<Details, Error> {
    let ifd = Ifd::first(bytes).ok_or_else(|| truncated("TIFF", "the first directory", bytes.len()))?;
    let side = |tag| ifd.uint(tag).and_then(|side| u32::try_from(side).ok()).unwrap_or(0);
    let (width, height) = (side(256), side(257));
    if width == 0 || height == 0 {
        return Err(Error::Malformed(format!("TIFF: size {width}x{height} in tags 256 and 257")));
    }
    let bits = ifd.uint(258).and_then(|bits| u8::try_from(bits).ok()).unwrap_or(1);
    let samples = ifd.uint(277).unwrap_or(1);
    let (colour, base) = match ifd.uint(262) {
        Some(0 | 1) => ("gray", 1),
        Some(2) => ("rgb", 3),
        Some(3) => ("palette", 1),
        Some(5) => ("cmyk", 4),
        Some(6) => ("ycbcr", 3),
        Some(8..=10) => ("lab", 3),
        _ => ("unknown", samples),
    };
    // ExtraSamples: 1 and 2 are alpha.
    let extra = ifd.entry(338).and_then(|entry| entry.uint(0));
    let header = Header {
        format: Format::Tiff,
        width,
        height,
        orientation: exif::orientation_of(Some(&ifd)),
        colour,
        bits,
        alpha: samples > base && extra.is_none_or(|kind| kind != 0),
        progressive: false,
        animated: ifd.has_next(),
        profile: ifd.entry(34675).is_some(),
    };
    Ok(Details { header, frames: 1 })
}
