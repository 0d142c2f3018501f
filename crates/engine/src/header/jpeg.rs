//! JPEG: the markers up to the first scan (ITU-T T.81, annex B).

use super::{Details, Format, Header, Orientation, truncated};
use crate::bytes::be16;
use crate::error::Error;
use crate::exif;

/// Contents of the segments before the first scan.
pub(crate) struct Segments<'a> {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) progressive: bool,
    /// Whether sequential data comes in several scans, whose coefficients must be buffered like progressive ones.
    pub(crate) several_scans: bool,
    pub(crate) colour: Colour,
    pub(crate) components: Vec<ComponentSpec>,
    pub(crate) orientation: Orientation,
    /// The parts of the ICC profile with their sequence number and count.
    icc: Vec<(u8, u8, &'a [u8])>,
}

/// A component specification of the frame header (ITU-T T.81, B.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ComponentSpec {
    pub(crate) id: u8,
    /// Sampling factors across and down, 1 to 4.
    pub(crate) factors: (u8, u8),
    /// The quantisation table, 0 to 3.
    pub(crate) table: u8,
}

/// The colour model, by component count, Adobe's APP14 segment and component identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Gray,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

impl Segments<'_> {
    /// The ICC profile, if all its parts are present.
    pub(crate) fn profile(&self) -> Option<Vec<u8>> {
        let count = self.icc.first()?.1;
        let mut profile = Vec::new();
        for sequence in 1..=count {
            let (.., part) = self.icc.iter().find(|(number, ..)| *number == sequence)?;
            profile.extend_from_slice(part);
            if profile.len() > crate::colour::MAX_PROFILE {
                return None;
            }
        }
        Some(profile)
    }
}

pub(super) fn read(bytes: &[u8]) -> Result<Details, Error> {
    let segments = segments(bytes)?;
    let header = Header {
        format: Format::Jpeg,
        width: segments.width.into(),
        height: segments.height.into(),
        orientation: segments.orientation,
        colour: match segments.colour {
            Colour::Gray => "gray",
            Colour::YCbCr => "ycbcr",
            Colour::Rgb => "rgb",
            Colour::Cmyk => "cmyk",
            Colour::Ycck => "ycck",
        },
        bits: 8,
        alpha: false,
        progressive: segments.progressive || segments.several_scans,
        animated: false,
        profile: !segments.icc.is_empty(),
    };
    Ok(Details { header, frames: 1 })
}

/// The frame header.
struct Frame {
    width: u16,
    height: u16,
    progressive: bool,
    components: Vec<ComponentSpec>,
}

/// Walks the segments up to the first scan.
pub(crate) fn segments(bytes: &[u8]) -> Result<Segments<'_>, Error> {
    let mut at = 2;
    let mut frame = None;
    let mut adobe = None;
    let mut jfif = false;
    let mut orientation = None;
    let mut icc = Vec::new();
    loop {
        let (marker, start) = next_marker(bytes, at)?;
        if matches!(marker, 0x01 | 0xd0..=0xd8) {
            at = start;
            continue;
        }
        if marker == 0xd9 {
            return Err(Error::Malformed(format!("JPEG: the image ends at byte {at}, before any scan")));
        }
        let length = be16(bytes, start).ok_or_else(|| truncated("JPEG", "a segment", start))?;
        let body = bytes
            .get(start + 2..start + usize::from(length).max(2))
            .ok_or_else(|| truncated("JPEG", &format!("segment 0xFF{marker:02X}"), start))?;
        if length < 2 {
            return Err(Error::Malformed(format!("JPEG: segment at byte {start} has length {length}")));
        }
        at = start + usize::from(length);
        match marker {
            0xc4 | 0xdb | 0xdd => {}
            0xc0..=0xc2 => {
                if frame.is_some() {
                    return Err(Error::Malformed(format!("JPEG: a second frame header at byte {start}")));
                }
                frame = Some(frame_header(body, marker, start)?);
            }
            0xc3 | 0xc5..=0xc7 | 0xc8 | 0xc9..=0xcb | 0xcc | 0xcd..=0xcf => return Err(unsupported(marker)),
            0xda => {
                let frame = frame.ok_or_else(|| {
                    Error::Malformed(format!("JPEG: a scan at byte {start} before the frame header"))
                })?;
                let count = frame.components.len();
                let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
                let height = if frame.height == 0 { number_of_lines(bytes, at)? } else { frame.height };
                return Ok(Segments {
                    width: frame.width,
                    height,
                    progressive: frame.progressive,
                    several_scans: !frame.progressive
                        && usize::from(body.first().copied().unwrap_or(0)) < count,
                    colour: colour(&ids, adobe, jfif)?,
                    components: frame.components,
                    orientation: orientation.unwrap_or(Orientation::UPRIGHT),
                    icc,
                });
            }
            0xe0 => jfif |= body.starts_with(b"JFIF\0"),
            0xe1 if body.starts_with(b"Exif\0\0") => {
                orientation = orientation.or_else(|| Some(exif::orientation(body)));
            }
            0xe2 => {
                if let Some([number, count, part @ ..]) = body.strip_prefix(b"ICC_PROFILE\0") {
                    icc.push((*number, *count, part));
                }
            }
            0xee if body.starts_with(b"Adobe") => adobe = body.get(11).copied(),
            _ => {}
        }
    }
}

/// The next marker from `at` on, past bytes that belong to no segment: its code, and the position after it.
pub(crate) fn next_marker(bytes: &[u8], mut at: usize) -> Result<(u8, usize), Error> {
    loop {
        let skipped = bytes.get(at..).and_then(|rest| memchr::memchr(0xff, rest));
        at += skipped.ok_or_else(|| truncated("JPEG", "its header", bytes.len()))?;
        while bytes.get(at) == Some(&0xff) {
            at += 1;
        }
        match bytes.get(at) {
            Some(0) => at += 1,
            Some(&marker) => return Ok((marker, at + 1)),
            None => return Err(truncated("JPEG", "its header", at)),
        }
    }
}

/// The height from the DNL segment after the first scan, where the frame header leaves it open
/// (ITU-T T.81, B.2.5). `at` is where the scan's data begins.
fn number_of_lines(bytes: &[u8], mut at: usize) -> Result<u16, Error> {
    let missing = || {
        Error::Malformed("JPEG: the height is 0 and no DNL segment after the first scan defines it".into())
    };
    loop {
        let (marker, start) = next_marker(bytes, at).map_err(|_| missing())?;
        match marker {
            0xd0..=0xd7 => at = start,
            0xdc => return be16(bytes, start + 2).filter(|&lines| lines > 0).ok_or_else(missing),
            _ => return Err(missing()),
        }
    }
}

fn frame_header(body: &[u8], marker: u8, at: usize) -> Result<Frame, Error> {
    let malformed = |what: String| Error::Malformed(format!("JPEG: {what} in the frame header at byte {at}"));
    let &[bits, h1, h0, w1, w0, count, ref rest @ ..] = body else {
        return Err(malformed("too few bytes".into()));
    };
    if bits != 8 {
        return Err(Error::Unsupported(format!("JPEG with {bits} bits a sample; 8 are read: convert it")));
    }
    let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
    if width == 0 {
        return Err(malformed(format!("size {width}x{height}")));
    }
    let components: Vec<_> = rest.chunks_exact(3).take(count.into()).collect();
    if components.len() != usize::from(count) || count == 0 {
        return Err(malformed(format!("{count} components, of which {} are described,", components.len())));
    }
    let components: Vec<_> = components
        .iter()
        .map(|c| ComponentSpec { id: c[0], factors: (c[1] >> 4, c[1] & 15), table: c[2] & 3 })
        .collect();
    if components.iter().any(|c| !(1..=4).contains(&c.factors.0) || !(1..=4).contains(&c.factors.1)) {
        return Err(malformed("a sampling factor that is not 1 to 4".into()));
    }
    Ok(Frame { width, height, progressive: marker == 0xc2, components })
}

fn colour(ids: &[u8], adobe: Option<u8>, jfif: bool) -> Result<Colour, Error> {
    Ok(match (ids.len(), adobe) {
        (1, _) => Colour::Gray,
        (3, Some(0)) => Colour::Rgb,
        (3, None) if !jfif && ids == b"RGB" => Colour::Rgb,
        (3, _) => Colour::YCbCr,
        (4, Some(2)) => Colour::Ycck,
        (4, _) => Colour::Cmyk,
        (count, _) => {
            return Err(Error::Unsupported(format!("JPEG with {count} components; 1, 3 and 4 are read")));
        }
    })
}

fn unsupported(marker: u8) -> Error {
    let what = match marker {
        0xc3 => "lossless JPEG",
        0xc5..=0xc7 | 0xcd..=0xcf => "hierarchical JPEG",
        _ => "arithmetic-coded JPEG",
    };
    Error::Unsupported(format!("{what}; baseline and progressive Huffman-coded JPEG are read: convert it"))
}
