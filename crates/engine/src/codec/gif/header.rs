//! GIF: the blocks (GIF89a specification).

use crate::bytes::le16;
use crate::error::Error;
use crate::header::{Colour, Details, Format, Header, Orientation, lzw_work, truncated, work};

/// An image: the first frame, or another.
pub(super) struct Frame<'a> {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) interlaced: bool,
    /// Red, green and blue of each index.
    pub(super) palette: &'a [u8],
    pub(super) transparent: Option<u8>,
    /// From the code size on.
    pub(super) data: &'a [u8],
}

pub(super) fn read(bytes: &[u8]) -> Result<(Details, Frame<'_>), Error> {
    let cut = || truncated("GIF", "its header", bytes.len());
    let screen = (le16(bytes, 6).ok_or_else(cut)?, le16(bytes, 8).ok_or_else(cut)?);
    let flags = *bytes.get(10).ok_or_else(cut)?;
    let mut at = 13 + colour_table_bytes(flags);
    let mut frames = 0_u32;
    let mut transparent = None;
    let mut first = None;
    loop {
        match bytes.get(at) {
            // Unknown extensions are skipped, like known ones.
            Some(0x21) => {
                let label = bytes.get(at + 1).copied();
                if first.is_none()
                    && label == Some(0xf9)
                    && let Some(&[_, flags, _, _, index]) = bytes.get(at + 2..at + 7)
                {
                    transparent = (flags & 1 != 0).then_some(index);
                }
                at = sub_blocks(bytes, at + 2);
            }
            Some(0x2c) => {
                let Some(image) = bytes.get(at + 1..at + 10) else { break };
                frames = frames.saturating_add(1);
                let data = at + 10 + colour_table_bytes(image[8]);
                let end = sub_blocks(bytes, data + 1);
                first.get_or_insert((image, at + 10, data, end));
                at = end;
                if frames > 1 {
                    break;
                }
            }
            // Fill, between blocks.
            Some(0) => at += 1,
            // The trailer, the end of the file, or corrupt data after the first frame, which is tolerated.
            _ => break,
        }
    }
    let (image, local_at, data, end) =
        first.ok_or_else(|| truncated("GIF", "the first frame", at.min(bytes.len())))?;
    let length = end - data;
    let side = |at| le16(image, at).unwrap_or(0);
    let (left, top, frame_width, frame_height) = (side(0), side(2), side(4), side(6));
    // Some encoders leave the logical screen at 0x0, or smaller than the first frame: it is then as large as that.
    let (width, height) = match screen {
        (0, _) | (_, 0) => (frame_width.into(), frame_height.into()),
        (width, height) => {
            let right = u32::from(left) + u32::from(frame_width);
            let bottom = u32::from(top) + u32::from(frame_height);
            (u32::from(width).max(right), u32::from(height).max(bottom))
        }
    };
    let is_whole = screen.0 == 0 || screen.1 == 0;
    let (left, top) = if is_whole { (0, 0) } else { (left, top) };
    let covered = (left, top) == (0, 0) && (frame_width.into(), frame_height.into()) == (width, height);
    if width == 0 || height == 0 {
        return Err(Error::Malformed(format!("GIF: size {width}x{height}")));
    }
    let (global, local) = (colour_table_bytes(flags), colour_table_bytes(image[8]));
    let (from, palette) = if local > 0 { (local_at, local) } else { (13, global) };
    let rest = bytes.get(from..).unwrap_or_default();
    let frame = Frame {
        left: left.into(),
        top: top.into(),
        width: frame_width.into(),
        height: frame_height.into(),
        interlaced: image[8] & 0x40 != 0,
        palette: &rest[..palette.min(rest.len())],
        transparent,
        data: bytes.get(data..end.min(bytes.len())).unwrap_or_default(),
    };
    let canvas = u64::from(width) * u64::from(height);
    let decoded = u64::from(frame_width) * u64::from(frame_height);
    let work = work(canvas * 4 + decoded, height.into(), 0).saturating_add(lzw_work(length as u64, decoded));
    let header = Header {
        format: Format::Gif,
        width,
        height,
        orientation: Orientation::UPRIGHT,
        colour: Colour::Palette,
        bits: (flags & 7) + 1,
        alpha: transparent.is_some() || !covered,
        progressive: frame.interlaced,
        buffered: false,
        decoder_bytes: 0,
        coded_bytes: 0,
        animated: frames > 1,
        profile: false,
        work,
    };
    let reason = format!("with a first frame of {frame_width}x{frame_height}");
    Ok((Details { header, reason }, frame))
}

/// Bytes of the colour table that a packed-fields byte declares.
pub(super) const fn colour_table_bytes(flags: u8) -> usize {
    if flags & 0x80 != 0 { 3 << ((flags & 7) + 1) } else { 0 }
}

/// The position after a chain of sub-blocks.
pub(super) fn sub_blocks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&length) = bytes.get(at) {
        at += 1 + usize::from(length);
        if length == 0 {
            break;
        }
    }
    at
}
