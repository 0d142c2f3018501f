//! Decoders, one file a format: rows out, from the top, with straight alpha.

mod bmp;
mod gif;
mod jpeg;
pub(crate) mod png;
mod polling_reader;
mod tiff;
mod webp;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Scratch;
use crate::error::Error;
use crate::header::{Format, Header};
use crate::limits::Limits;
use crate::pixels::{Grid, Model, Row, RowSink};
use crate::simd::SimdLevel;
use crate::stop::Stop;
pub(crate) use jpeg::TableCache;

/// What decoders need besides the file.
pub(crate) struct Context<'a> {
    pub(crate) limits: &'a Limits,
    /// Samples that eight pixels are decoded to, across and down: 8, or fewer for JPEG at a reduced scale.
    pub(crate) scale: u32,
    pub(crate) level: SimdLevel,
    pub(crate) stop: Stop<'a>,
}

/// What a decoder returns besides the rows.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// The ICC profile that the rows are still in.
    pub(crate) profile: Option<Vec<u8>>,
}

/// Decodes the first image of the file into `rows`.
pub(crate) fn decode(
    bytes: &[u8],
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn RowSink,
    scratch: &mut Scratch,
) -> Result<Decoded, Error> {
    // Libraries wrap a failed read in errors of their own, so what `stop` returned is stored here.
    let stopped = Cell::new(false);
    let poll = || {
        stopped.set((context.stop.0)());
        stopped.get()
    };
    let stop = Stop(&poll);
    let context = &Context { stop, ..*context };
    // Libraries can panic on corrupt files (image-webp 0.2.4 on some VP8 frames). What they leave in an
    // inconsistent state is dropped with the error.
    let decoded = catch_unwind(AssertUnwindSafe(|| match header.format {
        Format::Jpeg => jpeg::decode(bytes, header, context, rows, &mut scratch.tables),
        Format::Png => png::decode(bytes, header, context, rows),
        Format::WebP => webp::decode(bytes, header, stop, rows, scratch),
        Format::Gif => gif::decode(bytes, header, context, rows, scratch),
        Format::Bmp => bmp::decode(bytes, header, stop, rows, scratch),
        Format::Tiff => tiff::decode(bytes, header, stop, rows),
    }));
    match decoded {
        Err(_) => Err(corrupt(header, "the decoder failed")),
        Ok(Err(_)) if stopped.get() => Err(Stop::error("decoding")),
        Ok(decoded) => decoded,
    }
}

/// Upper bound on the bytes that a decoder allocates, from the header alone.
pub(crate) fn memory(header: &Header, scale: u32) -> u64 {
    if header.format == Format::Jpeg {
        return jpeg::memory(header, scale);
    }
    // Decoders round both sides up to whole blocks.
    let pixels = (u64::from(header.width) + 32).saturating_mul(u64::from(header.height) + 32);
    let width = u64::from(header.width) + 64;
    let (by_pixel, by_width) = match header.format {
        Format::Jpeg => (0, 0),
        Format::Png => png::memory(header),
        Format::WebP => webp::memory(header),
        Format::Gif => gif::memory(header),
        Format::Bmp => bmp::memory(header),
        Format::Tiff => tiff::memory(header),
    };
    pixels.saturating_mul(by_pixel).saturating_add(width.saturating_mul(by_width))
}

/// Passes on every row of a decoded frame.
fn emit_frame(frame: &[u8], width: u32, model: Model, rows: &mut dyn RowSink) -> Result<(), Error> {
    rows.begin(Grid::full_scale(model))?;
    frame.chunks_exact(width as usize * model.channels()).try_for_each(|row| rows.row(Row::U8(row)))
}

/// The error for corrupt image data.
fn corrupt(header: &Header, why: impl std::fmt::Display) -> Error {
    Error::Malformed(format!("{}: corrupt image data: {why}; send it again", header.format))
}
