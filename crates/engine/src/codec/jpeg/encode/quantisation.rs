//! Quantisation of coefficients to levels, rounded to nearest (T.81, A.3.4).

use super::dct::{Coefficients, GROUP, UNIT};
use super::layout::BLOCK;

/// A quantisation table, row by row.
pub(super) type Steps = [u8; 64];

/// Levels of four blocks, in the layout of [`Coefficients`], and which of them are not zero.
#[derive(Clone)]
pub(super) struct Levels {
    pub(super) values: Coefficients,
    /// A bit per horizontal frequency, for each vertical frequency of each block.
    nonzero: [u8; GROUP],
}

impl Levels {
    pub(super) const NONE: Self = Self { values: [[0; GROUP]; BLOCK], nonzero: [0; GROUP] };

    /// Mask of the nonzero levels of block `index` of the four, in zigzag order.
    #[inline(always)]
    pub(super) fn mask(&self, index: usize) -> u64 {
        let rows = &self.nonzero.as_chunks::<BLOCK>().0[index];
        rows.iter().zip(&IN_ZIGZAG).fold(0, |mask, (&row, places)| mask | places[usize::from(row)])
    }
}

/// For each row of a block and each mask of its columns, their mask in zigzag order.
static IN_ZIGZAG: [[u64; 256]; BLOCK] = {
    let mut places = [[0; 256]; BLOCK];
    let mut k = 0;
    while k < 64 {
        let (row, column) = (ZIGZAG[k] as usize / BLOCK, ZIGZAG[k] as usize % BLOCK);
        let mut set = 0;
        while set < 256 {
            places[row][set] |= ((set as u64 >> column) & 1) << k;
            set += 1;
        }
        k += 1;
    }
    places
};

/// Positions of coefficients, row by row, in zigzag order (T.81, figure A.6).
pub(super) const ZIGZAG: [u8; 64] = {
    let mut order = [0; 64];
    let (mut row, mut column, mut k) = (0_usize, 0_usize, 0);
    while k < 64 {
        order[k] = (row * BLOCK + column) as u8;
        let rising = (row + column) % 2 == 0;
        (row, column) = if rising {
            if column == 7 {
                (row + 1, column)
            } else if row == 0 {
                (row, column + 1)
            } else {
                (row - 1, column + 1)
            }
        } else if row == 7 {
            (row, column + 1)
        } else if column == 0 {
            (row + 1, column)
        } else {
            (row + 1, column - 1)
        };
        k += 1;
    }
    order
};

/// Divides by a table with two multiplications, of which the high halves are used.
pub(super) struct Quantiser {
    half: [[u16; GROUP]; BLOCK],
    reciprocal: [[u16; GROUP]; BLOCK],
    scale: [[u16; GROUP]; BLOCK],
}

impl Quantiser {
    pub(super) fn new(steps: &Steps) -> Self {
        let mut this =
            Self { half: [[0; GROUP]; BLOCK], reciprocal: [[0; GROUP]; BLOCK], scale: [[0; GROUP]; BLOCK] };
        for u in 0..BLOCK {
            for at in 0..GROUP {
                let divisor = u32::from(steps[at % BLOCK * BLOCK + u]) * UNIT as u32;
                // The reciprocal is scaled to sixteen bits; the second multiplication reverses the scaling.
                let shift = (divisor - 1).ilog2();
                this.half[u][at] = (divisor / 2) as u16;
                this.reciprocal[u][at] = (1_u32 << (16 + shift)).div_ceil(divisor) as u16;
                this.scale[u][at] = 1 << (16 - shift);
            }
        }
        this
    }

    #[inline(always)]
    pub(super) fn quantise(&self, coefficients: &Coefficients, levels: &mut Levels) {
        let mut nonzero = [0_u16; GROUP];
        for (u, (from, to)) in coefficients.iter().zip(&mut levels.values).enumerate() {
            let (half, reciprocal, scale) = (&self.half[u], &self.reciprocal[u], &self.scale[u]);
            for at in 0..GROUP {
                let high = |a: u16, b: u16| ((u32::from(a) * u32::from(b)) >> 16) as u16;
                let size = from[at].unsigned_abs() + half[at];
                let level = high(high(size, reciprocal[at]), scale[at]) as i16;
                to[at] = if from[at] < 0 { -level } else { level };
                nonzero[at] |= u16::from(level != 0) << u;
            }
        }
        for (to, bits) in levels.nonzero.iter_mut().zip(nonzero) {
            *to = bits as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_division_rounds_to_nearest() {
        for step in 1..=255_u8 {
            let quantiser = Quantiser::new(&[step; 64]);
            let divisor = i32::from(step) * UNIT;
            for start in (-32_768..32_768).step_by(256) {
                let mut at = start - 1;
                let coefficients = [[0; GROUP]; BLOCK].map(|row| {
                    row.map(|_: i16| {
                        at += 1;
                        at as i16
                    })
                });
                let mut levels = Levels::NONE;
                quantiser.quantise(&coefficients, &mut levels);
                for (&from, &to) in coefficients.as_flattened().iter().zip(levels.values.as_flattened()) {
                    let off = 2 * (i32::from(from) - i32::from(to) * divisor).abs();
                    // Halves may be rounded either way, and large values show the reciprocal's last bit.
                    assert!(off <= divisor + 4, "{from} / {divisor} is not {to}");
                }
            }
        }
    }

    #[test]
    fn masks_have_the_nonzero_levels_in_zigzag_order() {
        let quantiser = Quantiser::new(&[1; 64]);
        for (k, &place) in ZIGZAG.iter().enumerate() {
            for block in 0..GROUP / BLOCK {
                let mut coefficients = [[0; GROUP]; BLOCK];
                let (row, column) = (usize::from(place) / BLOCK, usize::from(place) % BLOCK);
                coefficients[column][block * BLOCK + row] = -64;
                let mut levels = Levels::NONE;
                quantiser.quantise(&coefficients, &mut levels);
                for other in 0..GROUP / BLOCK {
                    assert_eq!(levels.mask(other), if other == block { 1 << k } else { 0 });
                }
            }
        }
        assert_eq!(ZIGZAG[..10], [0, 1, 8, 16, 9, 2, 3, 10, 17, 24]);
    }
}
