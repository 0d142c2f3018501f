//! The unfiltered rows of a PNG, one after the other.

use fearless_simd::Level;

use super::idat::Idat;
use super::inflate::{Fault, Inflater, PIECE};
use super::unfilter::{self, together};

/// Rows kept if they are too wide to be unfiltered together.
pub(super) const ROWS: usize = 5;

/// What can be wrong with a row.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowFault {
    #[error(transparent)]
    Data(#[from] Fault),
    #[error("filter {0} does not exist")]
    Filter(u8),
}

/// The unfiltered rows of the picture or of one pass after the other.
pub(super) struct Data<'a> {
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
    /// Rows that were unfiltered, each with some slack behind it. Before the first there is one of zeros.
    rows: Vec<u8>,
    /// Which of these was given last, and which is the last that there is.
    given: usize,
    last: usize,
}

impl<'a> Data<'a> {
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
            gathered: Vec::new(),
            rows: Vec::new(),
            given: 0,
            last: 0,
        }
    }

    /// Goes to the first row of a picture, or pass, of this size.
    pub(super) fn begin(&mut self, width: u32, height: u32) {
        self.length = (width as usize * self.bits_a_pixel).div_ceil(8);
        self.left = height;
        // Twice as many as go together, so that the last of them seldom needs to be moved.
        let together = together::count(self.bytes_a_pixel()).map_or(ROWS, |rows| 1 + 2 * rows.max(8));
        let rows = if 8 * self.length < PIECE { together } else { ROWS };
        self.rows.clear();
        self.rows.resize(rows.min(height as usize + 1) * self.stride(), 0);
        (self.given, self.last) = (0, 0);
    }

    /// Reads on to the end of the chunk, for its checksum.
    pub(super) fn finish(self) -> Result<(), Fault> {
        self.idat.finish()
    }

    fn bytes_a_pixel(&self) -> usize {
        self.bits_a_pixel.div_ceil(8)
    }

    fn stride(&self) -> usize {
        self.length + together::SLACK
    }

    /// The next row.
    pub(super) fn row(&mut self) -> Result<&[u8], RowFault> {
        if self.given == self.last {
            match self.together() {
                Some(rows) => self.unfilter_together(rows),
                None => self.unfilter_alone()?,
            }
        }
        self.given += 1;
        Ok(&self.rows[self.given * self.stride()..][..self.length])
    }

    /// Takes the places of the next `rows` rows, which begin with the row above them.
    fn places(&mut self, rows: usize) -> std::ops::Range<usize> {
        let stride = self.stride();
        if (self.last + rows + 1) * stride > self.rows.len() {
            self.rows.copy_within(self.last * stride..(self.last + 1) * stride, 0);
            (self.given, self.last) = (0, 0);
        }
        let above = self.last;
        self.last += rows;
        self.left -= rows as u32;
        above * stride..(self.last + 1) * stride
    }

    /// How many of the next rows are to be unfiltered together, if there are that many and it pays.
    fn together(&mut self) -> Option<usize> {
        let bytes = self.bytes_a_pixel();
        let rows = together::count(bytes)?;
        if self.length < 32 * bytes {
            return None;
        }
        // Two vectors full go together if they hold four rows.
        if rows == 4 && self.pays(2 * rows) {
            return Some(2 * rows);
        }
        self.pays(rows).then_some(rows)
    }

    /// Whether the next rows are there and it pays.
    fn pays(&mut self, rows: usize) -> bool {
        let (bytes, step) = (self.bytes_a_pixel(), self.length + 1);
        let needed = rows * step;
        if (self.left as usize) < rows || needed > PIECE {
            return false;
        }
        // Whatever is wrong is found again row by row.
        let Ok(raw) = self.inflater.peek(needed, &mut self.idat) else { return false };
        let vector = together::count(bytes).unwrap_or(rows) * step;
        let filters = |raw: &'_ [u8]| raw.iter().step_by(step).copied().collect::<Vec<_>>();
        raw.len() == needed
            && raw.chunks_exact(vector).map(filters).all(|filters| {
                filters.iter().all(|&filter| filter <= 4) && together::pays(bytes, filters.into_iter())
            })
    }

    fn unfilter_together(&mut self, rows: usize) {
        let (bytes, length) = (self.bytes_a_pixel(), self.length);
        let places = self.places(rows);
        if let Ok(raw) = self.inflater.peek(rows * (length + 1), &mut self.idat) {
            let mut together = together::Rows { bytes, length, raw, rows: &mut self.rows[places] };
            together::unfilter(self.level, &mut together);
            self.inflater.consume(rows * (length + 1));
        }
    }

    fn unfilter_alone(&mut self) -> Result<(), RowFault> {
        let bytes = self.bytes_a_pixel();
        let places = self.places(1);
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
        let (above, row) = self.rows[places].split_at_mut(self.length + together::SLACK);
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
