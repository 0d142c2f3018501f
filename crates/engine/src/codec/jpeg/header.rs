//! JPEG: the markers up to the first scan (ITU-T T.81, annex B).

use crate::bytes::be16;
use crate::error::Error;
use crate::exif;
use crate::header::{Colour, Details, Format, Header, Orientation, truncated, work};

/// Contents of the segments before the first scan.
pub(crate) struct Segments<'a> {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) progressive: bool,
    /// Whether sequential data comes in several scans, whose coefficients must be buffered like progressive ones.
    pub(crate) several_scans: bool,
    pub(crate) colour: Colour,
    /// Whether inks are stored inverted, as Adobe's software does.
    pub(crate) inverted_inks: bool,
    pub(crate) components: Vec<ComponentSpec>,
    pub(crate) orientation: Orientation,
    /// The parts of the ICC profile with their sequence number and count.
    icc: Vec<(u8, u8, &'a [u8])>,
    /// The tables before it: marker, position and contents.
    pub(super) tables: Vec<(u8, usize, &'a [u8])>,
    /// Whether the last of several scans is followed by an EOI marker.
    pub(super) ends: bool,
    /// Where the first scan's header begins, after its marker.
    pub(super) scan_at: usize,
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

impl<'a> Segments<'a> {
    /// For each component the number of its blocks, with those that complete MCUs and without
    /// (ITU-T T.81, A.2.4 and A.2.2).
    fn blocks(&self) -> Vec<(u64, u64)> {
        let (width, height) = (u64::from(self.width), u64::from(self.height));
        let most =
            |side: fn(&ComponentSpec) -> u8| self.components.iter().map(side).max().map_or(1, u64::from);
        let (across, down) = (most(|c| c.factors.0), most(|c| c.factors.1));
        let mcus = width.div_ceil(8 * across) * height.div_ceil(8 * down);
        let blocks = self.components.iter().map(|component| {
            let (h, v) = (u64::from(component.factors.0), u64::from(component.factors.1));
            let own = (width * h).div_ceil(across).div_ceil(8) * (height * v).div_ceil(down).div_ceil(8);
            // A single component has full resolution whatever its sampling factors.
            if self.components.len() == 1 { (own, own) } else { (mcus * h * v, own) }
        });
        blocks.collect()
    }

    /// Replaces the colours and the profile by those that a file around this one declares. Inks are then as stored,
    /// not inverted.
    #[cfg(feature = "tiff")]
    pub(super) fn declare(&mut self, colour: Colour, profile: Option<&'a [u8]>) {
        self.colour = colour;
        self.inverted_inks = false;
        self.icc = profile.map(|profile| (1, 1, profile)).into_iter().collect();
    }

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

pub(super) fn read(bytes: &[u8]) -> Result<(Details, Segments<'_>), Error> {
    let mut segments = segments(bytes)?;
    let (mut count, mut scans) = (1, 0);
    if segments.progressive || segments.several_scans {
        (count, scans, segments.ends) = walk_scans(bytes, &segments);
    }
    let header = Header {
        format: Format::Jpeg,
        width: segments.width.into(),
        height: segments.height.into(),
        orientation: segments.orientation,
        colour: segments.colour,
        bits: 8,
        alpha: false,
        progressive: segments.progressive,
        buffered: segments.progressive || segments.several_scans,
        decoder_bytes: 0,
        coded_bytes: (bytes.len() - segments.scan_at) as u64,
        animated: false,
        profile: !segments.icc.is_empty(),
        work: decoding_work(&segments, scans, bytes.len()),
    };
    Ok((Details { header, reason: format!("in {count} scans") }, segments))
}

/// Work of visiting a block in a scan, in samples, and what a band of four coefficients adds.
const BLOCK: u64 = 8;
const FOUR_COEFFICIENTS: u64 = 1;

/// The work of decoding: each sample once, rows and bytes, and `scans` beyond that.
fn decoding_work(segments: &Segments<'_>, scans: u64, bytes: usize) -> u64 {
    let blocks: u64 = segments.blocks().iter().map(|(padded, _)| padded).sum();
    work(blocks * 64, segments.height.into(), bytes).saturating_add(scans)
}

/// Walks the scans from the first on: their number, the work of visiting their blocks, and whether they end in an
/// EOI marker.
fn walk_scans(bytes: &[u8], segments: &Segments<'_>) -> (u64, u64, bool) {
    let blocks = segments.blocks();
    let (mut count, mut work) = (0_u64, 0_u64);
    let (mut marker, mut start) = (0xda, segments.scan_at);
    loop {
        if marker == 0xd9 {
            return (count, work, true);
        }
        let length = be16(bytes, start).map_or(0, usize::from);
        let standalone = matches!(marker, 0x01 | 0xd0..=0xd8);
        if marker == 0xda
            && let Some([named, body @ ..]) = bytes.get(start + 2..start + length.max(2))
        {
            let listed = body.as_chunks::<2>().0.iter().take(usize::from(*named));
            let of = |id: u8| segments.components.iter().position(|component| component.id == id);
            let interleaved = *named > 1;
            let visited: u64 = listed
                .filter_map(|&[id, _]| of(id))
                .map(|index| if interleaved { blocks[index].0 } else { blocks[index].1 })
                .sum();
            let band = match body.get(2 * usize::from(*named)..) {
                Some([from, to, ..]) if segments.progressive => to.saturating_sub(*from).min(63),
                _ => 63,
            };
            count += 1;
            work = work.saturating_add(visited * (BLOCK + u64::from(band) / 4 * FOUR_COEFFICIENTS));
        }
        let at = if standalone { start } else { start + length };
        match next_marker(bytes, at) {
            Ok(next) => (marker, start) = next,
            Err(_) => return (count, work, false),
        }
    }
}

/// The frame header.
struct FrameHeader {
    width: u16,
    height: u16,
    progressive: bool,
    components: Vec<ComponentSpec>,
}

/// Walks the segments up to the first scan.
fn segments(bytes: &[u8]) -> Result<Segments<'_>, Error> {
    let mut at = 2;
    let mut frame = None;
    let mut adobe = None;
    let mut jfif = false;
    let mut orientation = None;
    let (mut icc, mut tables) = (Vec::new(), Vec::new());
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
            0xc4 | 0xdb | 0xdd => tables.push((marker, start, body)),
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
                    colour: colour_model(&ids, adobe, jfif)?,
                    inverted_inks: true,
                    components: frame.components,
                    orientation: orientation.unwrap_or(Orientation::UPRIGHT),
                    icc,
                    tables,
                    ends: true,
                    scan_at: start,
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

fn frame_header(body: &[u8], marker: u8, at: usize) -> Result<FrameHeader, Error> {
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
    Ok(FrameHeader { width, height, progressive: marker == 0xc2, components })
}

/// The colours by the markers of JFIF and Adobe, of which JFIF's wins as in other decoders (ITU-T T.871; T.872, 6.5.3).
fn colour_model(ids: &[u8], adobe: Option<u8>, jfif: bool) -> Result<Colour, Error> {
    Ok(match (ids.len(), adobe) {
        (1, _) => Colour::Gray,
        (3, _) if jfif => Colour::YCbCr,
        (3, Some(0)) => Colour::Rgb,
        (3, None) if ids == b"RGB" => Colour::Rgb,
        (3, _) => Colour::YCbCr,
        (4, None | Some(0)) => Colour::Cmyk,
        (4, Some(_)) => Colour::Ycck,
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
