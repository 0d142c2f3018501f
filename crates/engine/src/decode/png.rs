//! PNG: the chunks walked, the data decompressed and unfiltered by our own code, row by row; interlaced
//! pictures, too, so memory goes by width.
//!
//! What counts as damage: a checksum of IHDR, PLTE or of the data that does not match, data that cannot be
//! decompressed, ends too early or names a filter that does not exist. What does not, as with other
//! viewers, once every row is there: a missing or wrong checksum of the decompressed data (Adler-32, which
//! is not computed: the chunks' own checksums cover the same bytes), more data than rows, no IEND, or bytes
//! behind it. A damaged chunk that pictures can do without counts as absent.

mod chunks;
mod data;
mod idat;
pub(crate) mod inflate;
mod passes;
mod samples;
mod unfilter;

use super::{Context, Decoded, damaged};
use crate::error::Error;
use crate::header::Header;
use crate::pixels::{Grid, Order, Row, Rows};
use chunks::Preamble;
use data::Data;
use samples::Samples;

pub(super) fn memory(header: &Header) -> (u64, u64) {
    // The filtered row if it is wide, the unfiltered ones, and the samples as they are given.
    let pixel = if header.bits == 16 { 8 } else { 4 };
    (0, pixel * (1 + data::ROWS as u64 + 2))
}

pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn Rows,
) -> Result<Decoded, Error> {
    let (limits, level) = (context.limits, context.level.library());
    let preamble = Preamble::read(bytes).map_err(|why| damaged(header, why))?;
    let profile = preamble.profile(level);
    let colour = bytes.get(25).copied().unwrap_or(0);
    let samples = Samples::new(colour, header.bits, &preamble, profile.is_some());
    let mut samples = samples.map_err(|why| damaged(header, why))?;
    let mut data = Data::new(bytes, preamble.data_at, colour, header.bits, level);
    if header.progressive {
        rows.begin(Grid { model: samples.model, cell: (1, 1), order: Order::Passes })?;
        for (number, pass) in passes::passes(header.width, header.height).enumerate() {
            data.begin(pass.width, pass.height);
            for y in 0..pass.height {
                let row = data.row().map_err(|why| {
                    damaged(header, format!("{why}, at row {y} of pass {} of 7", number + 1))
                })?;
                rows.pass_row(pass.place(y), samples.row(row, pass.width as usize))?;
            }
        }
    } else {
        rows.begin(Grid::whole(samples.model))?;
        data.begin(header.width, header.height);
        for y in 0..header.height {
            match data.row() {
                Ok(row) => rows.row(samples.row(row, header.width as usize))?,
                Err(_) if limits.tolerates(y, header.height) => {
                    blank(header, &samples, y, rows)?;
                    return Ok(Decoded { profile });
                }
                Err(why) => return Err(damaged(header, format!("{why}, at row {y} of {}", header.height))),
            }
        }
    }
    match data.finish() {
        Err(why) if !limits.tolerates(header.height, header.height) => Err(damaged(header, why)),
        _ => Ok(Decoded { profile }),
    }
}

/// Fills up with transparent or black rows from row `y` on.
fn blank(header: &Header, samples: &Samples, y: u32, rows: &mut dyn Rows) -> Result<(), Error> {
    let length = header.width as usize * samples.model.channels();
    let (mut narrow, mut wide) = (Vec::new(), Vec::new());
    let row = if header.bits == 16 {
        wide.resize(length, 0);
        Row::U16(&wide)
    } else {
        narrow.resize(length, 0);
        Row::U8(&narrow)
    };
    (y..header.height).try_for_each(|_| rows.row(row))
}

#[cfg(test)]
mod tests;
