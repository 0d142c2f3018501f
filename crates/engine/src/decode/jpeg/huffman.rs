//! Huffman tables (ITU-T T.81, annex C and F.2.2): the codes as the file gives them, and look-up tables
//! made for what the decoder does with them.

use super::bits::Bits;

/// The codes of a DHT segment.
#[derive(Clone)]
pub(super) struct Codes {
    symbols: Vec<u8>,
    /// For each length the first code that is longer, shifted to 16 bits; and what to add to a code of
    /// that length to get its symbol's index.
    limits: [u32; 17],
    offsets: [i32; 17],
    /// For each start of 8 bits the code's length and symbol; length 0 where it is longer.
    short: [(u8, u8); 256],
}

impl Codes {
    /// From the counts of codes of each length and their symbols.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, String> {
        let mut codes =
            Self { symbols: symbols.to_vec(), limits: [0; 17], offsets: [0; 17], short: [(0, 0); 256] };
        let (mut code, mut index) = (0_u32, 0_usize);
        for length in 1..=16 {
            let count = usize::from(counts[length - 1]);
            codes.offsets[length] = index as i32 - code as i32;
            for _ in 0..count {
                if code >> length != 0 {
                    return Err(format!("more codes of {length} bits than there can be"));
                }
                let symbol = *symbols.get(index).ok_or("fewer symbols than codes")?;
                if length <= 8 {
                    let from = (code << (8 - length)) as usize;
                    codes.short[from..from + (1 << (8 - length))].fill((length as u8, symbol));
                }
                code += 1;
                index += 1;
            }
            codes.limits[length] = code << (16 - length);
            code <<= 1;
        }
        Ok(codes)
    }

    /// The code at the top of `window`: its length and symbol.
    #[inline]
    pub(super) fn find(&self, window: u64) -> Option<(u32, u8)> {
        let (length, symbol) = self.short[(window >> 56) as usize];
        if length > 0 { Some((length.into(), symbol)) } else { self.find_long(window) }
    }

    fn find_long(&self, window: u64) -> Option<(u32, u8)> {
        let code = (window >> 48) as u32;
        let length = (9..=16).find(|&length| code < self.limits[length])?;
        let index = (code >> (16 - length)) as i32 + self.offsets[length];
        Some((length as u32, *self.symbols.get(usize::try_from(index).ok()?)?))
    }

    /// Reads a symbol; `None` for bits that are no code. 16 bits must be available.
    #[inline]
    pub(super) fn read(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let (length, symbol) = self.find(bits.peek())?;
        bits.consume(length);
        Some(symbol)
    }
}

/// A value of `size` bits (0 to 16) as T.81 table F.1 has it: the lower half of its range is negative.
#[inline(always)]
pub(super) const fn extend(value: u32, size: u32) -> i32 {
    if size == 0 {
        return 0;
    }
    let negative = value >> (size - 1) == 0;
    value as i32 - if negative { (1 << size) - 1 } else { 0 }
}

/// The value of `size` bits that follows a code of `length` bits at the top of `window`.
const fn value_after(window: u64, length: u32, size: u32) -> i32 {
    extend((((window << length) >> 1) >> (63 - size)) as u32, size)
}

/// Differences of DC terms by the bits that begin with their code: code and value in one look-up.
pub(super) struct DcTable {
    pub(super) codes: Codes,
    /// Bits in the low byte, the difference above; 0 where they do not fit.
    entries: Vec<i32>,
}

impl DcTable {
    const BITS: u32 = 10;

    pub(super) fn new(codes: &Codes) -> Self {
        let entry = |index: u64| {
            let window = index << (64 - Self::BITS);
            let (length, size) = codes.find(window)?;
            let total = length + u32::from(size);
            (total <= Self::BITS && size <= 15)
                .then(|| value_after(window, length, size.into()) << 8 | total as i32)
        };
        let entries = (0..1 << Self::BITS).map(|index| entry(index).unwrap_or(0)).collect();
        Self { codes: codes.clone(), entries }
    }

    /// Reads a difference; `None` for bits that are no code. 32 bits must be available.
    #[inline(always)]
    pub(super) fn read(&self, bits: &mut Bits<'_>) -> Option<i32> {
        let entry = self.entries[(bits.peek() >> (64 - Self::BITS)) as usize];
        if entry != 0 {
            bits.consume((entry & 0xff) as u32);
            return Some(entry >> 8);
        }
        let mut slow = *bits;
        let difference = self.read_slowly(&mut slow);
        *bits = slow;
        difference
    }

    #[inline(never)]
    fn read_slowly(&self, bits: &mut Bits<'_>) -> Option<i32> {
        let size = u32::from(self.codes.read(bits)?);
        (size <= 16).then(|| extend(bits.take(size) as u32, size))
    }
}

/// The end of the block, as it stands in the step of an entry.
pub(super) const END: u32 = 128;
/// In the step of an entry: the bits do not fit this table.
const SLOW: u32 = 64;

/// AC coefficients by the bits that begin with their code.
///
/// Two tables of entries with the number of bits in the low byte, then the step: by how much the index
/// into the zigzag sequence grows, or [`END`], or [`SLOW`].
pub(super) struct AcTable {
    codes: Codes,
    /// One coefficient: its value in the upper half.
    single: Vec<u32>,
    /// As many coefficients as fit: the sum of their squares in the upper half. If the last of them is
    /// the end of the block, the step is [`END`] more.
    several: Vec<u32>,
    several_bits: u32,
}

const SINGLE_BITS: u32 = 10;

/// One symbol with its value.
pub(super) enum Symbol {
    Coefficient {
        run: u32,
        value: i32,
    },
    /// Sixteen zeros.
    Zeros,
    /// The end of the block or band; in progressive scans bits behind it tell of how many, if `run` is
    /// not 0.
    End {
        run: u32,
    },
}

impl AcTable {
    /// With `several_bits` bits in the table of several; more for more data.
    pub(super) fn new(codes: &Codes, several_bits: u32) -> Self {
        let single = |index: u64| {
            let window = index << (64 - SINGLE_BITS);
            match symbol(codes, window, SINGLE_BITS) {
                Some((bits, Symbol::Coefficient { run, value })) => {
                    (value as u32) << 16 | (run + 1) << 8 | bits
                }
                Some((bits, Symbol::Zeros)) => 16 << 8 | bits,
                Some((bits, Symbol::End { .. })) => END << 8 | bits,
                None => SLOW << 8,
            }
        };
        let several = |index: u64| {
            let window = index << (64 - several_bits);
            let (mut bits, mut step, mut squares) = (0, 0, 0);
            while let Some((length, symbol)) = symbol(codes, window << bits, several_bits - bits) {
                match symbol {
                    Symbol::Coefficient { run, value } => {
                        if step + run + 1 > 63 {
                            break;
                        }
                        step += run + 1;
                        squares += (value * value) as u32;
                    }
                    Symbol::Zeros if step + 16 > 63 => break,
                    Symbol::Zeros => step += 16,
                    Symbol::End { .. } => {
                        return squares.min(0xffff) << 16 | (END + step) << 8 | (bits + length);
                    }
                }
                bits += length;
                if bits == several_bits {
                    break;
                }
            }
            if bits == 0 { SLOW << 8 } else { squares.min(0xffff) << 16 | step << 8 | bits }
        };
        Self {
            codes: codes.clone(),
            single: (0..1 << SINGLE_BITS).map(single).collect(),
            several: (0..1 << several_bits).map(several).collect(),
            several_bits,
        }
    }
}

/// The symbol at the top of `window`, if code and value have at most `available` bits.
pub(super) fn symbol(codes: &Codes, window: u64, available: u32) -> Option<(u32, Symbol)> {
    let (length, symbol) = codes.find(window)?;
    let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
    let total = length + size;
    if total > available {
        return None;
    }
    let symbol = match (run, size) {
        (15, 0) => Symbol::Zeros,
        // In sequential data `run` is always 0; libjpeg takes others for the end all the same.
        (_, 0) => Symbol::End { run },
        _ => Symbol::Coefficient { run, value: value_after(window, length, size) },
    };
    Some((total, symbol))
}

/// What the decoder wants of a block's AC coefficients.
pub(super) struct Wanted<'a> {
    /// The last index of the zigzag sequence that is kept, 0 if none is.
    pub(super) last: usize,
    /// For each index what a coefficient is multiplied with.
    pub(super) steps: &'a [i32; 64],
    /// For each index what the square of one that is not kept is multiplied with.
    pub(super) squares: &'a [u64; 64],
}

/// What is known of a block's AC coefficients besides those that were kept.
#[derive(Clone, Copy, Default)]
pub(super) struct Rest {
    /// The index after the last one that was read for keeping: 1 if there was none.
    pub(super) kept: usize,
    /// The sum of the squares of those not kept.
    pub(super) energy: u64,
}

impl AcTable {
    /// Reads a block's AC coefficients; `None` for damage. Those up to `wanted.last` are put, multiplied,
    /// into `block` in natural order. With `ENERGY` the squares of the others are summed up, of those in
    /// one look-up with one multiplier.
    #[inline(always)]
    pub(super) fn read<const ENERGY: bool>(
        &self,
        bits: &mut Bits<'_>,
        wanted: &Wanted<'_>,
        block: &mut [i16; 64],
    ) -> Option<Rest> {
        let mut at = *bits;
        let mut index = 1_u32;
        let mut energy = 0;
        let last = wanted.last as u32;
        let mut kept = 1;
        let single: &[u32; 1 << SINGLE_BITS] = self.single.as_slice().try_into().ok()?;
        'keep: while index <= last {
            at.refill();
            // Two coefficients of at most ten bits, or one slow one of at most 32.
            for _ in 0..4 {
                let entry = single[(at.peek() >> (64 - SINGLE_BITS)) as usize];
                let next = index + (entry >> 8 & 0xff);
                if next < 64 {
                    at.consume(entry & 0xff);
                    let value = (entry as i32) >> 16;
                    let place = (next - 1) as usize & 63;
                    block[usize::from(NATURAL[place]) & 63] = (value * wanted.steps[place]) as i16;
                    if ENERGY {
                        energy += (value * value) as u64 * wanted.squares[place];
                    }
                    index = next;
                    kept = index;
                    if index > last {
                        break 'keep;
                    }
                    continue;
                }
                if next >= END {
                    at.consume(entry & 0xff);
                    *bits = at;
                    return Some(Rest { kept: kept as usize, energy });
                }
                let mut slow = at;
                let one = self.read_slowly(&mut slow, index)?;
                at = slow;
                let Some((next, value)) = one else {
                    *bits = at;
                    return Some(Rest { kept: kept as usize, energy });
                };
                let place = (next - 1) as usize & 63;
                block[usize::from(NATURAL[place]) & 63] = value.wrapping_mul(wanted.steps[place]) as i16;
                if ENERGY {
                    energy += u64::from(value.unsigned_abs()).pow(2) * wanted.squares[place];
                }
                index = next;
                kept = index;
                if index > 63 {
                    *bits = at;
                    return Some(Rest { kept: kept as usize, energy });
                }
                break;
            }
        }
        let shift = 64 - self.several_bits;
        let several = self.several.as_slice();
        loop {
            at.refill();
            for _ in 0..4 {
                let entry = several[(at.peek() >> shift) as usize];
                let next = index + (entry >> 8 & 0xff);
                if next < 64 {
                    at.consume(entry & 0xff);
                    if ENERGY {
                        energy += u64::from(entry >> 16) * wanted.squares[next as usize & 63];
                    }
                    index = next;
                    continue;
                }
                // The end, unless the block was full before it and this belongs to the next one.
                if next >= END && next - END < 64 {
                    at.consume(entry & 0xff);
                    if ENERGY {
                        energy += u64::from(entry >> 16) * wanted.squares[(next - END) as usize & 63];
                    }
                    *bits = at;
                    return Some(Rest { kept: kept as usize, energy });
                }
                let mut slow = at;
                let one = self.read_slowly(&mut slow, index)?;
                at = slow;
                let Some((next, value)) = one else {
                    *bits = at;
                    return Some(Rest { kept: kept as usize, energy });
                };
                if ENERGY {
                    energy +=
                        u64::from(value.unsigned_abs()).pow(2) * wanted.squares[(next - 1) as usize & 63];
                }
                index = next;
                if index > 63 {
                    *bits = at;
                    return Some(Rest { kept: kept as usize, energy });
                }
                break;
            }
        }
    }

    /// Reads one symbol: the index after its coefficient and the value, or nothing at the end.
    #[inline(never)]
    fn read_slowly(&self, bits: &mut Bits<'_>, index: u32) -> Option<Option<(u32, i32)>> {
        bits.refill();
        let symbol = self.codes.read(bits)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let (step, value) = match (run, size) {
            (15, 0) => (16, 0),
            (_, 0) => return Some(None),
            _ => (run + 1, extend(bits.take(size) as u32, size)),
        };
        (index + step <= 64).then_some(Some((index + step, value)))
    }
}

/// The zigzag sequence (ITU-T T.81, figure A.6): for each index the place in the block, row by row.
pub(super) const NATURAL: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];
