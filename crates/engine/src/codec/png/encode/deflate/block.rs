//! Deflate blocks: literals and matches, their codes, and the bits (RFC 1951, section 3.2).

use super::code_lengths::{codes, lengths};

/// Tokens in a block: enough for stable frequencies, and few enough to adapt to changes.
const FULL: usize = 12 << 10;

const SYMBOLS: usize = 286;
const DISTANCES: usize = 30;
const END: usize = 256;

/// Literals and matches (length and distance) of one block.
pub(super) struct Block {
    /// A literal, or 256 + length − 3 above the distance − 1.
    tokens: Vec<u32>,
    /// Offset of the block in the data, and its length.
    from: usize,
    bytes: usize,
}

/// Frequencies of the symbols of a block.
struct Counts {
    symbols: [u32; SYMBOLS],
    distances: [u32; DISTANCES],
}

/// The symbol of a length, and its number of extra bits.
fn length_symbol(length: usize) -> (usize, u32) {
    let length = length - 3;
    match length {
        0..8 => (257 + length, 0),
        255 => (285, 0),
        _ => {
            let extra = length.ilog2() - 2;
            (257 + 4 * extra as usize + (length >> extra), extra)
        }
    }
}

/// The symbol of a distance, and its number of extra bits.
fn distance_symbol(distance: usize) -> (usize, u32) {
    let distance = distance - 1;
    if distance < 4 {
        return (distance, 0);
    }
    let extra = distance.ilog2() - 1;
    (2 * extra as usize + (distance >> extra), extra)
}

impl Block {
    pub(super) fn new() -> Self {
        Self { tokens: Vec::with_capacity(FULL), from: 0, bytes: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.tokens.len() >= FULL
    }

    pub(super) fn literal(&mut self, literal: u8) {
        self.tokens.push(literal.into());
        self.bytes += 1;
    }

    pub(super) fn back_reference(&mut self, length: usize, distance: usize) {
        self.tokens.push(((256 + length - 3) << 15 | (distance - 1)) as u32);
        self.bytes += length;
    }

    /// Writes the block in its shortest form and begins the next. `data` is all data so far.
    pub(super) fn write(&mut self, writer: &mut BitWriter, data: &[u8], last: bool) {
        let counts = self.counts();
        let dynamic = Codes::dynamic(&counts);
        let fixed = Codes::fixed();
        let (dynamic_bits, fixed_bits) = (dynamic.header_bits() + counts.bits(&dynamic), counts.bits(&fixed));
        let stored_bits = (self.bytes + 5 * (self.bytes / 65535 + 1)) * 8;
        if stored_bits < dynamic_bits.min(fixed_bits) {
            writer.stored(&data[self.from..self.from + self.bytes], last);
        } else if fixed_bits <= dynamic_bits {
            writer.bits(u64::from(last) | 1 << 1, 3);
            self.write_tokens(writer, &fixed);
        } else {
            writer.bits(u64::from(last) | 2 << 1, 3);
            dynamic.write_header(writer);
            self.write_tokens(writer, &dynamic);
        }
        self.tokens.clear();
        (self.from, self.bytes) = (self.from + self.bytes, 0);
    }

    fn counts(&self) -> Counts {
        // Two tables in turn, so that increments of the same symbol do not wait for each other.
        let mut literals = [[0_u32; 256]; 2];
        let mut counts = Counts { symbols: [0; SYMBOLS], distances: [0; DISTANCES] };
        for (at, &token) in self.tokens.iter().enumerate() {
            if let Ok(literal) = u8::try_from(token) {
                literals[at % 2][usize::from(literal)] += 1;
            } else {
                let (length, distance) = back_reference(token);
                counts.symbols[length_symbol(length).0] += 1;
                counts.distances[distance_symbol(distance).0] += 1;
            }
        }
        for (symbol, (even, odd)) in counts.symbols.iter_mut().zip(literals[0].iter().zip(&literals[1])) {
            *symbol += even + odd;
        }
        counts.symbols[END] = 1;
        counts
    }

    fn write_tokens(&self, writer: &mut BitWriter, codes: &Codes) {
        for &token in &self.tokens {
            if let Ok(literal) = u8::try_from(token).map(usize::from) {
                writer.bits(codes.symbols[literal].into(), codes.symbol_lengths[literal].into());
                continue;
            }
            let (length, distance) = back_reference(token);
            let (symbol, extra) = length_symbol(length);
            let (code, bits) = (u64::from(codes.symbols[symbol]), u32::from(codes.symbol_lengths[symbol]));
            let low = (length - 3) as u64 & ((1 << extra) - 1);
            writer.bits(code | low << bits, bits + extra);
            let (symbol, extra) = distance_symbol(distance);
            let (code, bits) =
                (u64::from(codes.distances[symbol]), u32::from(codes.distance_lengths[symbol]));
            let low = (distance - 1) as u64 & ((1 << extra) - 1);
            writer.bits(code | low << bits, bits + extra);
        }
        writer.bits(codes.symbols[END].into(), codes.symbol_lengths[END].into());
    }
}

/// The length and distance of a token that is a match.
fn back_reference(token: u32) -> (usize, usize) {
    ((token >> 15) as usize - 256 + 3, (token & 0x7fff) as usize + 1)
}

impl Counts {
    /// The bits that the block takes with these codes.
    fn bits(&self, codes: &Codes) -> usize {
        let extra_of_length =
            |symbol: usize| if (265..285).contains(&symbol) { (symbol - 261) / 4 } else { 0 };
        let extra_of_distance = |symbol: usize| if symbol < 4 { 0 } else { (symbol - 2) / 2 };
        let sum = |counts: &[u32], lengths: &[u8], extra: &dyn Fn(usize) -> usize| -> usize {
            let all = counts.iter().zip(lengths).enumerate();
            all.map(|(symbol, (&count, &length))| count as usize * (usize::from(length) + extra(symbol)))
                .sum()
        };
        sum(&self.symbols, &codes.symbol_lengths, &extra_of_length)
            + sum(&self.distances, &codes.distance_lengths, &extra_of_distance)
    }
}

/// The codes of a block.
struct Codes {
    symbol_lengths: Vec<u8>,
    distance_lengths: Vec<u8>,
    symbols: Vec<u16>,
    distances: Vec<u16>,
    /// The code lengths as in the block header: symbols of the code length code, and extra bits.
    header: Vec<(u8, u8)>,
    header_lengths: Vec<u8>,
}

/// The order of the lengths of the code length code (section 3.2.7).
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Extra bits of the code length code.
fn header_extra(symbol: u8) -> u32 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}

impl Codes {
    fn new(symbol_lengths: Vec<u8>, distance_lengths: Vec<u8>) -> Self {
        let (symbols, distances) = (codes(&symbol_lengths), codes(&distance_lengths));
        Self {
            symbol_lengths,
            distance_lengths,
            symbols,
            distances,
            header: Vec::new(),
            header_lengths: Vec::new(),
        }
    }

    /// The fixed codes (section 3.2.6).
    fn fixed() -> Self {
        let mut lengths = vec![8; 288];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        Self::new(lengths, vec![5; DISTANCES])
    }

    fn dynamic(counts: &Counts) -> Self {
        let mut codes = Self::new(lengths(&counts.symbols, 15), lengths(&counts.distances, 15));
        let used = |lengths: &[u8], least: usize| {
            lengths.iter().rposition(|&length| length > 0).map_or(0, |last| last + 1).max(least)
        };
        let (symbols, distances) = (used(&codes.symbol_lengths, 257), used(&codes.distance_lengths, 1));
        codes.symbol_lengths.truncate(symbols);
        codes.distance_lengths.truncate(distances);
        let all = [&codes.symbol_lengths[..], &codes.distance_lengths].concat();
        codes.header = runs(&all);
        let mut counts = [0; 19];
        codes.header.iter().for_each(|&(symbol, _)| counts[usize::from(symbol)] += 1);
        codes.header_lengths = lengths(&counts, 7);
        codes
    }

    /// Number of lengths of the code length code in the header.
    fn header_count(&self) -> usize {
        ORDER.iter().rposition(|&symbol| self.header_lengths[symbol] > 0).map_or(4, |last| (last + 1).max(4))
    }

    fn header_bits(&self) -> usize {
        let bits = |&(symbol, _): &(u8, u8)| {
            usize::from(self.header_lengths[usize::from(symbol)]) + header_extra(symbol) as usize
        };
        14 + 3 * self.header_count() + self.header.iter().map(bits).sum::<usize>()
    }

    fn write_header(&self, writer: &mut BitWriter) {
        let count = self.header_count();
        writer.bits((self.symbol_lengths.len() - 257) as u64, 5);
        writer.bits((self.distance_lengths.len() - 1) as u64, 5);
        writer.bits((count - 4) as u64, 4);
        for &symbol in &ORDER[..count] {
            writer.bits(self.header_lengths[symbol].into(), 3);
        }
        let codes = codes(&self.header_lengths);
        for &(symbol, extra) in &self.header {
            let bits = u32::from(self.header_lengths[usize::from(symbol)]);
            writer.bits(
                u64::from(codes[usize::from(symbol)]) | u64::from(extra) << bits,
                bits + header_extra(symbol),
            );
        }
    }
}

/// Run-length encoded code lengths.
fn runs(lengths: &[u8]) -> Vec<(u8, u8)> {
    let mut header = Vec::new();
    for run in lengths.chunk_by(|a, b| a == b) {
        let (length, mut left) = (run[0], run.len());
        if length == 0 {
            while left >= 3 {
                let taken = left.min(138);
                header.push(if taken > 10 { (18, (taken - 11) as u8) } else { (17, (taken - 3) as u8) });
                left -= taken;
            }
        } else if left >= 4 {
            header.push((length, 0));
            left -= 1;
            while left >= 3 {
                let taken = left.min(6);
                header.push((16, (taken - 3) as u8));
                left -= taken;
            }
        }
        header.extend(std::iter::repeat_n((length, 0), left));
    }
    header
}

/// Writes bits, lowest first.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    bits: u64,
    count: u32,
}

impl BitWriter {
    /// Writes at most 32 bits.
    pub(super) fn bits(&mut self, bits: u64, count: u32) {
        self.bits |= bits << self.count;
        self.count += count;
        if self.count >= 32 {
            self.bytes.extend_from_slice(&(self.bits as u32).to_le_bytes());
            self.bits >>= 32;
            self.count -= 32;
        }
    }

    fn fill_byte(&mut self) {
        let whole = self.count.div_ceil(8);
        self.bytes.extend_from_slice(&self.bits.to_le_bytes()[..whole as usize]);
        (self.bits, self.count) = (0, 0);
    }

    fn stored(&mut self, data: &[u8], last: bool) {
        let mut parts = data.chunks(65535).peekable();
        while let Some(part) = parts.next() {
            self.bits(u64::from(last && parts.peek().is_none()), 3);
            self.fill_byte();
            let length = part.len() as u16;
            self.bytes.extend_from_slice(&length.to_le_bytes());
            self.bytes.extend_from_slice(&(!length).to_le_bytes());
            self.bytes.extend_from_slice(part);
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.fill_byte();
        self.bytes
    }
}
