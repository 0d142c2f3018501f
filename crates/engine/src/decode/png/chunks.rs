//! What the chunks before the picture's data say (W3C PNG, third edition, sections 11.2.2 and 11.3).

use super::inflate::{Fault, Inflater, Source};
use crate::bytes::be32;
use crate::colour::MAX_PROFILE;
use crate::decode::{Chromaticities, Colourimetry};
use crate::header::png::{Chunk, chunks};

/// The reciprocal of sRGB's exponent, in the units of gAMA.
const SRGB_GAMMA: f64 = 45455.0;

const SRGB_CODE_POINTS: Colourimetry =
    Colourimetry::CodePoints { primaries: 1, transfer: 13, matrix: 0, full_range: true };

/// The chunks that matter, and where the data begins.
#[derive(Default)]
pub(super) struct Preamble<'a> {
    pub(super) palette: Option<&'a [u8]>,
    pub(super) transparency: Option<&'a [u8]>,
    pub(super) data_at: usize,
    profile: Option<&'a [u8]>,
    srgb: bool,
    gamma: Option<f64>,
    chromaticities: Option<Chromaticities>,
    code_points: Option<Colourimetry>,
}

impl<'a> Preamble<'a> {
    /// Reads up to the first IDAT. A chunk that pictures can do without is ignored if it is damaged.
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
        // A data chunk that is not whole still holds the first rows.
        let end = chunks(bytes).last().map_or(33, |chunk| chunk.at + 12 + chunk.data.len());
        if bytes.get(end + 4..end + 8) == Some(b"IDAT") {
            return Ok(Self { data_at: end, ..preamble });
        }
        Err("there is no data (no chunk IDAT)".into())
    }

    fn take(&mut self, bytes: &'a [u8], chunk: &Chunk<'a>) -> Result<(), String> {
        let Chunk { name, data, at, .. } = *chunk;
        let sound = || chunk.sum == Some(crc32fast::hash(&bytes[at + 4..at + 8 + data.len()]));
        match &name {
            b"IDAT" => self.data_at = at,
            b"IEND" => return Err("it ends before its data (no chunk IDAT)".into()),
            b"PLTE" => {
                if !sound() {
                    return Err(format!("the checksum of PLTE at byte {at} does not match"));
                }
                if data.is_empty() || !data.len().is_multiple_of(3) || data.len() > 256 * 3 {
                    return Err(format!("a palette of {} bytes at byte {at}", data.len()));
                }
                self.palette = Some(data);
            }
            // What must be understood to read the picture has a capital letter first.
            [b'A'..=b'Z', ..] => {
                return Err(format!("an unknown kind of data, {}, at byte {at}", name.escape_ascii()));
            }
            // That of a palette stands behind it (section 5.6); viewers ignore it elsewhere.
            b"tRNS" if sound() && (self.palette.is_some() || bytes.get(25) != Some(&3)) => {
                self.transparency = Some(data);
            }
            b"iCCP" if sound() => self.profile = Some(data),
            b"sRGB" if sound() => self.srgb = true,
            b"gAMA" if sound() => self.gamma = be32(data, 0).filter(|&gamma| gamma > 0).map(f64::from),
            b"cHRM" if sound() => self.chromaticities = chromaticities(data),
            b"cICP" if sound() => self.code_points = code_points(data),
            _ => {}
        }
        Ok(())
    }

    /// The ICC profile, unless something of higher rank is there.
    pub(super) fn profile(&self) -> Option<Vec<u8>> {
        if self.code_points.is_some() {
            return None;
        }
        inflated(self.profile?)
    }

    /// The colour space in numbers. The first of these counts (W3C PNG, third edition, section 4.3): cICP,
    /// iCCP, sRGB, gAMA with cHRM. What is sRGB in effect, or cannot be used, is none.
    pub(super) fn colourimetry(&self, profile: bool) -> Option<Colourimetry> {
        if let Some(code_points) = self.code_points {
            return Some(code_points).filter(|&code_points| code_points != SRGB_CODE_POINTS);
        }
        if profile || self.srgb {
            return None;
        }
        // Within 5 %, which also takes in files that say 1/2.2 or Macintosh's rounding of it.
        let gamma = self.gamma.filter(|gamma| (gamma / SRGB_GAMMA - 1.0).abs() > 0.05);
        let chromaticities = self.chromaticities.filter(|given| !given.are_srgb());
        if gamma.is_none() && chromaticities.is_none() {
            return None;
        }
        Some(Colourimetry::Gamma { exponent: gamma.map(|gamma| 100_000.0 / gamma), chromaticities })
    }
}

impl Chromaticities {
    fn are_srgb(&self) -> bool {
        let srgb = Self { white: [0.3127, 0.329], red: [0.64, 0.33], green: [0.3, 0.6], blue: [0.15, 0.06] };
        let near = |a: [f64; 2], b: [f64; 2]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.002);
        near(self.white, srgb.white)
            && near(self.red, srgb.red)
            && near(self.green, srgb.green)
            && near(self.blue, srgb.blue)
    }
}

fn chromaticities(data: &[u8]) -> Option<Chromaticities> {
    let at = |index: usize| Some(f64::from(be32(data, index * 4)?) / 100_000.0);
    let point = |index: usize| Some([at(index)?, at(index + 1)?]);
    Some(Chromaticities { white: point(0)?, red: point(2)?, green: point(4)?, blue: point(6)? })
}

fn code_points(data: &[u8]) -> Option<Colourimetry> {
    let &[primaries, transfer, matrix, full_range] = data else { return None };
    // PNG holds RGB, so the matrix must be the identity.
    let code_points = Colourimetry::CodePoints { primaries, transfer, matrix, full_range: full_range == 1 };
    (matrix == 0).then_some(code_points)
}

/// A name, a method and a zlib stream: the profile in it, if it is sound and not too large.
fn inflated(chunk: &[u8]) -> Option<Vec<u8>> {
    let name = chunk.iter().take(80).position(|&byte| byte == 0)?;
    let &[method, ref stream @ ..] = chunk.get(name + 1..)? else { return None };
    if method != 0 {
        return None;
    }
    let (mut inflater, mut source) = (Inflater::new(), Whole(stream));
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

/// A stream that lies there whole.
struct Whole<'a>(&'a [u8]);

impl Source for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        let (read, rest) = self.0.split_at(self.0.len().min(buffer.len()));
        buffer[..read.len()].copy_from_slice(read);
        self.0 = rest;
        Ok(read.len())
    }
}
