//! Scans of the progressive process as tokens (T.81, annex G): a first scan of a band of coefficients
//! without their last bits, or one that adds a bit.

use super::STAGE;
use super::bits::{CHOICE, NO_CODE, Token, following};
use super::grid::{AT_ONCE, Block, Grid};
use super::huffman::Table;
use super::layout::Layout;
use super::tokens::{ZEROS, sized};
use crate::error::Error;
use crate::stop::Stop;

/// Ends of blocks in one run, at most. T.81 allows 32767; that this many take 11 bits at most keeps a token's
/// code and bits within 27.
const LONGEST_RUN: u32 = 0xfff;
/// Bits that may wait for the end of a run of ends of blocks.
const MOST_WAITING: usize = 900;

/// What part of which coefficients a scan has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Band {
    /// First and last coefficient in zigzag order.
    pub(super) from: u8,
    pub(super) to: u8,
    /// How many bits are left for later scans.
    pub(super) low: u8,
    /// Whether it adds one bit to what is known.
    pub(super) refines: bool,
}

/// A scan's symbols: how often each comes, and unless it is only to be measured, the tokens.
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

    /// How often each symbol of table `index` comes.
    pub(super) fn counts(&self, index: usize) -> &[u32; 256] {
        &self.counts.as_chunks::<256>().0[index]
    }

    /// The bits without a code.
    pub(super) fn plain_bits(&self) -> u64 {
        self.counts(3).iter().zip(0..).map(|(&count, bits): (_, u64)| u64::from(count) * bits).sum()
    }

    #[inline]
    fn push(&mut self, token: Token) {
        self.counts[(token & CHOICE) as usize] += 1;
        if let Some(tokens) = &mut self.tokens {
            tokens.push(token);
        }
    }

    fn plain(&mut self, bits: &[bool]) {
        for bits in bits.chunks(16) {
            let value = bits.iter().fold(0, |value, &bit| value << 1 | u32::from(bit));
            self.push(NO_CODE | bits.len() as u32 | value << 16);
        }
    }
}

/// Bits that the symbols of one table take, with the table itself.
pub(super) fn bits(table: &Table, counts: &[u32; 256]) -> u64 {
    let codes = table.codes();
    let coded = (0_u8..=255).zip(counts).zip(&codes).map(|((symbol, &count), code)| {
        u64::from(count) * u64::from(u32::from(code.length) + following(symbol))
    });
    coded.sum::<u64>() + 8 * (17 + table.symbols.len() as u64)
}

/// Which levels of a component's blocks are not zero once their last bits are left off, as bits in
/// zigzag order.
pub(super) struct Masks<'a> {
    grid: &'a Grid,
    low: u8,
    /// Levels that are known.
    known: Vec<u64>,
}

impl<'a> Masks<'a> {
    pub(super) fn new(grid: &'a Grid, low: u8) -> Self {
        let mask = |block: &Block| {
            let levels = block.iter().zip(0..);
            levels.fold(0, |mask, (level, k)| mask | u64::from(level.unsigned_abs() >> low != 0) << k)
        };
        Self { grid, low, known: grid.blocks.iter().map(mask).collect() }
    }
}

/// The DC levels of all components, unit by unit. Table 0 is luma's, 1 that of chroma.
pub(super) fn dc(mut scan: Scan, layout: Layout, grids: &[Grid], stop: Stop<'_>) -> Result<Scan, Error> {
    let mut before = [0; 3];
    for unit in 0..layout.units_down() * layout.units_across() {
        if unit % AT_ONCE == 0 {
            stop.check(STAGE)?;
        }
        let (unit_x, unit_y) = (unit % layout.units_across(), unit / layout.units_across());
        for (component, grid) in grids.iter().enumerate() {
            let factor = layout.factor(component);
            for part in 0..factor * factor {
                let (x, y) = (unit_x * factor + part % factor, unit_y * factor + part / factor);
                // What lies beyond the picture goes on with the level before.
                let level = if layout.holds(component, x, y) {
                    grid.blocks[y * grid.across + x][0]
                } else {
                    before[component]
                };
                scan.push(sized(level - before[component]) | (component.min(1) as u32) << 8);
                before[component] = level;
            }
        }
    }
    Ok(scan)
}

/// A band of AC levels of one component, coded with table 0. The masks are those without the bits left
/// for later.
pub(super) fn ac(mut scan: Scan, masks: &Masks<'_>, band: Band, stop: Stop<'_>) -> Result<Scan, Error> {
    debug_assert_eq!(masks.low, band.low, "masks are of the band's bits");
    let within = (u64::MAX >> (63 - band.to)) & (u64::MAX << band.from);
    let mut ends = Ends::default();
    for (blocks, known) in masks.grid.blocks.chunks(AT_ONCE).zip(masks.known.chunks(AT_ONCE)) {
        stop.check(STAGE)?;
        for (block, &known) in blocks.iter().zip(known) {
            if band.refines {
                refine(&mut scan, &mut ends, block, known & within, band);
            } else {
                first(&mut scan, &mut ends, block, known & within, band);
            }
        }
    }
    ends.flush(&mut scan);
    Ok(scan)
}

/// Ends of blocks that have not been written, and the bits that go behind them.
#[derive(Default)]
struct Ends {
    run: u32,
    waiting: Vec<bool>,
}

impl Ends {
    fn flush(&mut self, scan: &mut Scan) {
        if self.run > 0 {
            let size = self.run.ilog2();
            scan.push(size << 4 | (self.run - (1 << size)) << 16);
            self.run = 0;
        }
        scan.plain(&self.waiting);
        self.waiting.clear();
    }

    fn add(&mut self, scan: &mut Scan, bits: &[bool]) {
        self.run += 1;
        self.waiting.extend_from_slice(bits);
        if self.run == LONGEST_RUN || self.waiting.len() > MOST_WAITING {
            self.flush(scan);
        }
    }
}

/// A block's part in a first scan (T.81, figure G.3).
fn first(scan: &mut Scan, ends: &mut Ends, block: &Block, mut known: u64, band: Band) {
    if known != 0 {
        ends.flush(scan);
    }
    let mut next = u32::from(band.from);
    while known != 0 {
        let place = known.trailing_zeros();
        known &= known - 1;
        let mut run = place - next;
        while run > 15 {
            scan.push(ZEROS);
            run -= 16;
        }
        next = place + 1;
        let value = block[place as usize];
        let level = (value.unsigned_abs() >> band.low) as i16;
        scan.push(sized(if value < 0 { -level } else { level }) | run << 4);
    }
    if next <= u32::from(band.to) {
        ends.add(scan, &[]);
    }
}

/// A block's part in a scan that adds a bit (T.81, figures G.7 to G.9).
fn refine(scan: &mut Scan, ends: &mut Ends, block: &Block, mut known: u64, band: Band) {
    let size = |place: u32| block[place as usize].unsigned_abs() >> band.low;
    let mut last_new = 0;
    let mut rest = known;
    while rest != 0 {
        let place = rest.trailing_zeros();
        rest &= rest - 1;
        if size(place) == 1 {
            last_new = place;
        }
    }
    // Zeros since the last level that is new, and the bits of known ones among them.
    let mut run = 0;
    let mut bits = Vec::new();
    let mut next = u32::from(band.from);
    while known != 0 {
        let place = known.trailing_zeros();
        known &= known - 1;
        run += place - next;
        next = place + 1;
        // Sixteen zeros are said with the bits before them, but only where a new level is still to come.
        while run > 15 && place <= last_new {
            ends.flush(scan);
            scan.push(ZEROS);
            scan.plain(&bits);
            bits.clear();
            run -= 16;
        }
        if size(place) > 1 {
            bits.push(size(place) & 1 == 1);
        } else {
            ends.flush(scan);
            scan.push(run << 4 | 1 | u32::from(block[place as usize] > 0) << 16);
            scan.plain(&bits);
            bits.clear();
            run = 0;
        }
    }
    run += u32::from(band.to) + 1 - next;
    if run > 0 || !bits.is_empty() {
        ends.add(scan, &bits);
    }
}
