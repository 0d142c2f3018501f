//! PNG, by the png crate: row by row, or a whole frame if interlaced.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, DecodingError, Limits as PngLimits, Reader, Transformations};

use super::{Decoded, damaged};
use crate::Scratch;
use crate::colour::MAX_PROFILE;
use crate::error::Error;
use crate::header::Header;
use crate::limits::Limits;
use crate::pixels::{Grid, Model, Row, Rows};

pub(super) fn memory(header: &Header) -> (u64, u64) {
    let sample = if header.bits == 16 { 2 } else { 1 };
    let pixel = 4 * sample;
    (if header.progressive { pixel } else { 0 }, pixel * 8)
}

pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    rows: &mut dyn Rows,
    scratch: &mut Scratch,
) -> Result<Decoded, Error> {
    // A profile that is too large or broken is not worth the picture.
    let mut reader = match open(bytes, header, false) {
        Err(DecodingError::LimitsExceeded) => open(bytes, header, true),
        result => result,
    }
    .map_err(|error| damaged(header, error))?;
    let (colour, depth) = reader.output_color_type();
    let model = match colour {
        ColorType::Grayscale => Model::Gray,
        ColorType::GrayscaleAlpha => Model::GrayAlpha,
        ColorType::Rgb => Model::Rgb,
        ColorType::Rgba => Model::Rgba,
        ColorType::Indexed => return Err(Error::Internal("the PNG decoder left a palette".into())),
    };
    // The sRGB chunk overrides a profile.
    let info = reader.info();
    let profile = info.icc_profile.as_ref().filter(|_| info.srgb.is_none()).map(|icc| icc.to_vec());
    rows.begin(Grid { model, cell: (1, 1) })?;
    let mut target = Target { rows, wide: depth == BitDepth::Sixteen, buffer: Vec::new() };
    if header.progressive {
        interlaced(&mut reader, header, &mut target, scratch)?;
    } else {
        let length = reader.output_line_size(header.width).unwrap_or(0);
        streamed(&mut reader, header, limits, &mut target, length)?;
    }
    Ok(Decoded { profile })
}

type PngReader<'a> = Reader<Cursor<&'a [u8]>>;

fn open<'a>(bytes: &'a [u8], header: &Header, ignore_profile: bool) -> Result<PngReader<'a>, DecodingError> {
    let row = header.width as usize * 8;
    let mut decoder =
        Decoder::new_with_limits(Cursor::new(bytes), PngLimits { bytes: row * 4 + MAX_PROFILE });
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(ignore_profile);
    decoder.read_info()
}

fn streamed(
    reader: &mut PngReader<'_>,
    header: &Header,
    limits: &Limits,
    target: &mut Target<'_>,
    length: usize,
) -> Result<(), Error> {
    for y in 0..header.height {
        match reader.next_row() {
            Ok(Some(row)) => target.give(row.data())?,
            error if limits.tolerates(y, header.height) => {
                drop(error);
                let blank = vec![0; length];
                return (y..header.height).try_for_each(|_| target.give(&blank));
            }
            Ok(None) => return Err(damaged(header, format!("the data ends after row {y}"))),
            Err(error) => return Err(damaged(header, format!("{error} at row {y} of {}", header.height))),
        }
    }
    Ok(())
}

fn interlaced(
    reader: &mut PngReader<'_>,
    header: &Header,
    target: &mut Target<'_>,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let length = reader.output_buffer_size().unwrap_or(0);
    let frame = scratch.frame(length);
    // Damage is never tolerated here: every pass covers the whole picture, so no share of rows is whole.
    reader.next_frame(frame).map_err(|error| damaged(header, error))?;
    frame.chunks_exact(length / header.height as usize).try_for_each(|row| target.give(row))
}

/// Gives rows of 8-bit samples, or of 16-bit ones in network byte order.
struct Target<'a> {
    rows: &'a mut dyn Rows,
    wide: bool,
    buffer: Vec<u16>,
}

impl Target<'_> {
    fn give(&mut self, row: &[u8]) -> Result<(), Error> {
        if !self.wide {
            return self.rows.row(Row::U8(row));
        }
        self.buffer.clear();
        self.buffer.extend(row.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)));
        self.rows.row(Row::U16(&self.buffer))
    }
}
