//! HEIF (ISO/IEC 23008-12): the container of AVIF and HEIC, read here. What is coded in it is decoded in the codec process.

pub(crate) mod boxes;
mod container;
mod decode;
mod image;
mod properties;
mod sequence;
mod yuv;

use crate::codec::OpenFile;
use crate::error::Error;
use crate::foreign::Library;
use crate::header::{Colour, Details, Format, Header, work};
use image::Image;

/// The brands of a file: the major one and those that it is compatible with.
pub(super) fn has_brand(bytes: &[u8], wanted: &[&[u8; 4]]) -> bool {
    let Some(file_type) = boxes::Boxes::new(bytes).next().filter(|first| &first.kind == b"ftyp") else {
        return false;
    };
    let brands = file_type.data.as_chunks::<4>().0.iter().enumerate();
    // The second is the minor version.
    brands.filter(|(at, _)| *at != 1).any(|(_, brand)| wanted.contains(&brand))
}

/// Opens a file, of which its brands say that it is AVIF or HEIC; what its primary image is coded in decides.
pub(super) fn open(bytes: &[u8]) -> Result<OpenFile<'_>, Error> {
    let image = Image::read(bytes)?;
    let format = match image.colour.library {
        Library::Av1 => Format::Avif,
        _ => Format::Heic,
    };
    let (width, height) = (image.crop.width, image.crop.height);
    let details = details(format, &image, bytes.len(), (width, height));
    OpenFile::new(details, move |header, context, rows, _| decode::decode(&image, header, context, rows))
}

fn details(format: Format, image: &Image<'_>, length: usize, (width, height): (u32, u32)) -> Details {
    let colour = &image.colour;
    let pixels = u64::from(colour.width) * u64::from(colour.height);
    let sample = if colour.bits > 8 { 2 } else { 1 };
    // Of a grid the codec process holds one tile, and there is a row of them here.
    let tile = u64::from(colour.tile.0) * u64::from(colour.tile.1);
    let band = if colour.tiles.len() > 1 { u64::from(colour.width) * u64::from(colour.tile.1) } else { 0 };
    let planes = if colour.gray { 1 } else { 3 };
    let mut decoder_bytes = decode::FIXED + (tile * (planes * sample + 2)) + band * planes * sample;
    let mut samples = pixels * planes;
    if let Some(alpha) = &image.alpha {
        let pixels = u64::from(alpha.width) * u64::from(alpha.height);
        samples += pixels;
        decoder_bytes += pixels * 4;
    }
    let weight = if format == Format::Avif { 4 } else { 2 };
    let tiles = image.tiles() as u64;
    let header = Header {
        format,
        width,
        height,
        orientation: image.orientation,
        colour: if colour.gray { Colour::Gray } else { Colour::YCbCr },
        bits: colour.bits,
        alpha: image.alpha.is_some(),
        progressive: false,
        buffered: false,
        decoder_bytes: decoder_bytes + length as u64,
        coded_bytes: 0,
        animated: image.animated,
        profile: image.profile.is_some(),
        work: work(samples * weight + tiles * decode::TILE_WORK, height.into(), length),
    };
    Details { header, reason: format!("in {tiles} tiles") }
}

/// Bytes that decoding takes.
pub(super) fn memory(header: &Header) -> u64 {
    header.decoder_bytes.saturating_add(u64::from(header.width).saturating_mul(64))
}
