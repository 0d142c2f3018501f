//! The frames of an animated PNG (W3C PNG, third edition, section 11.3.6): each is decoded as a file of its own.

use super::decode;
use super::header::{self, Chunk, chunks};
use crate::animation::{Animation, Disposal, Frame};
use crate::bytes::{be16, be32};
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

/// Reads every frame up to the first that is not valid.
pub(super) fn read<'a>(bytes: &'a [u8], header: &Header) -> Option<Animation<'a>> {
    let mut plays = 0;
    // The chunks that all frames need, as they are; then a control, and the data after it.
    let mut shared: Vec<&'a [u8]> = Vec::new();
    let mut frames: Vec<(Control, Vec<&'a [u8]>)> = Vec::new();
    let mut has_data = false;
    for chunk in chunks(bytes) {
        let Chunk { name, data, at, .. } = chunk;
        match &name {
            b"acTL" => plays = be32(data, 4).unwrap_or(0),
            b"fcTL" => {
                let Some(control) = Control::read(data, (header.width, header.height)) else { break };
                frames.push((control, Vec::new()));
            }
            b"IDAT" => {
                has_data = true;
                // Without a control before it, the image is not part of the animation.
                if let Some((_, parts)) = frames.last_mut() {
                    parts.push(data);
                }
            }
            // After the number of the chunk.
            b"fdAT" => {
                if let (Some((_, parts)), Some(data)) = (frames.last_mut(), data.get(4..)) {
                    parts.push(data);
                }
            }
            b"IEND" => break,
            _ if !has_data => shared.extend(bytes.get(at..at + 12 + data.len())),
            _ => {}
        }
    }
    frames.retain(|(_, parts)| !parts.is_empty());
    let ihdr: [u8; 13] = *bytes.get(16..)?.first_chunk()?;
    let frames: Vec<Frame<'a>> = frames
        .into_iter()
        .enumerate()
        .map(|(number, (control, parts))| frame(number, &control, parts, &shared, ihdr))
        .collect();
    (!frames.is_empty()).then_some(Animation { plays, frames })
}

fn frame<'a>(
    number: usize,
    control: &Control,
    parts: Vec<&'a [u8]>,
    shared: &[&'a [u8]],
    mut ihdr: [u8; 13],
) -> Frame<'a> {
    ihdr[..4].copy_from_slice(&control.width.to_be_bytes());
    ihdr[4..8].copy_from_slice(&control.height.to_be_bytes());
    let shared = shared.to_vec();
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
            let file = file(&ihdr, &shared, &parts);
            let header = header::read(&file)?.header;
            decode::decode(&file, &header, context, rows, scratch)
        }),
    }
}

/// A PNG of a frame alone.
fn file(ihdr: &[u8; 13], shared: &[&[u8]], parts: &[&[u8]]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut file, *b"IHDR", &[ihdr]);
    shared.iter().for_each(|shared| file.extend(*shared));
    chunk(&mut file, *b"IDAT", parts);
    chunk(&mut file, *b"IEND", &[]);
    file
}

/// Appends a chunk whose data is in parts.
fn chunk(file: &mut Vec<u8>, name: [u8; 4], parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    file.extend((length as u32).to_be_bytes());
    let start = file.len();
    file.extend(name);
    parts.iter().for_each(|part| file.extend(*part));
    let crc = crc32fast::hash(&file[start..]);
    file.extend(crc.to_be_bytes());
}
