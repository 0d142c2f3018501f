//! JPEG: a decoder made for thumbnails (ITU-T T.81; JFIF, T.871; Adobe's and EXIF's conventions).
//!
//! Of each block only the coefficients that the scale needs are kept; the rest is stepped over, several
//! coefficients at a time. Data in one scan streams: an MCU row of coefficients becomes rows of cells
//! (`idct`, `planes`), which go to the resampler. Data in several scans is gathered first (`store`), and
//! progressive scans that the scale does not need are not read at all.

mod ac;
mod bits;
mod frame;
mod huffman;
mod idct;
mod lookups;
mod pairs;
mod planes;
mod progressive;
mod restarts;
mod sequential;
mod store;
mod tables;
mod variance;

use super::{Context, Decoded, damaged};
use crate::bytes::be16;
use crate::colour::Cmyk;
use crate::error::Error;
use crate::header::Header;
use crate::header::jpeg::{Colour, Segments, next_marker, segments};
use crate::pixels::{Grid, Model, Order, Rows};
use crate::simd::{Kernel, Lanes};
use frame::Frame;
pub(crate) use lookups::Lookups;
use planes::Planes;
use sequential::{Stored, mcu_row};
use store::Store;
use tables::{ScanHeader, Tables};

/// The most bytes that decoding takes at a scale of so many cells for eight pixels.
pub(super) fn memory(header: &Header, scale: u32) -> u64 {
    // Everything at full resolution is the most that a file of this many components can ask for.
    let count = match header.colour {
        "gray" => 1,
        "ycbcr" | "rgb" => 3,
        _ => 4,
    };
    let blocks = u64::from(header.width.div_ceil(8) + 8) * u64::from(header.height.div_ceil(8) + 8);
    let scale = u64::from(scale);
    // Two MCU rows of up to four blocks, of cells that may be twice as fine, and lines beside them.
    let planes = count * (u64::from(header.width) + 64) * (2 * 4 * scale.max(2) * scale.max(2) / 8 + 8) * 2;
    let kept = (2 * scale).min(8).pow(2);
    let stored = if header.progressive { blocks * count * (2 * kept + 12) } else { 0 };
    planes + stored
}

pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn Rows,
    lookups: &mut Lookups,
) -> Result<Decoded, Error> {
    let segments = segments(bytes)?;
    let marked = memchr::memmem::rfind(bytes, b"\xff\xd9").is_some();
    let decoder = Decoder { bytes, header, segments: &segments, context, marked };
    let frame = Frame::new(&segments, context.scale as usize);
    let profile = segments.profile();
    let inks = matches!(segments.colour, Colour::Cmyk | Colour::Ycck);
    let cmyk = inks.then(|| Cmyk::new(profile.as_deref()));
    let planes = Planes::new(&frame, segments.colour, cmyk, context.level);
    let model = if segments.colour == Colour::Gray { Model::Gray } else { Model::Rgb };
    let cell = 8 / context.scale;
    rows.begin(Grid { model, cell: (cell, cell), order: Order::TopDown })?;
    decoder.run(&frame, planes, rows, lookups)?;
    Ok(Decoded { profile: profile.filter(|_| !inks) })
}

struct Decoder<'a> {
    bytes: &'a [u8],
    header: &'a Header,
    segments: &'a Segments<'a>,
    context: &'a Context<'a>,
    /// Whether there is an EOI marker.
    marked: bool,
}

/// What the scans read so far have given.
struct Gathered {
    store: Store,
    /// The quantisation steps of each component, as they stood at its first scan.
    steps: Vec<Option<[u16; 64]>>,
    /// For each component and index the bit position that its scans have come to; `None` before the first.
    progress: Vec<[Option<u32>; 64]>,
    /// The same for the scans that were read and not stepped over.
    known: Vec<[u32; 64]>,
}

impl Decoder<'_> {
    /// Walks the segments and scans.
    fn run(
        &self,
        frame: &Frame,
        mut planes: Planes,
        rows: &mut dyn Rows,
        lookups: &mut Lookups,
    ) -> Result<(), Error> {
        let fail = |why: String| damaged(self.header, why);
        let mut tables = Tables::default();
        let mut gathered: Option<Gathered> = None;
        let mut at = 2;
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
                && gathered.is_none()
                && scan.components.len() == frame.components.len()
            {
                return self.stream(frame, &scan, (&tables, lookups), at, &mut planes, rows);
            }
            let gathered = gathered.get_or_insert_with(|| self.gather(frame, &planes));
            // T.81, B.2.3 and G.1.1.1: each scan tells something new. Others would be work without end.
            let repeats = |index: usize| {
                let mut known = gathered.progress[index][scan.band.0..=scan.band.1].iter().flatten();
                known.any(|bits| scan.bits.1 >= *bits)
            };
            if let Some(&(index, ..)) = scan.components.iter().find(|(index, ..)| repeats(*index)) {
                let error = fail(format!("component {} a second time at byte {start}", index + 1));
                if gathered.tolerable(self.context.limits.tolerant) {
                    break;
                }
                return Err(error);
            }
            for &(index, ..) in &scan.components {
                let table = usize::from(frame.components[index].sampled.table);
                if gathered.steps[index].is_none() {
                    gathered.steps[index] = tables.quantisation[table];
                }
            }
            match self.scan(frame, &scan, (&tables, lookups), at, gathered) {
                Ok(next) => {
                    at = next;
                    for &(index, ..) in &scan.components {
                        gathered.progress[index][scan.band.0..=scan.band.1].fill(Some(scan.bits.1));
                    }
                }
                Err(error @ Error::Stopped(_)) => return Err(error),
                Err(error) => {
                    if gathered.tolerable(self.context.limits.tolerant) {
                        break;
                    }
                    return Err(error);
                }
            }
            if !self.segments.progressive && gathered.complete(false) {
                break;
            }
        }
        let Some(gathered) = gathered else { return Err(fail("there is no scan".into())) };
        let tolerant = self.context.limits.tolerant;
        if !(gathered.complete(!ended) || gathered.tolerable(tolerant)) {
            let end = if ended { "the picture ends" } else { "the data ends" };
            return Err(fail(format!("{end} before its last scan")));
        }
        self.give(frame, &gathered, &mut planes, rows)
    }

    /// Decodes data in one scan into rows as it goes.
    fn stream(
        &self,
        frame: &Frame,
        header: &ScanHeader,
        (tables, lookups): (&Tables, &mut Lookups),
        at: usize,
        planes: &mut Planes,
        rows: &mut dyn Rows,
    ) -> Result<(), Error> {
        let fail = |why: String| damaged(self.header, why);
        let wants_variance = planes.wants_variance();
        let mut scan =
            sequential::Scan::new(self.bytes, at, header, frame, (tables, lookups), wants_variance, true)
                .map_err(fail)?;
        for row in 0..scan.mcus.1 {
            let read = mcu_row(self.context.level, &mut scan, planes);
            if let Err(why) = read {
                let height = self.header.height;
                let pixels = (row as u64 * u64::from(height) / scan.mcus.1 as u64) as u32;
                if self.context.limits.tolerates(pixels, height) {
                    return planes.give_blank(rows);
                }
                return Err(fail(format!("{why}, after {pixels} of {height} rows")));
            }
            planes.give(rows)?;
        }
        Ok(())
    }

    /// Whether scans that refine AC coefficients are read: at full scale, and where no marker says that the
    /// picture is complete, so that a cut is noticed.
    fn refines(&self) -> bool {
        self.context.scale == 8 || !self.marked
    }

    fn gather(&self, frame: &Frame, planes: &Planes) -> Gathered {
        let count = frame.components.len();
        let progressive = self.segments.progressive;
        Gathered {
            store: Store::new(frame, planes.wants_variance(), progressive && self.refines()),
            steps: vec![None; count],
            progress: vec![[None; 64]; count],
            known: vec![[0; 64]; count],
        }
    }

    /// Reads one of several scans, or steps over it; returns where it ends.
    fn scan(
        &self,
        frame: &Frame,
        header: &ScanHeader,
        (tables, lookups): (&Tables, &mut Lookups),
        at: usize,
        gathered: &mut Gathered,
    ) -> Result<usize, Error> {
        let fail = |why: String| damaged(self.header, why);
        // At a reduced scale the first scans tell enough of AC coefficients: what the refining ones add is
        // less than can be seen. Of those that are not kept only the luma's energy is of use.
        let needed = header.components.iter().any(|&(index, ..)| {
            let kept = header.band.0 <= frame.components[index].last();
            kept || (index == 0 && gathered.store.wants_energy()) || self.refines()
        });
        if !needed || (header.band.0 > 0 && header.bits.0 > 0 && !self.refines()) {
            return Ok(self.step_over(at));
        }
        for &(index, ..) in &header.components {
            gathered.known[index][header.band.0..=header.band.1].fill(header.bits.1);
        }
        let level = self.context.level;
        if self.segments.progressive {
            let mut scan =
                progressive::Scan::new(self.bytes, at, header.clone(), frame, tables).map_err(fail)?;
            for row in 0..scan.mcus.1 {
                self.context.stop.check("decoding")?;
                level
                    .run(progressive::Row { scan: &mut scan, store: &mut gathered.store, row })
                    .map_err(fail)?;
            }
            return Ok(scan.bits.position());
        }
        let energy = gathered.store.wants_energy();
        let mut scan = sequential::Scan::new(self.bytes, at, header, frame, (tables, lookups), energy, false)
            .map_err(fail)?;
        let alone = header.components.len() == 1;
        for row in 0..scan.mcus.1 {
            self.context.stop.check("decoding")?;
            let tops = frame.components.iter().map(|c| row * if alone { 1 } else { c.factors.1 }).collect();
            let mut sink = Stored { store: &mut gathered.store, tops };
            mcu_row(level, &mut scan, &mut sink).map_err(fail)?;
        }
        Ok(scan.bits.position())
    }

    /// The next marker that ends a scan.
    fn step_over(&self, mut at: usize) -> usize {
        while let Ok((marker, after)) = next_marker(self.bytes, at) {
            if !(0xd0..=0xd7).contains(&marker) {
                return after - 2;
            }
            at = after;
        }
        self.bytes.len()
    }

    /// Makes rows of what was gathered.
    fn give(
        &self,
        frame: &Frame,
        gathered: &Gathered,
        planes: &mut Planes,
        rows: &mut dyn Rows,
    ) -> Result<(), Error> {
        for row in 0..frame.mcus.1 {
            self.context.level.run(Assemble { frame, gathered, planes, row });
            planes.give(rows)?;
        }
        Ok(())
    }
}

impl Gathered {
    /// Whether every component has come to its last bit; in `every` coefficient, or as far as scans have
    /// begun: a picture with an end marker may leave bands out.
    fn complete(&self, every: bool) -> bool {
        self.progress.iter().all(|component| {
            let done = |bits: &Option<u32>| bits.map_or(!every, |bits| bits == 0);
            component[0].is_some() && component.iter().all(done)
        })
    }

    /// Whether there is a picture, if a coarse one.
    fn tolerable(&self, tolerant: bool) -> bool {
        tolerant && self.progress.iter().all(|component| component[0].is_some())
    }
}

/// Makes the cells of one MCU row from stored coefficients.
struct Assemble<'a> {
    frame: &'a Frame,
    gathered: &'a Gathered,
    planes: &'a mut Planes,
    row: usize,
}

impl Kernel for Assemble<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { frame, gathered: Gathered { store, steps, known, .. }, planes, row } = self;
        let mut block = [0; 64];
        for (index, component) in frame.components.iter().enumerate() {
            let Some(steps) = &steps[index] else { continue };
            let known = &known[index];
            let plane = &store.planes[index];
            let placed_steps = plane.placed(|at| if at == 0 { 0 } else { steps[at] as i16 });
            let halves = plane.placed(|at| 1_i16 << known[at] >> 1);
            for y in 0..component.factors.1 {
                let line = row * component.factors.1 + y;
                if index == 0 && planes.wants_variance() {
                    for x in 0..component.padded.0 {
                        let energy = store.energy(line * plane.blocks.0 + x);
                        planes.variance((x, y), sequential::variance(energy));
                    }
                }
                if plane.kept() == 1 {
                    for x in 0..component.padded.0 {
                        let dc = i32::from(plane.block(line * plane.blocks.0 + x)[0]);
                        planes.mean(index, (x, y), dc.wrapping_mul(steps[0].into()));
                    }
                    continue;
                }
                for x in 0..component.padded.0 {
                    let coefficients = plane.block(line * plane.blocks.0 + x);
                    let any = match plane.cells.0 {
                        1 => spread::<1>(coefficients, &placed_steps, &halves, &mut block),
                        2 => spread::<2>(coefficients, &placed_steps, &halves, &mut block),
                        4 => spread::<4>(coefficients, &placed_steps, &halves, &mut block),
                        _ => spread::<8>(coefficients, &placed_steps, &halves, &mut block),
                    };
                    let dc = i32::from(coefficients[0]).wrapping_mul(steps[0].into());
                    planes.block(simd, index, component.cells, (x, y), dc, !any, &mut block);
                }
            }
        }
    }
}

/// Puts coefficients times their quantisation steps, `N` a row, into a block; tells whether one is not 0.
/// Bits that were not read are in the middle of their range.
#[inline(always)]
fn spread<const N: usize>(
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
