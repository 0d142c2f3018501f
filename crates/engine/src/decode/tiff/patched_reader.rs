//! The file as the tiff crate is to see it.

use std::io::{Read, Result, Seek, SeekFrom};

use super::super::input::Input;
use crate::ifd::Ifd;
use crate::stop::Stop;

const PHOTOMETRIC: u16 = 262;
const PALETTE: u64 = 3;
const GRAY: u8 = 1;

/// The tags of which the crate reads all values when it opens a file, before it can be given limits: it allocates what they
/// declare.
const OPENED: [u16; 15] = [256, 257, 258, 259, 262, 277, 278, 284, 317, 322, 323, 338, 339, 347, 530];
/// Of these, most values: as many as there may be samples in a pixel.
const MOST_VALUES: u64 = u16::MAX as u64;
/// Where strips and tiles begin, and their lengths.
const CHUNKS: [u16; 4] = [273, 279, 324, 325];
/// What the crate takes for a strip or tile when it opens a file.
const CHUNK_BYTES: u64 = 48;

/// The file, in which a palette picture passes for a gray one: the crate reads its indices only so.
pub(super) struct Source<'a> {
    file: Input<'a>,
    /// The byte to replace.
    patch: Option<u64>,
}

impl<'a> Source<'a> {
    /// Checks that no tag declares more values than fit into `memory` bytes, and that all strips or tiles lie within the
    /// file: some decompressors make up what is missing.
    pub(super) fn new(bytes: &'a [u8], memory: u64, stop: Stop<'a>) -> std::result::Result<Self, String> {
        let ifd = Ifd::first(bytes).ok_or("the directory is cut")?;
        for (tag, count) in ifd.declared() {
            let most = match tag {
                tag if CHUNKS.contains(&tag) => memory / CHUNK_BYTES,
                tag if OPENED.contains(&tag) => MOST_VALUES,
                _ => continue,
            };
            if count > most {
                return Err(format!("tag {tag} declares {count} values, where {most} are possible"));
            }
        }
        for (offsets, lengths) in [(273, 279), (324, 325)] {
            let (Some(offsets), Some(lengths)) = (ifd.entry(offsets), ifd.entry(lengths)) else { continue };
            for index in 0..offsets.len().min(lengths.len()) {
                let end = offsets.uint(index).unwrap_or(0).saturating_add(lengths.uint(index).unwrap_or(0));
                if end > bytes.len() as u64 {
                    return Err(format!("strip or tile {index} ends at byte {end} of {}", bytes.len()));
                }
            }
        }
        let palette = ifd.uint(PHOTOMETRIC) == Some(PALETTE);
        let patch = if palette { ifd.low_byte(PHOTOMETRIC).map(|at| at as u64) } else { None };
        Ok(Self { file: Input::new(bytes, stop), patch })
    }

    /// Whether the samples are indices into the colour map.
    pub(super) fn indexed(&self) -> bool {
        self.patch.is_some()
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let from = self.file.position();
        let count = self.file.read(buffer)?;
        if let Some(at) = self.patch.and_then(|patch| patch.checked_sub(from))
            && let Some(byte) = buffer[..count].get_mut(at as usize)
        {
            *byte = GRAY;
        }
        Ok(count)
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.file.seek(to)
    }
}
