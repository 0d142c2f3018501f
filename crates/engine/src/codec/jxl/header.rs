//! The headers of size and image (ISO/IEC 18181-1, annex D), wherever the file has them.

use super::bits::{Bits, Value};
use crate::bytes::be32;
use crate::error::Error;
use crate::foreign::Layout;
use crate::header::{Colour, Format, Header, Orientation, truncated, work};

/// More than the headers take, but for names of channels.
const MOST: usize = 4 << 10;
/// The most channels beyond colours.
const MAX_EXTRA: u32 = 64;
/// Bytes that the library takes for an image of no size.
const FIXED: u64 = 16 << 20;

pub(super) fn read(bytes: &[u8]) -> Result<Header, Error> {
    let cut = || truncated("JPEG XL", "its header", bytes.len());
    let stream = codestream(bytes).ok_or_else(cut)?;
    let fields = Fields::read(&mut Bits::new(&stream)).ok_or_else(cut)?;
    let Fields { width, height, .. } = fields;
    if width > Layout::MAX_SIDE || height > Layout::MAX_SIDE {
        return Err(Error::TooLarge(format!("JPEG XL: {width}x{height} pixels")));
    }
    if fields.extra > MAX_EXTRA {
        return Err(Error::Unsupported(format!("JPEG XL: {} extra channels", fields.extra)));
    }
    let pixels = u64::from(width) * u64::from(height);
    let channels = 3 + u64::from(fields.extra);
    Ok(Header {
        format: Format::Jxl,
        width,
        height,
        orientation: fields.orientation,
        colour: if fields.gray { Colour::Gray } else { Colour::Rgb },
        bits: fields.bits,
        alpha: fields.alpha,
        progressive: false,
        buffered: false,
        // The result, and for each channel floats of a frame, of one that it is blended with, and their borders.
        decoder_bytes: FIXED + pixels * (8 + 8 * channels) + 4 * bytes.len() as u64,
        coded_bytes: 0,
        animated: fields.animated,
        profile: fields.profile,
        work: work(pixels * channels * 3, height.into(), bytes.len()),
    })
}

/// The beginning of the codestream, after its signature; `None` if there is none.
fn codestream(bytes: &[u8]) -> Option<Vec<u8>> {
    let without_signature = |stream: &[u8]| {
        let stream = stream.strip_prefix(b"\xff\x0a")?;
        Some(stream[..stream.len().min(MOST)].to_vec())
    };
    if bytes.starts_with(b"\xff\x0a") {
        return without_signature(bytes);
    }
    let mut rest = bytes;
    let mut stream = Vec::new();
    while stream.len() < MOST {
        let Some(length) = be32(rest, 0) else { break };
        let kind: &[u8; 4] = rest.get(4..)?.first_chunk()?;
        let (length, header) = match length {
            0 => (rest.len() as u64, 8),
            1 => (u64::from(be32(rest, 8)?) << 32 | u64::from(be32(rest, 12)?), 16),
            length => (length.into(), 8),
        };
        let end = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
        let data = rest.get(header..end)?;
        // Parts have a number of four bytes, and are in order.
        let part = match kind {
            b"jxlc" => data,
            b"jxlp" => data.get(4..)?,
            _ => &[],
        };
        stream.extend_from_slice(&part[..part.len().min(MOST + 2)]);
        rest = &rest[end..];
    }
    without_signature(&stream)
}

/// What the headers say.
struct Fields {
    width: u32,
    height: u32,
    orientation: Orientation,
    animated: bool,
    bits: u8,
    extra: u32,
    alpha: bool,
    gray: bool,
    profile: bool,
}

impl Fields {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let (width, height) = size(bits)?;
        let mut fields = Self {
            width,
            height,
            orientation: Orientation::UPRIGHT,
            animated: false,
            bits: 8,
            extra: 0,
            alpha: false,
            gray: false,
            profile: false,
        };
        if bits.flag()? {
            return Some(fields);
        }
        if bits.flag()? {
            fields.orientation = Orientation::from_exif(bits.take(3)? + 1);
            if bits.flag()? {
                size(bits)?;
            }
            if bits.flag()? {
                preview(bits)?;
            }
            fields.animated = bits.flag()?;
            if fields.animated {
                animation(bits)?;
            }
        }
        fields.bits = depth(bits)?;
        bits.flag()?;
        fields.extra = bits.u32([Value::Is(0), Value::Is(1), Value::Bits(2, 4), Value::Bits(1, 12)])?;
        for _ in 0..fields.extra.min(MAX_EXTRA) {
            fields.alpha |= extra_channel(bits)? == ALPHA;
        }
        if fields.extra > MAX_EXTRA {
            return Some(fields);
        }
        bits.flag()?;
        // The colours: those of sRGB, or a profile and a model.
        if !bits.flag()? {
            fields.profile = bits.flag()?;
            fields.gray = bits.enumeration()? == 1;
        }
        Some(fields)
    }
}

const ALPHA: u32 = 0;

fn size(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    let small = bits.flag()?;
    let side = |bits: &mut Bits<'_>| {
        if small {
            return bits.take(5).map(|eighths| 8 * (eighths + 1));
        }
        bits.u32([Value::Bits(1, 9), Value::Bits(1, 13), Value::Bits(1, 18), Value::Bits(1, 30)])
    };
    let height = side(bits)?;
    let ratio = bits.take(3)?;
    let width = match ratio {
        0 => side(bits)?,
        ratio => by_ratio(height, ratio)?,
    };
    Some((width, height))
}

fn by_ratio(height: u32, ratio: u32) -> Option<u32> {
    let (across, down) =
        *[(1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1)].get(ratio as usize - 1)?;
    u32::try_from(u64::from(height) * across / down).ok()
}

fn preview(bits: &mut Bits<'_>) -> Option<()> {
    let eighths = bits.flag()?;
    let side = |bits: &mut Bits<'_>| {
        if eighths {
            bits.u32([Value::Is(16), Value::Is(32), Value::Bits(1, 5), Value::Bits(33, 9)])
        } else {
            bits.u32([Value::Bits(1, 6), Value::Bits(65, 8), Value::Bits(321, 10), Value::Bits(1345, 12)])
        }
    };
    side(bits)?;
    if bits.take(3)? == 0 {
        side(bits)?;
    }
    Some(())
}

fn animation(bits: &mut Bits<'_>) -> Option<()> {
    bits.u32([Value::Is(100), Value::Is(1000), Value::Bits(1, 10), Value::Bits(1, 30)])?;
    bits.u32([Value::Is(1), Value::Is(1001), Value::Bits(1, 8), Value::Bits(1, 10)])?;
    bits.u32([Value::Is(0), Value::Bits(0, 3), Value::Bits(0, 16), Value::Bits(0, 32)])?;
    bits.flag()?;
    Some(())
}

/// Bits a sample.
fn depth(bits: &mut Bits<'_>) -> Option<u8> {
    let float = bits.flag()?;
    let depth = if float {
        bits.u32([Value::Is(32), Value::Is(16), Value::Is(24), Value::Bits(1, 6)])?
    } else {
        bits.u32([Value::Is(8), Value::Is(10), Value::Is(12), Value::Bits(1, 6)])?
    };
    if float {
        bits.take(4)?;
    }
    u8::try_from(depth).ok()
}

/// What an extra channel is.
fn extra_channel(bits: &mut Bits<'_>) -> Option<u32> {
    const SPOT: u32 = 2;
    const FILTER: u32 = 5;
    if bits.flag()? {
        return Some(ALPHA);
    }
    let kind = bits.enumeration()?;
    depth(bits)?;
    bits.u32([Value::Is(0), Value::Is(3), Value::Is(4), Value::Bits(1, 3)])?;
    let name = bits.u32([Value::Is(0), Value::Bits(0, 4), Value::Bits(16, 5), Value::Bits(48, 10)])?;
    for _ in 0..name {
        bits.take(8)?;
    }
    match kind {
        ALPHA => {
            bits.flag()?;
        }
        SPOT => {
            for _ in 0..4 {
                bits.take(16)?;
            }
        }
        FILTER => {
            bits.u32([Value::Is(1), Value::Bits(0, 2), Value::Bits(3, 4), Value::Bits(19, 8)])?;
        }
        _ => {}
    }
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes fields as the header has them.
    fn stream(fields: &[(u32, u32)]) -> Vec<u8> {
        let mut bytes = b"\xff\x0a".to_vec();
        let (mut pending, mut count) = (0_u64, 0);
        for &(value, bits) in fields {
            pending |= u64::from(value) << count;
            count += bits;
            while count >= 8 {
                bytes.push(pending as u8);
                (pending, count) = (pending >> 8, count - 8);
            }
        }
        bytes.extend([pending as u8, 0, 0]);
        bytes
    }

    #[test]
    fn small_and_large_sizes_and_ratios_are_read() {
        // 8 * (9 + 1) high, as wide as high; all else by default.
        let header = read(&stream(&[(1, 1), (9, 5), (1, 3), (1, 1)])).unwrap();
        assert_eq!((header.width, header.height, header.bits, header.alpha), (80, 80, 8, false));
        let header = read(&stream(&[(0, 1), (1, 2), (1079, 13), (5, 3), (1, 1)])).unwrap();
        assert_eq!((header.width, header.height), (1920, 1080));
        let header = read(&stream(&[(0, 1), (0, 2), (99, 9), (0, 3), (0, 2), (29, 9), (1, 1)])).unwrap();
        assert_eq!((header.width, header.height), (30, 100));
    }

    #[test]
    fn orientation_depth_alpha_and_gray_are_read() {
        let size = [(1, 1), (9, 5), (1, 3)];
        // Not by default; extra fields: orientation 6, no intrinsic size, no preview, no animation.
        let extra = [(0, 1), (1, 1), (5, 3), (0, 1), (0, 1), (0, 1)];
        // Integers of 12 bits, buffers of 16, one extra channel, alpha by default; not XYB; gray without a profile.
        let rest = [(0, 1), (2, 2), (1, 1), (1, 2), (1, 1), (0, 1), (0, 1), (0, 1), (1, 2)];
        let bytes = stream(&[&size[..], &extra, &rest].concat());
        let header = read(&bytes).unwrap();
        assert_eq!((header.orientation.exif(), header.bits, header.alpha), (6, 12, true));
        assert_eq!((header.colour, header.profile, header.animated), (Colour::Gray, false, false));
        // The same in a container, in two parts.
        let mut file = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl ".to_vec();
        for (number, part) in bytes.chunks(4).enumerate() {
            file.extend((12 + part.len() as u32).to_be_bytes());
            file.extend(b"jxlp");
            file.extend((number as u32).to_be_bytes());
            file.extend(part);
        }
        assert_eq!(
            read(&file).unwrap(),
            Header {
                decoder_bytes: read(&file).unwrap().decoder_bytes,
                work: read(&file).unwrap().work,
                ..header
            }
        );
        for length in 0..4 {
            assert!(matches!(read(&bytes[..length]), Err(Error::Malformed(_))), "{length}");
        }
    }
}
