//! Reconstruction of a single row, a vector of its pixels at a time.

use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x16};

use super::vectors::{Neighbours, average, down, gather, last, load, paeth, spread, up};
use super::{AVERAGE, PAETH, SUB, UP, scalar};

/// Reverses a filter on a row of whole pixels of `bytes` bytes.
pub(super) fn unfilter(level: Level, filter: u8, bytes: usize, raw: &[u8], above: &[u8], row: &mut [u8]) {
    dispatch!(level, simd => by_layout(simd, filter, bytes, raw, above, row));
}

#[inline(always)]
fn by_layout<S: Simd>(simd: S, filter: u8, bytes: usize, raw: &[u8], above: &[u8], row: &mut [u8]) {
    simd.vectorize(
        #[inline(always)]
        || match bytes {
            1 => by_pixel::<S, 1, 1>(simd, filter, raw, above, row),
            2 => by_pixel::<S, 2, 2>(simd, filter, raw, above, row),
            3 => by_pixel::<S, 3, 4>(simd, filter, raw, above, row),
            4 => by_pixel::<S, 4, 4>(simd, filter, raw, above, row),
            6 => by_pixel::<S, 6, 8>(simd, filter, raw, above, row),
            _ => by_pixel::<S, 8, 8>(simd, filter, raw, above, row),
        },
    );
}

/// Pixels have `BYTES` bytes, which take `SLOT` in a vector.
#[inline(always)]
fn by_pixel<S: Simd, const BYTES: usize, const SLOT: usize>(
    simd: S,
    filter: u8,
    raw: &[u8],
    above: &[u8],
    row: &mut [u8],
) {
    let done = match filter {
        UP => 0,
        SUB => sub::<S, BYTES, SLOT>(simd, raw, row),
        // For one byte a pixel, scalar code is as fast.
        _ if BYTES == 1 => 0,
        AVERAGE => sequentially::<S, AVERAGE, BYTES, SLOT>(simd, raw, above, row),
        _ => sequentially::<S, PAETH, BYTES, SLOT>(simd, raw, above, row),
    };
    scalar::unfilter::<BYTES>(filter, raw, above, row, done);
}

/// Prefix sums, over the pixels of a vector and then over vectors. Returns the bytes done.
#[inline(always)]
fn sub<S: Simd, const BYTES: usize, const SLOT: usize>(simd: S, raw: &[u8], row: &mut [u8]) -> usize {
    let zero = u8x16::splat(simd, 0);
    let (mut carry, mut at) = (zero, 0);
    while at + 16 <= raw.len() {
        let mut sums = spread::<S, BYTES>(u8x16::simd_from(simd, load(raw, at)));
        if SLOT == 1 {
            sums += down::<S, 1>(zero, sums);
        }
        if SLOT <= 2 {
            sums += down::<S, 2>(zero, sums);
        }
        if SLOT <= 4 {
            sums += down::<S, 4>(zero, sums);
        }
        sums += down::<S, 8>(zero, sums);
        sums += carry;
        carry = last::<S, SLOT>(sums);
        gather::<S, BYTES>(sums).store_slice(&mut row[at..at + 16]);
        at += 16 / SLOT * BYTES;
    }
    at
}

/// One pixel after the other, in the first slot. Returns the bytes done.
#[inline(always)]
fn sequentially<S: Simd, const FILTER: u8, const BYTES: usize, const SLOT: usize>(
    simd: S,
    raw: &[u8],
    above: &[u8],
    row: &mut [u8],
) -> usize {
    let (mut neighbours, mut at) = (Neighbours::new(simd), 0);
    while at + 16 <= raw.len() {
        let mut pixels = spread::<S, BYTES>(u8x16::simd_from(simd, load(raw, at)));
        neighbours.above = spread::<S, BYTES>(u8x16::simd_from(simd, load(above, at)));
        let mut output = pixels;
        for _ in 0..16 / SLOT {
            let predicted = if FILTER == AVERAGE { average(&neighbours) } else { paeth(&neighbours) };
            neighbours.left = predicted + pixels;
            output = up::<S, SLOT>(output, neighbours.left);
            pixels = up::<S, SLOT>(pixels, pixels);
            neighbours.upper_left = neighbours.above;
            neighbours.above = up::<S, SLOT>(neighbours.above, neighbours.above);
        }
        gather::<S, BYTES>(output).store_slice(&mut row[at..at + 16]);
        at += 16 / SLOT * BYTES;
    }
    at
}
