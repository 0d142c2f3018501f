//! Sequential scans (ITU-T T.81, F.2): MCU row by MCU row, block by block.

use std::sync::Arc;

use fearless_simd::i32x8;
use fearless_simd::prelude::*;

use super::ac::{AcSelection, AcSummary, AcTable};
use super::bit_reader::BitReader;
use super::coefficient_buffer::CoefficientBuffer;
use super::frame::Frame;
use super::huffman::{DcTable, NATURAL};
use super::planes::Planes;
use super::restart_intervals::{McuBoundary, RestartIntervals};
use super::table_cache::TableCache;
use super::tables::{ScanHeader, Tables};
use crate::simd::{Kernel, Lanes, SimdLevel, WIDTH};

/// The state of a sequential scan.
pub(super) struct Scan<'a> {
    pub(super) reader: BitReader<'a>,
    components: Vec<ScanComponent>,
    /// MCUs across and down.
    pub(super) mcus: (usize, usize),
    restarts: RestartIntervals<'a>,
}

/// What decoding a component's blocks needs.
struct ScanComponent {
    view: ComponentView,
    factors: (usize, usize),
    dc: Arc<DcTable>,
    ac: Arc<AcTable>,
    dc_step: i32,
    squares: [u64; 64],
    last: usize,
    prediction: i32,
}

/// Receives decoded blocks.
pub(super) trait BlockSink {
    /// Takes a block of component `index` in column `x` and row `y`, counted from the MCU row's first.
    /// Its AC coefficients are in `block`, unless `ac` is flat; the sink sets them to zero.
    fn block<S: Lanes, const STORE: bool>(
        &mut self,
        simd: S,
        component: &ComponentView,
        place: (usize, usize),
        dc: i32,
        ac: AcSummary,
        block: &mut [i16; 64],
    );
}

/// What a [`BlockSink`] needs of a component.
pub(super) struct ComponentView {
    pub(super) index: usize,
    pub(super) block_samples: (usize, usize),
    pub(super) energy: bool,
    /// Quantisation steps in natural order, 1 for the DC coefficient, which comes multiplied; and those of
    /// coefficients that samples do not use, 0 for the others.
    steps: [i16; 64],
    unused_steps: [i16; 64],
}

impl<'a> Scan<'a> {
    /// A scan whose data begins at `at`. With `dequantise` DC coefficients are multiplied with their
    /// quantisation step.
    pub(super) fn new(
        bytes: &'a [u8],
        at: usize,
        header: &ScanHeader,
        frame: &Frame,
        (tables, cache): (&Tables, &mut TableCache),
        records_variance: bool,
        dequantise: bool,
    ) -> Result<Self, String> {
        let interleaved = header.components.len() > 1;
        let mut mcus = frame.mcus;
        let mut components = Vec::new();
        for &(index, dc, ac) in &header.components {
            let component = &frame.components[index];
            let steps = tables.quantisation[usize::from(component.spec.table)]
                .as_ref()
                .ok_or("a scan before its quantisation table")?;
            let dc = tables.dc.get(dc).and_then(Option::as_ref).ok_or("a scan before its DC table")?;
            let ac = tables.ac.get(ac).and_then(Option::as_ref).ok_or("a scan before its AC table")?;
            let last = component.last();
            let block_samples = component.block_samples;
            if !interleaved {
                mcus = component.blocks;
            }
            components.push(ScanComponent {
                view: ComponentView {
                    index,
                    block_samples,
                    energy: index == 0 && records_variance,
                    steps: {
                        let mut natural = in_natural_order(steps);
                        natural[0] = 1;
                        natural
                    },
                    unused_steps: in_natural_order(&component.unused_steps(steps)),
                },
                factors: if interleaved { component.factors } else { (1, 1) },
                dc: cache.dc(dc),
                ac: cache.ac(ac),
                dc_step: if dequantise { steps[0].into() } else { 1 },
                squares: weights(&component.unused_steps(steps)),
                last,
                prediction: 0,
            });
        }
        Ok(Self {
            reader: BitReader::new(bytes, at),
            components,
            mcus,
            restarts: RestartIntervals::new(bytes, tables.restart),
        })
    }

    /// Resets what one MCU leaves for the next (T.81, E.2.4).
    fn restart(&mut self) {
        for component in &mut self.components {
            component.prediction = 0;
        }
    }
}

/// Decodes the next MCU row into a sink.
pub(super) fn mcu_row(
    level: SimdLevel,
    scan: &mut Scan<'_>,
    sink: &mut impl BlockSink,
) -> Result<(), String> {
    if scan.components.iter().any(|component| component.last > 0) {
        level.run(McuRow::<_, true> { scan, sink })
    } else {
        level.run(McuRow::<_, false> { scan, sink })
    }
}

/// With `STORE` some AC coefficients are stored. Two variants are compiled, so that the state of each loop fits
/// into registers.
struct McuRow<'s, 'a, T, const STORE: bool> {
    scan: &'s mut Scan<'a>,
    sink: &'s mut T,
}

impl<T: BlockSink, const STORE: bool> Kernel for McuRow<'_, '_, T, STORE> {
    type Output = Result<(), String>;

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) -> Self::Output {
        let Self { scan, sink } = self;
        let mut block = [0; 64];
        // A copy for the whole row, to stay in registers.
        let mut reader = scan.reader;
        for mcu in 0..scan.mcus.0 {
            match scan.restarts.before_mcu(&mut reader)? {
                McuBoundary::None => {}
                McuBoundary::Restart => scan.restart(),
                McuBoundary::End => break,
            }
            for component in &mut scan.components {
                let (across, down) = component.factors;
                let (mut x, mut y) = (0, 0);
                while y < down {
                    let selection = AcSelection { last: component.last, squares: &component.squares };
                    reader.refill();
                    let difference = component.dc.read(&mut reader);
                    let ac = if component.view.energy {
                        component.ac.read::<STORE, true>(&mut reader, &selection, &mut block)
                    } else {
                        component.ac.read::<STORE, false>(&mut reader, &selection, &mut block)
                    };
                    let (Some(difference), Some(mut ac)) = (difference, ac) else {
                        scan.reader = reader;
                        return Err(format!("an invalid code before byte {}", reader.position()));
                    };
                    if STORE && component.view.energy && !ac.flat {
                        ac.energy =
                            ac.energy.wrapping_add(energy(simd, &block, &component.view.unused_steps));
                    }
                    component.prediction = component.prediction.wrapping_add(difference);
                    let dc = component.prediction.wrapping_mul(component.dc_step);
                    sink.block::<S, STORE>(simd, &component.view, (mcu * across + x, y), dc, ac, &mut block);
                    x += 1;
                    if x == across {
                        (x, y) = (0, y + 1);
                    }
                }
            }
        }
        scan.reader = reader;
        if reader.overrun() {
            return Err(format!("the data ends at byte {}", scan.reader.position()));
        }
        Ok(())
    }
}

/// Factors of the squares of skipped coefficients, by the index after the last one of a look-up: the square of
/// that one's step, for all of them.
fn weights(steps: &[u16; 64]) -> [u64; 64] {
    std::array::from_fn(|index| u64::from(steps[(index + 63) % 64]).pow(2))
}

/// Zigzag order to natural order.
fn in_natural_order(sequence: &[u16; 64]) -> [i16; 64] {
    let mut natural = [0; 64];
    for (&value, &place) in sequence.iter().zip(&NATURAL) {
        natural[usize::from(place)] = value as i16;
    }
    natural
}

/// The energy of coefficients multiplied with `steps`.
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

/// The variance of a block's energy, in 2⁻¹⁵ of the full range's square: a block's energy is 64
/// times its variance (Parseval), and the full range is 255.
#[inline(always)]
pub(super) fn variance(energy: u64) -> i16 {
    (energy.wrapping_mul(516) >> 16).min(32767) as i16
}

impl BlockSink for Planes {
    #[inline(always)]
    fn block<S: Lanes, const STORE: bool>(
        &mut self,
        simd: S,
        component: &ComponentView,
        place: (usize, usize),
        dc: i32,
        ac: AcSummary,
        block: &mut [i16; 64],
    ) {
        if component.energy {
            self.variance(place, variance(ac.energy));
        }
        if STORE && component.block_samples != (1, 1) {
            let ComponentView { index, block_samples, steps, .. } = component;
            self.block(simd, *index, *block_samples, place, dc, ac.flat, block, steps);
        } else {
            self.mean(component.index, place, dc);
        }
    }
}

/// Writes blocks into the buffer, from row `tops` of each component on.
pub(super) struct BufferSink<'a> {
    pub(super) buffer: &'a mut CoefficientBuffer,
    pub(super) tops: Vec<usize>,
}

impl BlockSink for BufferSink<'_> {
    #[inline(always)]
    fn block<S: Lanes, const STORE: bool>(
        &mut self,
        _: S,
        component: &ComponentView,
        (x, y): (usize, usize),
        dc: i32,
        ac: AcSummary,
        block: &mut [i16; 64],
    ) {
        let y = self.tops[component.index] + y;
        if component.energy {
            let at = y * self.buffer.planes[component.index].blocks.0 + x;
            self.buffer.add_energy(at, ac.energy);
        }
        block[0] = dc.clamp(-32768, 32767) as i16;
        self.buffer.store(component.index, (x, y), block);
        *block = [0; 64];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_coefficients_weigh_by_their_own_step() {
        let steps = std::array::from_fn(|index| index as u16 * 10);
        let weights = weights(&steps);
        for (index, &step) in steps.iter().enumerate() {
            // Looked up by the index after the coefficient, which is 64 after the last one.
            assert_eq!(weights[(index + 1) & 63], u64::from(step).pow(2));
        }
    }
}
