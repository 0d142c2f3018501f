//! Inverse DCT (ITU-T T.81, A.3.3), at a reduced scale that of fewer points: n × n samples of the first n × n
//! coefficients, which is the image as far as these hold it, band-limited rather than averaged.
//!
//! Separable, in integers with 12-bit constants. Samples are in sixteenths of a code value, 0 to 4080; those of a
//! reduced scale may exceed that within [`Bounds`], as edges do that a scale cannot hold.

use fearless_simd::prelude::*;
use fearless_simd::{i16x8, i16x16, i32x8};

use crate::simd::{Lanes, array_from_fn};

/// A sample in the middle of the range.
pub(super) const MIDDLE: i16 = 128 * 16;
/// The brightest sample.
const BRIGHTEST: i16 = 255 * 16;

/// The least and the greatest sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds(i16, i16);

impl Bounds {
    /// Code values.
    pub(super) const CODES: Self = Self(0, BRIGHTEST);
    /// With room for overshoot, which light retains ([`crate::light`]).
    pub(super) const OVERSHOOT: Self = Self(-OVERSHOOT, BRIGHTEST + OVERSHOOT);
}

/// Sixteenths of a code beyond the range.
const OVERSHOOT: i16 = 110 * 16;

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

/// Coefficients of a block, row by row, and the quantisation steps to multiply them with: while they are loaded, which
/// saves a pass.
#[derive(Clone, Copy)]
pub(super) struct Coefficients<'a> {
    pub(super) block: &'a [i16; 64],
    pub(super) steps: &'a [i16; 64],
}

impl Coefficients<'_> {
    /// Steps for coefficients that are multiplied already.
    pub(super) const ONES: &'static [i16; 64] = &[1; 64];

    #[inline(always)]
    fn at<const N: usize>(self, places: [usize; N]) -> [i32; N] {
        places.map(|place| self.block[place].wrapping_mul(self.steps[place]).into())
    }
}

/// All 64 pixels of a block, in whole code values, into rows `stride` apart.
#[inline(always)]
pub(super) fn pixels<S: Lanes>(simd: S, block: Coefficients<'_>, target: &mut [i16], stride: usize) {
    let middle = (1 << 17) + (i32::from(MIDDLE) << 14);
    let rows = transform::<S, 8, 8>(simd, block, |sum| narrow(simd, (sum + middle) >> 18) << 4);
    store::<S, 8, 8>(simd, rows, Bounds::CODES, target, stride);
}

/// `ACROSS` × `DOWN` samples of a block, into rows `stride` apart.
#[inline(always)]
pub(super) fn samples<S: Lanes, const ACROSS: usize, const DOWN: usize>(
    simd: S,
    block: Coefficients<'_>,
    bounds: Bounds,
    target: &mut [i16],
    stride: usize,
) {
    if (ACROSS, DOWN) == (2, 2) {
        return two_by_two(block, bounds, target, stride);
    }
    if (ACROSS, DOWN) == (2, 1) {
        return two_by_one(block, bounds, target);
    }
    // An eighth for both passes, times sixteen, and the three bits that the first one adds.
    let middle = (1 << 13) + (i32::from(MIDDLE) << 14);
    let rows = transform::<S, ACROSS, DOWN>(simd, block, |sum| narrow(simd, (sum + middle) >> 14));
    store::<S, ACROSS, DOWN>(simd, rows, bounds, target, stride);
}

/// Two points a side are sums and differences.
#[inline(always)]
fn two_by_two(block: Coefficients<'_>, Bounds(least, most): Bounds, target: &mut [i16], stride: usize) {
    let [a, b, c, d] = block.at([0, 1, 8, 9]);
    let (left, right, down, up) = (a + b, a - b, c + d, c - d);
    let sample = |sum: i32| (2 * sum + i32::from(MIDDLE)).clamp(least.into(), most.into()) as i16;
    target[..2].copy_from_slice(&[sample(left + down), sample(right + up)]);
    target[stride..][..2].copy_from_slice(&[sample(left - down), sample(right - up)]);
}

#[inline(always)]
fn two_by_one(block: Coefficients<'_>, Bounds(least, most): Bounds, target: &mut [i16]) {
    let [a, b] = block.at([0, 1]);
    let sample = |sum: i32| (2 * sum + i32::from(MIDDLE)).clamp(least.into(), most.into()) as i16;
    target[..2].copy_from_slice(&[sample(a + b), sample(a - b)]);
}

/// Columns, then rows; `finish` scales the sums. Only `ACROSS` lanes of `DOWN` rows are meaningful.
#[inline(always)]
fn transform<S: Lanes, const ACROSS: usize, const DOWN: usize>(
    simd: S,
    Coefficients { block, steps }: Coefficients<'_>,
    finish: impl Fn(i32x8<S>) -> i16x8<S>,
) -> [i16x8<S>; 8] {
    let row = |values: &[i16; 64], v: usize| i16x8::from_slice(simd, &values[v * 8..v * 8 + 8]);
    let rows = array_from_fn(|v| row(block, v) * row(steps, v));
    let columns = points::<S, DOWN>(simd, rows);
    let mut between = [i16x8::splat(simd, 0); 8];
    for (target, sum) in between.iter_mut().zip(columns) {
        *target = narrow(simd, (sum + (1 << 8)) >> 9);
    }
    let between = transposed(simd, between);
    let rows = points::<S, ACROSS>(simd, array_from_fn(|u| between[u]));
    let mut samples = [i16x8::splat(simd, 0); 8];
    for (target, sum) in samples.iter_mut().zip(rows) {
        *target = finish(sum);
    }
    transposed(simd, samples)
}

#[inline(always)]
fn store<S: Lanes, const ACROSS: usize, const DOWN: usize>(
    simd: S,
    rows: [i16x8<S>; 8],
    Bounds(least, most): Bounds,
    target: &mut [i16],
    stride: usize,
) {
    let (least, most) = (i16x8::splat(simd, least), i16x8::splat(simd, most));
    for y in 0..DOWN {
        let row = rows[y].max(least).min(most);
        target[y * stride..][..ACROSS].copy_from_slice(&row.as_slice()[..ACROSS]);
    }
}

/// The one-dimensional transform of eight columns: F₀ + √2 Σ Fᵤ cos((2x + 1)uπ / 2N) for u below `N`, in 12 bits.
/// By its symmetry: the terms of even u are the same for x and N − 1 − x, those of odd u the opposite.
#[inline(always)]
fn points<S: Lanes, const N: usize>(simd: S, f: [i16x8<S>; N]) -> [i32x8<S>; N] {
    let mut all = [i16x8::splat(simd, 0); 8];
    all[..N].copy_from_slice(&f);
    let pair = |a: usize, b: usize| {
        let (low, high) = simd.interleave_i16x8(all[a], all[b]);
        low.combine(high)
    };
    // Two products at a time.
    let dot = |pairs: i16x16<S>, index: usize, x: usize| {
        simd.pairwise_dot_product_i16x16(pairs, simd.load(&Basis::<N>::PAIRS[index][x]))
    };
    let (even, odd) = ((pair(0, 2), pair(4, 6)), (pair(1, 3), pair(5, 7)));
    let mut points = [i32x8::splat(simd, 0); N];
    for x in 0..N.div_ceil(2) {
        let mut evens = dot(even.0, 0, x);
        if N > 4 {
            evens += dot(even.1, 1, x);
        }
        if 2 * x + 1 == N {
            points[x] = evens;
            continue;
        }
        let mut odds = dot(odd.0, 2, x);
        if N > 5 {
            odds += dot(odd.1, 3, x);
        }
        (points[x], points[N - 1 - x]) = (evens + odds, evens - odds);
    }
    points
}

/// √2 cos((2x + 1)uπ / 2N) in 12 bits, and 1 for u = 0.
struct Basis<const N: usize>;

impl<const N: usize> Basis<N> {
    /// For u of 0 and 2, 4 and 6, 1 and 3, 5 and 7, and for each x: both factors, in turn. A table, because the
    /// compiler does not fold vectors that it is given as an expression of x.
    const PAIRS: &'static [[[i16; 16]; 8]; 4] = &{
        let mut pairs = [[[0; 16]; 8]; 4];
        let mut u = 0;
        while u < N {
            let mut x = 0;
            while x < N {
                let (pair, second) = (u % 2 * 2 + u / 4, u / 2 % 2);
                let mut lane = second;
                while lane < 16 {
                    pairs[pair][x][lane] = Self::factor(u, x);
                    lane += 2;
                }
                x += 1;
            }
            u += 1;
        }
        pairs
    };

    const fn factor(u: usize, x: usize) -> i16 {
        let factor = if u == 0 { 1.0 } else { std::f64::consts::SQRT_2 * cosine((2 * x + 1) * u, 2 * N) };
        let scaled = factor * 4096.0;
        if scaled < 0.0 { (scaled - 0.5) as i16 } else { (scaled + 0.5) as i16 }
    }
}

/// cos(aπ / b), by its series: `f64::cos` is not a constant function.
const fn cosine(a: usize, b: usize) -> f64 {
    // Within a period, from −π to π.
    let a = (a % (2 * b)) as f64 - if a % (2 * b) > b { 2.0 * b as f64 } else { 0.0 };
    let angle = a / b as f64 * std::f64::consts::PI;
    let (mut sum, mut term, mut index) = (1.0, 1.0, 0.0);
    while index < 40.0 {
        term *= -angle * angle / ((index + 1.0) * (index + 2.0));
        sum += term;
        index += 2.0;
    }
    sum
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, SimdLevel};

    /// The sample at (x, y) of the transform of `across` × `down` points, by its definition.
    fn exact(block: &[i16; 64], (across, down): (usize, usize), (x, y): (usize, usize)) -> f64 {
        let basis = |u: usize, at: usize, n: usize| {
            let norm = if u == 0 { 0.5_f64.sqrt() } else { 1.0 };
            norm * ((2 * at + 1) as f64 * u as f64 * std::f64::consts::PI / (2 * n) as f64).cos()
        };
        let used = (0..64).filter(|i| i % 8 < across && i / 8 < down);
        let terms = used.map(|i| f64::from(block[i]) * basis(i % 8, x, across) * basis(i / 8, y, down));
        128.0 + terms.sum::<f64>() / 4.0
    }

    /// A block of natural size, the same every time.
    fn block(seed: u32) -> [i16; 64] {
        let mut state = seed;
        std::array::from_fn(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let size = 200 / (1 + i % 8 + i / 8) as i32;
            ((state >> 16) as i32 % (2 * size + 1) - size) as i16
        })
    }

    struct Block<'a, const ACROSS: usize, const DOWN: usize>(&'a [i16; 64], Bounds, &'a mut [i16; 64]);

    impl<const ACROSS: usize, const DOWN: usize> Kernel for Block<'_, ACROSS, DOWN> {
        type Output = ();
        #[inline(always)]
        fn run<S: Lanes>(self, simd: S) {
            let block = Coefficients { block: self.0, steps: Coefficients::ONES };
            if (ACROSS, DOWN) == (8, 8) {
                pixels(simd, block, self.2, 8);
            } else {
                samples::<S, ACROSS, DOWN>(simd, block, self.1, self.2, 8);
            }
        }
    }

    fn check<const ACROSS: usize, const DOWN: usize>() {
        for (seed, bounds) in (0..50).flat_map(|seed| [(seed, Bounds::CODES), (seed, Bounds::OVERSHOOT)]) {
            let block = block(seed);
            let mut baseline = [-9999; 64];
            SimdLevel::baseline().run(Block::<ACROSS, DOWN>(&block, bounds, &mut baseline));
            let mut other = [-9999; 64];
            SimdLevel::detect().run(Block::<ACROSS, DOWN>(&block, bounds, &mut other));
            assert_eq!(other, baseline);
            let bounds = if ACROSS * DOWN == 64 { Bounds::CODES } else { bounds };
            for (x, y) in (0..64).map(|at| (at % 8, at / 8)) {
                if x >= ACROSS || y >= DOWN {
                    assert_eq!(baseline[y * 8 + x], -9999, "nothing is written beyond the samples");
                    continue;
                }
                let limits = [bounds.0, bounds.1].map(|bound| f64::from(bound) / 16.0);
                let expected = exact(&block, (ACROSS, DOWN), (x, y)).clamp(limits[0], limits[1]);
                let error = f64::from(baseline[y * 8 + x]) / 16.0 - expected;
                let most = if ACROSS * DOWN == 64 { 0.6 } else { 0.15 };
                assert!(error.abs() < most, "{ACROSS}x{DOWN}, sample {x},{y}: {error}");
            }
        }
    }

    #[test]
    fn samples_are_the_transform_by_its_definition() {
        check::<8, 8>();
        check::<6, 6>();
        check::<5, 5>();
        check::<4, 4>();
        check::<3, 3>();
        check::<2, 2>();
        check::<1, 1>();
        check::<2, 1>();
        check::<8, 4>();
        check::<6, 3>();
        check::<4, 2>();
        check::<2, 4>();
        check::<1, 5>();
        for dc in [-2000, -1024, -3, 0, 500, 1023, 40_000] {
            let expected = (128.0 + f64::from(dc) / 8.0).clamp(0.0, 255.0);
            assert!((f64::from(mean(dc)) / 16.0 - expected).abs() < 0.07);
            assert!((f64::from(flat(dc)) / 16.0 - expected).abs() <= 0.5);
            assert_eq!(flat(dc) % 16, 0);
        }
    }
}
