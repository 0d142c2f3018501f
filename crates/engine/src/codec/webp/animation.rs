//! Animated WebP (RFC 9649, section 2.7.1): the container around frames that are encoded like still images.

use super::encode;
use crate::animation::Area;
use crate::bytes::le32;
use crate::error::Error;
use crate::pixels::Image8;

const ANIMATED: u8 = 0x02;
const ALPHA: u8 = 0x10;
/// The frame replaces what is there.
const NO_BLENDING: u8 = 0x02;

/// The chunks of a frame's image: ALPH, if it has alpha, and VP8.
pub(crate) fn frame(image: &Image8, quality: u8) -> Result<Vec<u8>, Error> {
    let file = encode::encode(image, quality)?;
    let mut chunks = Vec::with_capacity(file.len());
    let mut at = 12;
    while let (Some(name), Some(length)) = (file.get(at..at + 4), le32(&file, at + 4)) {
        let end = at + 8 + (length as usize).next_multiple_of(2);
        if matches!(name, b"ALPH" | b"VP8 " | b"VP8L") {
            chunks.extend_from_slice(file.get(at..end).unwrap_or_default());
        }
        at = end;
    }
    if chunks.is_empty() {
        return Err(Error::Internal("WebP encoder: a file without an image".into()));
    }
    Ok(chunks)
}

/// Appends the ANMF chunk of a frame.
pub(crate) fn append(frames: &mut Vec<u8>, area: Area, delay_ms: u32, image: &[u8]) {
    frames.extend(b"ANMF");
    frames.extend((image.len() as u32 + 16).to_le_bytes());
    let numbers = [area.left / 2, area.top / 2, area.width - 1, area.height - 1, delay_ms.min(0xff_ffff)];
    for number in numbers {
        frames.extend(&number.to_le_bytes()[..3]);
    }
    frames.push(NO_BLENDING);
    frames.extend(image);
}

/// The file of these frames.
pub(crate) fn file(canvas: (u32, u32), has_alpha: bool, plays: u32, frames: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(frames.len() + 44);
    file.extend(b"RIFF");
    file.extend((frames.len() as u32 + 36).to_le_bytes());
    file.extend(b"WEBPVP8X\x0a\0\0\0");
    file.extend([ANIMATED | if has_alpha { ALPHA } else { 0 }, 0, 0, 0]);
    file.extend(&(canvas.0 - 1).to_le_bytes()[..3]);
    file.extend(&(canvas.1 - 1).to_le_bytes()[..3]);
    // The background is transparent; more plays than can be counted are without end.
    file.extend(b"ANIM\x06\0\0\0\0\0\0\0");
    file.extend(u16::try_from(plays).unwrap_or(0).to_le_bytes());
    file.extend(frames);
    file
}
