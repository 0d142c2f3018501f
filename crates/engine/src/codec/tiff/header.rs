//! TIFF: which page is rendered, and its header (TIFF 6.0).

use super::page::{Compression, Page};
use crate::error::Error;
use crate::exif;
use crate::header::{Colour, Details, Format, Header, Orientation, lzw_work, truncated, work};
use crate::ifd::Ifd;

pub(super) fn read(bytes: &[u8]) -> Result<(Details, Page<'_>), Error> {
    let first = Ifd::first(bytes).ok_or_else(|| truncated("TIFF", "the first directory", bytes.len()))?;
    let ifd = full_resolution(&first).unwrap_or_else(|| first.clone());
    // Values that are not there would count as a missing tag, whose default is another.
    if let Some((tag, count)) =
        ifd.declared().find(|&(tag, count)| READ.contains(&tag) && count > bytes.len() as u64)
    {
        return Err(Error::Malformed(format!(
            "TIFF: tag {tag} declares {count} values in a file of {} bytes; send it again",
            bytes.len()
        )));
    }
    let page = Page::new(bytes, ifd.clone())?;
    let orientation = match exif::orientation_of(Some(&ifd)) {
        Orientation::UPRIGHT => exif::orientation_of(Some(&first)),
        orientation => orientation,
    };
    let header = Header {
        format: Format::Tiff,
        width: page.width,
        height: page.height,
        orientation,
        colour: page.colour(),
        bits: page.bits.min(64) as u8,
        alpha: page.alpha.is_some(),
        progressive: false,
        // A JPEG in a strip or tile may be one in several scans.
        buffered: is_jpeg(&page),
        decoder_bytes: 0,
        coded_bytes: 0,
        animated: ifd.next().is_some(),
        profile: page.profile.is_some(),
        work: decoding_work(&page),
    };
    let reason = format!("in {} {}", page.count(), if page.tiled { "tiles" } else { "strips" });
    Ok((Details { header, reason }, page))
}

/// The tags that decide how the image is decoded.
const READ: [u16; 24] = [
    256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 317, 320, 322, 323, 324, 325, 338, 339, 347,
    513, 530, 532,
];

/// NewSubfileType and SubfileType (TIFF 6.0, section 8).
const NEW_SUBFILE_TYPE: u16 = 254;
const SUBFILE_TYPE: u16 = 255;
const SUB_IFDS: u16 = 330;
/// Directories that are searched for the image of full resolution.
const MAX_DIRECTORIES: usize = 64;

fn is_reduced(ifd: &Ifd<'_>) -> bool {
    match ifd.uint(NEW_SUBFILE_TYPE) {
        // The first bit: a reduced image; the third: a transparency mask.
        Some(kind) => kind & 5 != 0,
        None => ifd.uint(SUBFILE_TYPE) == Some(2),
    }
}

/// The first image of full resolution, if the first directory is of a reduced one: of those that follow and their
/// sub-directories, which is where raw formats have theirs.
fn full_resolution<'a>(first: &Ifd<'a>) -> Option<Ifd<'a>> {
    if !is_reduced(first) {
        return None;
    }
    let is_image = |ifd: &Ifd<'_>| !is_reduced(ifd) && Page::is_readable(ifd);
    let mut directory = first.clone();
    for _ in 0..MAX_DIRECTORIES {
        if is_image(&directory) {
            return Some(directory);
        }
        if let Some(entry) = directory.entry(SUB_IFDS) {
            let mut below =
                (0..entry.len().min(MAX_DIRECTORIES)).filter_map(|index| first.sibling(entry.uint(index)?));
            if let Some(found) = below.find(is_image) {
                return Some(found);
            }
        }
        directory = first.sibling(directory.next()?)?;
    }
    None
}

/// Work of a strip or tile: its decoder's tables and buffers, in samples.
const CHUNK: u64 = 2048;

fn is_jpeg(page: &Page<'_>) -> bool {
    matches!(page.compression, Compression::Jpeg | Compression::OldJpeg)
}

fn decoding_work(page: &Page<'_>) -> u64 {
    let wide = match page.bits {
        0..=8 => 1,
        9..=16 => 2,
        _ => 4,
    };
    // Conversion from Lab computes powers.
    let conversion = if page.colour() == Colour::Lab { 12 } else { 1 };
    let samples = (page.samples as u64).saturating_mul(wide);
    let pixels = page.count().saturating_mul(page.chunk_pixels()) / page.planes() as u64;
    let bytes = match page.compression {
        Compression::Lzw => lzw_work(page.compressed_bytes(), pixels.saturating_mul(samples)),
        // A bit may be a run of its own.
        Compression::Fax(_) => page.compressed_bytes().saturating_mul(32),
        _ => page.compressed_bytes(),
    };
    // A JPEG has its own tables.
    let chunk = if is_jpeg(page) { 8 * CHUNK } else { CHUNK };
    let passes = 1 + u64::from(page.needs_range());
    let chunks = page.count().saturating_mul(chunk);
    work(pixels.saturating_mul(samples.saturating_add(conversion)), page.height.into(), 0)
        .saturating_add(bytes)
        .saturating_add(chunks)
        .saturating_mul(passes)
}
