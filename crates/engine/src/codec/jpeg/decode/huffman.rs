//! Huffman tables (ITU-T T.81, annex C and F.2.2): the codes of DHT segments, and look-up tables of DC
//! differences and of single AC coefficients.

use super::bit_reader::BitReader;

/// The codes of a DHT segment.
#[derive(Clone, PartialEq)]
pub(super) struct Codes {
    symbols: Vec<u8>,
    /// For each length the first code that is longer, shifted to 16 bits; and what to add to a code of
    /// that length to get its symbol's index.
    limits: [u32; 17],
    offsets: [i32; 17],
    /// For each prefix of 8 bits the code's length and symbol; length 0 where the code is longer.
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

    /// Each code with its length and symbol, in order.
    pub(super) fn for_each(&self, mut take: impl FnMut(u32, u32, u8)) {
        let mut index = 0;
        for length in 1..=16 {
            let end = self.limits[length as usize] >> (16 - length);
            let mut code = (index as i32 - self.offsets[length as usize]) as u32;
            while code < end
                && let Some(&symbol) = self.symbols.get(index)
            {
                take(code, length, symbol);
                code += 1;
                index += 1;
            }
        }
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
    pub(super) fn read(&self, bits: &mut BitReader<'_>) -> Option<u8> {
        let (length, symbol) = self.find(bits.peek())?;
        bits.consume(length);
        Some(symbol)
    }
}

/// EXTEND (T.81, figure F.12): a value of `size` bits (0 to 16), negative in the lower half of its range.
#[inline(always)]
pub(super) const fn extend(value: u32, size: u32) -> i32 {
    if size == 0 {
        return 0;
    }
    let negative = value >> (size - 1) == 0;
    value as i32 - if negative { (1 << size) - 1 } else { 0 }
}

/// DC differences: code and value in one look-up.
pub(super) struct DcTable {
    pub(super) codes: Codes,
    /// Number of bits in the low five bits, the difference above. Where both do not fit: [`WIDE`] and the code's
    /// length in the low five bits, the size above; 0 where the code does not fit.
    entries: [i16; 1 << DC_BITS],
}

const DC_BITS: u32 = 10;
const WIDE: i16 = 16;
const LENGTH: i16 = 15;

impl DcTable {
    pub(super) fn new(codes: &Codes) -> Self {
        let mut entries = [0; 1 << DC_BITS];
        codes.for_each(|code, length, size| {
            let (size, total) = (u32::from(size), length + u32::from(size));
            if length > DC_BITS {
                return;
            }
            if total > DC_BITS {
                let width = 1 << (DC_BITS - length);
                let entry = if size <= 16 { (size << 5 | length) as i16 | WIDE } else { 0 };
                entries[code as usize * width..][..width].fill(entry);
                return;
            }
            let width = 1 << (DC_BITS - total);
            let from = (code << (DC_BITS - length)) as usize;
            for value in 0..1_u32 << size {
                let entry = (extend(value, size) << 5 | total as i32) as i16;
                entries[from + value as usize * width..][..width].fill(entry);
            }
        });
        Self { codes: codes.clone(), entries }
    }

    /// Reads a difference; `None` for bits that are no code. 56 bits must be available; 46 are left.
    #[inline(always)]
    pub(super) fn read(&self, bits: &mut BitReader<'_>) -> Option<i32> {
        let entry = self.entries[(bits.peek() >> (64 - DC_BITS)) as usize];
        if entry & WIDE == 0 && entry != 0 {
            bits.consume((entry & LENGTH) as u32);
            return Some((entry >> 5).into());
        }
        if entry != 0 {
            bits.consume((entry & LENGTH) as u32);
            let size = (entry >> 5) as u32;
            let difference = extend(bits.take(size) as u32, size);
            bits.refill();
            return Some(difference);
        }
        let (after, difference) = self.read_symbol(*bits)?;
        *bits = after;
        Some(difference)
    }

    /// The reader is passed by value, to stay in registers around the call.
    #[inline(never)]
    fn read_symbol<'a>(&self, mut bits: BitReader<'a>) -> Option<(BitReader<'a>, i32)> {
        let size = u32::from(self.codes.read(&mut bits)?);
        let difference = (size <= 16).then(|| extend(bits.take(size) as u32, size))?;
        bits.refill();
        Some((bits, difference))
    }
}

/// BitReader that index a table of single coefficients.
pub(super) const SINGLE_BITS: u32 = 11;

/// A look-up table of single coefficients, by [`SINGLE_BITS`] bits.
pub(super) type Singles = Box<[u32; 1 << SINGLE_BITS]>;

/// Builds a table of single coefficients. An entry has the number of bits in the low byte, then the step that
/// `step` returns for a run and a size, then the value; `slow` is the step where they do not fit.
pub(super) fn single_coefficients(codes: &Codes, slow: u32, step: impl Fn(u32, u32) -> u32) -> Singles {
    let mut entries = Box::new([slow << 8; 1 << SINGLE_BITS]);
    codes.for_each(|code, length, symbol| {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let total = length + size;
        if step(run, size) == slow || length > SINGLE_BITS {
            return;
        }
        if total > SINGLE_BITS {
            let width = 1 << (SINGLE_BITS - length);
            entries[code as usize * width..][..width].fill(wide(length, run, size) | slow << 8);
            return;
        }
        let width = 1 << (SINGLE_BITS - total);
        let from = (code << (SINGLE_BITS - length)) as usize;
        for value in 0..1_u32 << size {
            let entry = (extend(value, size) as u32) << 16 | step(run, size) << 8 | total;
            entries[from + value as usize * width..][..width].fill(entry);
        }
    });
    entries
}

/// The upper half of an entry for a code whose value does not fit: the code's length, its run and size.
pub(super) const fn wide(length: u32, run: u32, size: u32) -> u32 {
    (length | run << 5 | size << 9) << 16
}

/// The zigzag sequence (ITU-T T.81, figure A.6): for each index the position in the block, row by row.
pub(super) const NATURAL: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];
