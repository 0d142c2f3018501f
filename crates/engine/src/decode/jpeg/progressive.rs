//! Progressive scans (ITU-T T.81, annex G): first and refining scans of DC and AC coefficients.

use super::ac::END;
use super::bits::Bits;
use super::frame::Frame;
use super::huffman::{Codes, DcTable, SINGLE_BITS, Singles, extend, single_coefficients};
use super::restarts::{Before, Restarts};
use super::store::{Block, Store, StoredPlane};
use super::tables::{ScanHeader, Tables};
use crate::simd::{Kernel, Lanes};

/// A progressive scan under way; each call of [`Row`] decodes one row of MCUs.
pub(super) struct Scan<'a> {
    pub(super) bits: Bits<'a>,
    header: ScanHeader,
    parts: Vec<Part>,
    /// MCUs across and down.
    pub(super) mcus: (usize, usize),
    restarts: Restarts<'a>,
    /// Blocks, after this one, that have no further value in the band (T.81, G.1.2.2).
    end_of_band: u32,
}

struct Part {
    plane: usize,
    factors: (usize, usize),
    codes: Option<Codes>,
    dc: Option<DcTable>,
    table: Option<Singles>,
    squares: [u64; 64],
    prediction: i32,
}

/// In the step of an entry: more than the table tells.
const SLOW: u32 = 192;

impl<'a> Scan<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        at: usize,
        header: ScanHeader,
        frame: &Frame,
        tables: &Tables,
    ) -> Result<Self, String> {
        let alone = header.components.len() == 1;
        let mut mcus = frame.mcus;
        let mut parts = Vec::new();
        for &(index, dc, ac) in &header.components {
            let component = &frame.components[index];
            if alone {
                mcus = component.blocks;
            }
            let (kind, slot) = if header.band.0 == 0 { (&tables.dc, dc) } else { (&tables.ac, ac) };
            let codes = kind.get(slot).and_then(Option::as_ref);
            let raw = header.band.0 == 0 && header.bits.0 > 0;
            if codes.is_none() && !raw {
                return Err("a scan before its Huffman table".into());
            }
            let first = header.band.0 > 0 && header.bits.0 == 0;
            let table = codes.filter(|_| first).map(|codes| single_coefficients(codes, SLOW, step));
            let factors = if alone { (1, 1) } else { component.factors };
            let steps = tables.quantisation[usize::from(component.sampled.table)].as_ref();
            let squares = steps
                .filter(|_| index == 0)
                .map_or([0; 64], |steps| component.others(steps).map(|step| u64::from(step).pow(2)));
            let dc = codes.filter(|_| header.band.0 == 0 && !raw).map(DcTable::new);
            parts.push(Part {
                plane: index,
                factors,
                codes: codes.cloned(),
                dc,
                table,
                squares,
                prediction: 0,
            });
        }
        Ok(Self {
            bits: Bits::new(bytes, at),
            header,
            parts,
            mcus,
            restarts: Restarts::new(bytes, tables.restart),
            end_of_band: 0,
        })
    }

    /// Forgets what is kept from MCU to MCU.
    fn begin_again(&mut self) {
        self.end_of_band = 0;
        for part in &mut self.parts {
            part.prediction = 0;
        }
    }
}

/// By how much the index grows with a symbol of a first scan; an end that more bits tell of is slow.
const fn step(run: u32, size: u32) -> u32 {
    match (run, size) {
        (15, 0) => 16,
        (0, 0) => END,
        (_, 0) => SLOW,
        _ => run + 1,
    }
}

/// Decodes MCU row `row` of a scan.
pub(super) struct Row<'s, 'a> {
    pub(super) scan: &'s mut Scan<'a>,
    pub(super) store: &'s mut Store,
    pub(super) row: usize,
}

impl Kernel for Row<'_, '_> {
    type Output = Result<(), String>;

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) -> Self::Output {
        let Self { scan, store, row } = self;
        let damaged = |scan: &Scan<'_>| format!("bits that are no code before byte {}", scan.bits.position());
        // A copy for the whole row, so that it can stay in registers.
        let mut bits = scan.bits;
        for mcu in 0..scan.mcus.0 {
            match scan.restarts.before_mcu(&mut bits)? {
                Before::Mcu => {}
                Before::Restart => scan.begin_again(),
                Before::End => break,
            }
            let approximation = scan.header.bits;
            if scan.header.band.0 == 0 {
                for part in &mut scan.parts {
                    let plane = &mut store.planes[part.plane];
                    for y in 0..part.factors.1 {
                        let line = (row * part.factors.1 + y) * plane.blocks.0;
                        // A bit for each of up to four blocks.
                        if bits.available() < 4 {
                            bits.refill();
                        }
                        for x in 0..part.factors.0 {
                            let dc = &mut plane.block_mut(line + mcu * part.factors.0 + x)[0];
                            let Some(table) = &part.dc else {
                                *dc |= (bits.take(1) << approximation.1) as i16;
                                continue;
                            };
                            bits.refill();
                            let Some(difference) = table.read(&mut bits) else {
                                scan.bits = bits;
                                return Err(damaged(scan));
                            };
                            part.prediction = part.prediction.wrapping_add(difference);
                            *dc = (part.prediction << approximation.1) as i16;
                        }
                    }
                }
                continue;
            }
            let part = &scan.parts[0];
            let plane = &mut store.planes[part.plane];
            let at = row * plane.blocks.0 + mcu;
            let band = scan.header.band;
            let Some(codes) = &part.codes else { return Err(damaged(scan)) };
            let read = if approximation.0 == 0 {
                let Some(table) = &part.table else { return Err(damaged(scan)) };
                let (squares, shift) = (&part.squares, approximation.1);
                first(&mut bits, codes, table, squares, band, shift, plane, at, &mut scan.end_of_band)
                    .map(|energy| store.add_energy(at, energy))
            } else {
                refine(&mut bits, codes, band, approximation.1, plane, at, &mut scan.end_of_band)
            };
            if read.is_none() {
                scan.bits = bits;
                return Err(damaged(scan));
            }
        }
        scan.bits = bits;
        if scan.bits.overrun() {
            return Err(format!("the data ends at byte {}", scan.bits.position()));
        }
        Ok(())
    }
}

/// The first scan of a band (T.81, G.1.2.2 and figure G.3). Returns the energy of what is not kept.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the state of one inlined loop")]
fn first(
    bits: &mut Bits<'_>,
    codes: &Codes,
    table: &Singles,
    squares: &[u64; 64],
    (from, to): (usize, usize),
    shift: u32,
    plane: &mut StoredPlane,
    at: usize,
    end_of_band: &mut u32,
) -> Option<u64> {
    if *end_of_band > 0 {
        *end_of_band -= 1;
        return Some(0);
    }
    let mut energy = 0_u64;
    let mut history = 0;
    let mut index = from as u32;
    let end = to as u32 + 1;
    let (mut block, place) = plane.entry(at);
    while index < end {
        if bits.available() < 32 {
            bits.refill();
        }
        let entry = table[(bits.peek() >> (64 - SINGLE_BITS)) as usize];
        let step = entry >> 8 & 0xff;
        let value;
        if step < END {
            bits.consume(entry & 0xff);
            index += step;
            value = entry as i32 >> 16;
        } else if step == END {
            bits.consume(entry & 0xff);
            break;
        } else {
            let symbol = codes.read(bits)?;
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 && run < 15 {
                *end_of_band = (1 << run) - 1 + bits.take(run) as u32;
                break;
            }
            index += run + 1;
            value = extend(bits.take(size) as u32, size);
        }
        if index > end {
            return None;
        }
        if value != 0 {
            if let Some(coefficient) = block.get_mut(index as usize - 1) {
                *coefficient = (value << shift) as i16;
            }
            history |= 1_u64 << (index - 1);
            // The bits that are still to come are in the middle of their range.
            let value = u64::from(value.unsigned_abs() << shift | 1 << shift >> 1);
            energy = energy.wrapping_add((value * value).wrapping_mul(squares[index as usize - 1]));
        }
    }
    if let Some(place) = place {
        *place |= history;
    }
    Some(energy)
}

/// A scan that adds a bit to the coefficients of a band (T.81, G.1.2.3 and figure G.7).
///
/// What earlier scans left tells where correction bits stand, so coefficients that are not kept need only
/// be known to be zero or not.
#[inline(always)]
fn refine(
    bits: &mut Bits<'_>,
    codes: &Codes,
    (from, to): (usize, usize),
    shift: u32,
    plane: &mut StoredPlane,
    at: usize,
    end_of_band: &mut u32,
) -> Option<()> {
    let (mut block, place_of_history) = plane.entry(at);
    let stored = place_of_history?;
    let before = *stored;
    let mut history = before;
    // Bits `index` and up, up to `to`.
    let up_to = u64::MAX >> (63 - to);
    let mut index = from;
    if *end_of_band == 0 {
        while index <= to {
            bits.refill();
            let symbol = codes.read(bits)?;
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            let mut value = 0;
            if size > 0 {
                // Only ±1 can be new.
                value = if bits.take(1) == 1 { 1 << shift } else { -1 << shift };
            } else if run < 15 {
                *end_of_band = (1 << run) + bits.take(run) as u32;
                break;
            }
            // The place after `run` coefficients that are still zero.
            let mut zeros = !before & up_to & (u64::MAX << index);
            for _ in 0..run {
                zeros &= zeros.wrapping_sub(1);
            }
            let place = if zeros == 0 { to + 1 } else { zeros.trailing_zeros() as usize };
            let passed = before & (u64::MAX << index) & !(u64::MAX.checked_shl(place as u32).unwrap_or(0));
            correct(bits, passed, shift, &mut block);
            if value != 0 {
                if place > to {
                    return None;
                }
                if let Some(coefficient) = block.get_mut(place) {
                    *coefficient = value;
                }
                history |= 1 << place;
            }
            index = place + 1;
        }
    }
    if *end_of_band > 0 {
        *end_of_band -= 1;
        if index <= to {
            correct(bits, before & up_to & (u64::MAX << index), shift, &mut block);
        }
    }
    *stored = history;
    Some(())
}

/// Reads a correction bit for each coefficient in `passed`.
#[inline(always)]
fn correct(bits: &mut Bits<'_>, mut passed: u64, shift: u32, block: &mut Block<'_>) {
    while passed != 0 {
        bits.refill();
        let count = passed.count_ones().min(56);
        let mut read = bits.take(count);
        // The first bit belongs to the lowest index.
        read <<= 64 - count;
        for _ in 0..count {
            let index = passed.trailing_zeros() as usize;
            passed &= passed - 1;
            // Without a branch: nobody can tell the bit beforehand.
            if let Some(value) = block.get_mut(index) {
                let bit = ((read >> 63) as i16) << shift;
                let sign = *value >> 15;
                *value = value.wrapping_add((bit ^ sign) - sign);
            }
            read <<= 1;
        }
    }
}
