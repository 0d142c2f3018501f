//! Sequential scans (ITU-T T.81, F.2): MCU row by MCU row, block by block.

use std::sync::Arc;

use fearless_simd::i32x8;
use fearless_simd::prelude::*;

use super::ac::{AcTable, Rest, Wanted};
use super::bits::Bits;
use super::frame::Frame;
use super::huffman::{DcTable, NATURAL};
use super::lookups::Lookups;
use super::planes::Planes;
use super::restarts::{Before, Restarts};
use super::store::Store;
use super::tables::{ScanHeader, Tables};
use crate::simd::{Kernel, Lanes, SimdLevel, WIDTH};

/// A sequential scan under way.
pub(super) struct Scan<'a> {
    pub(super) bits: Bits<'a>,
    parts: Vec<Part>,
    /// MCUs across and down.
    pub(super) mcus: (usize, usize),
    restarts: Restarts<'a>,
}

/// What decoding a component's blocks takes.
struct Part {
    view: PartView,
    factors: (usize, usize),
    dc: Arc<DcTable>,
    ac: Arc<AcTable>,
    dc_step: i32,
    squares: [u64; 64],
    last: usize,
    prediction: i32,
}

/// Where blocks go.
pub(super) trait Sink {
    /// Takes a block of component `index` in column `x` and row `y`, counted from the MCU row's first.
    /// Its AC coefficients, if `rest` says that any were kept, are in `block`, to be left zero.
    fn block<S: Lanes, const KEEP: bool>(
        &mut self,
        simd: S,
        part: &PartView,
        place: (usize, usize),
        dc: i32,
        rest: Rest,
        block: &mut [i16; 64],
    );
}

/// What sinks may know of a component.
pub(super) struct PartView {
    pub(super) index: usize,
    pub(super) cells: (usize, usize),
    pub(super) energy: bool,
    /// What coefficients are multiplied with, in natural order; and what those of them are that no cell is
    /// made of, 0 for the others.
    steps: [i16; 64],
    others: [i16; 64],
}

impl<'a> Scan<'a> {
    /// A scan whose data begins at `at`. With `multiply` DC coefficients come out multiplied with their
    /// quantisation step.
    pub(super) fn new(
        bytes: &'a [u8],
        at: usize,
        header: &ScanHeader,
        frame: &Frame,
        (tables, lookups): (&Tables, &mut Lookups),
        wants_variance: bool,
        multiply: bool,
    ) -> Result<Self, String> {
        let alone = header.components.len() == 1;
        let mut mcus = frame.mcus;
        let mut parts = Vec::new();
        for &(index, dc, ac) in &header.components {
            let component = &frame.components[index];
            let steps = tables.quantisation[usize::from(component.sampled.table)]
                .as_ref()
                .ok_or("a scan before its quantisation table")?;
            let dc = tables.dc.get(dc).and_then(Option::as_ref).ok_or("a scan before its DC table")?;
            let ac = tables.ac.get(ac).and_then(Option::as_ref).ok_or("a scan before its AC table")?;
            let last = component.last();
            let cells = component.cells;
            if alone {
                mcus = component.blocks;
            }
            parts.push(Part {
                view: PartView {
                    index,
                    cells,
                    energy: index == 0 && wants_variance,
                    steps: in_natural_order(steps),
                    others: in_natural_order(&component.others(steps)),
                },
                factors: if alone { (1, 1) } else { component.factors },
                dc: lookups.dc(dc),
                ac: lookups.ac(ac),
                dc_step: if multiply { steps[0].into() } else { 1 },
                squares: weights(&component.others(steps)),
                last,
                prediction: 0,
            });
        }
        Ok(Self { bits: Bits::new(bytes, at), parts, mcus, restarts: Restarts::new(bytes, tables.restart) })
    }

    /// Forgets what is kept from MCU to MCU.
    fn begin_again(&mut self) {
        for part in &mut self.parts {
            part.prediction = 0;
        }
    }
}

/// Decodes the next MCU row into a sink.
pub(super) fn mcu_row(level: SimdLevel, scan: &mut Scan<'_>, sink: &mut impl Sink) -> Result<(), String> {
    if scan.parts.iter().any(|part| part.last > 0) {
        level.run(McuRow::<_, true> { scan, sink })
    } else {
        level.run(McuRow::<_, false> { scan, sink })
    }
}

/// With `KEEP` some AC coefficients are kept. One of two is compiled into the loop, so that what it needs
/// fits into registers.
struct McuRow<'s, 'a, T, const KEEP: bool> {
    scan: &'s mut Scan<'a>,
    sink: &'s mut T,
}

impl<T: Sink, const KEEP: bool> Kernel for McuRow<'_, '_, T, KEEP> {
    type Output = Result<(), String>;

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) -> Self::Output {
        let Self { scan, sink } = self;
        let mut block = [0; 64];
        // A copy for the whole row, so that it can stay in registers.
        let mut bits = scan.bits;
        for mcu in 0..scan.mcus.0 {
            match scan.restarts.before_mcu(&mut bits)? {
                Before::Mcu => {}
                Before::Restart => scan.begin_again(),
                Before::End => break,
            }
            for part in &mut scan.parts {
                let (across, down) = part.factors;
                let (mut x, mut y) = (0, 0);
                while y < down {
                    let wanted = Wanted { last: part.last, squares: &part.squares };
                    bits.refill();
                    let difference = part.dc.read(&mut bits);
                    let rest = if part.view.energy {
                        part.ac.read::<KEEP, true>(&mut bits, &wanted, &mut block)
                    } else {
                        part.ac.read::<KEEP, false>(&mut bits, &wanted, &mut block)
                    };
                    let (Some(difference), Some(mut rest)) = (difference, rest) else {
                        scan.bits = bits;
                        return Err(format!("bits that are no code before byte {}", bits.position()));
                    };
                    if KEEP && part.view.energy && !rest.flat {
                        rest.energy = rest.energy.wrapping_add(energy(simd, &block, &part.view.others));
                    }
                    part.prediction = part.prediction.wrapping_add(difference);
                    let dc = part.prediction.wrapping_mul(part.dc_step);
                    sink.block::<S, KEEP>(simd, &part.view, (mcu * across + x, y), dc, rest, &mut block);
                    x += 1;
                    if x == across {
                        (x, y) = (0, y + 1);
                    }
                }
            }
        }
        scan.bits = bits;
        if bits.overrun() {
            return Err(format!("the data ends at byte {}", scan.bits.position()));
        }
        Ok(())
    }
}

/// What squares are multiplied with, by the index after the last coefficient of a look-up: the square of that
/// coefficient's step, for all of them.
fn weights(steps: &[u16; 64]) -> [u64; 64] {
    std::array::from_fn(|index| u64::from(steps[(index + 63) % 64]).pow(2))
}

/// An array in zigzag order, put into natural order.
fn in_natural_order(sequence: &[u16; 64]) -> [i16; 64] {
    let mut natural = [0; 64];
    for (&value, &place) in sequence.iter().zip(&NATURAL) {
        natural[usize::from(place)] = value as i16;
    }
    natural
}

/// The energy of coefficients that are to be multiplied with `steps`.
#[inline(always)]
fn energy<S: Lanes>(simd: S, block: &[i16; 64], steps: &[i16; 64]) -> u64 {
    let mut sum = i32x8::splat(simd, 0);
    for (values, steps) in block.chunks_exact(WIDTH).zip(steps.chunks_exact(WIDTH)) {
        let values = simd.load(values) * simd.load(steps);
        sum += simd.pairwise_dot_product_i16x16(values, values);
    }
    let (low, high) = sum.split();
    u64::from((low + high).reduce_sum() as u32)
}

/// Multiplies the first coefficients with their quantisation steps.
#[inline(always)]
fn multiply<S: Lanes>(simd: S, block: &mut [i16], steps: &[i16; 64]) {
    for (values, steps) in block.chunks_exact_mut(WIDTH).zip(steps.chunks_exact(WIDTH)) {
        (simd.load(values) * simd.load(steps)).store_slice(values);
    }
}

/// The variance that an energy stands for, in 2⁻¹⁵ of the full range's square: a block's energy is 64
/// times its variance (Parseval), and the full range is 255.
#[inline(always)]
pub(super) fn variance(energy: u64) -> i16 {
    (energy.wrapping_mul(516) >> 16).min(32767) as i16
}

impl Sink for Planes {
    #[inline(always)]
    fn block<S: Lanes, const KEEP: bool>(
        &mut self,
        simd: S,
        part: &PartView,
        place: (usize, usize),
        dc: i32,
        rest: Rest,
        block: &mut [i16; 64],
    ) {
        if part.energy {
            self.variance(place, variance(rest.energy));
        }
        if KEEP {
            if !rest.flat {
                multiply(simd, &mut block[..(part.cells.1 * 8).next_multiple_of(WIDTH)], &part.steps);
            }
            self.block(simd, part.index, part.cells, place, dc, rest.flat, block);
        } else {
            self.mean(part.index, place, dc);
        }
    }
}

/// Blocks into the store, from row `top` on.
pub(super) struct Stored<'a> {
    pub(super) store: &'a mut Store,
    pub(super) tops: Vec<usize>,
}

impl Sink for Stored<'_> {
    #[inline(always)]
    fn block<S: Lanes, const KEEP: bool>(
        &mut self,
        _: S,
        part: &PartView,
        (x, y): (usize, usize),
        dc: i32,
        rest: Rest,
        block: &mut [i16; 64],
    ) {
        let y = self.tops[part.index] + y;
        if part.energy {
            let at = y * self.store.planes[part.index].blocks.0 + x;
            self.store.add_energy(at, rest.energy);
        }
        block[0] = dc.clamp(-32768, 32767) as i16;
        self.store.put(part.index, (x, y), block);
        *block = [0; 64];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stepped_over_weighs_by_its_own_step() {
        let steps = std::array::from_fn(|index| index as u16 * 10);
        let weights = weights(&steps);
        for (index, &step) in steps.iter().enumerate() {
            // As it is looked up: by the index after the coefficient, and after the last one by 64.
            assert_eq!(weights[(index + 1) & 63], u64::from(step).pow(2));
        }
    }
}
