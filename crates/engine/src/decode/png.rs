//! PNG: the chunks walked, the data decompressed and unfiltered by our own code, row by row; interlaced
//! pictures, too, so memory goes by width.
//!
//! What counts as damage: a checksum of IHDR, PLTE or of the data that does not match, data that cannot be
//! decompressed, ends too early or names a filter that does not exist. What does not, as with other
//! viewers, once every row is there: a missing or wrong checksum of the decompressed data (Adler-32, which
//! is not computed: the chunks' own checksums cover the same bytes), more data than rows, no IEND, or bytes
//! behind it. A damaged chunk that pictures can do without counts as absent.

mod chunks;
mod idat;
mod inflate;
mod passes;
mod samples;
mod unfilter;

use fearless_simd::Level;

use super::{Context, Decoded, damaged};
use crate::error::Error;
use crate::header::Header;
use crate::pixels::{Grid, Order, Row, Rows};
use chunks::Preamble;
use idat::Idat;
use inflate::{Fault, Inflater, PIECE};
use samples::Samples;
use unfilter::together;

pub(super) fn memory(header: &Header) -> (u64, u64) {
    // The filtered row if it is wide, the unfiltered ones, and the samples as they are given.
    let sample = if header.bits == 16 { 2 } else { 1 };
    (0, 4 * sample * 12)
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
    let mut data = Data::new(bytes, &preamble, colour, header.bits, level);
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
    match data.idat.finish() {
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

/// What can be wrong with a row.
#[derive(Debug, thiserror::Error)]
enum RowFault {
    #[error(transparent)]
    Data(#[from] Fault),
    #[error("filter {0} does not exist")]
    Filter(u8),
}

/// The unfiltered rows of the picture or of one pass after the other.
struct Data<'a> {
    idat: Idat<'a>,
    inflater: Inflater,
    level: Level,
    bits_a_pixel: usize,
    /// Bytes of a row, unfiltered.
    length: usize,
    /// Rows of the picture, or pass, that were not unfiltered yet.
    left: u32,
    /// A filtered row that is too wide to be given out in one piece.
    gathered: Vec<u8>,
    /// The row above, then those that were unfiltered together, each with some slack behind it.
    rows: Vec<u8>,
    /// Which of these was given last, and which is the last.
    given: usize,
    ready: usize,
}

impl<'a> Data<'a> {
    fn new(bytes: &'a [u8], preamble: &Preamble<'_>, colour: u8, bits: u8, level: Level) -> Self {
        let channels = match colour {
            0 | 3 => 1,
            4 => 2,
            2 => 3,
            _ => 4,
        };
        Self {
            idat: Idat::new(bytes, preamble.data_at),
            inflater: Inflater::new(level),
            level,
            bits_a_pixel: channels * usize::from(bits),
            length: 0,
            left: 0,
            gathered: Vec::new(),
            rows: Vec::new(),
            given: 0,
            ready: 0,
        }
    }

    /// Goes to the first row of a picture, or pass, of this size.
    fn begin(&mut self, width: u32, height: u32) {
        self.length = (width as usize * self.bits_a_pixel).div_ceil(8);
        self.left = height;
        let rows = 1 + together::count(self.bytes_a_pixel()).unwrap_or(1).min(height as usize);
        self.rows.clear();
        self.rows.resize(rows * self.stride(), 0);
        (self.given, self.ready) = (0, 0);
    }

    fn bytes_a_pixel(&self) -> usize {
        self.bits_a_pixel.div_ceil(8)
    }

    fn stride(&self) -> usize {
        self.length + together::SLACK
    }

    /// The next row.
    fn row(&mut self) -> Result<&[u8], RowFault> {
        let stride = self.stride();
        if self.given == self.ready {
            self.rows.copy_within(self.ready * stride..(self.ready + 1) * stride, 0);
            (self.given, self.ready) = (0, 0);
            self.ready = match self.together() {
                Some(rows) => rows,
                None => self.alone()?,
            };
            self.left -= self.ready as u32;
        }
        self.given += 1;
        Ok(&self.rows[self.given * stride..][..self.length])
    }

    /// Unfilters several rows together, if there are that many and it pays.
    fn together(&mut self) -> Option<usize> {
        let bytes = self.bytes_a_pixel();
        let rows = together::count(bytes)?;
        let needed = rows * (self.length + 1);
        if (self.left as usize) < rows || needed > PIECE || self.length < 32 * bytes {
            return None;
        }
        // Whatever is wrong is found again row by row.
        let raw = self.inflater.peek(needed, &mut self.idat).ok().filter(|raw| raw.len() == needed)?;
        let filters = || raw.iter().step_by(self.length + 1).copied();
        if filters().any(|filter| filter > 4) || !together::pays(bytes, filters()) {
            return None;
        }
        let mut together = together::Rows { bytes, length: self.length, raw, rows: &mut self.rows };
        together::unfilter(self.level, &mut together);
        self.inflater.consume(needed);
        Some(rows)
    }

    /// Unfilters the next row.
    fn alone(&mut self) -> Result<usize, RowFault> {
        let bytes = self.bytes_a_pixel();
        let needed = self.length + 1;
        let filtered = if needed <= PIECE {
            self.inflater.peek(needed, &mut self.idat)?
        } else {
            self.gathered.clear();
            while self.gathered.len() < needed {
                let piece = self.inflater.peek(needed - self.gathered.len(), &mut self.idat)?;
                if piece.is_empty() {
                    break;
                }
                let taken = piece.len();
                self.gathered.extend_from_slice(piece);
                self.inflater.consume(taken);
            }
            &self.gathered
        };
        let [filter, raw @ ..] = filtered else { return Err(Fault::Ended.into()) };
        if raw.len() < self.length {
            return Err(Fault::Ended.into());
        }
        let (above, row) = self.rows.split_at_mut(self.length + together::SLACK);
        let (above, row) = (&above[..self.length], &mut row[..self.length]);
        if !unfilter::unfilter(self.level, *filter, bytes, raw, above, row) {
            return Err(RowFault::Filter(*filter));
        }
        if needed <= PIECE {
            self.inflater.consume(needed);
        }
        Ok(1)
    }
}
