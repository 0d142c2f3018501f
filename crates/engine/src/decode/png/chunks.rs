//! What the chunks before the picture's data say (W3C PNG, third edition, sections 11.2.2 and 11.3).

use fearless_simd::Level;

use super::inflate::{Fault, Inflater, Source};
use crate::bytes::be32;
use crate::colour::MAX_PROFILE;
use crate::header::png::{Chunk, chunks};

/// The chunks that matter, and where the data begins.
#[derive(Default)]
pub(super) struct Preamble<'a> {
    pub(super) palette: Option<&'a [u8]>,
    pub(super) transparency: Option<&'a [u8]>,
    pub(super) data_at: usize,
    profile: Option<&'a [u8]>,
    /// Whether code points say the colour space; they rank above a profile.
    code_points: bool,
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
            // PNG holds RGB, so the matrix, the third of them, must be the identity.
            b"cICP" if sound() => self.code_points = matches!(data, [_, _, 0, _]),
            _ => {}
        }
        Ok(())
    }

    /// The ICC profile, unless something of higher rank is there (W3C PNG, third edition, section 4.3).
    pub(super) fn profile(&self, level: Level) -> Option<Vec<u8>> {
        if self.code_points {
            return None;
        }
        inflated(self.profile?, level)
    }
}

/// A name, a method and a zlib stream: the profile in it, if it is sound and not too large.
fn inflated(chunk: &[u8], level: Level) -> Option<Vec<u8>> {
    let name = chunk.iter().take(80).position(|&byte| byte == 0)?;
    let &[method, ref stream @ ..] = chunk.get(name + 1..)? else { return None };
    if method != 0 {
        return None;
    }
    let (mut inflater, mut source) = (Inflater::new(level), Whole(stream));
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
