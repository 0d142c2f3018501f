//! Strips and tiles: decompression.

use std::borrow::Cow;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{fax, predictor};
use crate::codec::Context;
use crate::codec::png::decode::inflate::Inflater;
use crate::codec::tiff::page::{Compression, Page};

/// A strip or tile, decompressed.
pub(super) struct Chunk<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    pub(super) shape: Shape,
}

/// How the samples of a strip or tile lie in its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Pixels in a row, and rows that show.
    pub(super) width: usize,
    pub(super) height: usize,
    /// Samples of a pixel in it.
    pub(super) samples: usize,
    /// Bits a sample.
    pub(super) bits: usize,
    /// Pixels that share a sample of Cb and Cr, across and down. Interleaved ones come in units: the samples of Y of
    /// so many pixels, one of Cb and one of Cr.
    pub(super) shared: (usize, usize),
}

impl Shape {
    /// Of a chunk of a plane, of which the upper `height` rows show.
    pub(super) fn new(page: &Page<'_>, plane: usize, height: u32) -> Self {
        let shared = if page.planar && plane == 0 { (1, 1) } else { page.subsampling };
        Self {
            width: page.chunk_width as usize,
            height: height as usize,
            samples: if page.planar { 1 } else { page.samples },
            bits: page.bits,
            shared,
        }
    }

    /// Bytes of a row, or of a row of units.
    pub(super) const fn row_bytes(&self) -> usize {
        let across = self.width.div_ceil(self.shared.0);
        let unit = if self.is_in_units() {
            self.shared.0 * self.shared.1 + 2 + self.samples.saturating_sub(3)
        } else {
            self.samples
        };
        across.saturating_mul(unit).saturating_mul(self.bits).div_ceil(8)
    }

    pub(super) const fn is_in_units(&self) -> bool {
        self.samples > 1 && (self.shared.0 > 1 || self.shared.1 > 1)
    }

    pub(super) const fn bytes(&self) -> usize {
        self.row_bytes().saturating_mul(self.height.div_ceil(self.shared.1))
    }
}

/// Reads and decompresses a strip or tile that is no JPEG.
pub(super) fn read<'a>(
    page: &Page<'a>,
    index: usize,
    shape: Shape,
    context: &Context<'_>,
) -> Result<Chunk<'a>, String> {
    let length = shape.bytes();
    let stored = page.chunk(index, length)?;
    let stopped = || context.stop.check("decoding").is_err();
    let mut bytes = match page.compression {
        Compression::Uncompressed => stored,
        Compression::PackBits => Cow::Owned(pack_bits(&stored, length)),
        Compression::Lzw => Cow::Owned(lzw(&stored, length, &stopped)?),
        Compression::Deflate => Cow::Owned(inflate(&stored, length, context, &stopped)?),
        Compression::Zstandard => Cow::Owned(zstandard(&stored, length, &stopped)?),
        Compression::Fax(coding) => {
            Cow::Owned(fax::decode(&stored, coding, shape.width, shape.height, &stopped)?)
        }
        Compression::Jpeg | Compression::OldJpeg => return Err("a JPEG".into()),
    };
    if bytes.len() < length {
        return Err(format!("the data ends after {} bytes of {length}", bytes.len()));
    }
    if page.predictor > 1 {
        let float = page.predictor == 3;
        let rows = bytes.to_mut()[..length].chunks_exact_mut(shape.row_bytes().max(1));
        for row in rows {
            if float {
                predictor::float(row, shape.samples, shape.bits / 8, page.ifd.is_little());
            } else {
                predictor::horizontal(row, shape.samples, shape.bits / 8, page.ifd.is_little());
            }
        }
    }
    Ok(Chunk { bytes, shape })
}

/// TIFF 6.0, section 9.
fn pack_bits(mut stored: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while let [head, rest @ ..] = stored
        && bytes.len() < length
    {
        let left = length - bytes.len();
        stored = match *head as i8 {
            -128 => rest,
            count @ 0.. => {
                let (literal, rest) = rest.split_at(rest.len().min(count as usize + 1));
                bytes.extend_from_slice(&literal[..literal.len().min(left)]);
                rest
            }
            count => {
                let [value, rest @ ..] = rest else { break };
                bytes.resize(bytes.len() + left.min((1 - isize::from(count)) as usize), *value);
                rest
            }
        };
    }
    bytes
}

/// Compressed bytes between polls of `stop`.
const STEP: usize = 16 << 10;

/// TIFF 6.0, section 13; and as older software wrote it, with the lowest bit first.
fn lzw(stored: &[u8], length: usize, stopped: &dyn Fn() -> bool) -> Result<Vec<u8>, String> {
    use weezl::{BitOrder, LzwStatus, decode::Decoder};
    let is_old = matches!(stored, [0, second, ..] if second & 1 == 1);
    let mut decoder = if is_old {
        Decoder::new(BitOrder::Lsb, 8)
    } else {
        Decoder::with_tiff_size_switch(BitOrder::Msb, 8)
    };
    let mut bytes = vec![0; length];
    let (mut at, mut rest) = (0, stored);
    while at < length {
        if stopped() {
            return Err("stopped".into());
        }
        let result = decoder.decode_bytes(&rest[..rest.len().min(STEP)], &mut bytes[at..]);
        at += result.consumed_out;
        rest = &rest[result.consumed_in..];
        match result.status {
            Ok(LzwStatus::Ok) => {}
            Ok(LzwStatus::NoProgress) if !rest.is_empty() && result.consumed_in > 0 => {}
            Ok(LzwStatus::NoProgress | LzwStatus::Done) => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}

fn inflate(
    mut stored: &[u8],
    length: usize,
    context: &Context<'_>,
    stopped: &dyn Fn() -> bool,
) -> Result<Vec<u8>, String> {
    let mut inflater = Inflater::new(context.level.dispatch_level());
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        if stopped() {
            return Err("stopped".into());
        }
        let wanted = (length - bytes.len()).min(STEP);
        let piece = inflater.peek(wanted, &mut stored).map_err(|fault| fault.to_string())?;
        if piece.is_empty() {
            break;
        }
        let taken = piece.len().min(wanted);
        bytes.extend_from_slice(&piece[..taken]);
        inflater.consume(taken);
    }
    Ok(bytes)
}

fn zstandard(stored: &[u8], length: usize, stopped: &dyn Fn() -> bool) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; length];
    let mut at = 0;
    // The library is not ours: it may panic on corrupt data.
    let decoded = catch_unwind(AssertUnwindSafe(|| -> Result<(), String> {
        let fail = |error: &dyn std::fmt::Display| format!("Zstandard: {error}");
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(stored).map_err(|error| fail(&error))?;
        while at < length {
            if stopped() {
                return Err("stopped".into());
            }
            let end = length.min(at + STEP);
            match decoder.read(&mut bytes[at..end]).map_err(|error| fail(&error))? {
                0 => break,
                read => at += read,
            }
        }
        Ok(())
    }));
    decoded.unwrap_or_else(|_| Err("Zstandard: the decoder failed".into()))?;
    bytes.truncate(at);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pack_bits_of_the_specification() {
        let packed = b"\xfe\xaa\x02\x80\x00\x2a\xfd\xaa\x03\x80\x00\x2a\x22\xf7\xaa";
        let mut expected = b"\xaa\xaa\xaa\x80\x00\x2a\xaa\xaa\xaa\xaa\x80\x00\x2a\x22".to_vec();
        expected.extend([0xaa; 10]);
        assert_eq!(pack_bits(packed, 24), expected);
        assert_eq!(pack_bits(packed, 16), expected[..16]);
        assert_eq!(pack_bits(packed, 99), expected);
        assert_eq!(pack_bits(&packed[..14], 99), expected[..14]);
    }
}
