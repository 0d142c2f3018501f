//! Several rows unfiltered together. A sample needs the one before it, so a row alone waits for each
//! result before the next; but row after row can follow, each a pixel behind the one above. One vector
//! holds a pixel of each of them.
//!
//! ```text
//! row 0   . . . 7 8          at each step the pixels marked by one figure are made:
//! row 1   . . 7 8            the one on the left and the two above were made in the two steps before
//! row 2   . 7 8
//! ```

//!
//! Where a vector holds four rows, a second four follow some pixels behind the first: each waits for
//! results, and meanwhile the processor works on the other.

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x16};

use super::vectors::{Near, average, down, gather, load, paeth, reverse, spread, transpose};
use super::{AVERAGE, PAETH, SUB, UP};

/// How the rows to be unfiltered lie.
pub(in crate::decode::png) struct Rows<'a> {
    /// Bytes of a pixel.
    pub(in crate::decode::png) bytes: usize,
    /// Bytes of a row.
    pub(in crate::decode::png) length: usize,
    /// The filtered rows, each behind the number of its filter.
    pub(in crate::decode::png) raw: &'a [u8],
    /// The row above the first, then the unfiltered ones, each of `length + SLACK` bytes.
    pub(in crate::decode::png) rows: &'a mut [u8],
}

/// Bytes behind each row that may be overwritten.
pub(in crate::decode::png) const SLACK: usize = 16;

/// How many rows make a vector, for pixels of so many bytes; none for 6 and 8.
pub(in crate::decode::png) const fn count(bytes: usize) -> Option<usize> {
    match bytes {
        1 => Some(16),
        2 => Some(8),
        3 | 4 => Some(4),
        _ => None,
    }
}

/// Whether it pays for as many rows as make a vector, by what a pixel of `bytes` bytes was measured to take
/// alone and together, in tenths of a nanosecond.
pub(in crate::decode::png) fn pays(bytes: usize, filters: impl Iterator<Item = u8>) -> bool {
    let ([sub, average, paeth], together) = match bytes {
        1 => ([1, 14, 26], 88),
        2 => ([2, 18, 39], 60),
        _ => ([3, 18, 38], 56),
    };
    let alone = |filter| match filter {
        SUB => sub,
        AVERAGE => average,
        PAETH => paeth,
        _ => 0,
    };
    filters.map(alone).sum::<u32>() > together
}

/// Unfilters the rows, which must be one or, for pixels of 3 and 4 bytes, two vectors full.
pub(in crate::decode::png) fn unfilter(level: Level, rows: &mut Rows<'_>) {
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

/// Unfilters as many rows as make a vector.
#[inline(always)]
fn one<S: Simd, const BYTES: usize, const SLOT: usize, const ROWS: usize>(simd: S, rows: &mut Rows<'_>) {
    let mut front = Front::<S, BYTES, SLOT, ROWS>::new(simd, rows, 0);
    front.begin(rows.rows);
    if front.all_paeth {
        while front.block::<false>(rows.rows) {}
    } else {
        while front.block::<true>(rows.rows) {}
    }
    front.end(rows.rows);
}

/// Unfilters twice as many.
#[inline(always)]
fn two<S: Simd, const BYTES: usize, const SLOT: usize, const ROWS: usize>(simd: S, rows: &mut Rows<'_>) {
    let mut first = Front::<S, BYTES, SLOT, ROWS>::new(simd, rows, 0);
    let mut second = Front::<S, BYTES, SLOT, ROWS>::new(simd, rows, 1);
    let rows = &mut *rows.rows;
    first.begin(rows);
    // The lead: with one block the second would still wait for what the first makes in the same round.
    let mut goes_on = true;
    for _ in 0..3 {
        goes_on = goes_on && first.block::<true>(rows);
    }
    if goes_on {
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

/// What the filters of the rows are, a byte of each mask for each byte of the vector.
struct Filters<S: Simd> {
    sub: u8x16<S>,
    up: u8x16<S>,
    average: u8x16<S>,
    paeth: u8x16<S>,
}

/// `ROWS` rows under way. Pixels have `BYTES` bytes, which take `SLOT` in the vector.
struct Front<'a, S: Simd, const BYTES: usize, const SLOT: usize, const ROWS: usize> {
    simd: S,
    raw: [&'a [u8]; ROWS],
    filters: Filters<S>,
    all_paeth: bool,
    near: Near<S>,
    /// The first row's next pixel.
    step: usize,
    pixels: usize,
    stride: usize,
    /// Where the row above the first begins.
    above: usize,
}

impl<'a, S: Simd, const BYTES: usize, const SLOT: usize, const ROWS: usize> Front<'a, S, BYTES, SLOT, ROWS> {
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
            near: Near::new(simd),
            step: 0,
            pixels: length / BYTES,
            stride,
            above: number * ROWS * stride,
        }
    }

    /// The steps before the last row takes part.
    #[inline(always)]
    fn begin(&mut self, rows: &mut [u8]) {
        while self.step < ROWS - 1 {
            self.careful(rows);
        }
    }

    /// The steps that are left.
    #[inline(always)]
    fn end(&mut self, rows: &mut [u8]) {
        while self.step < self.pixels + ROWS - 1 {
            self.careful(rows);
        }
    }

    /// One step in which not all rows need take part.
    fn careful(&mut self, rows: &mut [u8]) {
        let Self { simd, step, pixels, .. } = *self;
        let (mut bytes, mut top, mut takes_part) = ([0; 16], [0; 16], [0; 16]);
        let pixel_of = |row: usize| step.checked_sub(row).filter(|&pixel| pixel < pixels);
        for row in 0..ROWS {
            let Some(pixel) = pixel_of(row) else { continue };
            bytes[row * SLOT..][..BYTES].copy_from_slice(&self.raw[row][pixel * BYTES..][..BYTES]);
            takes_part[row * SLOT..][..BYTES].fill(255);
        }
        if step < pixels {
            top[16 - SLOT..][..BYTES].copy_from_slice(&rows[self.above + step * BYTES..][..BYTES]);
        }
        self.near.above = down::<S, SLOT>(u8x16::simd_from(simd, top), self.near.left);
        let made = predict::<S, true>(&self.near, &self.filters) + u8x16::simd_from(simd, bytes);
        let made = made & u8x16::simd_from(simd, takes_part);
        (self.near.left, self.near.corner) = (made, self.near.above);
        let made: [u8; 16] = made.into();
        for row in 0..ROWS {
            let Some(pixel) = pixel_of(row) else { continue };
            let to = self.above + (row + 1) * self.stride + pixel * BYTES;
            rows[to..to + BYTES].copy_from_slice(&made[row * SLOT..][..BYTES]);
        }
        self.step += 1;
    }

    /// Steps in which all rows take part, as many as a vector holds pixels, which is the number of rows.
    /// False if there are no more so many.
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
        let Near { mut left, mut above, mut corner } = self.near;
        for pixel in &mut block {
            above = down::<S, SLOT>(top, left);
            top = down::<S, SLOT>(zero, top);
            left = predict::<S, MIXED>(&Near { left, above, corner }, &self.filters) + *pixel;
            corner = above;
            *pixel = left;
        }
        self.near = Near { left, above, corner };
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
fn predict<S: Simd, const MIXED: bool>(near: &Near<S>, filters: &Filters<S>) -> u8x16<S> {
    if !MIXED {
        return paeth(near);
    }
    let Near { left, above, .. } = *near;
    let others = (left & filters.sub) | (above & filters.up) | (average(near) & filters.average);
    (paeth(near) & filters.paeth) | others
}
