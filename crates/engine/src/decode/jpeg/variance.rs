//! The variance within reduced samples. That of a block is the energy of the coefficients that its samples do
//! not use (Parseval); it is distributed among them by how much each differs from its neighbours, because the
//! detail that they cannot hold is at edges.

use fearless_simd::prelude::*;
use fearless_simd::{f32x8, i16x16, i32x8};

use crate::simd::{Kernel, Lanes, SimdLevel, WIDTH, array_from_fn};

/// Variances in 2⁻¹⁵ of the full range's square, of the samples of two MCU rows.
pub(super) struct Variance {
    /// Of whole blocks: a row for each row of blocks, repeated for each column of samples.
    blocks: Vec<i16>,
    current: Vec<i16>,
    previous: Vec<i16>,
    stride: usize,
    /// Samples of a block, across and down.
    block_samples: (usize, usize),
    /// Rows of samples in an MCU row.
    rows: usize,
    /// Columns of samples that blocks cover.
    columns: usize,
}

/// Up to this variance, a deviation of two codes, a block's is not distributed: the difference is not visible.
const NEGLIGIBLE: i16 = 2;

impl Variance {
    /// For MCU rows of so many blocks, across and down.
    pub(super) fn new(stride: usize, block_samples: (usize, usize), blocks: (usize, usize)) -> Self {
        let rows = blocks.1 * block_samples.1;
        Self {
            blocks: vec![0; stride * blocks.1],
            current: vec![0; stride * rows],
            previous: vec![0; stride * rows],
            stride,
            block_samples,
            rows,
            columns: blocks.0 * block_samples.0,
        }
    }

    /// Records the variance within the samples of the block in column `x` and row `y` of the MCU row.
    #[inline(always)]
    pub(super) fn record(&mut self, (x, y): (usize, usize), variance: i16) {
        let across = self.block_samples.0;
        super::planes::fill(&mut self.blocks[y * self.stride + x * across..][..across], variance);
    }

    /// Sets all variances of the MCU row to zero.
    pub(super) fn clear(&mut self) {
        self.blocks.fill(0);
    }

    /// Distributes the variances of an MCU row among its samples, which are in rows of the same length. Beyond
    /// the last column of blocks the last sample is repeated.
    pub(super) fn distribute(&mut self, level: SimdLevel, samples: &mut [i16]) {
        let Self { blocks, current, stride, rows, columns, .. } = self;
        let (stride, rows) = (*stride, *rows);
        for row in samples.chunks_exact_mut(stride) {
            if *columns < stride {
                row[*columns] = row[*columns - 1];
            }
        }
        match self.block_samples {
            (4, 4) => level.run(Distribution::<4> { blocks, samples, distributed: current, stride, rows }),
            (2, 2) => level.run(Distribution::<2> { blocks, samples, distributed: current, stride, rows }),
            (_, down) => {
                for (row, target) in current.chunks_exact_mut(stride).enumerate() {
                    target.copy_from_slice(&blocks[row / down * stride..][..stride]);
                }
            }
        }
    }

    /// Advances to the next MCU row.
    pub(super) fn advance(&mut self) {
        std::mem::swap(&mut self.current, &mut self.previous);
    }

    /// A row of this MCU row or the one before.
    pub(super) fn row(&self, mcu_row: usize, y: usize) -> &[i16] {
        let rows = if y / self.rows == mcu_row { &self.current } else { &self.previous };
        &rows[y % self.rows * self.stride..][..self.stride]
    }
}

/// Distributes the variance of blocks of `N` × `N` samples.
struct Distribution<'a, const N: usize> {
    blocks: &'a [i16],
    samples: &'a [i16],
    distributed: &'a mut [i16],
    stride: usize,
    rows: usize,
}

impl<const N: usize> Kernel for Distribution<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { blocks, samples, distributed, stride, rows } = self;
        for top in (0..rows).step_by(N) {
            let blocks = &blocks[top / N * stride..][..stride];
            for x in (0..stride).step_by(WIDTH) {
                let whole = simd.load(&blocks[x..]);
                let relevant = whole.simd_gt(i16x16::splat(simd, NEGLIGIBLE)).any_true();
                // Loops, because closures passed to array methods are not compiled for the level.
                let mut shares = [whole; N];
                if relevant {
                    for (y, weights) in shares.iter_mut().enumerate() {
                        *weights = differences(simd, samples, stride, rows, (x, top + y));
                    }
                    shares = parts(simd, whole, shares);
                    for (y, share) in shares.iter_mut().enumerate() {
                        *share = share.min(max_variance(simd, simd.load(&samples[(top + y) * stride + x..])));
                    }
                }
                for (y, share) in shares.into_iter().enumerate() {
                    share.store_slice(&mut distributed[(top + y) * stride + x..][..WIDTH]);
                }
            }
        }
    }
}

/// How much each of the samples from column `x` on differs from its four neighbours; in the first and last row
/// the inner neighbour counts twice, in the first and last column there are three. In half codes, 1 to 2041, so
/// that those of a block can be summed in 16 bits.
#[inline(always)]
fn differences<S: Lanes>(
    simd: S,
    samples: &[i16],
    stride: usize,
    rows: usize,
    (x, y): (usize, usize),
) -> i16x16<S> {
    let row = &samples[y * stride..][..stride];
    let here = simd.load(&row[x..]);
    let from = |y: usize| (here - simd.load(&samples[y * stride + x..])).abs();
    let before = if x > 0 {
        simd.load(&row[x - 1..])
    } else {
        i16x16::simd_from(simd, array_from_fn(|lane: usize| row[lane.saturating_sub(1)]))
    };
    let after = match row.get(x + 1..x + 1 + WIDTH) {
        Some(after) => simd.load(after),
        None => i16x16::simd_from(simd, array_from_fn(|lane| row[(x + lane + 1).min(stride - 1)])),
    };
    let across = (here - before).abs() + (here - after).abs();
    let down = from(if y == 0 { 1 } else { y - 1 }) + from(if y + 1 == rows { y - 1 } else { y + 1 });
    ((across + down) >> 3) + i16x16::splat(simd, 1)
}

/// The largest variance of codes between 0 and 1 whose mean is c: c (1 − c).
#[inline(always)]
fn max_variance<S: Lanes>(simd: S, samples: i16x16<S>) -> i16x16<S> {
    simd.mul_round(samples << 3, (i16x16::splat(simd, 4080) - samples) << 3)
}

/// The variances of rows of samples, of blocks whose variance is `whole`.
#[inline(always)]
fn parts<S: Lanes, const N: usize>(simd: S, whole: i16x16<S>, mut weights: [i16x16<S>; N]) -> [i16x16<S>; N] {
    let mut sums = weights[0];
    for &row in &weights[1..] {
        sums += row;
    }
    // By pairs of columns, then by blocks, in every pair of the block.
    let pairs = |vector: i16x16<S>, factors: [i16; 2]| -> f32x8<S> {
        let factors = i16x16::simd_from(simd, array_from_fn(|lane| factors[lane % 2]));
        simd.pairwise_dot_product_i16x16(vector, factors).to_float()
    };
    let sums = pairs(sums, [1, 1]);
    let sums = match N {
        4 => {
            let halves = simd.unzip_low_f32x8(sums, sums) + simd.unzip_high_f32x8(sums, sums);
            simd.zip_low_f32x8(halves, halves)
        }
        _ => sums,
    };
    let factors = pairs(whole, [(N * N) as i16, 0]) / sums;
    let (low, high) = simd.interleave_f32x8(factors, factors);
    let times = |weights: i32x8<S>, factors: f32x8<S>| -> i32x8<S> {
        let weights: f32x8<S> = weights.to_float();
        (weights * factors).to_int()
    };
    let one = i16x16::splat(simd, 1);
    for weights in &mut weights {
        let (left, right) = simd.widening_mul_i16x16(*weights, one);
        *weights = simd.saturating_narrow_i32x8(times(left, low), times(right, high));
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRIDE: usize = 32;

    /// The distributed variances of blocks of one variance, whose samples have these values.
    fn distributed(block_samples: (usize, usize), values: &[i16], block: i16) -> Vec<i16> {
        distributed_narrow(block_samples, values, block, STRIDE)
    }

    /// The same where blocks have only so many columns.
    fn distributed_narrow(
        block_samples: (usize, usize),
        values: &[i16],
        block: i16,
        columns: usize,
    ) -> Vec<i16> {
        let mut results = Vec::new();
        for level in [SimdLevel::baseline(), SimdLevel::detect()] {
            let mut variance = Variance::new(STRIDE, block_samples, (columns / block_samples.0, 2));
            for (x, y) in (0..columns / block_samples.0).flat_map(|x| [(x, 0), (x, 1)]) {
                variance.record((x, y), block);
            }
            variance.distribute(level, &mut values.to_vec());
            let rows = (0..2 * block_samples.1).flat_map(|y| variance.row(0, y)).copied();
            results.push(rows.collect::<Vec<_>>());
        }
        assert_eq!(results[0], results[1]);
        results.swap_remove(0)
    }

    #[test]
    fn matches_scalar_arithmetic() {
        let mut state = 1_u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) % below) as i16
        };
        for side in [2, 4] {
            for block in [3, 50, 900, 5000, 32_767] {
                let rows = 2 * side;
                let values: Vec<i16> = (0..STRIDE * rows).map(|_| random(4081)).collect();
                let variances = distributed((side, side), &values, block);
                let sample = |x: usize, y: usize| i32::from(values[y * STRIDE + x]);
                let weight = |x: usize, y: usize| {
                    let (left, right) = (x.saturating_sub(1), (x + 1).min(STRIDE - 1));
                    let above = if y == 0 { 1 } else { y - 1 };
                    let below = if y + 1 == rows { y - 1 } else { y + 1 };
                    let around = [sample(left, y), sample(right, y), sample(x, above), sample(x, below)];
                    (around.iter().map(|other| (sample(x, y) - other).abs()).sum::<i32>() >> 3) + 1
                };
                for (x, y) in (0..STRIDE).flat_map(|x| (0..rows).map(move |y| (x, y))) {
                    let (left, top) = (x / side * side, y / side * side);
                    let all = (0..side).flat_map(|j| (0..side).map(move |i| (left + i, top + j)));
                    let sum: i32 = all.map(|(x, y)| weight(x, y)).sum();
                    let part =
                        f64::from(block) * (side * side) as f64 * f64::from(weight(x, y)) / f64::from(sum);
                    let code = f64::from(sample(x, y)) / 4080.0;
                    let expected = part.min(code * (1.0 - code) * 32_640.0 * 32_640.0 / 32_768.0);
                    let actual = f64::from(variances[y * STRIDE + x]);
                    assert!(
                        (actual - expected).abs() <= 1.5 + expected * 1e-3,
                        "{side}, {x},{y}: {actual} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_last_column_ignores_padding() {
        let columns = 24;
        let values: Vec<i16> = (0..STRIDE * 8)
            .map(|at| if at % STRIDE < columns { 2000 + (at % 3) as i16 } else { 0 })
            .collect();
        let variances = distributed_narrow((4, 4), &values, 600, columns);
        for row in variances.chunks_exact(STRIDE) {
            assert!(row[columns - 1] < 1200, "{:?}", &row[columns - 4..columns]);
        }
    }

    #[test]
    fn follows_differences_and_preserves_the_sum() {
        for side in [2, 4] {
            // Bright from a column on that is within a block.
            let edge = STRIDE / 2 + 1;
            let values: Vec<i16> =
                (0..STRIDE * 2 * side).map(|at| if at % STRIDE < edge { 160 } else { 3200 }).collect();
            let variances = distributed((side, side), &values, 600);
            let at = |x: usize, y: usize| i32::from(variances[y * STRIDE + x]);
            for top in [0, side] {
                for left in (0..STRIDE).step_by(side) {
                    let block = (0..side).flat_map(|y| (0..side).map(move |x| (left + x, top + y)));
                    let sum: i32 = block.map(|(x, y)| at(x, y)).sum();
                    let most = 600 * (side * side) as i32;
                    assert!((most - 16..=most).contains(&sum), "{sum} of {most}");
                }
            }
            assert!(at(edge, 0) > 500 && at(edge - 1, 0) > 500);
            assert_eq!(at(1, 0), 600, "the same all over the block");
            if side == 4 {
                assert!(at(edge + 2, 0) < 10);
            }
        }
    }

    #[test]
    fn other_shapes_have_their_blocks_variance() {
        let values = vec![0; STRIDE * 16];
        for block_samples in [(1, 1), (4, 2), (2, 1)] {
            assert_eq!(distributed(block_samples, &values, 700), vec![700; STRIDE * 2 * block_samples.1]);
        }
    }
}
