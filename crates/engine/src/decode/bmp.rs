//! BMP, by the image crate: the whole frame.

use image::codecs::bmp::BmpDecoder;
use image::{ColorType, ImageDecoder};

use super::polling_reader::PollingReader;
use super::{Decoded, corrupt, emit_frame};
use crate::Scratch;
use crate::error::Error;
use crate::header::Header;
use crate::pixels::{Model, RowSink};
use crate::stop::Stop;

pub(super) fn memory(_header: &Header) -> (u64, u64) {
    (4, 64)
}

pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    stop: Stop<'_>,
    rows: &mut dyn RowSink,
    scratch: &mut Scratch,
) -> Result<Decoded, Error> {
    let decoder = BmpDecoder::new(PollingReader::new(bytes, stop)).map_err(|error| corrupt(header, error))?;
    if decoder.dimensions() != (header.width, header.height) {
        return Err(corrupt(header, "the header is ambiguous about the size"));
    }
    let model = match decoder.color_type() {
        ColorType::L8 => Model::Gray,
        ColorType::Rgb8 => Model::Rgb,
        ColorType::Rgba8 => Model::Rgba,
        other => return Err(Error::Unsupported(format!("BMP with pixels of type {other:?}"))),
    };
    let frame = scratch.frame(header.width as usize * header.height as usize * model.channels());
    decoder.read_image(frame).map_err(|error| corrupt(header, error))?;
    emit_frame(frame, header.width, model, rows)?;
    Ok(Decoded::default())
}
