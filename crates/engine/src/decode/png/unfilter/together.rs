//! Several rows unfiltered together. A sample needs the one before it, so a row alone waits for each
//! result before the next; but row after row can follow, each a pixel behind the one above. One vector
//! holds a pixel of each of them.
//!
//! ```text
//! row 0   . . . 7 8          at each step the pixels marked by one figure are made:
//! row 1   . . 7 8            the one on the left and the two above were made in the two steps before
//! row 2   . 7 8
//! ```

use fearless_simd::{Bytes, Level, Select, Simd, dispatch, prelude::*, u8x16, u16x8, u32x4};

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

/// How many rows go together, for pixels of so many bytes; not at all for 6 and 8.
pub(in crate::decode::png) const fn count(bytes: usize) -> Option<usize> {
    match bytes {
        1 => Some(16),
        2 => Some(8),
        3 | 4 => Some(4),
        _ => None,
    }
}

/// Whether it pays for rows with these filters, by what a pixel of `bytes` bytes was measured to take alone
/// and together, in tenths of a nanosecond.
pub(in crate::decode::png) fn pays(bytes: usize, filters: impl Iterator<Item = u8>) -> bool {
    let ([sub, average, paeth], together) = match bytes {
        1 => ([4, 14, 26], 88),
        2 => ([9, 18, 42], 60),
        _ => ([9, 25, 45], 58),
    };
    let alone = |filter| match filter {
        SUB => sub,
        AVERAGE => average,
        PAETH => paeth,
        _ => 0,
    };
    filters.map(alone).sum::<u32>() > together
}

/// Unfilters the rows.
pub(in crate::decode::png) fn unfilter(level: Level, rows: &mut Rows<'_>) {
    dispatch!(level, simd => by_layout(simd, rows));
}

#[inline(always)]
fn by_layout<S: Simd>(simd: S, rows: &mut Rows<'_>) {
    simd.vectorize(
        #[inline(always)]
        || match rows.bytes {
            1 => run::<S, 1, 1, 16>(simd, rows),
            2 => run::<S, 2, 2, 8>(simd, rows),
            3 => run::<S, 3, 4, 4>(simd, rows),
            _ => run::<S, 4, 4, 4>(simd, rows),
        },
    );
}

/// What the filters of the rows are, a byte of each mask for each byte of the vector.
struct Filters<S: Simd> {
    sub: u8x16<S>,
    up: u8x16<S>,
    average: u8x16<S>,
    paeth: u8x16<S>,
}

/// What was made in the steps before.
#[derive(Clone, Copy)]
struct Near<S: Simd> {
    left: u8x16<S>,
    above: u8x16<S>,
    corner: u8x16<S>,
}

/// Pixels have `BYTES` bytes, which take `SLOT` in the vector, for which `ROWS` rows go together.
#[inline(always)]
fn run<S: Simd, const BYTES: usize, const SLOT: usize, const ROWS: usize>(simd: S, rows: &mut Rows<'_>) {
    let length = rows.length;
    let stride = length + SLACK;
    let raw: [&[u8]; ROWS] = std::array::from_fn(|row| &rows.raw[row * (length + 1) + 1..][..length]);
    let filter = |number: u8| {
        let mask: [u8; 16] =
            std::array::from_fn(|byte| if rows.raw[byte / SLOT * (length + 1)] == number { 255 } else { 0 });
        u8x16::simd_from(simd, mask)
    };
    let filters =
        Filters { sub: filter(SUB), up: filter(UP), average: filter(AVERAGE), paeth: filter(PAETH) };
    let all_paeth = (0..ROWS).all(|row| rows.raw[row * (length + 1)] == PAETH);
    let (above, rows) = rows.rows.split_at_mut(stride);
    let above = &above[..length];

    let zero = u8x16::splat(simd, 0);
    let mut near = Near { left: zero, above: zero, corner: zero };
    let pixels = length / BYTES;
    // One step with care, at the ends, where not all rows take part.
    let careful = |near: &mut Near<S>, rows: &mut [u8], step: usize| {
        let (mut bytes, mut top, mut takes_part) = ([0; 16], [0; 16], [0; 16]);
        for (row, raw) in raw.iter().enumerate() {
            let Some(pixel) = step.checked_sub(row).filter(|&pixel| pixel < pixels) else { continue };
            bytes[row * SLOT..][..BYTES].copy_from_slice(&raw[pixel * BYTES..][..BYTES]);
            takes_part[row * SLOT..][..BYTES].fill(255);
        }
        if step < pixels {
            top[16 - SLOT..][..BYTES].copy_from_slice(&above[step * BYTES..][..BYTES]);
        }
        let (bytes, top) = (u8x16::simd_from(simd, bytes), u8x16::simd_from(simd, top));
        near.above = down::<S, SLOT>(top, near.left);
        let made = predict::<S, true>(near, &filters) + bytes;
        let made = made & u8x16::simd_from(simd, takes_part);
        (near.left, near.corner) = (made, near.above);
        let made: [u8; 16] = made.into();
        for row in 0..ROWS {
            let Some(pixel) = step.checked_sub(row).filter(|&pixel| pixel < pixels) else { continue };
            rows[row * stride + pixel * BYTES..][..BYTES].copy_from_slice(&made[row * SLOT..][..BYTES]);
        }
    };
    for step in 0..(ROWS - 1).min(pixels + ROWS - 1) {
        careful(&mut near, rows, step);
    }
    let places = Places { above, raw, stride, pixels };
    let step = if all_paeth {
        blocks::<S, false, BYTES, SLOT, ROWS>(simd, &mut near, &filters, &places, rows)
    } else {
        blocks::<S, true, BYTES, SLOT, ROWS>(simd, &mut near, &filters, &places, rows)
    };
    for step in step..pixels + ROWS - 1 {
        careful(&mut near, rows, step);
    }
}

/// Where pixels come from and go to.
struct Places<'a, const ROWS: usize> {
    above: &'a [u8],
    raw: [&'a [u8]; ROWS],
    stride: usize,
    pixels: usize,
}

/// The steps in which all rows take part, as many at once as a vector holds pixels, which is the number of
/// rows. Gives the first step that is left.
#[inline(always)]
fn blocks<S: Simd, const MIXED: bool, const BYTES: usize, const SLOT: usize, const ROWS: usize>(
    simd: S,
    near: &mut Near<S>,
    filters: &Filters<S>,
    places: &Places<'_, ROWS>,
    rows: &mut [u8],
) -> usize {
    let zero = u8x16::splat(simd, 0);
    let mut step = ROWS - 1;
    let Near { mut left, mut above, mut corner } = *near;
    while step + 16_usize.div_ceil(BYTES) <= places.pixels {
        let mut block = [zero; ROWS];
        for (row, (place, raw)) in block.iter_mut().zip(&places.raw).enumerate() {
            let pixels = load(raw, (step - row) * BYTES);
            *place = spread::<S, BYTES>(u8x16::simd_from(simd, pixels));
        }
        let mut block = transpose::<S, SLOT, ROWS>(block);
        let top = u8x16::simd_from(simd, load(places.above, step * BYTES));
        let mut top = reverse::<S, SLOT>(spread::<S, BYTES>(top));
        for place in &mut block {
            above = down::<S, SLOT>(top, left);
            top = down::<S, SLOT>(zero, top);
            left = predict::<S, MIXED>(&Near { left, above, corner }, filters) + *place;
            corner = above;
            *place = left;
        }
        let block = transpose::<S, SLOT, ROWS>(block);
        for (row, &pixels) in block.iter().enumerate() {
            let to = &mut rows[row * places.stride + (step - row) * BYTES..][..16];
            gather::<S, BYTES>(pixels).store_slice(to);
        }
        step += ROWS;
    }
    *near = Near { left, above, corner };
    step
}

/// The prediction of each row's filter; all are Paeth's unless `MIXED`.
#[inline(always)]
fn predict<S: Simd, const MIXED: bool>(near: &Near<S>, filters: &Filters<S>) -> u8x16<S> {
    let Near { left, above, corner } = *near;
    let (low, high) = (left.min(above), left.max(above));
    // How far the corner is below the higher and above the lower. The corner's double distance from one
    // being no more than its distance from the other says which is nearest; see `super::paeth`.
    let (below, over) = (high.saturating_sub(corner), corner.saturating_sub(low));
    let (twice_below, twice_over) = (below.saturating_add(below), over.saturating_add(over));
    let (is_low, is_high) = (twice_below.simd_le(over), twice_over.simd_le(below));
    if !MIXED {
        return is_high.select(high, is_low.select(low, corner));
    }
    let average = (left & above) + (((left ^ above) >> 1_u32) & 0x7f);
    let others = (left & filters.sub) | (above & filters.up) | (average & filters.average);
    let paeth = is_high.select(high, is_low.select(low, corner));
    (paeth & filters.paeth) | others
}

/// Each row's pixel to the row below, and the last one of `top` to the first.
#[inline(always)]
fn down<S: Simd, const SLOT: usize>(top: u8x16<S>, pixels: u8x16<S>) -> u8x16<S> {
    match SLOT {
        1 => top.slide::<15>(pixels),
        2 => top.slide::<14>(pixels),
        _ => top.slide::<12>(pixels),
    }
}

/// Rows to columns. Each round deals the pixels of the first half in between those of the second.
#[inline(always)]
fn transpose<S: Simd, const SLOT: usize, const ROWS: usize>(mut block: [u8x16<S>; ROWS]) -> [u8x16<S>; ROWS] {
    for _ in 0..ROWS.trailing_zeros() {
        let from = block;
        for pair in 0..ROWS / 2 {
            let (a, b) = (from[pair], from[pair + ROWS / 2]);
            (block[2 * pair], block[2 * pair + 1]) = match SLOT {
                1 => (a.zip_low(b), a.zip_high(b)),
                2 => {
                    let (a, b): (u16x8<S>, u16x8<S>) = (a.bitcast(), b.bitcast());
                    (a.zip_low(b).bitcast(), a.zip_high(b).bitcast())
                }
                _ => {
                    let (a, b): (u32x4<S>, u32x4<S>) = (a.bitcast(), b.bitcast());
                    (a.zip_low(b).bitcast(), a.zip_high(b).bitcast())
                }
            };
        }
    }
    block
}

#[inline(always)]
fn reverse<S: Simd, const SLOT: usize>(pixels: u8x16<S>) -> u8x16<S> {
    match SLOT {
        1 => pixels.reverse(),
        2 => pixels.bitcast::<u16x8<S>>().reverse().bitcast(),
        _ => pixels.bitcast::<u32x4<S>>().reverse().bitcast(),
    }
}

/// Pixels of three bytes to four each.
#[inline(always)]
fn spread<S: Simd, const BYTES: usize>(pixels: u8x16<S>) -> u8x16<S> {
    if BYTES != 3 {
        return pixels;
    }
    pixels.swizzle_dyn([0, 1, 2, 15, 3, 4, 5, 15, 6, 7, 8, 15, 9, 10, 11, 15])
}

/// And back.
#[inline(always)]
fn gather<S: Simd, const BYTES: usize>(pixels: u8x16<S>) -> u8x16<S> {
    if BYTES != 3 {
        return pixels;
    }
    pixels.swizzle_dyn([0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 15, 15, 15])
}

#[inline(always)]
fn load(from: &[u8], at: usize) -> [u8; 16] {
    from[at..at + 16].try_into().unwrap_or_default()
}
