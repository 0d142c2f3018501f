//! JPEG: the markers up to the first scan (ITU-T T.81, annex B).

use super::{Details, Format, Header, Orientation, truncated};
use crate::bytes::be16;
use crate::error::Error;
use crate::exif;

/// What the segments before the first scan say.
pub(crate) struct Segments<'a> {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) progressive: bool,
    /// Baseline data with one component a scan, which must be buffered whole like a progressive one.
    pub(crate) several_scans: bool,
    pub(crate) colour: Colour,
    /// Horizontal and vertical sampling factors of each component.
    pub(crate) sampling: Vec<(u8, u8)>,
    pub(crate) orientation: Orientation,
    /// The parts of the ICC profile with their sequence number and count.
    icc: Vec<(u8, u8, &'a [u8])>,
    /// Where entropy-coded data begins.
    pub(crate) data: usize,
    /// The segments a decoder needs, without metadata: ranges in the file, the scan header the last.
    pub(crate) essential: Vec<std::ops::Range<usize>>,
    /// Whether bytes that belong to no segment were skipped.
    pub(crate) stray_bytes: bool,
}

/// The colour model, as the component count, Adobe's marker and the component names tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Gray,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

impl Segments<'_> {
    /// The ICC profile, if all its parts are there.
    pub(crate) fn profile(&self) -> Option<Vec<u8>> {
        let count = self.icc.first()?.1;
        let mut profile = Vec::new();
        for wanted in 1..=count {
            let (.., part) = self.icc.iter().find(|(number, ..)| *number == wanted)?;
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

/// The frame header, once it has been met.
struct Frame {
    width: u16,
    height: u16,
    progressive: bool,
    ids: Vec<u8>,
    sampling: Vec<(u8, u8)>,
}

/// Walks the segments up to the first scan.
pub(crate) fn segments(bytes: &[u8]) -> Result<Segments<'_>, Error> {
    let mut at = 2;
    let mut frame = None;
    let mut adobe = None;
    let mut jfif = false;
    let mut orientation = None;
    let mut icc = Vec::new();
    let mut essential = Vec::new();
    let mut stray_bytes = false;
    loop {
        let (marker, start, stray) = next_marker(bytes, at)?;
        stray_bytes |= stray;
        if matches!(marker, 0x01 | 0xd0..=0xd8) {
            at = start;
            continue;
        }
        if marker == 0xd9 {
            return Err(Error::Malformed(format!("JPEG: the picture ends at byte {at}, before any scan")));
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
                essential.push(start - 2..at);
                let several_scans =
                    !frame.progressive && usize::from(body.first().copied().unwrap_or(0)) < frame.ids.len();
                return Ok(Segments {
                    width: frame.width,
                    height: frame.height,
                    progressive: frame.progressive,
                    several_scans,
                    colour: colour(&frame.ids, adobe, jfif)?,
                    sampling: frame.sampling,
                    orientation: orientation.unwrap_or(Orientation::UPRIGHT),
                    icc,
                    data: at,
                    essential,
                    stray_bytes,
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
        if matches!(marker, 0xc0..=0xc2 | 0xc4 | 0xdb | 0xdd) {
            essential.push(start - 2..at);
        }
    }
}

/// The next marker from `at`: its code, the position after it, and whether other bytes came first.
pub(crate) fn next_marker(bytes: &[u8], mut at: usize) -> Result<(u8, usize, bool), Error> {
    let from = at;
    loop {
        let skipped = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xff));
        at += skipped.ok_or_else(|| truncated("JPEG", "its header", bytes.len()))?;
        let stray = at > from;
        while bytes.get(at) == Some(&0xff) {
            at += 1;
        }
        match bytes.get(at) {
            Some(0) => at += 1,
            Some(&marker) => return Ok((marker, at + 1, stray)),
            None => return Err(truncated("JPEG", "its header", at)),
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
    if width == 0 || height == 0 {
        return Err(malformed(format!("size {width}x{height}")));
    }
    let components: Vec<_> = rest.chunks_exact(3).take(count.into()).collect();
    if components.len() != usize::from(count) || count == 0 {
        return Err(malformed(format!("{count} components, of which {} are described,", components.len())));
    }
    let sampling: Vec<_> = components.iter().map(|c| (c[1] >> 4, c[1] & 15)).collect();
    if sampling.iter().any(|&(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
        return Err(malformed("a sampling factor that is not 1 to 4".into()));
    }
    let ids = components.iter().map(|c| c[0]).collect();
    Ok(Frame { width, height, progressive: marker == 0xc2, ids, sampling })
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
