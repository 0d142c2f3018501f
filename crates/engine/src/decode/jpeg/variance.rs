//! The variance within cells. The coefficients that no cell is made of tell a block's as a whole (Parseval); it
//! is shared out among the block's cells by how much each differs from its neighbours, because where there is
//! an edge, there is what the cells could not hold.

use fearless_simd::prelude::*;
use fearless_simd::{f32x8, i16x16, i32x8};

use crate::simd::{Kernel, Lanes, SimdLevel, WIDTH, each};

/// Variances in 2⁻¹⁵ of the full range's square, of the cells of two MCU rows.
pub(super) struct Variance {
    /// Of whole blocks, a row for each row of them, repeated for each of their columns of cells.
    blocks: Vec<i16>,
    current: Vec<i16>,
    previous: Vec<i16>,
    stride: usize,
    /// Cells of a block, across and down.
    cells: (usize, usize),
    /// Rows of cells in an MCU row.
    rows: usize,
    /// Columns of cells that blocks have.
    columns: usize,
}

/// Below this, two codes' deviation, a block's variance makes no difference worth the work of sharing it out.
const LITTLE: i16 = 2;

impl Variance {
    /// For MCU rows of so many blocks, across and down.
    pub(super) fn new(stride: usize, cells: (usize, usize), blocks: (usize, usize)) -> Self {
        let rows = blocks.1 * cells.1;
        Self {
            blocks: vec![0; stride * blocks.1],
            current: vec![0; stride * rows],
            previous: vec![0; stride * rows],
            stride,
            cells,
            rows,
            columns: blocks.0 * cells.0,
        }
    }

    /// Notes the variance within the cells of the block in column `x` and row `y` of the MCU row.
    #[inline(always)]
    pub(super) fn note(&mut self, (x, y): (usize, usize), variance: i16) {
        let across = self.cells.0;
        super::planes::fill(&mut self.blocks[y * self.stride + x * across..][..across], variance);
    }

    /// Notes that there is none.
    pub(super) fn clear(&mut self) {
        self.blocks.fill(0);
    }

    /// Shares out what was noted for an MCU row among the cells, which lie in rows of the same length.
    /// Beyond the last column of blocks the last cell is repeated.
    pub(super) fn share(&mut self, level: SimdLevel, cells: &mut [i16]) {
        let Self { blocks, current, stride, rows, columns, .. } = self;
        let (stride, rows) = (*stride, *rows);
        for row in cells.chunks_exact_mut(stride) {
            if *columns < stride {
                row[*columns] = row[*columns - 1];
            }
        }
        match self.cells {
            (4, 4) => level.run(Share::<4> { blocks, cells, shared: current, stride, rows }),
            (2, 2) => level.run(Share::<2> { blocks, cells, shared: current, stride, rows }),
            (_, down) => {
                for (row, shared) in current.chunks_exact_mut(stride).enumerate() {
                    shared.copy_from_slice(&blocks[row / down * stride..][..stride]);
                }
            }
        }
    }

    /// Goes on to the next MCU row.
    pub(super) fn advance(&mut self) {
        std::mem::swap(&mut self.current, &mut self.previous);
    }

    /// A row of this MCU row or the one before.
    pub(super) fn row(&self, mcu_row: usize, y: usize) -> &[i16] {
        let rows = if y / self.rows == mcu_row { &self.current } else { &self.previous };
        &rows[y % self.rows * self.stride..][..self.stride]
    }
}

/// Shares out the variance of blocks of `N` × `N` cells.
struct Share<'a, const N: usize> {
    blocks: &'a [i16],
    cells: &'a [i16],
    shared: &'a mut [i16],
    stride: usize,
    rows: usize,
}

impl<const N: usize> Kernel for Share<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { blocks, cells, shared, stride, rows } = self;
        for top in (0..rows).step_by(N) {
            let blocks = &blocks[top / N * stride..][..stride];
            for x in (0..stride).step_by(WIDTH) {
                let whole = simd.load(&blocks[x..]);
                let much = whole.simd_gt(i16x16::splat(simd, LITTLE)).any_true();
                // Loops, because what is passed to an array's own methods is not compiled for the level.
                let mut shares = [whole; N];
                if much {
                    for (y, weights) in shares.iter_mut().enumerate() {
                        *weights = differences(simd, cells, stride, rows, (x, top + y));
                    }
                    shares = parts(simd, whole, shares);
                    for (y, share) in shares.iter_mut().enumerate() {
                        *share = share.min(most(simd, simd.load(&cells[(top + y) * stride + x..])));
                    }
                }
                for (y, share) in shares.into_iter().enumerate() {
                    share.store_slice(&mut shared[(top + y) * stride + x..][..WIDTH]);
                }
            }
        }
    }
}

/// How much each of the cells from column `x` on differs from the four around it; at the first and the last of
/// the rows at hand from that on the other side, twice, and at the first and the last column from three. In half codes, at least 1 and at most 2041, so that those of a
/// block can be summed up in 16 bits.
#[inline(always)]
fn differences<S: Lanes>(
    simd: S,
    cells: &[i16],
    stride: usize,
    rows: usize,
    (x, y): (usize, usize),
) -> i16x16<S> {
    let row = &cells[y * stride..][..stride];
    let here = simd.load(&row[x..]);
    let from = |y: usize| (here - simd.load(&cells[y * stride + x..])).abs();
    let before = if x > 0 {
        simd.load(&row[x - 1..])
    } else {
        i16x16::simd_from(simd, each(|lane: usize| row[lane.saturating_sub(1)]))
    };
    let after = match row.get(x + 1..x + 1 + WIDTH) {
        Some(after) => simd.load(after),
        None => i16x16::simd_from(simd, each(|lane| row[(x + lane + 1).min(stride - 1)])),
    };
    let across = (here - before).abs() + (here - after).abs();
    let down = from(if y == 0 { 1 } else { y - 1 }) + from(if y + 1 == rows { y - 1 } else { y + 1 });
    ((across + down) >> 3) + i16x16::splat(simd, 1)
}

/// The most that codes between 0 and full can vary about a cell of theirs: c (1 − c).
#[inline(always)]
fn most<S: Lanes>(simd: S, cells: i16x16<S>) -> i16x16<S> {
    simd.mul_round(cells << 3, (i16x16::splat(simd, 4080) - cells) << 3)
}

/// The variances of rows of cells, of blocks whose variance is `whole`.
#[inline(always)]
fn parts<S: Lanes, const N: usize>(simd: S, whole: i16x16<S>, mut weights: [i16x16<S>; N]) -> [i16x16<S>; N] {
    let mut sums = weights[0];
    for &row in &weights[1..] {
        sums += row;
    }
    // By pairs of columns, then by blocks, in every pair of the block.
    let pairs = |vector: i16x16<S>, factors: [i16; 2]| -> f32x8<S> {
        let factors = i16x16::simd_from(simd, each(|lane| factors[lane % 2]));
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

    /// What is shared out of blocks of one variance, whose cells have these values.
    fn share(cells: (usize, usize), values: &[i16], block: i16) -> Vec<i16> {
        share_narrow(cells, values, block, STRIDE)
    }

    /// The same where blocks have only so many columns.
    fn share_narrow(cells: (usize, usize), values: &[i16], block: i16, columns: usize) -> Vec<i16> {
        let mut made = Vec::new();
        for level in [SimdLevel::baseline(), SimdLevel::detect()] {
            let mut variance = Variance::new(STRIDE, cells, (columns / cells.0, 2));
            for (x, y) in (0..columns / cells.0).flat_map(|x| [(x, 0), (x, 1)]) {
                variance.note((x, y), block);
            }
            variance.share(level, &mut values.to_vec());
            let rows = (0..2 * cells.1).flat_map(|y| variance.row(0, y)).copied();
            made.push(rows.collect::<Vec<_>>());
        }
        assert_eq!(made[0], made[1]);
        made.swap_remove(0)
    }

    #[test]
    fn as_the_same_in_plain_numbers() {
        let mut state = 1_u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) % below) as i16
        };
        for side in [2, 4] {
            for block in [3, 50, 900, 5000, 32_767] {
                let rows = 2 * side;
                let values: Vec<i16> = (0..STRIDE * rows).map(|_| random(4081)).collect();
                let shared = share((side, side), &values, block);
                let cell = |x: usize, y: usize| i32::from(values[y * STRIDE + x]);
                let weight = |x: usize, y: usize| {
                    let (left, right) = (x.saturating_sub(1), (x + 1).min(STRIDE - 1));
                    let above = if y == 0 { 1 } else { y - 1 };
                    let below = if y + 1 == rows { y - 1 } else { y + 1 };
                    let around = [cell(left, y), cell(right, y), cell(x, above), cell(x, below)];
                    (around.iter().map(|other| (cell(x, y) - other).abs()).sum::<i32>() >> 3) + 1
                };
                for (x, y) in (0..STRIDE).flat_map(|x| (0..rows).map(move |y| (x, y))) {
                    let (left, top) = (x / side * side, y / side * side);
                    let all = (0..side).flat_map(|j| (0..side).map(move |i| (left + i, top + j)));
                    let sum: i32 = all.map(|(x, y)| weight(x, y)).sum();
                    let part =
                        f64::from(block) * (side * side) as f64 * f64::from(weight(x, y)) / f64::from(sum);
                    let code = f64::from(cell(x, y)) / 4080.0;
                    let expected = part.min(code * (1.0 - code) * 32_640.0 * 32_640.0 / 32_768.0);
                    let made = f64::from(shared[y * STRIDE + x]);
                    assert!(
                        (made - expected).abs() <= 1.5 + expected * 1e-3,
                        "{side}, {x},{y}: {made} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_last_column_has_no_neighbour_that_was_never_written() {
        let columns = 24;
        let values: Vec<i16> = (0..STRIDE * 8)
            .map(|at| if at % STRIDE < columns { 2000 + (at % 3) as i16 } else { 0 })
            .collect();
        let shared = share_narrow((4, 4), &values, 600, columns);
        for row in shared.chunks_exact(STRIDE) {
            assert!(row[columns - 1] < 1200, "{:?}", &row[columns - 4..columns]);
        }
    }

    #[test]
    fn goes_where_cells_differ_and_adds_up() {
        for side in [2, 4] {
            // Bright from one column on, which is within a block.
            let edge = STRIDE / 2 + 1;
            let values: Vec<i16> =
                (0..STRIDE * 2 * side).map(|at| if at % STRIDE < edge { 160 } else { 3200 }).collect();
            let shared = share((side, side), &values, 600);
            let at = |x: usize, y: usize| i32::from(shared[y * STRIDE + x]);
            for top in [0, side] {
                for left in (0..STRIDE).step_by(side) {
                    let block = (0..side).flat_map(|y| (0..side).map(move |x| (left + x, top + y)));
                    let sum: i32 = block.map(|(x, y)| at(x, y)).sum();
                    let most = 600 * (side * side) as i32;
                    assert!((most - 16..=most).contains(&sum), "{sum} of {most}");
                }
            }
            assert!(at(edge, 0) > 500 && at(edge - 1, 0) > 500);
            assert_eq!(at(1, 0), 600, "alike all over the block");
            if side == 4 {
                assert!(at(edge + 2, 0) < 10);
            }
        }
    }

    #[test]
    fn other_shapes_have_their_blocks_own() {
        let values = vec![0; STRIDE * 16];
        for cells in [(1, 1), (4, 2), (2, 1)] {
            assert_eq!(share(cells, &values, 700), vec![700; STRIDE * 2 * cells.1]);
        }
    }
}
