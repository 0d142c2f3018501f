//! WebP, by image-webp: the whole frame, the first of an animation placed on its canvas.

use image_webp::WebPDecoder;

use super::polling_reader::PollingReader;
use super::{Decoded, corrupt, emit_frame};
use crate::Scratch;
use crate::colour::MAX_PROFILE;
use crate::error::Error;
use crate::header::Header;
use crate::pixels::{Model, RowSink};
use crate::stop::Stop;

pub(super) fn memory(header: &Header) -> (u64, u64) {
    let by_pixel = match (header.animated, header.alpha) {
        // The frame's planes, its pixels, the canvas and the copy of it that is passed on.
        (true, _) => 18,
        // Planes and pixels; alpha is decoded as a lossless image of its own.
        (false, true) => 14,
        (false, false) => 8,
    };
    (by_pixel, 256)
}

pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    stop: Stop<'_>,
    rows: &mut dyn RowSink,
    scratch: &mut Scratch,
) -> Result<Decoded, Error> {
    if header.pixels() >= 1 << 29 {
        return Err(Error::TooLarge(format!("a WebP of {} pixels; 2^29 can be decoded", header.pixels())));
    }
    let mut decoder =
        WebPDecoder::new(PollingReader::new(bytes, stop)).map_err(|error| corrupt(header, error))?;
    decoder.set_memory_limit(MAX_PROFILE);
    if decoder.dimensions() != (header.width, header.height) {
        return Err(corrupt(header, "the headers disagree on the size"));
    }
    let length = decoder.output_buffer_size().unwrap_or(0);
    let frame = scratch.frame(length);
    decoder.read_image(frame).map_err(|error| corrupt(header, error))?;
    let profile = decoder.icc_profile().ok().flatten();
    let model = if decoder.has_alpha() { Model::Rgba } else { Model::Rgb };
    emit_frame(frame, header.width, model, rows)?;
    Ok(Decoded { profile })
}
