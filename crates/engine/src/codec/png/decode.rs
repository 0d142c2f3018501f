//! PNG decoder: chunks, decompression and unfiltering row by row, of interlaced images too, so that memory is
//! proportional to the width.
//!
//! Corrupt is: a CRC of IHDR, PLTE or the image data that does not match, data that cannot be decompressed, ends
//! too early or has an unknown filter type. Accepted, as by viewers, after the last row: a missing or wrong
//! Adler-32 (not computed: the CRCs cover the same bytes), more data than rows, no IEND, bytes after it.
//! A corrupt ancillary chunk counts as absent.

mod adam7;
mod chunks;
mod idat;
pub(crate) mod inflate;
mod row_reader;
mod samples;
mod unfilter;

use crate::Scratch;
use crate::codec::{Context, Decoded, corrupt};
use crate::error::Error;
use crate::header::Header;
use crate::pixels::{Grid, Order, Row, RowSink};
use chunks::Preamble;
use row_reader::RowReader;
use samples::Samples;

pub(super) fn memory(header: &Header) -> (u64, u64) {
    // The filtered row if it is wide, the unfiltered rows, and the row of samples.
    let pixel = if header.bits == 16 { 8 } else { 4 };
    (0, pixel * (1 + row_reader::ROWS as u64 + 2))
}

pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn RowSink,
    _: &mut Scratch,
) -> Result<Decoded, Error> {
    let (limits, level) = (context.limits, context.level.dispatch_level());
    let preamble = Preamble::read(bytes).map_err(|why| corrupt(header, why))?;
    let colour = bytes.get(25).copied().unwrap_or(0);
    let profile = preamble.profile(matches!(colour, 0 | 4), level);
    let samples = Samples::new(colour, header.bits, &preamble, profile.is_some());
    let mut samples = samples.map_err(|why| corrupt(header, why))?;
    let mut reader = RowReader::new(bytes, preamble.data_at, colour, header.bits, level);
    if header.progressive {
        rows.begin(Grid { model: samples.model, scale: 8, order: Order::Passes })?;
        for (number, pass) in adam7::passes(header.width, header.height).enumerate() {
            reader.begin(pass.width, pass.height);
            for y in 0..pass.height {
                let row = reader.row().map_err(|why| {
                    corrupt(header, format!("{why}, at row {y} of pass {} of 7", number + 1))
                })?;
                rows.pass_row(pass.row_position(y), samples.row(row, pass.width as usize))?;
            }
        }
    } else {
        rows.begin(Grid::full_scale(samples.model))?;
        reader.begin(header.width, header.height);
        for y in 0..header.height {
            match reader.row() {
                Ok(row) => rows.row(samples.row(row, header.width as usize))?,
                Err(_) if limits.tolerates(y, header.height) => {
                    blank(header, &samples, y, rows)?;
                    return Ok(Decoded { profile });
                }
                Err(why) => return Err(corrupt(header, format!("{why}, at row {y} of {}", header.height))),
            }
        }
    }
    match reader.finish() {
        Err(why) if !limits.tolerates(header.height, header.height) => Err(corrupt(header, why)),
        _ => Ok(Decoded { profile }),
    }
}

/// Passes on transparent or black rows from row `y` on.
fn blank(header: &Header, samples: &Samples, y: u32, rows: &mut dyn RowSink) -> Result<(), Error> {
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
