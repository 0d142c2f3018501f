//! The variance within reduced samples. That of a block is the energy of the coefficients that its samples do
//! not use (Parseval); it is distributed among them by how much each differs from its neighbours, because the
//! detail that they cannot hold is at edges. Where that would take too long, it is estimated from these differences
//! alone.

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
    /// Samples of a block along each side.
    side: usize,
    /// Rows of samples in an MCU row.
    rows: usize,
    /// Columns of samples that blocks cover.
    columns: usize,
    /// Whether it is estimated, and nothing is recorded.
    estimated: bool,
    /// Sums of a row of blocks by column, and the variance of each of its blocks by weight.
    sums: Vec<i16>,
    factors: Vec<f32>,
}

/// Up to this variance, a deviation of two codes, a block's is not distributed: the difference is not visible.
const NEGLIGIBLE: i16 = 2;

impl Variance {
    /// For MCU rows of so many blocks, across and down, of samples that are as many across as down. With `estimated`
    /// a block must be one sample.
    pub(super) fn new(
        stride: usize,
        block_samples: (usize, usize),
        blocks: (usize, usize),
        estimated: bool,
    ) -> Self {
        let side = block_samples.0;
        let rows = blocks.1 * side;
        Self {
            blocks: vec![0; stride * blocks.1],
            current: vec![0; stride * rows],
            previous: vec![0; stride * rows],
            stride,
            side,
            rows,
            columns: blocks.0 * side,
            estimated,
            sums: vec![0; stride],
            factors: vec![0.0; stride],
        }
    }

    /// Whether blocks' variances are to be recorded.
    pub(super) const fn is_recorded(&self) -> bool {
        !self.estimated
    }

    /// Records the variance within the samples of the block in column `x` and row `y` of the MCU row.
    #[inline(always)]
    pub(super) fn record(&mut self, (x, y): (usize, usize), variance: i16) {
        let target = &mut self.blocks[y * self.stride + x * self.side..];
        super::planes::fill((self.side, 1), variance, target, self.stride);
    }

    /// Sets all variances of the MCU row to zero.
    pub(super) fn clear(&mut self) {
        self.blocks.fill(0);
    }

    /// Distributes the variances of an MCU row among its samples, which are in rows of the same length. Beyond
    /// the last column of blocks the last sample is repeated.
    pub(super) fn distribute(&mut self, level: SimdLevel, samples: &mut [i16]) {
        let Self { blocks, current, stride, rows, columns, side, sums, factors, estimated, .. } = self;
        let (stride, rows, side) = (*stride, *rows, *side);
        if side == 1 && !*estimated {
            current.copy_from_slice(blocks);
            return;
        }
        for row in samples.chunks_exact_mut(stride) {
            if *columns < stride {
                row[*columns] = row[*columns - 1];
            }
        }
        if *estimated {
            level.run(Estimate { samples, stride, rows, variances: current });
            return;
        }
        for (top, blocks) in (0..rows).step_by(side).zip(blocks.chunks_exact(stride)) {
            let of_blocks = RowOfBlocks { blocks, samples, stride, rows, top, side };
            let distributed = &mut current[top * stride..][..side * stride];
            level.run(Weigh { of_blocks, weights: distributed, sums });
            for ((whole, sums), factors) in blocks[..*columns]
                .chunks_exact(side)
                .zip(sums.chunks_exact(side))
                .zip(factors.chunks_exact_mut(side))
            {
                if whole[0] > NEGLIGIBLE {
                    let sum: i32 = sums.iter().map(|&sum| i32::from(sum)).sum();
                    let factor = f32::from(whole[0]) * (side * side) as f32 / sum as f32;
                    factors.fill(factor);
                }
            }
            level.run(Share { of_blocks, factors, distributed });
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

/// A row of blocks: their variances, and all samples of the MCU row, of which theirs begin at row `top`.
#[derive(Clone, Copy)]
struct RowOfBlocks<'a> {
    blocks: &'a [i16],
    samples: &'a [i16],
    stride: usize,
    rows: usize,
    top: usize,
    side: usize,
}

/// Weighs samples by how much each differs from its neighbours, and sums the weights of each column. Vectors
/// without a variance to distribute are left out.
struct Weigh<'a> {
    of_blocks: RowOfBlocks<'a>,
    weights: &'a mut [i16],
    sums: &'a mut [i16],
}

impl Kernel for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { of_blocks: RowOfBlocks { blocks, samples, stride, rows, top, side }, weights, sums } =
            self;
        for x in (0..stride).step_by(WIDTH) {
            if !simd.load(&blocks[x..]).simd_gt(i16x16::splat(simd, NEGLIGIBLE)).any_true() {
                continue;
            }
            let mut sum = i16x16::splat(simd, 0);
            for y in 0..side {
                let weight = differences(simd, samples, stride, rows, (x, top + y));
                weight.store_slice(&mut weights[y * stride + x..][..WIDTH]);
                sum += weight;
            }
            sum.store_slice(&mut sums[x..][..WIDTH]);
        }
    }
}

/// Replaces weights by shares of their blocks' variances.
struct Share<'a> {
    of_blocks: RowOfBlocks<'a>,
    factors: &'a [f32],
    distributed: &'a mut [i16],
}

impl Kernel for Share<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { of_blocks: RowOfBlocks { blocks, samples, stride, top, side, .. }, factors, distributed } =
            self;
        let one = i16x16::splat(simd, 1);
        let times = |weights: i32x8<S>, factors: &[f32]| -> i32x8<S> {
            let weights: f32x8<S> = weights.to_float();
            (weights * f32x8::from_slice(simd, factors)).to_int()
        };
        for x in (0..stride).step_by(WIDTH) {
            let whole = simd.load(&blocks[x..]);
            let relevant = whole.simd_gt(i16x16::splat(simd, NEGLIGIBLE));
            let any = relevant.any_true();
            for y in 0..side {
                let target = &mut distributed[y * stride + x..][..WIDTH];
                if !any {
                    whole.store_slice(target);
                    continue;
                }
                let (low, high) = simd.widening_mul_i16x16(simd.load(target), one);
                let share = simd.saturating_narrow_i32x8(
                    times(low, &factors[x..x + 8]),
                    times(high, &factors[x + 8..x + 16]),
                );
                let share = relevant.select(share, whole);
                share
                    .min(max_variance(simd, simd.load(&samples[(top + y) * stride + x..])))
                    .store_slice(target);
            }
        }
    }
}

/// The variance of blocks of one sample each from their differences: the square of the mean one, which in photographs is
/// about as much as varies within them.
struct Estimate<'a> {
    samples: &'a [i16],
    stride: usize,
    rows: usize,
    variances: &'a mut [i16],
}

impl Kernel for Estimate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { samples, stride, rows, variances } = self;
        for (y, row) in variances.chunks_exact_mut(stride).enumerate().take(rows) {
            for (x, target) in (0..stride).step_by(WIDTH).zip(row.chunks_exact_mut(WIDTH)) {
                // Eighths of a code: a full range of 2040 would not fit; differences of half of it are none of a mean.
                let mean = differences(simd, samples, stride, rows, (x, y)).min(i16x16::splat(simd, 1024));
                // mean² / 2040² × 2¹⁵.
                let square = simd.mul_round(mean << 4, mean << 4);
                square.min(max_variance(simd, simd.load(&samples[y * stride + x..]))).store_slice(target);
            }
        }
    }
}

/// How much each of the samples from column `x` on differs from its four neighbours; in the first and last row
/// the inner neighbour counts twice, in the first and last column there are three; of a single row those beside it count
/// twice. In half codes, at most 3801, so
/// that those of a column of a block can be summed in 16 bits.
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
    let single = rows == 1;
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
    let down = if single {
        across
    } else {
        from(if y == 0 { 1 } else { y - 1 }) + from(if y + 1 == rows { y - 1 } else { y + 1 })
    };
    ((across + down) >> 3) + i16x16::splat(simd, 1)
}

/// The largest variance of codes between 0 and 1 whose mean is c: c (1 − c).
#[inline(always)]
fn max_variance<S: Lanes>(simd: S, samples: i16x16<S>) -> i16x16<S> {
    let samples = samples.max(i16x16::splat(simd, 0)).min(i16x16::splat(simd, 4080));
    simd.mul_round(samples << 3, (i16x16::splat(simd, 4080) - samples) << 3)
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
            let mut variance = Variance::new(STRIDE, block_samples, (columns / block_samples.0, 2), false);
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
    fn estimates_are_squares_of_mean_differences() {
        for rows in [1, 2] {
            // A ramp across of eight codes a column, which is constant down.
            let mut samples: Vec<i16> =
                (0..STRIDE * rows).map(|at| (at % STRIDE) as i16 * 128 + 64).collect();
            for level in [SimdLevel::baseline(), SimdLevel::detect()] {
                let mut variance = Variance::new(STRIDE, (1, 1), (STRIDE, rows), true);
                assert!(!variance.is_recorded());
                variance.distribute(level, &mut samples);
                let mean = if rows == 1 { 8.0 } else { 4.0 };
                let expected = (mean / 255.0_f64).powi(2) * 32_768.0;
                for (x, &actual) in variance.row(0, rows - 1).iter().enumerate().take(STRIDE - 1).skip(2) {
                    assert!(
                        (f64::from(actual) - expected).abs() < 1.5 + expected / 8.0,
                        "{rows}, {x}: {actual}"
                    );
                }
            }
        }
    }

    #[test]
    fn other_shapes_have_their_blocks_variance() {
        let values = vec![0; STRIDE * 16];
        assert_eq!(distributed((1, 1), &values, 700), vec![700; STRIDE * 2]);
    }
}
