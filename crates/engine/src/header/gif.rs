//! GIF: the blocks (GIF89a specification).

use super::{Details, Format, Header, Orientation, truncated};
use crate::bytes::le16;
use crate::error::Error;

pub(super) fn read(bytes: &[u8]) -> Result<Details, Error> {
    let cut = || truncated("GIF", "its header", bytes.len());
    let screen = (le16(bytes, 6).ok_or_else(cut)?, le16(bytes, 8).ok_or_else(cut)?);
    let flags = *bytes.get(10).ok_or_else(cut)?;
    let mut at = 13 + colour_table_bytes(flags);
    let mut frames = 0_u32;
    let mut transparent = false;
    let mut first = None;
    loop {
        match bytes.get(at) {
            Some(0x21) => {
                let label = bytes.get(at + 1).copied();
                if first.is_none() && label == Some(0xf9) {
                    transparent = bytes.get(at + 3).is_some_and(|flags| flags & 1 != 0);
                }
                at = sub_blocks(bytes, at + 2);
            }
            Some(0x2c) => {
                let Some(image) = bytes.get(at + 1..at + 10) else { break };
                frames = frames.saturating_add(1);
                first.get_or_insert((image, at));
                at = sub_blocks(bytes, at + 11 + colour_table_bytes(image[8]));
            }
            // The trailer, the end of the file, or corrupt data after the first frame, which is tolerated.
            _ => break,
        }
    }
    let (image, _) = first.ok_or_else(|| truncated("GIF", "the first frame", at.min(bytes.len())))?;
    let side = |at| le16(image, at).unwrap_or(0);
    let (left, top, width, height) = (side(0), side(2), side(4), side(6));
    // Some encoders leave the logical screen at 0x0; the first frame is then the canvas.
    let (width, height, covered) = match screen {
        (0, _) | (_, 0) => (width, height, true),
        _ => (screen.0, screen.1, (left, top) == (0, 0) && width >= screen.0 && height >= screen.1),
    };
    if width == 0 || height == 0 {
        return Err(Error::Malformed(format!("GIF: size {width}x{height}")));
    }
    let header = Header {
        format: Format::Gif,
        width: width.into(),
        height: height.into(),
        orientation: Orientation::UPRIGHT,
        colour: "palette",
        bits: (flags & 7) + 1,
        alpha: transparent || !covered,
        progressive: image[8] & 0x40 != 0,
        animated: frames > 1,
        profile: false,
    };
    Ok(Details { header, frames })
}

/// Bytes of the colour table that a packed-fields byte declares.
const fn colour_table_bytes(flags: u8) -> usize {
    if flags & 0x80 != 0 { 3 << ((flags & 7) + 1) } else { 0 }
}

/// The position after a chain of sub-blocks.
fn sub_blocks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&length) = bytes.get(at) {
        at += 1 + usize::from(length);
        if length == 0 {
            break;
        }
    }
    at
}
