//! Reconstruction of several rows at once, as a wavefront: a pixel depends on the one before it, so a single row
//! is bound by latency, but each row can follow one pixel behind the row above. A vector holds a pixel of each.
//!
//! ```text
//! row 0   . . . 7 8          pixels with the same figure are computed in one step;
//! row 1   . . 7 8            the left, above and upper left ones are from the two steps before
//! row 2   . 7 8
//! ```
//!
//! Where a vector holds four rows, a second wavefront of four follows the first, to hide more of the latency.

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x16};

use super::vectors::{Neighbours, average, down, gather, load, paeth, reverse, spread, transpose};
use super::{AVERAGE, PAETH, SUB, UP};

/// The rows to be unfiltered, and their layout.
pub(in crate::codec::png::decode) struct Rows<'a> {
    /// Bytes of a pixel.
    pub(in crate::codec::png::decode) bytes: usize,
    /// Bytes of a row.
    pub(in crate::codec::png::decode) length: usize,
    /// The filtered rows, each after its filter type.
    pub(in crate::codec::png::decode) raw: &'a [u8],
    /// The row above the first, then the unfiltered rows, each of `length + SLACK` bytes.
    pub(in crate::codec::png::decode) rows: &'a mut [u8],
}

/// Bytes after each row that may be overwritten.
pub(in crate::codec::png::decode) const SLACK: usize = 16;

/// Rows in a vector, for pixels of so many bytes; none for 6 and 8.
pub(in crate::codec::png::decode) const fn count(bytes: usize) -> Option<usize> {
    match bytes {
        1 => Some(16),
        2 => Some(8),
        3 | 4 => Some(4),
        _ => None,
    }
}

/// Whether a wavefront is faster than single rows, for one vector of rows: by measured costs of a
/// pixel of `bytes` bytes, in tenths of a nanosecond.
pub(in crate::codec::png::decode) fn is_faster(bytes: usize, filters: impl Iterator<Item = u8>) -> bool {
    let ([sub, average, paeth], wavefront) = match bytes {
        1 => ([1, 14, 26], 88),
        2 => ([2, 18, 39], 60),
        _ => ([3, 18, 38], 56),
    };
    let single_row = |filter| match filter {
        SUB => sub,
        AVERAGE => average,
        PAETH => paeth,
        _ => 0,
    };
    filters.map(single_row).sum::<u32>() > wavefront
}

/// Unfilters the rows: one vector of them or, for pixels of 3 and 4 bytes, one or two.
pub(in crate::codec::png::decode) fn unfilter(level: Level, rows: &mut Rows<'_>) {
    dispatch!(level, simd => by_layout(simd, rows));
}

#[inline(always)]
fn by_layout<S: Simd>(simd: S, rows: &mut Rows<'_>) {
    simd.vectorize(
        #[inline(always)]
        || match rows.bytes {
            1 => one::<S, 1, 1, 16>(simd, rows),
            2 => one::<S, 2, 2, 8>(simd, rows),
            bytes => match (bytes, rows.raw.len() / (rows.length + 1)) {
                (3, 4) => one::<S, 3, 4, 4>(simd, rows),
                (3, _) => two::<S, 3, 4, 4>(simd, rows),
                (_, 4) => one::<S, 4, 4, 4>(simd, rows),
                _ => two::<S, 4, 4, 4>(simd, rows),
            },
        },
    );
}

/// Unfilters one vector of rows.
#[inline(always)]
fn one<S: Simd, const BYTES: usize, const SLOT: usize, const ROWS: usize>(simd: S, rows: &mut Rows<'_>) {
    let mut wavefront = Wavefront::<S, BYTES, SLOT, ROWS>::new(simd, rows, 0);
    wavefront.begin(rows.rows);
    if wavefront.all_paeth {
        while wavefront.block::<false>(rows.rows) {}
    } else {
        while wavefront.block::<true>(rows.rows) {}
    }
    wavefront.end(rows.rows);
}

/// Unfilters two vectors of rows.
#[inline(always)]
fn two<S: Simd, const BYTES: usize, const SLOT: usize, const ROWS: usize>(simd: S, rows: &mut Rows<'_>) {
    let mut first = Wavefront::<S, BYTES, SLOT, ROWS>::new(simd, rows, 0);
    let mut second = Wavefront::<S, BYTES, SLOT, ROWS>::new(simd, rows, 1);
    let rows = &mut *rows.rows;
    first.begin(rows);
    // With a lead of one block the second would wait for results of the first in the same round.
    let mut has_block = true;
    for _ in 0..3 {
        has_block = has_block && first.block::<true>(rows);
    }
    if has_block {
        second.begin(rows);
        if first.all_paeth && second.all_paeth {
            while first.block::<false>(rows) {
                second.block::<false>(rows);
            }
        } else {
            while first.block::<true>(rows) {
                second.block::<true>(rows);
            }
        }
    } else {
        first.end(rows);
        second.begin(rows);
    }
    first.end(rows);
    while second.block::<true>(rows) {}
    second.end(rows);
}

/// Masks of the rows' filters, a byte for each byte of the vector.
struct Filters<S: Simd> {
    sub: u8x16<S>,
    up: u8x16<S>,
    average: u8x16<S>,
    paeth: u8x16<S>,
}

/// The state of a wavefront of `ROWS` rows. Pixels have `BYTES` bytes, which take `SLOT` in the vector.
struct Wavefront<'a, S: Simd, const BYTES: usize, const SLOT: usize, const ROWS: usize> {
    simd: S,
    raw: [&'a [u8]; ROWS],
    filters: Filters<S>,
    all_paeth: bool,
    neighbours: Neighbours<S>,
    /// The first row's next pixel.
    step: usize,
    pixels: usize,
    stride: usize,
    /// Offset of the row above the first.
    above: usize,
}

impl<'a, S: Simd, const BYTES: usize, const SLOT: usize, const ROWS: usize>
    Wavefront<'a, S, BYTES, SLOT, ROWS>
{
    #[inline(always)]
    fn new(simd: S, rows: &Rows<'a>, number: usize) -> Self {
        let (length, stride) = (rows.length, rows.length + SLACK);
        let all = &rows.raw[number * ROWS * (length + 1)..];
        let filter = |number: u8| {
            let is = |byte: usize| all[byte / SLOT * (length + 1)] == number;
            let mask: [u8; 16] = std::array::from_fn(|byte| if is(byte) { 255 } else { 0 });
            u8x16::simd_from(simd, mask)
        };
        Self {
            simd,
            raw: std::array::from_fn(|row| &all[row * (length + 1) + 1..][..length]),
            filters: Filters {
                sub: filter(SUB),
                up: filter(UP),
                average: filter(AVERAGE),
                paeth: filter(PAETH),
            },
            all_paeth: (0..ROWS).all(|row| all[row * (length + 1)] == PAETH),
            neighbours: Neighbours::new(simd),
            step: 0,
            pixels: length / BYTES,
            stride,
            above: number * ROWS * stride,
        }
    }

    /// The steps before the last row begins.
    #[inline(always)]
    fn begin(&mut self, rows: &mut [u8]) {
        while self.step < ROWS - 1 {
            self.checked_step(rows);
        }
    }

    /// The remaining steps.
    #[inline(always)]
    fn end(&mut self, rows: &mut [u8]) {
        while self.step < self.pixels + ROWS - 1 {
            self.checked_step(rows);
        }
    }

    /// Checked path: a step in which not all rows take part.
    fn checked_step(&mut self, rows: &mut [u8]) {
        let Self { simd, step, pixels, .. } = *self;
        let (mut bytes, mut top, mut active) = ([0; 16], [0; 16], [0; 16]);
        let pixel_of = |row: usize| step.checked_sub(row).filter(|&pixel| pixel < pixels);
        for row in 0..ROWS {
            let Some(pixel) = pixel_of(row) else { continue };
            bytes[row * SLOT..][..BYTES].copy_from_slice(&self.raw[row][pixel * BYTES..][..BYTES]);
            active[row * SLOT..][..BYTES].fill(255);
        }
        if step < pixels {
            top[16 - SLOT..][..BYTES].copy_from_slice(&rows[self.above + step * BYTES..][..BYTES]);
        }
        self.neighbours.above = down::<S, SLOT>(u8x16::simd_from(simd, top), self.neighbours.left);
        let output = predict::<S, true>(&self.neighbours, &self.filters) + u8x16::simd_from(simd, bytes);
        let output = output & u8x16::simd_from(simd, active);
        (self.neighbours.left, self.neighbours.upper_left) = (output, self.neighbours.above);
        let output: [u8; 16] = output.into();
        for row in 0..ROWS {
            let Some(pixel) = pixel_of(row) else { continue };
            let to = self.above + (row + 1) * self.stride + pixel * BYTES;
            rows[to..to + BYTES].copy_from_slice(&output[row * SLOT..][..BYTES]);
        }
        self.step += 1;
    }

    /// `ROWS` steps in which all rows take part; false if fewer are left.
    #[inline(always)]
    fn block<const MIXED: bool>(&mut self, rows: &mut [u8]) -> bool {
        let (simd, step) = (self.simd, self.step);
        if step + 16_usize.div_ceil(BYTES) > self.pixels {
            return false;
        }
        let zero = u8x16::splat(simd, 0);
        let mut block = [zero; ROWS];
        for (row, pixels) in block.iter_mut().enumerate() {
            let raw = load(self.raw[row], (step - row) * BYTES);
            *pixels = spread::<S, BYTES>(u8x16::simd_from(simd, raw));
        }
        let mut block = transpose::<S, SLOT, ROWS>(block);
        let top = u8x16::simd_from(simd, load(rows, self.above + step * BYTES));
        let mut top = reverse::<S, SLOT>(spread::<S, BYTES>(top));
        let Neighbours { mut left, mut above, mut upper_left } = self.neighbours;
        for pixel in &mut block {
            above = down::<S, SLOT>(top, left);
            top = down::<S, SLOT>(zero, top);
            left = predict::<S, MIXED>(&Neighbours { left, above, upper_left }, &self.filters) + *pixel;
            upper_left = above;
            *pixel = left;
        }
        self.neighbours = Neighbours { left, above, upper_left };
        let block = transpose::<S, SLOT, ROWS>(block);
        for (row, pixels) in block.iter().enumerate() {
            let to = self.above + (row + 1) * self.stride + (step - row) * BYTES;
            gather::<S, BYTES>(*pixels).store_slice(&mut rows[to..to + 16]);
        }
        self.step += ROWS;
        true
    }
}

/// The prediction of each row's filter; all are Paeth's unless `MIXED`.
#[inline(always)]
fn predict<S: Simd, const MIXED: bool>(neighbours: &Neighbours<S>, filters: &Filters<S>) -> u8x16<S> {
    if !MIXED {
        return paeth(neighbours);
    }
    let Neighbours { left, above, .. } = *neighbours;
    let others = (left & filters.sub) | (above & filters.up) | (average(neighbours) & filters.average);
    (paeth(neighbours) & filters.paeth) | others
}
