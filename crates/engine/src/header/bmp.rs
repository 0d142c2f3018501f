//! BMP: the file header and the bitmap header.

use super::{Details, Format, Header, Orientation, truncated};
use crate::bytes::{le16, le32};
use crate::error::Error;

pub(super) fn read(bytes: &[u8]) -> Result<Details, Error> {
    let cut = || truncated("BMP", "its header", bytes.len());
    let size = le32(bytes, 14).ok_or_else(cut)?;
    let (width, height, bits, compression) = if size == 12 {
        let side = |at| le16(bytes, at).map(|side| i64::from(side as i16)).ok_or_else(cut);
        (side(18)?, side(20)?, le16(bytes, 24).ok_or_else(cut)?, 0)
    } else {
        let side = |at| le32(bytes, at).map(|side| i64::from(side as i32)).ok_or_else(cut);
        let compression = le32(bytes, 30).ok_or_else(cut)?;
        (side(18)?, side(22)?, le16(bytes, 28).ok_or_else(cut)?, compression)
    };
    // A negative height means that the rows are stored from the top.
    let (Ok(width), Ok(height)) = (u32::try_from(width), u32::try_from(height.abs())) else {
        return Err(Error::Malformed(format!("BMP: size {width}x{height} in the header at byte 18")));
    };
    if width == 0 || height == 0 {
        return Err(Error::Malformed(format!("BMP: size {width}x{height} in the header at byte 18")));
    }
    if !matches!(bits, 1 | 2 | 4 | 8 | 16 | 24 | 32) {
        return Err(Error::Malformed(format!("BMP: {bits} bits a pixel at byte 28")));
    }
    if matches!(compression, 4 | 5) {
        return Err(Error::Unsupported("BMP that wraps a JPEG or PNG; extract that image".into()));
    }
    let header = Header {
        format: Format::Bmp,
        width,
        height,
        orientation: Orientation::UPRIGHT,
        colour: if bits <= 8 { "palette" } else { "rgb" },
        bits: if bits <= 8 { bits as u8 } else { 8 },
        alpha: bits == 32 || bits == 16,
        progressive: false,
        animated: false,
        profile: false,
    };
    Ok(Details { header, frames: 1 })
}
