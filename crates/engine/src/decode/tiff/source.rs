//! The file as the tiff crate is to see it.

use std::io::{Read, Result, Seek, SeekFrom};

use super::super::input::Input;
use crate::ifd::Ifd;
use crate::stop::Stop;

const PHOTOMETRIC: u16 = 262;
const PALETTE: u64 = 3;
const GRAY: u8 = 1;

/// The file, in which a palette picture passes for a gray one: the crate reads its indices only so.
pub(super) struct Source<'a> {
    file: Input<'a>,
    /// The byte to replace.
    patch: Option<u64>,
}

impl<'a> Source<'a> {
    /// Checks that all strips or tiles lie within the file: some decompressors make up what is missing.
    pub(super) fn new(bytes: &'a [u8], stop: Stop<'a>) -> std::result::Result<Self, String> {
        let ifd = Ifd::first(bytes).ok_or("the directory is cut")?;
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
