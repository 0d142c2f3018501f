//! Decompresses and unfilters the rows of a PNG.

use fearless_simd::Level;

use super::idat::Idat;
use super::inflate::{Fault, Inflater, PIECE};
use super::unfilter::{self, wavefront};

/// Rows buffered if they are too wide to be unfiltered several at a time.
pub(super) const ROWS: usize = 5;

/// Why a row cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowFault {
    #[error(transparent)]
    Data(#[from] Fault),
    #[error("filter {0} does not exist")]
    Filter(u8),
}

/// Reads the rows of the image, or of one pass after the other.
pub(super) struct RowReader<'a> {
    idat: Idat<'a>,
    inflater: Inflater,
    level: Level,
    bits_a_pixel: usize,
    /// Bytes of a row, unfiltered.
    length: usize,
    /// Rows of the image, or pass, that are not unfiltered yet.
    left: u32,
    /// A filtered row that is longer than [`PIECE`].
    filtered_row: Vec<u8>,
    /// Unfiltered rows, each followed by slack. Before the first is a row of zeros.
    rows: Vec<u8>,
    /// The row returned last, and the last unfiltered one.
    returned: usize,
    last: usize,
}

impl<'a> RowReader<'a> {
    /// For the data from the chunk at `at` on.
    pub(super) fn new(bytes: &'a [u8], at: usize, colour: u8, bits: u8, level: Level) -> Self {
        let channels = match colour {
            0 | 3 => 1,
            4 => 2,
            2 => 3,
            _ => 4,
        };
        Self {
            idat: Idat::new(bytes, at),
            inflater: Inflater::new(level),
            level,
            bits_a_pixel: channels * usize::from(bits),
            length: 0,
            left: 0,
            filtered_row: Vec::new(),
            rows: Vec::new(),
            returned: 0,
            last: 0,
        }
    }

    /// Starts an image, or pass, of this size.
    pub(super) fn begin(&mut self, width: u32, height: u32) {
        self.length = (width as usize * self.bits_a_pixel).div_ceil(8);
        self.left = height;
        // Twice as many as are unfiltered at a time, so that the last one is seldom moved.
        let capacity = wavefront::count(self.bytes_a_pixel()).map_or(ROWS, |rows| 1 + 2 * rows.max(8));
        let rows = if 8 * self.length < PIECE { capacity } else { ROWS };
        self.rows.clear();
        self.rows.resize(rows.min(height as usize + 1) * self.stride(), 0);
        (self.returned, self.last) = (0, 0);
    }

    /// Reads the rest of the chunk and checks its CRC.
    pub(super) fn finish(self) -> Result<(), Fault> {
        self.idat.finish()
    }

    fn bytes_a_pixel(&self) -> usize {
        self.bits_a_pixel.div_ceil(8)
    }

    fn stride(&self) -> usize {
        self.length + wavefront::SLACK
    }

    /// The next row.
    pub(super) fn row(&mut self) -> Result<&[u8], RowFault> {
        if self.returned == self.last {
            match self.rows_at_once() {
                Some(rows) => self.unfilter_several(rows),
                None => self.unfilter_one()?,
            }
        }
        self.returned += 1;
        Ok(&self.rows[self.returned * self.stride()..][..self.length])
    }

    /// Reserves the next `rows` rows; returns their bytes, from the row above them on.
    fn reserve(&mut self, rows: usize) -> std::ops::Range<usize> {
        let stride = self.stride();
        if (self.last + rows + 1) * stride > self.rows.len() {
            self.rows.copy_within(self.last * stride..(self.last + 1) * stride, 0);
            (self.returned, self.last) = (0, 0);
        }
        let above = self.last;
        self.last += rows;
        self.left -= rows as u32;
        above * stride..(self.last + 1) * stride
    }

    /// How many of the next rows are unfiltered at once, if there are that many and it is faster.
    fn rows_at_once(&mut self) -> Option<usize> {
        let bytes = self.bytes_a_pixel();
        let rows = wavefront::count(bytes)?;
        if self.length < 32 * bytes {
            return None;
        }
        // Vectors of four rows go in pairs.
        if rows == 4 && self.is_faster(2 * rows) {
            return Some(2 * rows);
        }
        self.is_faster(rows).then_some(rows)
    }

    /// Whether the next rows are available, and unfiltering them at once is faster.
    fn is_faster(&mut self, rows: usize) -> bool {
        let (bytes, step) = (self.bytes_a_pixel(), self.length + 1);
        let needed = rows * step;
        if (self.left as usize) < rows || needed > PIECE {
            return false;
        }
        // A fault is reported when it is met row by row.
        let Ok(raw) = self.inflater.peek(needed, &mut self.idat) else { return false };
        let vector = wavefront::count(bytes).unwrap_or(rows) * step;
        let filters = |raw: &'_ [u8]| raw.iter().step_by(step).copied().collect::<Vec<_>>();
        raw.len() == needed
            && raw.chunks_exact(vector).map(filters).all(|filters| {
                filters.iter().all(|&filter| filter <= 4) && wavefront::is_faster(bytes, filters.into_iter())
            })
    }

    fn unfilter_several(&mut self, count: usize) {
        let (bytes, length) = (self.bytes_a_pixel(), self.length);
        let reserved = self.reserve(count);
        if let Ok(raw) = self.inflater.peek(count * (length + 1), &mut self.idat) {
            let mut rows = wavefront::Rows { bytes, length, raw, rows: &mut self.rows[reserved] };
            wavefront::unfilter(self.level, &mut rows);
            self.inflater.consume(count * (length + 1));
        }
    }

    fn unfilter_one(&mut self) -> Result<(), RowFault> {
        let bytes = self.bytes_a_pixel();
        let reserved = self.reserve(1);
        let needed = self.length + 1;
        let filtered = if needed <= PIECE {
            self.inflater.peek(needed, &mut self.idat)?
        } else {
            self.filtered_row.clear();
            while self.filtered_row.len() < needed {
                let piece = self.inflater.peek(needed - self.filtered_row.len(), &mut self.idat)?;
                if piece.is_empty() {
                    break;
                }
                let taken = piece.len();
                self.filtered_row.extend_from_slice(piece);
                self.inflater.consume(taken);
            }
            &self.filtered_row
        };
        let [filter, raw @ ..] = filtered else { return Err(Fault::Ended.into()) };
        if raw.len() < self.length {
            return Err(Fault::Ended.into());
        }
        let (above, row) = self.rows[reserved].split_at_mut(self.length + wavefront::SLACK);
        let (above, row) = (&above[..self.length], &mut row[..self.length]);
        if !unfilter::unfilter(self.level, *filter, bytes, raw, above, row) {
            return Err(RowFault::Filter(*filter));
        }
        if needed <= PIECE {
            self.inflater.consume(needed);
        }
        Ok(())
    }
}
