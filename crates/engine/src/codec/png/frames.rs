//! The frames of an animated PNG (W3C PNG, third edition, section 11.3.6): each is decoded as a file of its own.

use std::rc::Rc;

use super::decode;
use super::header::{self, Chunk, chunks, chunks_from};
use crate::animation::{Animation, Disposal, Frame};
use crate::bytes::{be16, be32};
use crate::colour::MAX_PROFILE;
use crate::header::Header;

/// What a chunk fcTL says of the frame whose data follows.
struct Control {
    width: u32,
    height: u32,
    left: u32,
    top: u32,
    delay_ms: u32,
    disposal: Disposal,
    is_blended: bool,
}

impl Control {
    fn read(data: &[u8], canvas: (u32, u32)) -> Option<Self> {
        let number = |at| be32(data, at);
        let (width, height, left, top) = (number(4)?, number(8)?, number(12)?, number(16)?);
        let is_within = |from: u32, length: u32, whole: u32| {
            length > 0 && from.checked_add(length).is_some_and(|end| end <= whole)
        };
        if !is_within(left, width, canvas.0) || !is_within(top, height, canvas.1) {
            return None;
        }
        // A fraction of a second; a denominator of 0 counts as 100.
        let (part, whole) = (u32::from(be16(data, 20)?), u32::from(be16(data, 22)?));
        let delay_ms = part * 1000 / if whole == 0 { 100 } else { whole };
        let disposal = match data.get(24)? {
            1 => Disposal::Clear,
            2 => Disposal::Restore,
            _ => Disposal::Keep,
        };
        Some(Self { width, height, left, top, delay_ms, disposal, is_blended: *data.get(25)? == 1 })
    }
}

/// Chunks before the image data without which pixels cannot be decoded.
const OF_PIXELS: [[u8; 4]; 2] = [*b"PLTE", *b"tRNS"];
/// Those from which the profile follows: that of the first frame counts for all.
const OF_COLOURS: [[u8; 4]; 5] = [*b"cICP", *b"iCCP", *b"sRGB", *b"gAMA", *b"cHRM"];

/// A frame, and where its data is.
struct Found {
    control: Control,
    /// Where the chunks after its control begin.
    from: usize,
    /// Bytes of data.
    length: usize,
}

/// Reads every frame up to the first that is not valid, and no more than one beyond `most`.
pub(super) fn read<'a>(bytes: &'a [u8], header: &Header, most: usize) -> Option<Animation<'a>> {
    let mut plays = 0;
    let (mut of_pixels, mut of_colours) = ([None; OF_PIXELS.len()], [None; OF_COLOURS.len()]);
    let mut frames: Vec<Found> = Vec::new();
    let mut has_data = false;
    for chunk in chunks(bytes) {
        match &chunk.name {
            b"acTL" => plays = be32(chunk.data, 4).unwrap_or(0),
            b"fcTL" => {
                // A control without data is no frame.
                frames.pop_if(|frame| frame.length == 0);
                if frames.len() > most {
                    break;
                }
                let Some(control) = Control::read(chunk.data, (header.width, header.height)) else { break };
                frames.push(Found { control, from: chunk.at + 12 + chunk.data.len(), length: 0 });
            }
            name @ (b"IDAT" | b"fdAT") => {
                has_data |= name == b"IDAT";
                // Without a control before it, the image is not part of the animation.
                if let Some(frame) = frames.last_mut() {
                    frame.length += chunk.data.len();
                }
            }
            b"IEND" => break,
            // Unknown critical chunks, for which a still image is refused.
            [b'A'..=b'Z', ..] if !has_data && chunk.name != *b"PLTE" => return None,
            _ if has_data => {}
            name => {
                let mut slots =
                    OF_PIXELS.iter().zip(&mut of_pixels).chain(OF_COLOURS.iter().zip(&mut of_colours));
                let slot = slots.find(|(of, _)| *of == name);
                if let Some((_, slot)) = slot
                    && chunk.data.len() <= MAX_PROFILE
                    && chunk.is_intact(bytes)
                {
                    *slot = bytes.get(chunk.at..chunk.at + 12 + chunk.data.len());
                }
            }
        }
    }
    frames.pop_if(|frame| frame.length == 0);
    let ihdr: [u8; 13] = *bytes.get(16..)?.first_chunk()?;
    let shared: Rc<[u8]> = joined(&of_pixels).into();
    let first: Rc<[u8]> = [joined(&of_pixels), joined(&of_colours)].concat().into();
    let longest = frames.iter().map(|frame| frame.length).max().unwrap_or(0);
    let (shared_bytes, copied_bytes) = (shared.len() as u64, (first.len() + longest + OVERHEAD) as u64);
    let frames: Vec<Frame<'a>> = frames
        .into_iter()
        .enumerate()
        .map(|(number, found)| {
            let shared = if number == 0 { Rc::clone(&first) } else { Rc::clone(&shared) };
            frame(number, &found, bytes, shared, ihdr)
        })
        .collect();
    (!frames.is_empty()).then_some(Animation { plays, frames, shared_bytes, copied_bytes })
}

/// The chunks that there are, one after another.
fn joined(chunks: &[Option<&[u8]>]) -> Vec<u8> {
    chunks.iter().flatten().copied().flatten().copied().collect()
}

fn frame<'a>(
    number: usize,
    found: &Found,
    bytes: &'a [u8],
    shared: Rc<[u8]>,
    mut ihdr: [u8; 13],
) -> Frame<'a> {
    let Found { control, from, length } = found;
    let (from, length) = (*from, *length);
    ihdr[..4].copy_from_slice(&control.width.to_be_bytes());
    ihdr[4..8].copy_from_slice(&control.height.to_be_bytes());
    Frame {
        left: control.left as usize,
        top: control.top as usize,
        width: control.width as usize,
        height: control.height as usize,
        delay_ms: control.delay_ms,
        // Before the first there is nothing to restore.
        disposal: match control.disposal {
            Disposal::Restore if number == 0 => Disposal::Clear,
            disposal => disposal,
        },
        is_blended: control.is_blended,
        decode: Box::new(move |context, rows, scratch| {
            let mut file = Vec::with_capacity(OVERHEAD + shared.len() + length);
            file.extend_from_slice(b"\x89PNG\r\n\x1a\n");
            append(&mut file, *b"IHDR", Some(&ihdr[..]));
            file.extend_from_slice(&shared);
            append(&mut file, *b"IDAT", parts(bytes, from));
            append(&mut file, *b"IEND", None::<&[u8]>);
            let header = header::read(&file)?.header;
            decode::decode(&file, &header, context, rows, scratch)
        }),
    }
}

/// Bytes of a frame's file besides its data and the shared chunks.
const OVERHEAD: usize = 8 + 25 + 12 + 12;

/// The data of a frame whose chunks begin at `from`, up to the first that is corrupt.
fn parts(bytes: &[u8], from: usize) -> impl Iterator<Item = &[u8]> {
    chunks_from(bytes, from)
        .take_while(|chunk| !matches!(&chunk.name, b"fcTL" | b"IEND"))
        .filter(|chunk| matches!(&chunk.name, b"IDAT" | b"fdAT"))
        // A file that ends before the CRC has the complete data.
        .take_while(move |chunk| chunk.crc.is_none() || chunk.is_intact(bytes))
        .filter_map(|Chunk { name, data, .. }| match &name {
            // After the number of the chunk.
            b"fdAT" => data.get(4..),
            _ => Some(data),
        })
}

/// Appends a chunk whose data is in parts.
fn append<'a>(file: &mut Vec<u8>, name: [u8; 4], parts: impl IntoIterator<Item = &'a [u8]>) {
    let start = file.len();
    file.extend_from_slice(&[0; 4]);
    file.extend_from_slice(&name);
    for part in parts {
        file.extend_from_slice(part);
    }
    let length = (file.len() - start - 8) as u32;
    file[start..start + 4].copy_from_slice(&length.to_be_bytes());
    let crc = crc32fast::hash(&file[start + 4..]);
    file.extend_from_slice(&crc.to_be_bytes());
}
