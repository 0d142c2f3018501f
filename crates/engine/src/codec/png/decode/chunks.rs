//! The chunks before the image data (W3C PNG, third edition, sections 11.2.2 and 11.3).

use fearless_simd::Level;

use super::inflate::Inflater;
use crate::bytes::be32;
use crate::codec::png::header::{Chunk, chunks};
use crate::colour::{MAX_PROFILE, calibrated_profile, coded_profile};

/// The chunks that are used, and where the image data begins.
#[derive(Default)]
pub(super) struct Preamble<'a> {
    pub(super) palette: Option<&'a [u8]>,
    pub(super) transparency: Option<&'a [u8]>,
    pub(super) data_at: usize,
    profile: Option<&'a [u8]>,
    /// The primaries and the transfer function of cICP.
    code_points: Option<(u8, u8)>,
    srgb: bool,
    /// gAMA and cHRM.
    gamma: Option<f32>,
    chromaticities: Option<[[f32; 2]; 4]>,
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
        let is_valid = || chunk.is_intact(bytes);
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
            b"cICP" if is_valid() => {
                self.code_points = match *data {
                    [primaries, transfer, 0, _] => Some((primaries, transfer)),
                    _ => None,
                };
            }
            b"sRGB" if is_valid() => self.srgb = true,
            b"gAMA" if is_valid() => self.gamma = fraction(data, 0).filter(|&gamma| gamma > 0.0),
            b"cHRM" if is_valid() => {
                let pair = |at: usize| Some([fraction(data, at)?, fraction(data, at + 4)?]);
                self.chromaticities = match [pair(0), pair(8), pair(16), pair(24)] {
                    [Some(white), Some(red), Some(green), Some(blue)] => Some([white, red, green, blue]),
                    _ => None,
                };
            }
            _ => {}
        }
        Ok(())
    }

    /// The ICC profile, or one of what the chunks declare otherwise, by their precedence (W3C PNG, third edition,
    /// section 4.3); `None` for sRGB.
    pub(super) fn profile(&self, gray: bool, level: Level) -> Option<Vec<u8>> {
        if self.code_points == Some(SRGB) {
            return None;
        }
        if let Some((primaries, transfer)) = self.code_points
            && let Some(profile) = coded_profile(primaries, transfer, gray)
        {
            return Some(profile);
        }
        if let Some(profile) = self.profile.and_then(|chunk| decompressed(chunk, level)) {
            return Some(profile);
        }
        if self.srgb || (self.gamma.is_none() && self.chromaticities.is_none()) {
            return None;
        }
        calibrated_profile(self.gamma, self.chromaticities, gray)
    }
}

/// The code points of sRGB (ITU-T H.273).
const SRGB: (u8, u8) = (1, 13);

/// A number in 100,000ths.
fn fraction(data: &[u8], at: usize) -> Option<f32> {
    be32(data, at).map(|value| (f64::from(value) / 100_000.0) as f32)
}

/// The profile of an iCCP chunk (name, method, zlib stream), if it is valid and not too large.
fn decompressed(chunk: &[u8], level: Level) -> Option<Vec<u8>> {
    let name = chunk.iter().take(80).position(|&byte| byte == 0)?;
    let &[method, ref stream @ ..] = chunk.get(name + 1..)? else { return None };
    if method != 0 {
        return None;
    }
    let (mut inflater, mut source) = (Inflater::new(level), stream);
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
