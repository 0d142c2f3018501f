//! Tokens of progressive scans (T.81, annex G): first scans of a band without the lowest bits, and refining scans
//! that add a bit.

use super::STAGE;
use super::bit_writer::{CHOICE, RAW, Token, following};
use super::block_grid::{BLOCKS_PER_POLL, Block, BlockGrid};
use super::huffman::Table;
use super::layout::Layout;
use super::tokens::{ZRL, level_token};
use crate::error::Error;
use crate::stop::Stop;

/// Longest EOB run. T.81 allows 32767; this many take at most 11 bits, so that a token's code and bits fit 27.
const MAX_EOB_RUN: u32 = 0xfff;
/// Most correction bits that are buffered for the end of an EOB run.
const MAX_CORRECTION_BITS: usize = 900;

/// Spectral selection and successive approximation of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Band {
    /// First and last coefficient in zigzag order.
    pub(super) from: u8,
    pub(super) to: u8,
    /// Point transform: low bits left for later scans (Al).
    pub(super) low: u8,
    /// Whether it is a refining scan, which adds one bit.
    pub(super) refines: bool,
}

/// A scan's symbols: their frequencies and, unless it is only measured, the tokens.
#[derive(Debug)]
pub(super) struct Scan {
    tokens: Option<Vec<Token>>,
    counts: Box<[u32; CHOICE as usize + 1]>,
}

impl Scan {
    /// A scan to be written.
    pub(super) fn written() -> Self {
        Self { tokens: Some(Vec::new()), ..Self::measured() }
    }

    /// A scan to be measured.
    pub(super) fn measured() -> Self {
        Self { tokens: None, counts: Box::new([0; CHOICE as usize + 1]) }
    }

    /// The tokens, if the scan is to be written.
    pub(super) fn tokens(&self) -> &[Token] {
        self.tokens.as_deref().unwrap_or_default()
    }

    /// Frequencies of the symbols of table `index`.
    pub(super) fn counts(&self, index: usize) -> &[u32; 256] {
        &self.counts.as_chunks::<256>().0[index]
    }

    /// Number of raw bits.
    pub(super) fn raw_bits(&self) -> u64 {
        self.counts(3).iter().zip(0..).map(|(&count, bits): (_, u64)| u64::from(count) * bits).sum()
    }

    #[inline]
    fn push(&mut self, token: Token) {
        self.counts[(token & CHOICE) as usize] += 1;
        if let Some(tokens) = &mut self.tokens {
            tokens.push(token);
        }
    }

    fn push_raw(&mut self, bits: &[bool]) {
        for bits in bits.chunks(16) {
            let value = bits.iter().fold(0, |value, &bit| value << 1 | u32::from(bit));
            self.push(RAW | bits.len() as u32 | value << 16);
        }
    }
}

/// Bits that the symbols of one table take, including the table.
pub(super) fn bits(table: &Table, counts: &[u32; 256]) -> u64 {
    let codes = table.codes();
    let coded = (0_u8..=255).zip(counts).zip(&codes).map(|((symbol, &count), code)| {
        u64::from(count) * u64::from(u32::from(code.length) + following(symbol))
    });
    coded.sum::<u64>() + 8 * (17 + table.symbols.len() as u64)
}

/// Masks of the levels of a component's blocks that are not zero without their lowest bits, in zigzag order.
pub(super) struct Masks<'a> {
    grid: &'a BlockGrid,
    low: u8,
    /// A mask per block.
    nonzero: Vec<u64>,
}

impl<'a> Masks<'a> {
    pub(super) fn new(grid: &'a BlockGrid, low: u8) -> Self {
        let mask = |block: &Block| {
            let levels = block.iter().zip(0..);
            levels.fold(0, |mask, (level, k)| mask | u64::from(level.unsigned_abs() >> low != 0) << k)
        };
        Self { grid, low, nonzero: grid.blocks.iter().map(mask).collect() }
    }
}

/// The DC levels of all components, MCU by MCU. Table 0 is luma's, 1 that of chroma.
pub(super) fn dc(mut scan: Scan, layout: Layout, grids: &[BlockGrid], stop: Stop<'_>) -> Result<Scan, Error> {
    let mut before = [0; 3];
    for mcu in 0..layout.mcus_down() * layout.mcus_across() {
        if mcu % BLOCKS_PER_POLL == 0 {
            stop.check(STAGE)?;
        }
        let (mcu_x, mcu_y) = (mcu % layout.mcus_across(), mcu / layout.mcus_across());
        for (component, grid) in grids.iter().enumerate() {
            let factor = layout.factor(component);
            for block in 0..factor * factor {
                let (x, y) = (mcu_x * factor + block % factor, mcu_y * factor + block / factor);
                // Blocks beyond the image repeat the previous level.
                let level = if layout.has_block(component, x, y) {
                    grid.blocks[y * grid.across + x][0]
                } else {
                    before[component]
                };
                scan.push(level_token(level - before[component]) | (component.min(1) as u32) << 8);
                before[component] = level;
            }
        }
    }
    Ok(scan)
}

/// A band of AC levels of one component, coded with table 0. `masks` are those of the band's point transform.
pub(super) fn ac(mut scan: Scan, masks: &Masks<'_>, band: Band, stop: Stop<'_>) -> Result<Scan, Error> {
    debug_assert_eq!(masks.low, band.low, "masks are of the band's bits");
    let within = (u64::MAX >> (63 - band.to)) & (u64::MAX << band.from);
    let mut eob_run = EobRun::default();
    for (blocks, nonzero) in
        masks.grid.blocks.chunks(BLOCKS_PER_POLL).zip(masks.nonzero.chunks(BLOCKS_PER_POLL))
    {
        stop.check(STAGE)?;
        for (block, &nonzero) in blocks.iter().zip(nonzero) {
            if band.refines {
                refine(&mut scan, &mut eob_run, block, nonzero & within, band);
            } else {
                first(&mut scan, &mut eob_run, block, nonzero & within, band);
            }
        }
    }
    eob_run.flush(&mut scan);
    Ok(scan)
}

/// An EOB run that is not written yet, and the correction bits that follow it.
#[derive(Default)]
struct EobRun {
    length: u32,
    correction: Vec<bool>,
}

impl EobRun {
    fn flush(&mut self, scan: &mut Scan) {
        if self.length > 0 {
            let size = self.length.ilog2();
            scan.push(size << 4 | (self.length - (1 << size)) << 16);
            self.length = 0;
        }
        scan.push_raw(&self.correction);
        self.correction.clear();
    }

    fn add(&mut self, scan: &mut Scan, bits: &[bool]) {
        self.length += 1;
        self.correction.extend_from_slice(bits);
        if self.length == MAX_EOB_RUN || self.correction.len() > MAX_CORRECTION_BITS {
            self.flush(scan);
        }
    }
}

/// A block in a first scan (T.81, figure G.3).
fn first(scan: &mut Scan, eob_run: &mut EobRun, block: &Block, mut nonzero: u64, band: Band) {
    if nonzero != 0 {
        eob_run.flush(scan);
    }
    let mut next = u32::from(band.from);
    while nonzero != 0 {
        let place = nonzero.trailing_zeros();
        nonzero &= nonzero - 1;
        let mut run = place - next;
        while run > 15 {
            scan.push(ZRL);
            run -= 16;
        }
        next = place + 1;
        let value = block[place as usize];
        let level = (value.unsigned_abs() >> band.low) as i16;
        scan.push(level_token(if value < 0 { -level } else { level }) | run << 4);
    }
    if next <= u32::from(band.to) {
        eob_run.add(scan, &[]);
    }
}

/// A block in a refining scan (T.81, figures G.7 to G.9).
fn refine(scan: &mut Scan, eob_run: &mut EobRun, block: &Block, mut nonzero: u64, band: Band) {
    let size = |place: u32| block[place as usize].unsigned_abs() >> band.low;
    let mut last_new = 0;
    let mut rest = nonzero;
    while rest != 0 {
        let place = rest.trailing_zeros();
        rest &= rest - 1;
        if size(place) == 1 {
            last_new = place;
        }
    }
    // Zeros since the last new level, and the correction bits of nonzero ones among them.
    let mut run = 0;
    let mut bits = Vec::new();
    let mut next = u32::from(band.from);
    while nonzero != 0 {
        let place = nonzero.trailing_zeros();
        nonzero &= nonzero - 1;
        run += place - next;
        next = place + 1;
        // ZRL is followed by the correction bits before it, and written only if a new level follows.
        while run > 15 && place <= last_new {
            eob_run.flush(scan);
            scan.push(ZRL);
            scan.push_raw(&bits);
            bits.clear();
            run -= 16;
        }
        if size(place) > 1 {
            bits.push(size(place) & 1 == 1);
        } else {
            eob_run.flush(scan);
            scan.push(run << 4 | 1 | u32::from(block[place as usize] > 0) << 16);
            scan.push_raw(&bits);
            bits.clear();
            run = 0;
        }
    }
    run += u32::from(band.to) + 1 - next;
    if run > 0 || !bits.is_empty() {
        eob_run.add(scan, &bits);
    }
}
