//! Vectors of pixels: packing, shifting, and the predictors.

use fearless_simd::{Bytes, Select, Simd, prelude::*, u8x16, u16x8, u32x4};

/// The pixels that a prediction is made from.
#[derive(Clone, Copy)]
pub(super) struct Neighbours<S: Simd> {
    pub(super) left: u8x16<S>,
    pub(super) above: u8x16<S>,
    pub(super) upper_left: u8x16<S>,
}

impl<S: Simd> Neighbours<S> {
    /// At the start of a row.
    #[inline(always)]
    pub(super) fn new(simd: S) -> Self {
        let zero = u8x16::splat(simd, 0);
        Self { left: zero, above: zero, upper_left: zero }
    }
}

/// The Paeth predictor: whichever of left, above and upper left is nearest to left + above − upper left.
#[inline(always)]
pub(super) fn paeth<S: Simd>(neighbours: &Neighbours<S>) -> u8x16<S> {
    let Neighbours { left, above, upper_left } = *neighbours;
    let (low, high) = (left.min(above), left.max(above));
    // Distances of upper left to the higher and the lower one. If twice the one is at most the other, the
    // nearest is the other's; `scalar::paeth` is equivalent.
    let (below, over) = (high.saturating_sub(upper_left), upper_left.saturating_sub(low));
    let is_low = below.saturating_add(below).simd_le(over);
    let is_high = over.saturating_add(over).simd_le(below);
    is_high.select(high, is_low.select(low, upper_left))
}

/// Half of left + above, rounded down.
#[inline(always)]
pub(super) fn average<S: Simd>(neighbours: &Neighbours<S>) -> u8x16<S> {
    let Neighbours { left, above, .. } = *neighbours;
    (left & above) + (((left ^ above) >> 1_u32) & 0x7f)
}

/// Shifts pixels by one slot, with the last one of `top` in the first slot.
#[inline(always)]
pub(super) fn down<S: Simd, const SLOT: usize>(top: u8x16<S>, pixels: u8x16<S>) -> u8x16<S> {
    match SLOT {
        1 => top.slide::<15>(pixels),
        2 => top.slide::<14>(pixels),
        4 => top.slide::<12>(pixels),
        _ => top.slide::<8>(pixels),
    }
}

/// Shifts pixels back by one slot, with the first one of `next` in the last slot.
#[inline(always)]
pub(super) fn up<S: Simd, const SLOT: usize>(pixels: u8x16<S>, next: u8x16<S>) -> u8x16<S> {
    match SLOT {
        1 => pixels.slide::<1>(next),
        2 => pixels.slide::<2>(next),
        4 => pixels.slide::<4>(next),
        _ => pixels.slide::<8>(next),
    }
}

/// Rows to columns: each round interleaves the rows of the first half with those of the second.
#[inline(always)]
pub(super) fn transpose<S: Simd, const SLOT: usize, const ROWS: usize>(
    mut block: [u8x16<S>; ROWS],
) -> [u8x16<S>; ROWS] {
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

/// Reverses the order of the pixels.
#[inline(always)]
pub(super) fn reverse<S: Simd, const SLOT: usize>(pixels: u8x16<S>) -> u8x16<S> {
    match SLOT {
        1 => pixels.reverse(),
        2 => pixels.bitcast::<u16x8<S>>().reverse().bitcast(),
        _ => pixels.bitcast::<u32x4<S>>().reverse().bitcast(),
    }
}

/// Pixels of three or six bytes to four or eight each.
#[inline(always)]
pub(super) fn spread<S: Simd, const BYTES: usize>(pixels: u8x16<S>) -> u8x16<S> {
    match BYTES {
        3 => pixels.swizzle_dyn([0, 1, 2, 15, 3, 4, 5, 15, 6, 7, 8, 15, 9, 10, 11, 15]),
        6 => pixels.swizzle_dyn([0, 1, 2, 3, 4, 5, 15, 15, 6, 7, 8, 9, 10, 11, 15, 15]),
        _ => pixels,
    }
}

/// The inverse of [`spread`].
#[inline(always)]
pub(super) fn gather<S: Simd, const BYTES: usize>(pixels: u8x16<S>) -> u8x16<S> {
    match BYTES {
        3 => pixels.swizzle_dyn([0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 15, 15, 15]),
        6 => pixels.swizzle_dyn([0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 15, 15, 15, 15]),
        _ => pixels,
    }
}

/// The last pixel in every slot.
#[inline(always)]
pub(super) fn last<S: Simd, const SLOT: usize>(pixels: u8x16<S>) -> u8x16<S> {
    match SLOT {
        1 => pixels.swizzle_dyn([15; 16]),
        2 => pixels.swizzle_dyn([14, 15, 14, 15, 14, 15, 14, 15, 14, 15, 14, 15, 14, 15, 14, 15]),
        4 => pixels.swizzle_dyn([12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15]),
        _ => pixels.swizzle_dyn([8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]),
    }
}

#[inline(always)]
pub(super) fn load(from: &[u8], at: usize) -> [u8; 16] {
    from[at..at + 16].try_into().unwrap_or_default()
}
