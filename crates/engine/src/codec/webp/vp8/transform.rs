//! Inverse transforms (RFC 6386, section 14). Sums wrap at 16 bits, where only corrupt data takes them.

use fearless_simd::i16x16;
use fearless_simd::prelude::*;

use super::tokens::FourBlocks;
use crate::simd::{Lanes, array_from_fn};

/// Four rows of four blocks' residuals, beside each other.
pub(super) type Residuals = [[i16; 16]; 4];

/// The DC coefficients of luma blocks from those that were transformed once more.
pub(super) fn walsh_hadamard(input: &FourBlocks) -> [i16; 16] {
    // They were decoded as the first of four blocks.
    let at = |x: usize, y: usize| i32::from(input[16 * y + x]);
    let mut columns = [[0; 4]; 4];
    for (x, column) in columns.iter_mut().enumerate() {
        *column = butterfly([at(x, 0), at(x, 1), at(x, 2), at(x, 3)]);
    }
    let mut output = [0; 16];
    for (y, row) in output.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *row = butterfly(columns.map(|column| column[y])).map(|sum| ((sum + 3) >> 3) as i16);
    }
    output
}

fn butterfly([a, b, c, d]: [i32; 4]) -> [i32; 4] {
    let (sum, difference) = ([a + d, b + c], [a - d, b - c]);
    [sum[0] + sum[1], difference[0] + difference[1], sum[0] - sum[1], difference[0] - difference[1]]
}

/// Blocks that have but a DC coefficient.
#[inline(always)]
pub(super) fn dc_only(four: &FourBlocks) -> Residuals {
    let mut row = [0; 16];
    for (block, residuals) in row.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *residuals = [four[4 * block].wrapping_add(4) >> 3; 4];
    }
    [row; 4]
}

/// The inverse DCT of four blocks.
#[inline(always)]
pub(super) fn inverse_dct<S: Lanes>(simd: S, four: &FourBlocks) -> Residuals {
    // Of lanes and vectors, the index of each has four bits and two. A transposition by `turn` makes a bit of the
    // vector's index the lowest of the lane's, and the lane's highest the vector's.
    let rows = array_from_fn(|row| simd.load(&four[16 * row..]));
    let columns = turn(simd, turn(simd, pass(simd, rows)));
    let columns = pass(simd, columns);
    let columns = array_from_fn(|column| (columns[column] + 4) >> 3);
    let rows = turn(simd, columns);
    let mut residuals = [[0; 16]; 4];
    for row in 0..4 {
        rows[row].store_slice(&mut residuals[row]);
    }
    residuals
}

/// The transform across vectors.
#[inline(always)]
fn pass<S: Lanes>(simd: S, [r0, r1, r2, r3]: [i16x16<S>; 4]) -> [i16x16<S>; 4] {
    // × 65536: √2 cos(π/8) − 1, and √2 sin(π/8) − 1, which is negative to fit 16 bits.
    let cos = |value| value + simd.mul_high(value, i16x16::splat(simd, 20091));
    let sin = |value| value + simd.mul_high(value, i16x16::splat(simd, (35468 - 65536) as i16));
    let (a, b) = (r0 + r2, r0 - r2);
    let (c, d) = (sin(r1) - cos(r3), cos(r1) + sin(r3));
    [a + d, b + c, b - c, a - d]
}

/// Turns both bits of the vector's index.
#[inline(always)]
fn turn<S: Lanes>(simd: S, vectors: [i16x16<S>; 4]) -> [i16x16<S>; 4] {
    half_turn(simd, half_turn_high(simd, vectors))
}

#[inline(always)]
fn half_turn_high<S: Lanes>(simd: S, [a, b, c, d]: [i16x16<S>; 4]) -> [i16x16<S>; 4] {
    let ((a, c), (b, d)) = (simd.interleave_i16x16(a, c), simd.interleave_i16x16(b, d));
    [a, b, c, d]
}

#[inline(always)]
fn half_turn<S: Lanes>(simd: S, [a, b, c, d]: [i16x16<S>; 4]) -> [i16x16<S>; 4] {
    let ((a, b), (c, d)) = (simd.interleave_i16x16(a, b), simd.interleave_i16x16(c, d));
    [a, b, c, d]
}
