//! The file as the tiff crate reads it: a palette image declared as gray.

use std::io::{Read, Result, Seek, SeekFrom};

use super::super::polling_reader::PollingReader;
use crate::ifd::Ifd;
use crate::stop::Stop;

const PHOTOMETRIC: u16 = 262;
const PALETTE: u64 = 3;
const GRAY: u8 = 1;

/// The tags whose values the crate reads when it opens a file, before limits can be set: it allocates what
/// they declare.
const READ_ON_OPEN: [u16; 15] = [256, 257, 258, 259, 262, 277, 278, 284, 317, 322, 323, 338, 339, 347, 530];
/// Most values of one of these: one per sample of a pixel.
const MAX_VALUES: u64 = u16::MAX as u64;
/// Offsets and byte counts of strips and tiles.
const CHUNKS: [u16; 4] = [273, 279, 324, 325];
/// Bytes that the crate allocates for a strip or tile when it opens a file.
const CHUNK_BYTES: u64 = 48;

/// The file, with the photometric interpretation of a palette image changed to gray: only then does the
/// crate return its indices.
pub(super) struct PatchedReader<'a> {
    file: PollingReader<'a>,
    /// Offset of the byte to replace.
    patch: Option<u64>,
}

impl<'a> PatchedReader<'a> {
    /// Checks that no tag declares more values than fit into `memory` bytes, and that all strips or tiles lie
    /// within the file: some decompressors fill in what is missing.
    pub(super) fn new(bytes: &'a [u8], memory: u64, stop: Stop<'a>) -> std::result::Result<Self, String> {
        let ifd = Ifd::first(bytes).ok_or("the directory is truncated")?;
        for (tag, count) in ifd.declared() {
            let limit = match tag {
                tag if CHUNKS.contains(&tag) => memory / CHUNK_BYTES,
                tag if READ_ON_OPEN.contains(&tag) => MAX_VALUES,
                _ => continue,
            };
            if count > limit {
                return Err(format!("tag {tag} declares {count} values, where {limit} are possible"));
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
        Ok(Self { file: PollingReader::new(bytes, stop), patch })
    }

    /// Whether the samples are indices into the colour map.
    pub(super) fn indexed(&self) -> bool {
        self.patch.is_some()
    }
}

impl Read for PatchedReader<'_> {
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

impl Seek for PatchedReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.file.seek(to)
    }
}
