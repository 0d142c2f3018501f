//! JPEG decoder for thumbnails (ITU-T T.81; JFIF, T.871; conventions of Adobe and EXIF).
//!
//! Of each block only the coefficients that the scale needs are decoded; the others are skipped, several at a
//! time. Data in one scan streams: an MCU row of coefficients becomes rows of reduced samples (`idct`,
//! `planes`), which go to the resampler. Coefficients of several scans are buffered first
//! (`coefficient_buffer`), and progressive scans that the scale does not need are skipped.

mod ac;
mod ac_pairs;
mod bit_reader;
mod coefficient_buffer;
mod frame;
mod huffman;
mod idct;
mod planes;
mod progressive;
mod restart_intervals;
mod sequential;
mod table_cache;
mod tables;
mod variance;

use super::header::{Segments, next_marker};
use crate::bytes::be16;
use crate::codec::{Context, Decoded, corrupt};
use crate::colour::Cmyk;
use crate::error::Error;
use crate::header::{Colour, Header};
use crate::pixels::{Grid, Model, Order, RowSink};
use crate::simd::{Kernel, Lanes};
use coefficient_buffer::CoefficientBuffer;
use frame::Frame;
use idct::Coefficients;
use planes::Planes;
use sequential::{BufferSink, mcu_row};
pub(crate) use table_cache::TableCache;
use tables::{ScanHeader, Tables};

/// Upper bound on the bytes that decoding takes at a scale of `scale` samples for eight pixels.
pub(super) fn memory(header: &Header, scale: u32) -> u64 {
    // Every component at full resolution is the most that a file can declare.
    let count = match header.colour {
        Colour::Gray => 1,
        Colour::YCbCr | Colour::Rgb => 3,
        _ => 4,
    };
    let blocks = u64::from(header.width.div_ceil(8) + 8) * u64::from(header.height.div_ceil(8) + 8);
    let scale = u64::from(scale);
    // Two MCU rows of up to four blocks, of samples that may be twice as fine, and line buffers.
    let planes = count * (u64::from(header.width) + 64) * (2 * 4 * scale.max(2) * scale.max(2) / 8 + 8) * 2;
    let block = (2 * scale).min(8).pow(2);
    let stored = if header.buffered { blocks * count * (2 * block + 12) } else { 0 };
    planes + stored
}

pub(super) fn decode(
    bytes: &[u8],
    segments: &Segments<'_>,
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn RowSink,
    cache: &mut TableCache,
) -> Result<Decoded, Error> {
    let decoder = Decoder { bytes, header, segments, context };
    let frame = Frame::new(segments, context.reduction);
    let profile = segments.profile();
    let inks = matches!(segments.colour, Colour::Cmyk | Colour::Ycck);
    let cmyk = inks.then(|| Cmyk::new(profile.as_deref()).of_inverted(!segments.inverted_inks));
    let planes =
        Planes::new(&frame, segments.colour, cmyk, context.level, context.reduction.estimated_variance);
    let model = if segments.colour == Colour::Gray { Model::Gray } else { Model::Rgb };
    rows.begin(Grid { model, scale: context.reduction.scale, order: Order::TopDown })?;
    decoder.run(&frame, planes, rows, cache)?;
    Ok(Decoded { profile: profile.filter(|_| !inks) })
}

/// The least scale at which refining scans are read.
const REFINED_SCALE: u32 = 5;

/// Where the second band of AC coefficients begins in the scan scripts of libjpeg.
const SECOND_BAND: usize = 6;

struct Decoder<'a> {
    bytes: &'a [u8],
    header: &'a Header,
    segments: &'a Segments<'a>,
    context: &'a Context<'a>,
}

/// Coefficients of the scans read so far.
struct BufferedScans {
    buffer: CoefficientBuffer,
    /// The quantisation steps of each component, as of its first scan.
    steps: Vec<Option<[u16; 64]>>,
    /// For each component and index the bit position of its last scan; `None` before the first.
    progress: Vec<[Option<u32>; 64]>,
    /// The same for the scans that were read and not skipped.
    known: Vec<[u32; 64]>,
}

impl Decoder<'_> {
    /// Walks the segments and scans.
    fn run(
        &self,
        frame: &Frame,
        mut planes: Planes,
        rows: &mut dyn RowSink,
        cache: &mut TableCache,
    ) -> Result<(), Error> {
        let fail = |why: String| corrupt(self.header, why);
        let mut tables = Tables::default();
        for &(marker, at, body) in &self.segments.tables {
            tables.apply(marker, body).map_err(|why| fail(format!("{why} at byte {at}")))?;
        }
        let mut buffered: Option<BufferedScans> = None;
        // From the marker of the first scan on.
        let mut at = self.segments.scan_at - 2;
        let mut ended = false;
        while let Ok((marker, start)) = next_marker(self.bytes, at) {
            if matches!(marker, 0x01 | 0xd0..=0xd8) {
                at = start;
                continue;
            }
            if marker == 0xd9 {
                ended = true;
                break;
            }
            let length = be16(self.bytes, start).map_or(0, usize::from);
            let Some(body) = self.bytes.get(start + 2..start + length.max(2)) else { break };
            at = start + length;
            if marker != 0xda {
                tables.apply(marker, body).map_err(|why| fail(format!("{why} at byte {start}")))?;
                continue;
            }
            tables.complete();
            let scan = ScanHeader::read(body, frame, self.segments.progressive)
                .map_err(|why| fail(format!("{why} at byte {start}")))?;
            if !self.segments.progressive
                && buffered.is_none()
                && scan.components.len() == frame.components.len()
            {
                return self.stream(frame, &scan, (&tables, cache), at, &mut planes, rows);
            }
            let buffered = buffered.get_or_insert_with(|| self.begin_buffering(frame, &planes));
            // T.81, B.2.3 and G.1.1.1: each scan adds to the coefficients. Repeated ones would bound no work.
            let repeats = |index: usize| {
                let mut known = buffered.progress[index][scan.ss..=scan.se].iter().flatten();
                known.any(|bits| scan.al >= *bits)
            };
            if let Some(&(index, ..)) = scan.components.iter().find(|(index, ..)| repeats(*index)) {
                let error = fail(format!("component {} a second time at byte {start}", index + 1));
                if buffered.tolerable(self.context.limits.tolerant) {
                    break;
                }
                return Err(error);
            }
            for &(index, ..) in &scan.components {
                let table = usize::from(frame.components[index].spec.table);
                if buffered.steps[index].is_none() {
                    buffered.steps[index] = tables.quantisation[table];
                }
            }
            match self.scan(frame, &scan, (&tables, cache), at, buffered) {
                Ok(next) => {
                    at = next;
                    for &(index, ..) in &scan.components {
                        buffered.progress[index][scan.ss..=scan.se].fill(Some(scan.al));
                    }
                }
                Err(error @ Error::Stopped(_)) => return Err(error),
                Err(error) => {
                    if buffered.tolerable(self.context.limits.tolerant) {
                        break;
                    }
                    return Err(error);
                }
            }
            if !self.segments.progressive && buffered.complete(false) {
                break;
            }
        }
        let Some(buffered) = buffered else { return Err(fail("there is no scan".into())) };
        let tolerant = self.context.limits.tolerant;
        if !(buffered.complete(!ended) || buffered.tolerable(tolerant)) {
            let end = if ended { "the image ends" } else { "the data ends" };
            return Err(fail(format!("{end} before its last scan")));
        }
        self.emit(frame, &buffered, &mut planes, rows)
    }

    /// Decodes data in one scan into rows as it goes.
    fn stream(
        &self,
        frame: &Frame,
        header: &ScanHeader,
        (tables, cache): (&Tables, &mut TableCache),
        at: usize,
        planes: &mut Planes,
        rows: &mut dyn RowSink,
    ) -> Result<(), Error> {
        let fail = |why: String| corrupt(self.header, why);
        let records_variance = planes.records_variance();
        let mut scan =
            sequential::Scan::new(self.bytes, at, header, frame, (tables, cache), records_variance, true)
                .map_err(fail)?;
        for row in 0..scan.mcus.1 {
            let read = mcu_row(self.context.level, &mut scan, planes);
            if let Err(why) = read {
                let height = self.header.height;
                let pixels = (row as u64 * u64::from(height) / scan.mcus.1 as u64) as u32;
                if self.context.limits.tolerates(pixels, height) {
                    return planes.emit_blank(rows);
                }
                return Err(fail(format!("{why}, after {pixels} of {height} rows")));
            }
            planes.emit(rows)?;
        }
        Ok(())
    }

    /// Whether scans that refine AC coefficients are read: where samples are fine enough to show it, and where the
    /// scans do not end in an EOI marker, so that a truncated file is noticed.
    fn refines(&self) -> bool {
        self.context.reduction.scale >= REFINED_SCALE || !self.segments.ends
    }

    fn begin_buffering(&self, frame: &Frame, planes: &Planes) -> BufferedScans {
        let count = frame.components.len();
        let progressive = self.segments.progressive;
        BufferedScans {
            buffer: CoefficientBuffer::new(frame, planes.records_variance(), progressive && self.refines()),
            steps: vec![None; count],
            progress: vec![[None; 64]; count],
            known: vec![[0; 64]; count],
        }
    }

    /// Reads one of several scans, or skips it; returns where it ends.
    fn scan(
        &self,
        frame: &Frame,
        header: &ScanHeader,
        (tables, cache): (&Tables, &mut TableCache),
        at: usize,
        buffered: &mut BufferedScans,
    ) -> Result<usize, Error> {
        let fail = |why: String| corrupt(self.header, why);
        // At a reduced scale the first scans of AC coefficients suffice: what refining ones add is not visible.
        // Of coefficients that are not stored only the luma's energy is used, most of which is in its first band.
        let energy = buffered.buffer.records_energy()
            && (!self.context.reduction.approximate || header.ss < SECOND_BAND);
        let needed = header.components.iter().any(|&(index, ..)| {
            let stored = header.ss <= frame.components[index].last();
            stored || (index == 0 && energy) || self.refines()
        });
        if !needed || (header.ss > 0 && header.ah > 0 && !self.refines()) {
            return Ok(self.skip_scan(at));
        }
        for &(index, ..) in &header.components {
            buffered.known[index][header.ss..=header.se].fill(header.al);
        }
        let level = self.context.level;
        if self.segments.progressive {
            let mut scan =
                progressive::Scan::new(self.bytes, at, header.clone(), frame, tables).map_err(fail)?;
            for row in 0..scan.mcus.1 {
                self.context.stop.check("decoding")?;
                level
                    .run(progressive::McuRow { scan: &mut scan, buffer: &mut buffered.buffer, row })
                    .map_err(fail)?;
            }
            return Ok(scan.reader.position());
        }
        let energy = buffered.buffer.records_energy();
        let mut scan = sequential::Scan::new(self.bytes, at, header, frame, (tables, cache), energy, false)
            .map_err(fail)?;
        let interleaved = header.components.len() > 1;
        for row in 0..scan.mcus.1 {
            self.context.stop.check("decoding")?;
            let tops =
                frame.components.iter().map(|c| row * if interleaved { c.factors.1 } else { 1 }).collect();
            let mut sink = BufferSink { buffer: &mut buffered.buffer, tops };
            mcu_row(level, &mut scan, &mut sink).map_err(fail)?;
        }
        Ok(scan.reader.position())
    }

    /// The next marker that ends a scan.
    fn skip_scan(&self, mut at: usize) -> usize {
        while let Ok((marker, after)) = next_marker(self.bytes, at) {
            if !(0xd0..=0xd7).contains(&marker) {
                return after - 2;
            }
            at = after;
        }
        self.bytes.len()
    }

    /// Decodes the buffered coefficients into rows.
    fn emit(
        &self,
        frame: &Frame,
        buffered: &BufferedScans,
        planes: &mut Planes,
        rows: &mut dyn RowSink,
    ) -> Result<(), Error> {
        for row in 0..frame.mcus.1 {
            self.context.level.run(BufferedMcuRow { frame, buffered, planes, row });
            planes.emit(rows)?;
        }
        Ok(())
    }
}

impl BufferedScans {
    /// Whether every component has its last bit; in `every` coefficient, or in those whose scans have begun: an
    /// image with an EOI marker may omit bands.
    fn complete(&self, every: bool) -> bool {
        self.progress.iter().all(|component| {
            let done = |bits: &Option<u32>| bits.map_or(!every, |bits| bits == 0);
            component[0].is_some() && component.iter().all(done)
        })
    }

    /// Whether the image can be decoded, if coarsely.
    fn tolerable(&self, tolerant: bool) -> bool {
        tolerant && self.progress.iter().all(|component| component[0].is_some())
    }
}

/// Decodes one MCU row of buffered coefficients into samples.
struct BufferedMcuRow<'a> {
    frame: &'a Frame,
    buffered: &'a BufferedScans,
    planes: &'a mut Planes,
    row: usize,
}

impl Kernel for BufferedMcuRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { frame, buffered: BufferedScans { buffer, steps, known, .. }, planes, row } = self;
        let mut block = [0; 64];
        for (index, component) in frame.components.iter().enumerate() {
            let Some(steps) = &steps[index] else { continue };
            let known = &known[index];
            let plane = &buffer.planes[index];
            let placed_steps = plane.placed(|at| if at == 0 { 0 } else { steps[at] as i16 });
            let halves = plane.placed(|at| 1_i16 << known[at] >> 1);
            for y in 0..component.factors.1 {
                let line = row * component.factors.1 + y;
                if index == 0 && planes.records_variance() {
                    for x in 0..component.padded.0 {
                        let energy = buffer.energy(line * plane.blocks.0 + x);
                        planes.variance((x, y), sequential::variance(energy));
                    }
                }
                if plane.coefficients_per_block() == 1 {
                    for x in 0..component.padded.0 {
                        let dc = i32::from(plane.block(line * plane.blocks.0 + x)[0]);
                        planes.mean(index, (x, y), dc.wrapping_mul(steps[0].into()));
                    }
                    continue;
                }
                for x in 0..component.padded.0 {
                    let coefficients = plane.block(line * plane.blocks.0 + x);
                    let any = match plane.block_samples.0 {
                        1 => dequantise::<1>(coefficients, &placed_steps, &halves, &mut block),
                        2 => dequantise::<2>(coefficients, &placed_steps, &halves, &mut block),
                        3 => dequantise::<3>(coefficients, &placed_steps, &halves, &mut block),
                        4 => dequantise::<4>(coefficients, &placed_steps, &halves, &mut block),
                        5 => dequantise::<5>(coefficients, &placed_steps, &halves, &mut block),
                        6 => dequantise::<6>(coefficients, &placed_steps, &halves, &mut block),
                        _ => dequantise::<8>(coefficients, &placed_steps, &halves, &mut block),
                    };
                    let dc = i32::from(coefficients[0]).wrapping_mul(steps[0].into());
                    planes.block(
                        simd,
                        index,
                        component.block_samples,
                        (x, y),
                        dc,
                        !any,
                        &mut block,
                        Coefficients::ONES,
                    );
                }
            }
        }
    }
}

/// Multiplies coefficients, `N` a row, with their quantisation steps into a block; returns whether one is not
/// 0. Bits that were not read are set to the middle of their range.
#[inline(always)]
fn dequantise<const N: usize>(
    coefficients: &[i16],
    steps: &[i16; 64],
    halves: &[i16; 64],
    block: &mut [i16; 64],
) -> bool {
    let mut any = 0;
    let rows = block.as_chunks_mut::<8>().0.iter_mut().zip(coefficients.as_chunks::<N>().0);
    let factors = steps.as_chunks::<N>().0.iter().zip(halves.as_chunks::<N>().0);
    for ((row, coefficients), (steps, halves)) in rows.zip(factors) {
        for index in 0..N {
            let coefficient = coefficients[index];
            let sign = coefficient >> 15;
            let half = if coefficient == 0 { 0 } else { halves[index] };
            row[index] = coefficient.wrapping_add((half ^ sign) - sign).wrapping_mul(steps[index]);
            any |= row[index];
        }
    }
    any != 0
}
