//! Inverse DCT (ITU-T T.81, A.3.3), at reduced scales to the means of the pixels of each reduced sample, as far
//! as they follow from the coefficients that are used.
//!
//! Separable, in integers with 12-bit constants. Samples are in sixteenths of a code value, 0 to 4080.

use fearless_simd::prelude::*;
use fearless_simd::{i16x8, i16x16, i32x4, i32x8};

use crate::simd::{Lanes, array_from_fn};

/// A sample in the middle of the range.
pub(super) const MIDDLE: i16 = 128 * 16;
/// The brightest sample.
const BRIGHTEST: i32 = 255 * 16;

/// The sample of a block of which only the DC coefficient is used.
#[inline(always)]
pub(super) fn mean(dc: i32) -> i16 {
    // The mean is an eighth of it; beyond these it is out of range.
    (dc.clamp(-1024, 1016) * 2) as i16 + MIDDLE
}

/// The samples of a flat block, in whole code values as its pixels are.
#[inline(always)]
pub(super) fn flat(dc: i32) -> i16 {
    (((dc.clamp(-1024, 1016) + 4) >> 3) << 4) as i16 + MIDDLE
}

/// All 64 pixels of a block, in whole code values, into rows `stride` apart.
#[inline(always)]
pub(super) fn eight_by_eight<S: Lanes>(simd: S, block: &[i16; 64], target: &mut [i16], stride: usize) {
    let rows = array_from_fn(|v| i16x8::from_slice(simd, &block[v * 8..v * 8 + 8]));
    let columns = eight_at_once(simd, rows);
    let columns: [i16x8<S>; 8] = array_from_fn(|y| narrow(simd, (columns[y] + (1 << 8)) >> 9));
    let pixels = eight_at_once(simd, transposed(simd, columns));
    let middle = (1 << 17) + (i32::from(MIDDLE) << 14);
    let pixels: [i16x8<S>; 8] = array_from_fn(|x| narrow(simd, (pixels[x] + middle) >> 18) << 4);
    let (darkest, brightest) = (i16x8::splat(simd, 0), i16x8::splat(simd, BRIGHTEST as i16));
    for (y, row) in transposed(simd, pixels).into_iter().enumerate() {
        row.max(darkest).min(brightest).store_slice(&mut target[y * stride..][..8]);
    }
}

/// [`eight`] of eight columns, two products at a time.
#[inline(always)]
fn eight_at_once<S: Lanes>(simd: S, f: [i16x8<S>; 8]) -> [i32x8<S>; 8] {
    let pairs = |a: usize, b: usize| {
        let (low, high) = simd.interleave_i16x8(f[a], f[b]);
        low.combine(high)
    };
    let dot = |pairs: i16x16<S>, a: i32, b: i32| {
        let factors = array_from_fn(|lane| if lane % 2 == 0 { a as i16 } else { b as i16 });
        simd.pairwise_dot_product_i16x16(pairs, i16x16::simd_from(simd, factors))
    };
    let [c1, c2, c3, _, c5, c6, c7] = COSINES;
    let (ends, quarters) = (pairs(0, 4), pairs(2, 6));
    let (sum, difference) = (dot(ends, ONE, ONE), dot(ends, ONE, -ONE));
    let (outer, inner) = (dot(quarters, c2, c6), dot(quarters, c6, -c2));
    let even = [sum + outer, difference + inner, difference - inner, sum - outer];
    let (low, high) = (pairs(1, 3), pairs(5, 7));
    let odd = [
        dot(low, c1, c3) + dot(high, c5, c7),
        dot(low, c3, -c7) + dot(high, -c1, -c5),
        dot(low, c5, -c1) + dot(high, c7, c3),
        dot(low, c7, -c5) + dot(high, c3, -c1),
    ];
    array_from_fn(|x| if x < 4 { even[x] + odd[x] } else { even[7 - x] - odd[7 - x] })
}

/// The means of 2 × 2 pixels, as by [`reduced_samples`].
#[inline(always)]
pub(super) fn four_by_four<S: Lanes>(simd: S, block: &[i16; 64], target: &mut [i16], stride: usize) {
    let rows: [i16x8<S>; 4] = array_from_fn(|v| i16x8::from_slice(simd, &block[v * 8..v * 8 + 8]));
    let pairs = (simd.zip_low_i16x8(rows[0], rows[2]), simd.zip_low_i16x8(rows[1], rows[3]));
    let columns = four_at_once(simd, pairs);
    let columns: [i32x4<S>; 4] = array_from_fn(|y| (columns[y] + (1 << 8)) >> 9);
    // Two rows a vector: of each row the even ones are a pair, and the odd ones.
    let (upper, lower) = (
        simd.saturating_narrow_i32x4(columns[0], columns[1]),
        simd.saturating_narrow_i32x4(columns[2], columns[3]),
    );
    let samples = four_at_once(simd, simd.deinterleave_i16x8(upper, lower));
    let middle = (1 << 13) + (i32::from(MIDDLE) << 14);
    let samples: [i32x4<S>; 4] = array_from_fn(|x| (samples[x] + middle) >> 14);
    let (left, right) = (
        simd.saturating_narrow_i32x4(samples[0], samples[1]),
        simd.saturating_narrow_i32x4(samples[2], samples[3]),
    );
    let (even, odd) = simd.interleave_i16x8(left, right);
    let (upper, lower) = simd.interleave_i16x8(even, odd);
    let (darkest, brightest) = (i16x8::splat(simd, 0), i16x8::splat(simd, BRIGHTEST as i16));
    for (half, rows) in [upper, lower].into_iter().enumerate() {
        let rows = rows.max(darkest).min(brightest);
        for (y, row) in rows.as_slice().chunks_exact(4).enumerate() {
            target[(half * 2 + y) * stride..][..4].copy_from_slice(row);
        }
    }
}

/// [`four`] of four columns: of each the first number with the third, and the second with the fourth.
#[inline(always)]
fn four_at_once<S: Lanes>(simd: S, (even, odd): (i16x8<S>, i16x8<S>)) -> [i32x4<S>; 4] {
    let (even_0, even_1) = (dot(simd, even, ONE, HALVES[1]), dot(simd, even, ONE, -HALVES[1]));
    let (odd_0, odd_1) = (dot(simd, odd, HALVES[0], HALVES[3]), dot(simd, odd, HALVES[2], -HALVES[4]));
    [even_0 + odd_0, even_1 + odd_1, even_1 - odd_1, even_0 - odd_0]
}

/// The means of 4 × 4 pixels, with `dc` as DC coefficient.
#[inline(always)]
pub(super) fn two_by_two<S: Lanes>(simd: S, dc: i16, block: &[i16; 64], target: &mut [i16], stride: usize) {
    let row =
        |v: usize| -> i16x8<S> { i16x8::simd_from(simd, array_from_fn(|lane| block[v * 8 + lane % 2])) };
    const A: i16 = QUARTER as i16;
    const B: i16 = fixed(0.906_127 * 0.906_127) as i16;
    let upper = i16x8::simd_from(simd, [0, A, 0, -A, 0, A, 0, -A]);
    let lower = i16x8::simd_from(simd, [A, B, A, -B, -A, -B, -A, B]);
    let sums =
        simd.pairwise_dot_product_i16x8(row(0), upper) + simd.pairwise_dot_product_i16x8(row(1), lower);
    let middle = (1 << 10) + (i32::from(MIDDLE) << 11);
    let samples = (sums + (i32::from(dc) * ONE + middle)) >> 11;
    let samples = simd.saturating_narrow_i32x4(samples, samples);
    let samples = samples.max(i16x8::splat(simd, 0)).min(i16x8::splat(simd, BRIGHTEST as i16));
    target[..2].copy_from_slice(&samples.as_slice()[..2]);
    target[stride..][..2].copy_from_slice(&samples.as_slice()[2..4]);
}

/// Sums of two products.
#[inline(always)]
fn dot<S: Lanes>(simd: S, pairs: i16x8<S>, a: i32, b: i32) -> i32x4<S> {
    let factors = array_from_fn(|lane| if lane % 2 == 0 { a as i16 } else { b as i16 });
    simd.pairwise_dot_product_i16x8(pairs, i16x8::simd_from(simd, factors))
}

#[inline(always)]
fn narrow<S: Lanes>(simd: S, row: i32x8<S>) -> i16x8<S> {
    let (low, high) = row.split();
    simd.saturating_narrow_i32x4(low, high)
}

#[inline(always)]
fn transposed<S: Lanes>(simd: S, rows: [i16x8<S>; 8]) -> [i16x8<S>; 8] {
    // Three rounds of interleaving rows that are four apart reverse the three bits of the index.
    let mut rows = rows;
    for _ in 0..3 {
        let before = rows;
        for index in 0..4 {
            let (low, high) = simd.interleave_i16x8(before[index], before[index + 4]);
            (rows[2 * index], rows[2 * index + 1]) = (low, high);
        }
    }
    rows
}

/// Transforms a block to `ACROSS` × `DOWN` samples, written into rows `stride` apart.
#[inline(always)]
pub(super) fn reduced_samples<const ACROSS: usize, const DOWN: usize>(
    block: &[i16; 64],
    target: &mut [i16],
    stride: usize,
) {
    let mut columns = [[0; DOWN]; ACROSS];
    for (u, column) in columns.iter_mut().enumerate() {
        let sums = points::<DOWN>(array_from_fn(|v| block[v * 8 + u].into()));
        for (target, sum) in column.iter_mut().zip(sums) {
            // Three bits more than whole coefficients; only corrupt data is out of range.
            *target = ((sum + (1 << 8)) >> 9).clamp(-32768, 32767);
        }
    }
    for y in 0..DOWN {
        let sums = points::<ACROSS>(array_from_fn(|u| columns[u][y]));
        let row = &mut target[y * stride..][..ACROSS];
        for (sample, sum) in row.iter_mut().zip(sums) {
            // An eighth for both passes, times sixteen; pixels are in whole code values.
            let value = if (ACROSS, DOWN) == (8, 8) {
                ((sum + (1 << 17)) >> 18) << 4
            } else {
                (sum + (1 << 13)) >> 14
            };
            *sample = (value + i32::from(MIDDLE)).clamp(0, BRIGHTEST) as i16;
        }
    }
}

/// The one-dimensional transform: F₀ + √2 Σ Fᵤ bᵤ(x), with bᵤ(x) the mean of cos((2i + 1)uπ / 16) over the
/// pixels i of sample x, in 12 bits.
#[inline(always)]
fn points<const N: usize>(f: [i32; N]) -> [i32; N] {
    match N {
        1 => array_from_fn(|_| f[0] * ONE),
        2 => {
            let odd = f[1] * QUARTER;
            array_from_fn(|x| f[0] * ONE + if x == 0 { odd } else { -odd })
        }
        4 => {
            let sums = four([f[0], f[1], f[2], f[3]]);
            array_from_fn(|x| sums[x])
        }
        _ => {
            let sums = eight(array_from_fn(|u| f[u]));
            array_from_fn(|x| sums[x])
        }
    }
}

const ONE: i32 = 1 << 12;

/// In 12 bits.
const fn fixed(value: f64) -> i32 {
    (value * 4096.0 + 0.5) as i32
}

/// √2 times the mean of cos((2i + 1)π / 16) over four pixels.
const QUARTER: i32 = fixed(0.906_127);
/// √2 times the means of two pixels, for [`four`].
const HALVES: [i32; 5] =
    [fixed(1.281_458), fixed(0.923_880), fixed(0.530_797), fixed(0.449_988), fixed(1.086_368)];

/// Means of two pixels.
#[inline(always)]
fn four(f: [i32; 4]) -> [i32; 4] {
    let middle = f[2] * HALVES[1];
    let (even_0, even_1) = (f[0] * ONE + middle, f[0] * ONE - middle);
    let odd_0 = f[1] * HALVES[0] + f[3] * HALVES[3];
    let odd_1 = f[1] * HALVES[2] - f[3] * HALVES[4];
    [even_0 + odd_0, even_1 + odd_1, even_1 - odd_1, even_0 - odd_0]
}

/// √2 cos(uπ / 16) for u from 1 to 7.
const COSINES: [i32; 7] = [
    fixed(1.387_040),
    fixed(1.306_563),
    fixed(1.175_876),
    fixed(1.0),
    fixed(0.785_695),
    fixed(0.541_196),
    fixed(0.275_899),
];

/// The full transform, by its symmetry.
#[inline(always)]
fn eight(f: [i32; 8]) -> [i32; 8] {
    let [c1, c2, c3, _, c5, c6, c7] = COSINES;
    let (sum, difference) = ((f[0] + f[4]) * ONE, (f[0] - f[4]) * ONE);
    let (outer, inner) = (f[2] * c2 + f[6] * c6, f[2] * c6 - f[6] * c2);
    let even = [sum + outer, difference + inner, difference - inner, sum - outer];
    let odd = [
        f[1] * c1 + f[3] * c3 + f[5] * c5 + f[7] * c7,
        f[1] * c3 - f[3] * c7 - f[5] * c1 - f[7] * c5,
        f[1] * c5 - f[3] * c1 + f[5] * c7 + f[7] * c3,
        f[1] * c7 - f[3] * c5 + f[5] * c3 - f[7] * c1,
    ];
    [
        even[0] + odd[0],
        even[1] + odd[1],
        even[2] + odd[2],
        even[3] + odd[3],
        even[3] - odd[3],
        even[2] - odd[2],
        even[1] - odd[1],
        even[0] - odd[0],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, SimdLevel};

    fn exact(block: &[i16; 64], x: usize, y: usize) -> f64 {
        let basis = |u: usize, at: usize| {
            let norm = if u == 0 { 0.5_f64.sqrt() } else { 1.0 };
            norm * ((2 * at + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0).cos()
        };
        let terms = (0..64).map(|i| f64::from(block[i]) * basis(i % 8, x) * basis(i / 8, y));
        128.0 + terms.sum::<f64>() / 4.0
    }

    /// A block with coefficients up to `limit` in both directions, the same every time.
    fn block(seed: u32, limit: usize) -> [i16; 64] {
        let mut state = seed;
        std::array::from_fn(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let size = 200 / (1 + i % 8 + i / 8) as i32;
            let value = (state >> 16) as i32 % (2 * size + 1) - size;
            if i % 8 < limit && i / 8 < limit { value as i16 } else { 0 }
        })
    }

    struct Block<'a, const ACROSS: usize, const DOWN: usize>(&'a [i16; 64], &'a mut [i16; 64]);

    impl<const ACROSS: usize, const DOWN: usize> Kernel for Block<'_, ACROSS, DOWN> {
        type Output = ();
        #[inline(always)]
        fn run<S: Lanes>(self, simd: S) {
            match (ACROSS, DOWN) {
                (8, 8) => eight_by_eight(simd, self.0, self.1, 8),
                (4, 4) => four_by_four(simd, self.0, self.1, 8),
                (2, 2) => two_by_two(simd, self.0[0], self.0, self.1, 8),
                _ => reduced_samples::<ACROSS, DOWN>(self.0, self.1, 8),
            }
        }
    }

    fn check<const ACROSS: usize, const DOWN: usize>(limit: usize) {
        for seed in 0..50 {
            let block = block(seed, limit);
            let mut baseline = [0; 64];
            SimdLevel::baseline().run(Block::<ACROSS, DOWN>(&block, &mut baseline));
            let mut other = [0; 64];
            SimdLevel::detect().run(Block::<ACROSS, DOWN>(&block, &mut other));
            assert_eq!(other, baseline);
            if (ACROSS, DOWN) != (2, 2) {
                // Except for 2 × 2, which is rounded once instead of twice.
                reduced_samples::<ACROSS, DOWN>(&block, &mut other, 8);
                assert_eq!(other, baseline);
            }
            let (width, height) = (8 / ACROSS, 8 / DOWN);
            for (x, y) in (0..ACROSS).flat_map(|x| (0..DOWN).map(move |y| (x, y))) {
                let pixels =
                    (0..width).flat_map(|i| (0..height).map(move |j| (x * width + i, y * height + j)));
                let sum: f64 = pixels.map(|(i, j)| exact(&block, i, j)).sum();
                let expected = (sum / (width * height) as f64).clamp(0.0, 255.0);
                let error = f64::from(baseline[y * 8 + x]) / 16.0 - expected;
                let most = if ACROSS * DOWN == 64 { 0.6 } else { 0.15 };
                assert!(error.abs() < most, "{ACROSS}x{DOWN}, sample {x},{y}: {error}");
            }
        }
    }

    #[test]
    fn samples_are_the_means_of_their_pixels() {
        check::<8, 8>(8);
        check::<8, 4>(4);
        check::<4, 4>(4);
        check::<4, 2>(2);
        check::<2, 2>(2);
        check::<2, 1>(1);
        check::<1, 2>(1);
        for dc in [-2000, -1024, -3, 0, 500, 1023, 40_000] {
            let expected = (128.0 + f64::from(dc) / 8.0).clamp(0.0, 255.0);
            assert!((f64::from(mean(dc)) / 16.0 - expected).abs() < 0.07);
            assert!((f64::from(flat(dc)) / 16.0 - expected).abs() <= 0.5);
            assert_eq!(flat(dc) % 16, 0);
        }
    }
}
