//! Progressive scans (ITU-T T.81, annex G): first and refining scans of DC and AC coefficients.

use super::ac::END;
use super::bit_reader::BitReader;
use super::coefficient_buffer::{Block, CoefficientBuffer, CoefficientPlane};
use super::frame::Frame;
use super::huffman::{Codes, DcTable, SINGLE_BITS, Singles, extend, single_coefficients};
use super::restart_intervals::{McuBoundary, RestartIntervals};
use super::tables::{ScanHeader, Tables};
use crate::simd::{Kernel, Lanes};

/// The state of a progressive scan; each [`McuRow`] decodes one row of MCUs.
pub(super) struct Scan<'a> {
    pub(super) reader: BitReader<'a>,
    header: ScanHeader,
    components: Vec<ScanComponent>,
    /// MCUs across and down.
    pub(super) mcus: (usize, usize),
    restarts: RestartIntervals<'a>,
    /// EOBRUN: blocks after this one that have no further value in the band (T.81, G.1.2.2).
    eob_run: u32,
}

/// What decoding a component's blocks needs.
struct ScanComponent {
    plane: usize,
    factors: (usize, usize),
    codes: Option<Codes>,
    dc: Option<DcTable>,
    table: Option<Singles>,
    squares: [u64; 64],
    prediction: i32,
}

/// The step of an entry whose bits do not fit the table.
const SLOW: u32 = 192;

impl<'a> Scan<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        at: usize,
        header: ScanHeader,
        frame: &Frame,
        tables: &Tables,
    ) -> Result<Self, String> {
        let interleaved = header.components.len() > 1;
        let mut mcus = frame.mcus;
        let mut components = Vec::new();
        for &(index, dc, ac) in &header.components {
            let component = &frame.components[index];
            if !interleaved {
                mcus = component.blocks;
            }
            let (kind, slot) = if header.ss == 0 { (&tables.dc, dc) } else { (&tables.ac, ac) };
            let codes = kind.get(slot).and_then(Option::as_ref);
            let raw = header.ss == 0 && header.ah > 0;
            if codes.is_none() && !raw {
                return Err("a scan before its Huffman table".into());
            }
            let first = header.ss > 0 && header.ah == 0;
            let table = codes.filter(|_| first).map(|codes| single_coefficients(codes, SLOW, step));
            let factors = if interleaved { component.factors } else { (1, 1) };
            let steps = tables.quantisation[usize::from(component.spec.table)].as_ref();
            let squares = steps
                .filter(|_| index == 0)
                .map_or([0; 64], |steps| component.unused_steps(steps).map(|step| u64::from(step).pow(2)));
            let dc = codes.filter(|_| header.ss == 0 && !raw).map(DcTable::new);
            components.push(ScanComponent {
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
            reader: BitReader::new(bytes, at),
            header,
            components,
            mcus,
            restarts: RestartIntervals::new(bytes, tables.restart),
            eob_run: 0,
        })
    }

    /// Resets what one MCU leaves for the next (T.81, E.2.4).
    fn restart(&mut self) {
        self.eob_run = 0;
        for component in &mut self.components {
            component.prediction = 0;
        }
    }
}

/// By how much the index grows with a symbol of a first scan; an EOB run, which more bits follow, is slow.
const fn step(run: u32, size: u32) -> u32 {
    match (run, size) {
        (15, 0) => 16,
        (0, 0) => END,
        (_, 0) => SLOW,
        _ => run + 1,
    }
}

/// Decodes MCU row `row` of a scan.
pub(super) struct McuRow<'s, 'a> {
    pub(super) scan: &'s mut Scan<'a>,
    pub(super) buffer: &'s mut CoefficientBuffer,
    pub(super) row: usize,
}

impl Kernel for McuRow<'_, '_> {
    type Output = Result<(), String>;

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) -> Self::Output {
        let Self { scan, buffer, row } = self;
        let invalid = |scan: &Scan<'_>| format!("an invalid code before byte {}", scan.reader.position());
        // A copy for the whole row, to stay in registers.
        let mut reader = scan.reader;
        for mcu in 0..scan.mcus.0 {
            match scan.restarts.before_mcu(&mut reader)? {
                McuBoundary::None => {}
                McuBoundary::Restart => scan.restart(),
                McuBoundary::End => break,
            }
            let ScanHeader { ah, al, .. } = scan.header;
            if scan.header.ss == 0 {
                for component in &mut scan.components {
                    let plane = &mut buffer.planes[component.plane];
                    for y in 0..component.factors.1 {
                        let line = (row * component.factors.1 + y) * plane.blocks.0;
                        // A bit for each of up to four blocks.
                        if reader.available() < 4 {
                            reader.refill();
                        }
                        for x in 0..component.factors.0 {
                            let dc = &mut plane.block_mut(line + mcu * component.factors.0 + x)[0];
                            let Some(table) = &component.dc else {
                                *dc |= (reader.take(1) << al) as i16;
                                continue;
                            };
                            reader.refill();
                            let Some(difference) = table.read(&mut reader) else {
                                scan.reader = reader;
                                return Err(invalid(scan));
                            };
                            component.prediction = component.prediction.wrapping_add(difference);
                            *dc = (component.prediction << al) as i16;
                        }
                    }
                }
                continue;
            }
            let component = &scan.components[0];
            let plane = &mut buffer.planes[component.plane];
            let at = row * plane.blocks.0 + mcu;
            let band = (scan.header.ss, scan.header.se);
            let Some(codes) = &component.codes else { return Err(invalid(scan)) };
            let read = if ah == 0 {
                let Some(table) = &component.table else { return Err(invalid(scan)) };
                let (squares, shift) = (&component.squares, al);
                first(&mut reader, codes, table, squares, band, shift, plane, at, &mut scan.eob_run)
                    .map(|energy| buffer.add_energy(at, energy))
            } else {
                refine(&mut reader, codes, band, al, plane, at, &mut scan.eob_run)
            };
            if read.is_none() {
                scan.reader = reader;
                return Err(invalid(scan));
            }
        }
        scan.reader = reader;
        if scan.reader.overrun() {
            return Err(format!("the data ends at byte {}", scan.reader.position()));
        }
        Ok(())
    }
}

/// The first scan of a band (T.81, G.1.2.2 and figure G.3). Returns the energy of coefficients that are
/// not stored.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the state of one inlined loop")]
fn first(
    reader: &mut BitReader<'_>,
    codes: &Codes,
    table: &Singles,
    squares: &[u64; 64],
    (from, to): (usize, usize),
    shift: u32,
    plane: &mut CoefficientPlane,
    at: usize,
    eob_run: &mut u32,
) -> Option<u64> {
    if *eob_run > 0 {
        *eob_run -= 1;
        return Some(0);
    }
    let mut energy = 0_u64;
    let mut history = 0;
    let mut index = from as u32;
    let end = to as u32 + 1;
    let (mut block, place) = plane.entry(at);
    while index < end {
        if reader.available() < 32 {
            reader.refill();
        }
        let entry = table[(reader.peek() >> (64 - SINGLE_BITS)) as usize];
        let step = entry >> 8 & 0xff;
        let value;
        if step < END {
            reader.consume(entry & 0xff);
            index += step;
            value = entry as i32 >> 16;
        } else if step == END {
            reader.consume(entry & 0xff);
            break;
        } else {
            let symbol = codes.read(reader)?;
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 && run < 15 {
                *eob_run = (1 << run) - 1 + reader.take(run) as u32;
                break;
            }
            index += run + 1;
            value = extend(reader.take(size) as u32, size);
        }
        if index > end {
            return None;
        }
        if value != 0 {
            if let Some(coefficient) = block.get_mut(index as usize - 1) {
                *coefficient = (value << shift) as i16;
            }
            history |= 1_u64 << (index - 1);
            // Bits of later scans are set to the middle of their range.
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
/// Correction bits exist for coefficients that earlier scans left nonzero, so of coefficients that are not
/// stored only that is recorded.
#[inline(always)]
fn refine(
    reader: &mut BitReader<'_>,
    codes: &Codes,
    (from, to): (usize, usize),
    shift: u32,
    plane: &mut CoefficientPlane,
    at: usize,
    eob_run: &mut u32,
) -> Option<()> {
    let (mut block, history_entry) = plane.entry(at);
    let stored = history_entry?;
    let before = *stored;
    let mut history = before;
    // Bits `index` and up, up to `to`.
    let up_to = u64::MAX >> (63 - to);
    let mut index = from;
    if *eob_run == 0 {
        while index <= to {
            reader.refill();
            let symbol = codes.read(reader)?;
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            let mut value = 0;
            if size > 0 {
                // A new coefficient is ±1.
                value = if reader.take(1) == 1 { 1 << shift } else { -1 << shift };
            } else if run < 15 {
                *eob_run = (1 << run) + reader.take(run) as u32;
                break;
            }
            // The index after `run` coefficients that are still zero.
            let mut zeros = !before & up_to & (u64::MAX << index);
            for _ in 0..run {
                zeros &= zeros.wrapping_sub(1);
            }
            let place = if zeros == 0 { to + 1 } else { zeros.trailing_zeros() as usize };
            let passed = before & (u64::MAX << index) & !(u64::MAX.checked_shl(place as u32).unwrap_or(0));
            correct(reader, passed, shift, &mut block);
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
    if *eob_run > 0 {
        *eob_run -= 1;
        if index <= to {
            correct(reader, before & up_to & (u64::MAX << index), shift, &mut block);
        }
    }
    *stored = history;
    Some(())
}

/// Reads a correction bit for each coefficient in `passed`.
#[inline(always)]
fn correct(reader: &mut BitReader<'_>, mut passed: u64, shift: u32, block: &mut Block<'_>) {
    while passed != 0 {
        reader.refill();
        let count = passed.count_ones().min(56);
        let mut read = reader.take(count);
        // The first bit belongs to the lowest index.
        read <<= 64 - count;
        for _ in 0..count {
            let index = passed.trailing_zeros() as usize;
            passed &= passed - 1;
            // Without a branch: the bit is not predictable.
            if let Some(value) = block.get_mut(index) {
                let bit = ((read >> 63) as i16) << shift;
                let sign = *value >> 15;
                *value = value.wrapping_add((bit ^ sign) - sign);
            }
            read <<= 1;
        }
    }
}
