//! Trellis quantisation: rate-distortion optimal levels.
//!
//! For each block the AC levels with the least distortion + lambda * bits are found by dynamic programming over the
//! positions of nonzero levels (Ramchandran and Vetterli, 1994; Crouse and Ramchandran, 1997). Lambda depends on the
//! block's energy, as in mozjpeg. References and experiments: ADR 0006.

use super::block_grid::Block;
use super::dct;
use super::huffman::Table;
use super::quantisation::{Steps, ZIGZAG};

/// Fractional bits of distortions, whose unit is a step squared.
const FRACTION: u32 = 40;
/// Lambda of a flat block: the distortion worth a bit, in 1/1024 of a step squared.
const LAMBDA: u64 = 39;
/// The mean square of the AC coefficients, in their units, at which lambda is twice that: errors are less visible
/// in busy blocks.
const BUSY: u64 = 1234 * (dct::UNIT * dct::UNIT) as u64;
/// How many previous nodes are considered. More gives no smaller files and is slow for full blocks.
const NODES_BACK: usize = 8;
/// Assumed bits of a symbol without a code.
const NEW_SYMBOL: u8 = 20;

/// Bits of each symbol, including those that follow it.
pub(super) struct Costs([u8; 256]);

impl Costs {
    pub(super) fn new(table: &Table) -> Self {
        let codes = table.codes();
        Self(std::array::from_fn(|symbol| {
            let length = codes[symbol].length;
            (if length == 0 { NEW_SYMBOL } else { length }) + (symbol as u8 & 15)
        }))
    }

    /// Bits of a level of `size` after `run` zeros.
    fn level(&self, run: usize, size: usize) -> u64 {
        let zeros = (run / 16) as u64 * u64::from(self.0[0xf0]);
        zeros + u64::from(self.0[(run % 16) << 4 | size])
    }
}

/// Chooses levels for coefficients with one quantisation table.
pub(super) struct Trellis {
    /// The steps in zigzag order, on the scale of coefficients.
    steps: [i32; 64],
    /// Weight of a squared error of each coefficient.
    weights: [u64; 64],
}

/// A position that has a level, or the start.
#[derive(Debug, Clone, Copy)]
struct Node {
    position: usize,
    level: i32,
    /// The node before it.
    before: usize,
    /// The least cost that ends here.
    sum: u64,
    /// The distortion of all coefficients up to this one if they were zero.
    zeroed: u64,
}

impl Trellis {
    pub(super) fn new(steps: &Steps) -> Self {
        let steps = ZIGZAG.map(|at| i32::from(steps[usize::from(at)]) * dct::UNIT);
        Self { steps, weights: steps.map(|step| (1 << FRACTION) / (step as u64 * step as u64)) }
    }

    /// The levels nearest to the coefficients.
    pub(super) fn nearest(&self, block: &Block) -> Block {
        std::array::from_fn(|k| signed(self.nearest_size(block, k), block[k]))
    }

    fn nearest_size(&self, block: &Block, k: usize) -> i32 {
        let (size, step) = (i32::from(block[k]).abs(), self.steps[k]);
        // Most are zero, and a division is slow.
        if size < step / 2 { 0 } else { (size + step / 2) / step }
    }

    /// Rate-distortion step: the levels with the least cost.
    pub(super) fn rate_distortion_levels(&self, block: &Block, costs: &Costs) -> Block {
        let squares = block[1..].iter().map(|&value| i64::from(value).pow(2) as u64);
        let energy = squares.sum::<u64>() / 63;
        let lambda = (LAMBDA << (FRACTION - 10)) / BUSY * (BUSY + energy);

        let mut nodes = [Node { position: 0, level: 0, before: 0, sum: 0, zeroed: 0 }; 64];
        let mut used = 1;
        let mut zeroed = 0;
        for k in 1..64 {
            let distortion = |level: i32| {
                let error = i64::from(i32::from(block[k]).abs() - level * self.steps[k]);
                (error * error) as u64 * self.weights[k]
            };
            let dropped = distortion(0);
            let nearest = self.nearest_size(block, k);
            if nearest > 0 {
                let mut best = Node { sum: u64::MAX, ..nodes[0] };
                for level in candidates(nearest).into_iter().flatten() {
                    let (own, size) = (distortion(level), size(level));
                    for (before, node) in nodes[..used].iter().enumerate().rev().take(NODES_BACK) {
                        let bits = costs.level(k - node.position - 1, size as usize);
                        let sum = node.sum + (zeroed - node.zeroed) + own + lambda * bits;
                        if sum < best.sum {
                            best = Node { position: k, level, before, sum, zeroed: zeroed + dropped };
                        }
                    }
                }
                nodes[used] = best;
                used += 1;
            }
            zeroed += dropped;
        }

        let mut levels = [0; 64];
        levels[0] = signed(self.nearest_size(block, 0), block[0]);
        let last = nodes[..used].iter().enumerate().min_by_key(|(_, node)| node.sum + (zeroed - node.zeroed));
        let mut at = last.map_or(0, |(at, _)| at);
        while at > 0 {
            let Node { position, level, before, .. } = nodes[at];
            levels[position] = signed(level, block[position]);
            at = before;
        }
        levels
    }
}

/// Candidate levels: the nearest, one less, and the largest of the next smaller size.
fn candidates(nearest: i32) -> [Option<i32>; 3] {
    let less = nearest - 1;
    let shorter = (1 << (size(nearest) - 1)) - 1;
    [Some(nearest), (less > 0).then_some(less), (shorter > 0 && shorter < less).then_some(shorter)]
}

/// The size (SSSS) of a level (T.81, table F.2).
fn size(level: i32) -> u32 {
    i32::BITS - level.leading_zeros()
}

fn signed(size: i32, like: i16) -> i16 {
    (size * i32::from(like).signum()) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Costs similar to table K.5 of T.81: more for longer runs and larger sizes.
    fn costs() -> Costs {
        Costs(std::array::from_fn(|symbol| (2 + 2 * (symbol & 15) + (symbol >> 4)) as u8))
    }

    fn cost(trellis: &Trellis, block: &Block, levels: &Block) -> u64 {
        let energy = block[1..].iter().map(|&value| i64::from(value).pow(2) as u64).sum::<u64>() / 63;
        let lambda = (LAMBDA << (FRACTION - 10)) / BUSY * (BUSY + energy);
        let (mut sum, mut run) = (0, 0);
        for k in 1..64 {
            let error = i64::from(i32::from(block[k]) - i32::from(levels[k]) * trellis.steps[k]);
            sum += (error * error) as u64 * trellis.weights[k];
            if levels[k] == 0 {
                run += 1;
            } else {
                sum += lambda * costs().level(run, size(i32::from(levels[k]).abs()) as usize);
                run = 0;
            }
        }
        sum
    }

    #[test]
    fn no_levels_have_a_lower_cost() {
        let trellis = Trellis::new(&[20; 64]);
        let mut state = 9_u32;
        let mut random = |bound: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % bound
        };
        for _ in 0..20 {
            let mut block = [0; 64];
            let places: [usize; 6] = std::array::from_fn(|_| 1 + random(63) as usize);
            for place in places {
                block[place] = random(4000) as i16 - 2000;
            }
            let chosen = trellis.rate_distortion_levels(&block, &costs());
            // All ways to lower or drop the few nonzero levels.
            let nearest = trellis.nearest(&block);
            let least = (0..4_usize.pow(6)).map(|mut way| {
                let mut levels = nearest;
                for place in places {
                    let tried = candidates(i32::from(nearest[place]).abs().max(1));
                    let size = tried.get(way % 4).copied().flatten().unwrap_or(0);
                    levels[place] = signed(size.min(i32::from(nearest[place]).abs()), block[place]);
                    way /= 4;
                }
                cost(&trellis, &block, &levels)
            });
            assert_eq!(cost(&trellis, &block, &chosen), least.min().unwrap());
        }
    }
}
