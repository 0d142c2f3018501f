//! Decoders, one file a format: rows out, from the top, with straight alpha.

mod bmp;
mod gif;
mod input;
mod jpeg;
pub(crate) mod png;
mod tiff;
mod webp;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Scratch;
use crate::error::Error;
use crate::header::{Format, Header};
use crate::limits::Limits;
use crate::pixels::{Grid, Model, Row, Rows};
use crate::simd::SimdLevel;
use crate::stop::Stop;
pub(crate) use jpeg::Lookups;

/// What decoders are told besides the file.
pub(crate) struct Context<'a> {
    pub(crate) limits: &'a Limits,
    /// Cells to make of eight pixels, across and down: 8, or less where the format can and `plan` says so.
    pub(crate) scale: u32,
    pub(crate) level: SimdLevel,
    pub(crate) stop: Stop<'a>,
}

/// What decoding tells besides the rows.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// The ICC profile that the rows are still in.
    pub(crate) profile: Option<Vec<u8>>,
}

/// Decodes the first picture of the file into `rows`.
pub(crate) fn decode(
    bytes: &[u8],
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn Rows,
    scratch: &mut Scratch,
) -> Result<Decoded, Error> {
    // Libraries report a refusal to read on as they please, so what was said is kept.
    let stopped = Cell::new(false);
    let ask = || {
        stopped.set((context.stop.0)());
        stopped.get()
    };
    let stop = Stop(&ask);
    let context = &Context { stop, ..*context };
    // Libraries have been seen to panic on damaged files (image-webp 0.2.4 on some VP8 frames). Everything
    // they could leave half done is dropped with the error.
    let decoded = catch_unwind(AssertUnwindSafe(|| match header.format {
        Format::Jpeg => jpeg::decode(bytes, header, context, rows, &mut scratch.lookups),
        Format::Png => png::decode(bytes, header, context, rows),
        Format::WebP => webp::decode(bytes, header, stop, rows, scratch),
        Format::Gif => gif::decode(bytes, header, context, rows, scratch),
        Format::Bmp => bmp::decode(bytes, header, stop, rows, scratch),
        Format::Tiff => tiff::decode(bytes, header, stop, rows),
    }));
    match decoded {
        Err(_) => Err(damaged(header, "the decoder cannot make sense of it")),
        Ok(Err(_)) if stopped.get() => Err(Stop::error("decoding")),
        Ok(decoded) => decoded,
    }
}

/// The most bytes that decoding holds: what the decoders below allocate, by header alone.
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

/// Gives every row of a decoded frame.
fn give(frame: &[u8], width: u32, model: Model, rows: &mut dyn Rows) -> Result<(), Error> {
    rows.begin(Grid::whole(model))?;
    frame.chunks_exact(width as usize * model.channels()).try_for_each(|row| rows.row(Row::U8(row)))
}

/// The error for damage inside the pixels.
fn damaged(header: &Header, why: impl std::fmt::Display) -> Error {
    Error::Malformed(format!("{}: damaged inside the picture: {why}; send it again", header.format))
}
