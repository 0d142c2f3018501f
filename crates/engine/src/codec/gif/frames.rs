//! The frames of an animated GIF.

use super::decode;
use super::header::{Frame as Image, colour_table_bytes, sub_blocks};
use crate::animation::{Animation, Disposal, Frame};
use crate::bytes::le16;
use crate::header::Header;

/// Viewers show shorter frames for so long.
const SHORTEST_MS: u32 = 20;
const DEFAULT_MS: u32 = 100;

/// What a graphic control extension says of the image after it.
#[derive(Clone, Copy, Default)]
struct Control {
    delay_ms: u32,
    disposal: u8,
    transparent: Option<u8>,
}

/// Reads every image up to the first that is cut, and no more than one beyond `most`.
pub(super) fn read<'a>(bytes: &'a [u8], header: &Header, most: usize) -> Option<Animation<'a>> {
    let flags = *bytes.get(10)?;
    let global = bytes.get(13..)?;
    let global = &global[..colour_table_bytes(flags).min(global.len())];
    // As for the first image: where the screen has no size, the image is all of it.
    let has_screen = le16(bytes, 6)? > 0 && le16(bytes, 8)? > 0;
    let mut at = 13 + global.len();
    let (mut plays, mut control, mut frames) = (1, Control::default(), Vec::new());
    loop {
        match bytes.get(at) {
            Some(0x21) => {
                let Some(data) = bytes.get(at + 2..) else { break };
                match (bytes.get(at + 1), data) {
                    (Some(0xf9), &[_, flags, low, high, index, ..]) => {
                        let delay = u32::from(u16::from_le_bytes([low, high])) * 10;
                        control = Control {
                            delay_ms: if delay < SHORTEST_MS { DEFAULT_MS } else { delay },
                            disposal: flags >> 2 & 7,
                            transparent: (flags & 1 != 0).then_some(index),
                        };
                    }
                    (Some(0xff), [11, rest @ ..]) => {
                        if let Some(repeats) = repeats(rest) {
                            plays = if repeats == 0 { 0 } else { u32::from(repeats) + 1 };
                        }
                    }
                    _ => {}
                }
                at = sub_blocks(bytes, at + 2);
            }
            Some(0x2c) => {
                let Some((frame, end)) = image(bytes, at, global, control, header, has_screen) else { break };
                frames.push(frame);
                if frames.len() > most {
                    break;
                }
                control = Control::default();
                at = end;
            }
            Some(0) => at += 1,
            _ => break,
        }
    }
    (!frames.is_empty()).then_some(Animation { plays, frames, shared_bytes: 0, copied_bytes: 0 })
}

/// How often an animation is repeated, of the application extensions for that.
fn repeats(rest: &[u8]) -> Option<u16> {
    let name = rest.get(..11)?;
    let is_known = name == b"NETSCAPE2.0" || name == b"ANIMEXTS1.0";
    match rest.get(11..15)? {
        &[3, 1, low, high] if is_known => Some(u16::from_le_bytes([low, high])),
        _ => None,
    }
}

/// The image at `at`, without what is beyond the canvas, and where it ends; `None` if it is cut, or larger than the canvas.
fn image<'a>(
    bytes: &'a [u8],
    at: usize,
    global: &'a [u8],
    control: Control,
    header: &Header,
    has_screen: bool,
) -> Option<(Frame<'a>, usize)> {
    let descriptor = bytes.get(at + 1..at + 10)?;
    let side = |at| le16(descriptor, at).map(usize::from);
    let (left, top, width, height) = (side(0)?, side(2)?, side(4)?, side(6)?);
    let flags = descriptor[8];
    let local = colour_table_bytes(flags);
    let palette = if local > 0 { bytes.get(at + 10..at + 10 + local)? } else { global };
    let data_at = at + 10 + local;
    let end = sub_blocks(bytes, data_at + 1);
    let data = bytes.get(data_at..end)?;
    let (left, top) = if has_screen { (left, top) } else { (0, 0) };
    // Limits are checked for the canvas.
    if width as u64 * height as u64 > header.pixels() {
        return None;
    }
    let visible = |side: usize, from: usize, canvas: u32| side.min((canvas as usize).saturating_sub(from));
    let shown = (visible(width, left, header.width), visible(height, top, header.height));
    let header = Header { width: shown.0 as u32, height: shown.1 as u32, alpha: true, ..header.clone() };
    let image = Image {
        left: 0,
        top: 0,
        width,
        height,
        interlaced: flags & 0x40 != 0,
        palette,
        transparent: control.transparent,
        data,
    };
    let frame = Frame {
        left,
        top,
        width: shown.0,
        height: shown.1,
        delay_ms: if control.delay_ms == 0 { DEFAULT_MS } else { control.delay_ms },
        disposal: match control.disposal {
            2 => Disposal::Clear,
            3 => Disposal::Restore,
            _ => Disposal::Keep,
        },
        is_blended: true,
        decode: Box::new(move |context, rows, scratch| {
            decode::decode(&image, &header, context, rows, scratch)
        }),
    };
    Some((frame, end))
}
