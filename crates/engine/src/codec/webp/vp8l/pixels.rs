//! Entropy-coded images (RFC 9649, section 3.6): literals, copies and cached colours.

use super::bit_reader::BitReader;
use super::prefix_code::{Code, Tables};
use crate::simd::{Kernel, Lanes, SimdLevel};

/// The farthest that a copy reaches back is below this.
const WINDOW: usize = 1 << 20;
/// The most pixels of a copy.
const LONGEST: usize = 1 << 12;
/// Most entries of all tables: of more codes than any encoder writes.
const MAX_ENTRIES: usize = 4 << 20;
/// Codes for lengths, after those for the 256 values of green.
const LENGTHS: usize = 24;

/// Bytes that decoding an image of so many pixels takes.
pub(super) const fn memory(pixels: u64) -> u64 {
    let window = (2 * WINDOW + LONGEST) as u64;
    // Fewer tables than blocks, and hardly ever large ones.
    let (kept, entries) = (if pixels < window { pixels } else { window }, entries_allowed(pixels));
    4 * kept + 2 * 2 * entries + (64 << 10)
}

/// How many entries the tables of an image may have. A block of pixels with codes of its own is 4 x 4 at least.
const fn entries_allowed(pixels: u64) -> u64 {
    let entries = (pixels / 16 + 1) * 6000;
    if entries < MAX_ENTRIES as u64 { entries } else { MAX_ENTRIES as u64 }
}

/// The five codes of a block: green with lengths and cached colours, red, blue, alpha, distances.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    green: Code,
    red: Code,
    blue: Code,
    alpha: Code,
    distance: Code,
    /// Red, blue and alpha, if each has but one value.
    constant: Option<u32>,
}

/// Which group of codes applies where.
struct Blocks {
    bits: u32,
    across: usize,
    groups: Vec<u32>,
}

pub(super) struct Pixels<'a> {
    level: SimdLevel,
    reader: BitReader<'a>,
    width: usize,
    total: usize,
    blocks: Option<Blocks>,
    tables: Tables,
    groups: Vec<Group>,
    cache: Vec<u32>,
    cache_bits: u32,
    /// The latest pixels; the first is number `dropped`.
    latest: Vec<u32>,
    dropped: usize,
    decoded: usize,
}

impl<'a> Pixels<'a> {
    /// For the main image, or for one that describes it.
    pub(super) fn new(
        mut reader: BitReader<'a>,
        (width, height): (usize, usize),
        main: bool,
        level: SimdLevel,
    ) -> Result<Self, &'static str> {
        let cache_bits = if reader.flag() { reader.read(4) } else { 0 };
        if cache_bits > 11 {
            return Err("the colour cache is too large");
        }
        let mut blocks = None;
        let mut count = 1;
        if main && reader.flag() {
            let bits = 2 + reader.read(3);
            let size = (width.div_ceil(1 << bits), height.div_ceil(1 << bits));
            let (mut groups, after) = Self::whole(reader, size, level)?;
            reader = after;
            for group in &mut groups {
                *group = (*group >> 8) & 0xffff;
                count = count.max(*group as usize + 1);
            }
            blocks = Some(Blocks { bits, across: size.0, groups });
        }
        let cached = if cache_bits > 0 { 1 << cache_bits } else { 0 };
        let mut tables = Tables::default();
        let mut groups = Vec::new();
        for _ in 0..count {
            let mut group = Group::default();
            let Group { green, red, blue, alpha, distance, .. } = &mut group;
            let codes =
                [(green, 256 + LENGTHS + cached), (red, 256), (blue, 256), (alpha, 256), (distance, 40)];
            for (code, symbols) in codes {
                *code = tables.read(&mut reader, symbols)?;
            }
            let only = [group.alpha, group.red, group.blue].map(|code| code.only(&tables).map(u32::from));
            if let [Some(alpha), Some(red), Some(blue)] = only {
                group.constant = Some(alpha << 24 | red << 16 | blue);
            }
            groups.push(group);
            if reader.is_past_end() {
                return Err("the data ends within the prefix codes");
            }
            if tables.entries().len() as u64 > entries_allowed((width * height) as u64) {
                return Err("it has too many prefix codes");
            }
        }
        let total = width * height;
        Ok(Self {
            level,
            reader,
            width,
            total,
            blocks,
            tables,
            groups,
            cache: vec![0; cached],
            cache_bits,
            latest: vec![0; total.min((2 * WINDOW).max(WINDOW + width) + LONGEST)],
            dropped: 0,
            decoded: 0,
        })
    }

    /// All pixels of a small image; and the reader behind it.
    pub(super) fn whole(
        reader: BitReader<'a>,
        size: (usize, usize),
        level: SimdLevel,
    ) -> Result<(Vec<u32>, BitReader<'a>), &'static str> {
        let mut image = Self::new(reader, size, false, level)?;
        let mut pixels = Vec::with_capacity(image.total);
        for y in 0..size.1 {
            pixels.extend_from_slice(image.row(y)?);
        }
        Ok((pixels, image.reader))
    }

    /// Row `y`, each in turn.
    pub(super) fn row(&mut self, y: usize) -> Result<&[u32], &'static str> {
        let (start, end) = (y * self.width, (y + 1) * self.width);
        if self.decoded < end {
            self.drop_old(end);
            self.level.run(Decode { pixels: self, end })?;
        }
        Ok(&self.latest[start - self.dropped..end - self.dropped])
    }

    /// Makes room for the pixels up to `end`, and a copy that goes on after it.
    fn drop_old(&mut self, end: usize) {
        let room = self.latest.len();
        if end + LONGEST - self.dropped > room && self.dropped + room < self.total {
            // The row itself may have begun, but no copy that is as long as the window.
            let from = self.decoded.saturating_sub(WINDOW) - self.dropped;
            self.latest.copy_within(from..self.decoded - self.dropped, 0);
            self.dropped += from;
        }
    }

    /// Decodes pixels until there are `end`, and perhaps more.
    #[inline(always)]
    fn decode(&mut self, end: usize) -> Result<(), &'static str> {
        let mut reader = self.reader.clone();
        let Self { tables, groups, cache, cache_bits, latest, dropped, width, blocks, total, .. } = self;
        let (width, dropped, total) = (*width, *dropped, *total);
        let (entries, groups, blocks) = (tables.entries(), &*groups, &*blocks);
        let cache_shift = 32 - *cache_bits;
        let mut at = self.decoded;
        let (mut x, mut y) = (at % width, at / width);
        let mask = blocks.as_ref().map_or(usize::MAX, |blocks| (1 << blocks.bits) - 1);
        let group_at = |x: usize, y: usize| match blocks {
            Some(Blocks { bits, across, groups: map }) => {
                groups[map[(y >> *bits) * *across + (x >> *bits)] as usize]
            }
            None => groups[0],
        };
        let mut group = group_at(x, y);
        while at < end {
            if x & mask == 0 {
                group = group_at(x, y);
            }
            reader.refill();
            let symbol = group.green.decode(entries, &mut reader);
            if symbol < 256 {
                let pixel = if let Some(constant) = group.constant {
                    constant | (symbol as u32) << 8
                } else {
                    let red = group.red.decode(entries, &mut reader);
                    if reader.available() < 30 {
                        reader.refill();
                    }
                    let blue = group.blue.decode(entries, &mut reader);
                    let alpha = group.alpha.decode(entries, &mut reader);
                    (alpha << 24 | red << 16 | symbol << 8 | blue) as u32
                };
                latest[at - dropped] = pixel;
                if !cache.is_empty() {
                    cache[cache_index(pixel, cache_shift)] = pixel;
                }
                (at, x) = (at + 1, x + 1);
            } else if symbol < 256 + LENGTHS {
                let length = number(symbol - 256, &mut reader);
                reader.refill();
                let distance = group.distance.decode(entries, &mut reader);
                let distance = distance_of(number(distance, &mut reader), width);
                if distance > at || length > total - at {
                    return Err("a copy reaches beyond the image");
                }
                copy(latest, at - dropped, distance, length);
                if !cache.is_empty() {
                    for &pixel in &latest[at - dropped..][..length] {
                        cache[cache_index(pixel, cache_shift)] = pixel;
                    }
                }
                (at, x) = (at + length, x + length);
                if x < width && x & mask != 0 {
                    group = group_at(x, y);
                }
            } else {
                let pixel = *cache.get(symbol - 256 - LENGTHS).ok_or("a cached colour does not exist")?;
                latest[at - dropped] = pixel;
                cache[cache_index(pixel, cache_shift)] = pixel;
                (at, x) = (at + 1, x + 1);
            }
            if x >= width {
                y += x / width;
                x %= width;
                if at < total && x & mask != 0 {
                    group = group_at(x, y);
                }
            }
        }
        if reader.is_past_end() {
            return Err("the data ends early");
        }
        self.reader = reader;
        self.decoded = at;
        Ok(())
    }
}

/// Decodes pixels until there are `end`.
struct Decode<'a, 'b> {
    pixels: &'a mut Pixels<'b>,
    end: usize,
}

impl Kernel for Decode<'_, '_> {
    type Output = Result<(), &'static str>;

    // No vectors here, but instructions that shift and mask bits.
    #[inline(always)]
    fn run<S: Lanes>(self, _: S) -> Self::Output {
        self.pixels.decode(self.end)
    }
}

#[inline(always)]
fn cache_index(pixel: u32, shift: u32) -> usize {
    (pixel.wrapping_mul(0x1e35_a7bd) >> shift) as usize
}

/// A length or the code of a distance, from its symbol.
#[inline(always)]
fn number(symbol: usize, reader: &mut BitReader<'_>) -> usize {
    if symbol < 4 {
        return symbol + 1;
    }
    let bits = (symbol as u32 - 2) / 2;
    let offset = (2 + (symbol & 1)) << bits;
    offset + reader.read(bits) as usize + 1
}

/// The nearest pixels have codes of their own: how far to the left and above.
#[rustfmt::skip]
pub(super) const NEAR: [(i8, u8); 120] = [
    (0, 1), (1, 0), (1, 1), (-1, 1), (0, 2), (2, 0), (1, 2), (-1, 2), (2, 1), (-2, 1), (2, 2), (-2, 2),
    (0, 3), (3, 0), (1, 3), (-1, 3), (3, 1), (-3, 1), (2, 3), (-2, 3), (3, 2), (-3, 2), (0, 4), (4, 0),
    (1, 4), (-1, 4), (4, 1), (-4, 1), (3, 3), (-3, 3), (2, 4), (-2, 4), (4, 2), (-4, 2), (0, 5), (3, 4),
    (-3, 4), (4, 3), (-4, 3), (5, 0), (1, 5), (-1, 5), (5, 1), (-5, 1), (2, 5), (-2, 5), (5, 2), (-5, 2),
    (4, 4), (-4, 4), (3, 5), (-3, 5), (5, 3), (-5, 3), (0, 6), (6, 0), (1, 6), (-1, 6), (6, 1), (-6, 1),
    (2, 6), (-2, 6), (6, 2), (-6, 2), (4, 5), (-4, 5), (5, 4), (-5, 4), (3, 6), (-3, 6), (6, 3), (-6, 3),
    (0, 7), (7, 0), (1, 7), (-1, 7), (5, 5), (-5, 5), (7, 1), (-7, 1), (4, 6), (-4, 6), (6, 4), (-6, 4),
    (2, 7), (-2, 7), (7, 2), (-7, 2), (3, 7), (-3, 7), (7, 3), (-7, 3), (5, 6), (-5, 6), (6, 5), (-6, 5),
    (8, 0), (4, 7), (-4, 7), (7, 4), (-7, 4), (8, 1), (8, 2), (6, 6), (-6, 6), (8, 3), (5, 7), (-5, 7),
    (7, 5), (-7, 5), (8, 4), (6, 7), (-6, 7), (7, 6), (-7, 6), (8, 5), (7, 7), (-7, 7), (8, 6), (8, 7),
];

/// How far back a distance of this code is, in pixels.
#[inline(always)]
fn distance_of(code: usize, width: usize) -> usize {
    match NEAR.get(code - 1) {
        None => code - NEAR.len(),
        Some(&(left, above)) => {
            let distance = width as isize * isize::from(above) + isize::from(left);
            distance.max(1) as usize
        }
    }
}

/// Copies `length` pixels from `distance` before; they may overlap.
#[inline(always)]
fn copy(pixels: &mut [u32], at: usize, distance: usize, length: usize) {
    if distance >= length {
        pixels.copy_within(at - distance..at - distance + length, at);
    } else if distance == 1 {
        let pixel = pixels[at - 1];
        pixels[at..at + length].fill(pixel);
    } else {
        for index in at..at + length {
            pixels[index] = pixels[index - distance];
        }
    }
}
