//! The first image of a WebP, decoded row by row.

use super::alpha::Alpha;
use super::colour::{self, Converter};
use super::header::{Bitstream, Picture};
use super::output::Output;
use super::{vp8, vp8l};
use crate::codec::{Context, Decoded, corrupt};
use crate::error::Error;
use crate::header::{Colour, Header};
use crate::pixels::RowSink;

/// Rows between polls.
const POLLED_ROWS: usize = 8;

/// Upper bound on the bytes that decoding takes. A frame is at most as large as the canvas.
pub(super) fn memory(header: &Header) -> u64 {
    let (width, height) = (u64::from(header.width), u64::from(header.height));
    let planes = (width + 64) * (vp8::MEMORY_BY_WIDTH + colour::MEMORY_BY_WIDTH);
    // Alpha is a lossless image, too.
    let lossless = header.alpha || header.animated || header.colour == Colour::Rgb;
    let lossless = if lossless { vp8l::memory(width, height) } else { 0 };
    planes + lossless + 16 * width + (16 << 10)
}

pub(super) fn decode(
    picture: &Picture<'_>,
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn RowSink,
) -> Result<Decoded, Error> {
    match picture.bitstream {
        Bitstream::Lossy(data) => lossy(data, picture, header, context, rows)?,
        Bitstream::Lossless(data) => lossless(data, picture, header, context, rows)?,
    }
    Ok(Decoded { profile: picture.profile.map(<[u8]>::to_vec) })
}

fn lossy(
    data: &[u8],
    picture: &Picture<'_>,
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn RowSink,
) -> Result<(), Error> {
    let fail = |why| corrupt(header, why);
    let (level, frame) = (context.level, picture.frame);
    let mut decoder = vp8::Decoder::new(data, level).map_err(fail)?;
    let alpha = picture.alpha.map(|chunk| Alpha::new(chunk, (frame.width, frame.height), level));
    let mut alpha = alpha.transpose().map_err(fail)?;
    let mut converter = Converter::new(level, frame.width);
    let mut output = Output::new(header, frame, rows)?;
    for _ in 0..decoder.rows() {
        context.stop.check("decoding")?;
        for y in decoder.advance().map_err(fail)? {
            let alpha = alpha.as_mut().map(Alpha::row).transpose().map_err(fail)?;
            output.planes(converter.convert(&decoder.line(y)), alpha)?;
        }
    }
    output.finish()
}

fn lossless(
    data: &[u8],
    picture: &Picture<'_>,
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn RowSink,
) -> Result<(), Error> {
    let fail = |why| corrupt(header, why);
    let frame = picture.frame;
    let mut decoder = vp8l::Decoder::new(data, (frame.width, frame.height), context.level).map_err(fail)?;
    let mut output = Output::new(header, frame, rows)?;
    for y in 0..frame.height {
        if y.is_multiple_of(POLLED_ROWS) {
            context.stop.check("decoding")?;
        }
        output.argb(decoder.row().map_err(fail)?)?;
    }
    output.finish()
}
