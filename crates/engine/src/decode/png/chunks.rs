//! The chunks before the image data (W3C PNG, third edition, sections 11.2.2 and 11.3).

use fearless_simd::Level;

use super::inflate::{Fault, Inflater, Source};
use crate::bytes::be32;
use crate::colour::MAX_PROFILE;
use crate::header::png::{Chunk, chunks};

/// The chunks that are used, and where the image data begins.
#[derive(Default)]
pub(super) struct Preamble<'a> {
    pub(super) palette: Option<&'a [u8]>,
    pub(super) transparency: Option<&'a [u8]>,
    pub(super) data_at: usize,
    profile: Option<&'a [u8]>,
    /// Whether cICP declares the colour space; it takes precedence over a profile.
    code_points: bool,
}

impl<'a> Preamble<'a> {
    /// Reads up to the first IDAT. A corrupt ancillary chunk is ignored.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        if let Some(header) = bytes.get(12..29)
            && be32(bytes, 29) != Some(crc32fast::hash(header))
        {
            return Err("the checksum of IHDR does not match".into());
        }
        let mut preamble = Self::default();
        for chunk in chunks(bytes) {
            preamble.take(bytes, &chunk)?;
            if preamble.data_at > 0 {
                return Ok(preamble);
            }
        }
        // A truncated IDAT still holds the first rows.
        let end = chunks(bytes).last().map_or(33, |chunk| chunk.at + 12 + chunk.data.len());
        if bytes.get(end + 4..end + 8) == Some(b"IDAT") {
            return Ok(Self { data_at: end, ..preamble });
        }
        Err("there is no data (no chunk IDAT)".into())
    }

    fn take(&mut self, bytes: &'a [u8], chunk: &Chunk<'a>) -> Result<(), String> {
        let Chunk { name, data, at, .. } = *chunk;
        let is_valid = || chunk.crc == Some(crc32fast::hash(&bytes[at + 4..at + 8 + data.len()]));
        match &name {
            b"IDAT" => self.data_at = at,
            b"IEND" => return Err("it ends before its data (no chunk IDAT)".into()),
            b"PLTE" => {
                if !is_valid() {
                    return Err(format!("the checksum of PLTE at byte {at} does not match"));
                }
                if data.is_empty() || !data.len().is_multiple_of(3) || data.len() > 256 * 3 {
                    return Err(format!("a palette of {} bytes at byte {at}", data.len()));
                }
                self.palette = Some(data);
            }
            // A critical chunk (section 5.4): the image cannot be read without it.
            [b'A'..=b'Z', ..] => {
                return Err(format!("an unknown critical chunk {} at byte {at}", name.escape_ascii()));
            }
            // With a palette, tRNS comes after it (section 5.6); viewers ignore it elsewhere.
            b"tRNS" if is_valid() && (self.palette.is_some() || bytes.get(25) != Some(&3)) => {
                self.transparency = Some(data);
            }
            b"iCCP" if is_valid() => self.profile = Some(data),
            // PNG holds RGB, so the matrix coefficients, the third byte, must be 0.
            b"cICP" if is_valid() => self.code_points = matches!(data, [_, _, 0, _]),
            _ => {}
        }
        Ok(())
    }

    /// The ICC profile, unless a chunk of higher precedence is present (W3C PNG, third edition, section 4.3).
    pub(super) fn profile(&self, level: Level) -> Option<Vec<u8>> {
        if self.code_points {
            return None;
        }
        decompressed(self.profile?, level)
    }
}

/// The profile of an iCCP chunk (name, method, zlib stream), if it is valid and not too large.
fn decompressed(chunk: &[u8], level: Level) -> Option<Vec<u8>> {
    let name = chunk.iter().take(80).position(|&byte| byte == 0)?;
    let &[method, ref stream @ ..] = chunk.get(name + 1..)? else { return None };
    if method != 0 {
        return None;
    }
    let (mut inflater, mut source) = (Inflater::new(level), SliceSource(stream));
    let mut profile = Vec::new();
    loop {
        let piece = inflater.peek(4096, &mut source).ok()?;
        let length = piece.len();
        profile.extend_from_slice(piece);
        inflater.consume(length);
        if profile.len() > MAX_PROFILE {
            return None;
        }
        if length == 0 {
            return Some(profile);
        }
    }
}

/// A stream in one slice.
struct SliceSource<'a>(&'a [u8]);

impl Source for SliceSource<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        let (read, rest) = self.0.split_at(self.0.len().min(buffer.len()));
        buffer[..read.len()].copy_from_slice(read);
        self.0 = rest;
        Ok(read.len())
    }
}
