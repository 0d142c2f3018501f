//! Decoding tables of a Deflate block (RFC 1951, sections 3.2.2 and 3.2.5 to 3.2.7).
//!
//! A table is indexed by the next bits of the stream. An entry has 32 bits:
//!
//! | bits | literals | a length or distance | special |
//! |---|---|---|---|
//! | 0–5 | bits to drop, for all of them | bits to drop, extra bits among them | bits to drop |
//! | 6–7 | how many, 1 to 3 | 0 | 0 |
//! | 8–13 | their values, | bits of the code alone | [`LINK`]: bits that index the second table |
//! | 14–15 | the first lowest | 0 | [`END`], [`LINK`] or [`INVALID`] |
//! | 16–30 | | base | [`LINK`]: offset of the second table |
//! | 31 | | 0 | 1 |
//!
//! Image data is mostly literals with short codes, so one look-up returns as many as its bits hold.

use super::Fault;

/// Bits that index the first table of literals and lengths.
pub(super) const SYMBOL_BITS: u32 = 11;
/// Bits that index the first table of distances.
pub(super) const DISTANCE_BITS: u32 = 9;

/// The longest code there is.
const LONGEST: u32 = 15;
const PLACES: usize = 1 << SYMBOL_BITS;
const SYMBOLS: usize = 288;
const DISTANCES: usize = 32;

const SPECIAL: u32 = 1 << 31;
/// The end of the block.
pub(super) const END: u32 = SPECIAL | 1 << 14;
/// The code is longer than the first table: a second one follows.
pub(super) const LINK: u32 = SPECIAL | 2 << 14;
/// No such code.
pub(super) const INVALID: u32 = SPECIAL | 3 << 14;

/// [`END`], [`LINK`] or [`INVALID`], if an entry without literals is one of them.
#[inline(always)]
pub(super) const fn special(entry: u32) -> Option<u32> {
    if entry & SPECIAL == 0 { None } else { Some(entry & (SPECIAL | 3 << 14)) }
}

/// Bits to drop.
#[inline(always)]
pub(super) const fn drop_bits(entry: u32) -> u32 {
    entry & 0x3f
}

/// How many literals.
#[inline(always)]
pub(super) const fn literals(entry: u32) -> usize {
    (entry >> 6 & 3) as usize
}

/// The code's own length, or the bits that index a second table.
#[inline(always)]
pub(super) const fn code_bits(entry: u32) -> u32 {
    entry >> 8 & 0x3f
}

/// The base of a length or distance, or the offset of a second table.
#[inline(always)]
pub(super) const fn base(entry: u32) -> usize {
    (entry >> 16 & 0x7fff) as usize
}

/// A length or distance: its base plus the extra bits after its code, with which `bits` begins.
#[inline(always)]
pub(super) const fn value(bits: u64, entry: u32) -> usize {
    let code = bits & !(u64::MAX << drop_bits(entry));
    (entry >> 16) as usize + (code >> code_bits(entry)) as usize
}

/// Entries of literals and lengths, without their codes' lengths.
const SYMBOL_ENTRIES: [u32; SYMBOLS] = {
    let mut entries = [INVALID; SYMBOLS];
    let mut symbol = 0;
    while symbol < 256 {
        entries[symbol] = (symbol as u32) << 8 | 1 << 6;
        symbol += 1;
    }
    entries[256] = END;
    let mut length = 3;
    symbol = 257;
    while symbol < 285 {
        let extra = if symbol < 265 { 0 } else { (symbol as u32 - 261) / 4 };
        entries[symbol] = length << 16 | extra;
        length += 1 << extra;
        symbol += 1;
    }
    entries[285] = 258 << 16;
    entries
};

/// Entries of distances, without their codes' lengths.
const DISTANCE_ENTRIES: [u32; DISTANCES] = {
    let mut entries = [INVALID; DISTANCES];
    let mut distance = 1;
    let mut symbol = 0;
    while symbol < 30 {
        let extra = if symbol < 4 { 0 } else { (symbol as u32 - 2) / 2 };
        entries[symbol] = distance << 16 | extra;
        distance += 1 << extra;
        symbol += 1;
    }
    entries
};

/// The tables of the current block.
pub(super) struct Tables {
    pub(super) symbols: [u32; PLACES],
    /// For [`join_literals`].
    single: [u32; PLACES],
    pub(super) distances: [u32; 1 << DISTANCE_BITS],
    pub(super) more_symbols: Vec<u32>,
    pub(super) more_distances: Vec<u32>,
}

impl Tables {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self {
            symbols: [INVALID; PLACES],
            single: [0; PLACES],
            distances: [INVALID; 1 << DISTANCE_BITS],
            more_symbols: Vec::new(),
            more_distances: Vec::new(),
        })
    }

    /// The fixed codes (RFC 1951, section 3.2.6).
    pub(super) fn fixed(&mut self) -> Result<(), Fault> {
        let mut lengths = [8; SYMBOLS];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        self.dynamic(&lengths, &[5; DISTANCES])
    }

    /// Dynamic codes, from their lengths.
    pub(super) fn dynamic(&mut self, symbols: &[u8], distances: &[u8]) -> Result<(), Fault> {
        if symbols.get(256).is_none_or(|&length| length == 0) {
            return Err(Fault::Codes);
        }
        build(symbols, &SYMBOL_ENTRIES, &mut self.symbols, &mut self.more_symbols)?;
        build(distances, &DISTANCE_ENTRIES, &mut self.distances, &mut self.more_distances)?;
        join_literals(symbols, &mut self.symbols, &mut self.single);
        Ok(())
    }
}

/// Builds a table with one symbol per entry, and its second tables.
pub(super) fn build(
    lengths: &[u8],
    entries: &[u32],
    table: &mut [u32],
    more: &mut Vec<u32>,
) -> Result<(), Fault> {
    let table_bits = table.len().trailing_zeros();
    let mut counts = [0_u16; LONGEST as usize + 1];
    for &length in lengths {
        counts[usize::from(length & 0xf)] += 1;
    }
    counts[0] = 0;
    // The share of the code space that is used, in units of the longest code.
    let used: u32 =
        (1..=LONGEST).map(|length| u32::from(counts[length as usize]) << (LONGEST - length)).sum();
    more.clear();
    if used != 1 << LONGEST {
        // Over- or undersubscribed: only a single code of one bit, or none, may leave codes unused.
        if used != 0 && (used != 1 << (LONGEST - 1) || counts[1] != 1) {
            return Err(Fault::Codes);
        }
        table.fill(INVALID | 1);
        if let Some((&entry, _)) = entries.iter().zip(lengths).find(|(_, length)| **length == 1) {
            table.iter_mut().step_by(2).for_each(|slot| *slot = with_code(entry, 1));
        }
        return Ok(());
    }

    // Symbols in the order of their codes: by length, then by number.
    let mut places = [0_u16; LONGEST as usize + 2];
    for length in 1..=LONGEST as usize {
        places[length + 1] = places[length] + counts[length];
    }
    let mut ordered = [0_u16; SYMBOLS];
    for (symbol, &length) in lengths.iter().enumerate() {
        if length > 0 {
            let place = &mut places[usize::from(length & 0xf)];
            ordered[usize::from(*place)] = symbol as u16;
            *place += 1;
        }
    }

    let longest = (1..=LONGEST).rev().find(|&length| counts[length as usize] > 0).unwrap_or(1);
    let more_bits = longest.saturating_sub(table_bits);
    let mut ordered = ordered.iter().map(|&symbol| entries[usize::from(symbol)]);
    // Codes are stored first bit lowest, so a table's index is the reversed code.
    let mut code = 0_usize;
    for length in 1..=longest.max(table_bits) {
        if length <= table_bits {
            // A shorter code is the same whatever bits follow.
            let (shorter, rest) = table.split_at_mut(1 << (length - 1));
            double(shorter, rest);
        }
        for entry in ordered.by_ref().take(counts[length as usize].into()) {
            if length <= table_bits {
                table[code] = with_code(entry, length);
            } else {
                let link = &mut table[code & ((1 << table_bits) - 1)];
                let step = 1 << (length - table_bits);
                if code >> table_bits == 0 {
                    *link = (more.len() as u32) << 16 | LINK | more_bits << 8 | table_bits;
                    more.resize(more.len() + (1 << more_bits), INVALID);
                }
                let places = more[base(*link)..][code >> table_bits..1 << more_bits].iter_mut();
                places.step_by(step).for_each(|slot| *slot = with_code(entry, length - table_bits));
            }
            code = next(code, length);
        }
    }
    Ok(())
}

/// The code after `code`, both in reverse: one is added to its highest bit, and carries go down.
fn next(code: usize, length: u32) -> usize {
    let unset = !code & ((1 << length) - 1);
    if unset == 0 {
        return 0;
    }
    let bit = 1 << unset.ilog2();
    code & (bit - 1) | bit
}

/// An entry with the length of its code.
fn with_code(entry: u32, length: u32) -> u32 {
    if literals(entry) > 0 { entry + length } else { (entry + length) | (length << 8) }
}

/// Appends a copy of `half`, in small steps: `copy_from_slice` takes ten times as long where source and target
/// are a multiple of 4096 bytes apart.
fn double(half: &[u32], rest: &mut [u32]) {
    let (from, from_rest) = half.as_chunks::<8>();
    let (to, to_rest) = rest[..half.len()].as_chunks_mut::<8>();
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = *from;
    }
}

/// Joins up to three literals into one entry, as many as the bits of its index hold.
fn join_literals(lengths: &[u8], table: &mut [u32; PLACES], single: &mut [u32; PLACES]) {
    let literal_lengths = &lengths[..256];
    let mut counts = [0_u32; 16];
    for &length in literal_lengths {
        counts[usize::from(length & 0xf)] += 1;
    }
    counts[0] = 0;
    // The probability that a look-up holds a second literal, by the code lengths, in units of 1 / PLACES^2.
    let mut room = 0;
    let mut shorter = 0;
    let mut likely = [0; 16];
    for length in 1..=SYMBOL_BITS {
        shorter += counts[length as usize] << (SYMBOL_BITS - length);
        likely[length as usize] = shorter;
    }
    for length in 1..SYMBOL_BITS {
        room += (counts[length as usize] << (SYMBOL_BITS - length)) * likely[(SYMBOL_BITS - length) as usize];
    }
    if room < 1 << (2 * SYMBOL_BITS - 4) {
        return;
    }
    // What a literal adds to an entry as the second one; anything else counts as too long.
    for (single, &entry) in single.iter_mut().zip(&*table) {
        *single = if literals(entry) > 0 { entry & 0xff | (entry & 0xff00) << 8 } else { 0x3f };
    }
    let shortest = (1..=SYMBOL_BITS).find(|&length| counts[length as usize] > 0).unwrap_or(SYMBOL_BITS);
    for place in 0..PLACES {
        let first = table[place];
        let bits = drop_bits(first);
        // The first index of this literal: its code followed by zeros.
        if literals(first) != 1 || bits + shortest > SYMBOL_BITS || place >> bits != 0 {
            continue;
        }
        for rest in 0..PLACES >> bits {
            let second = single[rest];
            let two = first + second;
            let third = single[rest >> drop_bits(second)];
            let three = two + (third & 0xff) + ((third & 0xff_0000) << 8);
            let bits_of_two = bits + drop_bits(second);
            let fits_two = bits_of_two <= SYMBOL_BITS;
            let fits_three = bits_of_two + drop_bits(third) <= SYMBOL_BITS;
            let entry = if fits_two { two } else { first };
            table[place | rest << bits] = if fits_three { three } else { entry };
        }
    }
}
