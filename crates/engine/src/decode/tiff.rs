//! TIFF, by the tiff crate: the first page, one band of strips or tiles at a time.

mod band;
mod patched_reader;

use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::{Decoded, corrupt};
use crate::colour::MAX_PROFILE;
use crate::error::Error;
use crate::header::Header;
use crate::pixels::{Grid, RowSink};
use crate::stop::Stop;
use band::Band;
use patched_reader::PatchedReader;

pub(super) fn memory(header: &Header) -> (u64, u64) {
    let sample = u64::from(header.bits.div_ceil(8)).max(1);
    let samples = match header.colour {
        "gray" | "palette" => 1 + u64::from(header.alpha),
        "rgb" | "ycbcr" | "lab" => 3 + u64::from(header.alpha),
        // CMYK and one of alpha.
        _ => 5,
    };
    // A single strip may hold the whole image: the band, the strip, and its samples unpacked.
    (3 * samples * sample, 64)
}

pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    stop: Stop<'_>,
    rows: &mut dyn RowSink,
) -> Result<Decoded, Error> {
    let memory = super::memory(header, 8);
    let limit = usize::try_from(memory / 3).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = limit;
    limits.intermediate_buffer_size = limit;
    limits.ifd_value_size = MAX_PROFILE;
    let fail = |error| match error {
        TiffError::UnsupportedError(why) => Error::Unsupported(format!("TIFF: {why}; convert it")),
        other => corrupt(header, other),
    };
    let reader = PatchedReader::new(bytes, memory, stop).map_err(|why| corrupt(header, why))?;
    let indexed = reader.indexed();
    let mut decoder = Decoder::new(reader).map_err(fail)?.with_limits(limits);
    if decoder.dimensions().map_err(fail)? != (header.width, header.height) {
        return Err(corrupt(header, "the directory is ambiguous about the size"));
    }
    let colour = decoder.colortype().map_err(fail)?;
    let palette = if indexed { decoder.get_tag_u16_vec(Tag::ColorMap).ok() } else { None };
    let profile = decoder.get_tag_u8_vec(Tag::IccProfile).ok();
    let extra = decoder.get_tag_u16_vec(Tag::ExtraSamples).ok().and_then(|extra| extra.first().copied());
    let planar = decoder.get_tag_u32(Tag::PlanarConfiguration).unwrap_or(1) == 2;
    let mut pixels = Band::new(header, colour, palette, profile.as_deref(), extra)?;
    let planes = if planar { pixels.samples() } else { 1 };

    let (chunk_width, chunk_height) = decoder.chunk_dimensions();
    let across = match decoder.get_chunk_type() {
        ChunkType::Strip => 1,
        ChunkType::Tile => header.width.div_ceil(chunk_width.max(1)),
    };
    let down = header.height.div_ceil(chunk_height.max(1));
    // No band is larger than what the estimate allows for the whole image.
    let band_height = chunk_height.min(header.height) as usize;
    rows.begin(Grid::full_scale(pixels.model()))?;
    for band in 0..down {
        let top = band * chunk_height;
        pixels.begin(band_height.min((header.height - top) as usize));
        for plane in 0..planes {
            for column in 0..across {
                let index = (plane as u32 * down + band) * across + column;
                let (width, _) = decoder.chunk_data_dimensions(index);
                let chunk = decoder.read_chunk(index).map_err(fail)?;
                let left = (column * chunk_width) as usize;
                let plane = planar.then_some(plane);
                match chunk {
                    DecodingResult::U8(samples) => pixels.place_8(&samples, left, width as usize, plane),
                    DecodingResult::U16(samples) => pixels.place_16(&samples, left, width as usize, plane),
                    _ => {
                        return Err(Error::Unsupported("TIFF with samples that are no whole numbers".into()));
                    }
                }
            }
        }
        pixels.emit(rows)?;
    }
    let profile = profile.filter(|_| !matches!(colour, ColorType::CMYK(_) | ColorType::CMYKA(_)));
    Ok(Decoded { profile })
}
