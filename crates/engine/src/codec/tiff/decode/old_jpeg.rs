//! Old-style JPEG (TIFF 6.0, section 22), which was defined so loosely that its parts are found in many places: joined
//! to one stream.

use crate::bytes::be16;
use crate::codec::jpeg::next_marker;
use crate::codec::tiff::page::Page;

const INTERCHANGE_FORMAT: u16 = 513;
const INTERCHANGE_FORMAT_LENGTH: u16 = 514;
const RESTART_INTERVAL: u16 = 515;
const QUANTISATION_TABLES: u16 = 519;
const DC_TABLES: u16 = 520;
const AC_TABLES: u16 = 521;

/// The segments of a stream that were found.
struct Segments {
    frame: bool,
    /// Where the first scan's data begins.
    scan: Option<usize>,
    /// Where they end.
    end: usize,
}

/// The stream of the whole image; `None` where each strip or tile is a JPEG of its own.
pub(super) fn stream(page: &Page<'_>) -> Result<Option<Vec<u8>>, String> {
    let first = page.chunk(0, 0).unwrap_or_default();
    let interchange = interchange(page);
    if interchange.is_none() && first.starts_with(b"\xff\xd8") {
        return Ok(None);
    }
    let mut stream = match interchange {
        Some(bytes) => {
            let segments = segments(bytes);
            if let Some(scan) = segments.scan {
                // The data is here, or in the strips, which may lie here too.
                let length = declared_length(page).unwrap_or(bytes.len());
                let strips_follow =
                    !first.is_empty() && !first.starts_with(b"\xff\xd8") && length <= scan + 2;
                if !strips_follow {
                    return Ok(Some(bytes.to_vec()));
                }
                bytes[..scan].to_vec()
            } else {
                let mut stream = bytes[..segments.end].to_vec();
                if !segments.frame {
                    stream.extend(frame(page)?);
                }
                stream.extend(scan(page));
                stream
            }
        }
        None => [b"\xff\xd8".to_vec(), tables(page)?, frame(page)?, scan(page)].concat(),
    };
    if page.tiled || page.planar {
        return Err("old-style JPEG in tiles or planes".into());
    }
    let count = page.count() as usize;
    if count > 1 {
        // Each strip is a restart interval: its predictions begin at 0.
        let (across, down) = sampling(page);
        let rows = page.chunk_height as usize;
        if !rows.is_multiple_of(8 * down) {
            return Err("old-style JPEG in strips that are no whole blocks".into());
        }
        let interval = (page.width as usize).div_ceil(8 * across) * (rows / (8 * down));
        let interval =
            u16::try_from(interval).map_err(|_| "too large strips of old-style JPEG".to_owned())?;
        let dri = [&b"\xff\xdd\0\x04"[..], &interval.to_be_bytes()].concat();
        stream.splice(2..2, dri);
    }
    for index in 0..count {
        let strip = page.chunk(index, 0)?;
        let strip = strip.strip_suffix(b"\xff\xd9").unwrap_or(&strip);
        stream.extend_from_slice(strip);
        if index + 1 < count {
            stream.extend([0xff, 0xd0 + (index % 8) as u8]);
        }
    }
    stream.extend(b"\xff\xd9");
    Ok(Some(stream))
}

/// The stream that the file declares, to the end of the file.
fn interchange<'a>(page: &Page<'a>) -> Option<&'a [u8]> {
    let offset = usize::try_from(page.ifd.uint(INTERCHANGE_FORMAT)?).ok()?;
    page.bytes.get(offset..).filter(|bytes| bytes.starts_with(b"\xff\xd8"))
}

fn declared_length(page: &Page<'_>) -> Option<usize> {
    page.ifd
        .uint(INTERCHANGE_FORMAT_LENGTH)
        .and_then(|length| usize::try_from(length).ok())
        .filter(|&length| length > 0)
}

fn segments(bytes: &[u8]) -> Segments {
    let mut found = Segments { frame: false, scan: None, end: 2 };
    while let Ok((marker, start)) = next_marker(bytes, found.end) {
        if marker == 0xd9 {
            break;
        }
        let length = be16(bytes, start).map_or(0, usize::from);
        if length < 2 || start + length > bytes.len() {
            break;
        }
        found.end = start + length;
        found.frame |= matches!(marker, 0xc0..=0xc2);
        if marker == 0xda {
            found.scan = Some(found.end);
            break;
        }
    }
    found
}

/// The sampling factors of luma.
fn sampling(page: &Page<'_>) -> (usize, usize) {
    if page.colour() != crate::header::Colour::YCbCr {
        return (1, 1);
    }
    let factor = |index: usize| {
        page.ifd.entry(530).and_then(|entry| entry.uint(index)).filter(|factor| matches!(factor, 1 | 2 | 4))
    };
    (factor(0).unwrap_or(2) as usize, factor(1).unwrap_or(2) as usize)
}

/// The tables that tags point to, one of each kind for each component.
fn tables(page: &Page<'_>) -> Result<Vec<u8>, String> {
    let mut segments = Vec::new();
    let at = |tag: u16, index: usize, length: usize| {
        let offset = page.ifd.entry(tag).and_then(|entry| entry.uint(index));
        let offset = offset.and_then(|offset| usize::try_from(offset).ok());
        let table = offset.and_then(|offset| page.bytes.get(offset..offset.checked_add(length)?));
        table.ok_or_else(|| format!("a table of old-style JPEG (tag {tag}) is missing"))
    };
    for index in 0..page.samples.min(4) {
        let number = index as u8;
        segments.extend(b"\xff\xdb\0\x43");
        segments.push(number);
        segments.extend(at(QUANTISATION_TABLES, index, 64)?);
        for (tag, class) in [(DC_TABLES, 0), (AC_TABLES, 0x10)] {
            let counts = at(tag, index, 16)?;
            let values: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let table = at(tag, index, 16 + values)?;
            segments.extend(b"\xff\xc4");
            segments.extend((3 + table.len() as u16).to_be_bytes());
            segments.push(class | number);
            segments.extend(table);
        }
    }
    Ok(segments)
}

fn frame(page: &Page<'_>) -> Result<Vec<u8>, String> {
    let side =
        |side: u32| u16::try_from(side).map_err(|_| "a JPEG of more than 65535 pixels a side".to_owned());
    let components = page.samples.min(4) as u8;
    let (across, down) = sampling(page);
    let mut segment = b"\xff\xc0".to_vec();
    segment.extend((8 + 3 * u16::from(components)).to_be_bytes());
    segment.push(8);
    segment.extend(side(page.height)?.to_be_bytes());
    segment.extend(side(page.width)?.to_be_bytes());
    segment.push(components);
    for index in 0..components {
        let factors = if index == 0 { (across as u8) << 4 | down as u8 } else { 0x11 };
        segment.extend([index + 1, factors, index]);
    }
    if let Some(interval) = page.ifd.uint(RESTART_INTERVAL).and_then(|interval| u16::try_from(interval).ok())
        && interval > 0
    {
        segment.extend(b"\xff\xdd\0\x04");
        segment.extend(interval.to_be_bytes());
    }
    Ok(segment)
}

fn scan(page: &Page<'_>) -> Vec<u8> {
    let components = page.samples.min(4) as u8;
    let mut segment = b"\xff\xda".to_vec();
    segment.extend((6 + 2 * u16::from(components)).to_be_bytes());
    segment.push(components);
    segment.extend((0..components).flat_map(|index| [index + 1, index << 4 | index]));
    segment.extend([0, 63, 0]);
    segment
}
