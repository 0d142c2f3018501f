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

    /// Each code with its length and symbol, in order.
    fn each(&self, mut take: impl FnMut(u32, u32, u8)) {
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

/// Differences of DC terms by the bits that begin with their code: code and value in one look-up.
pub(super) struct DcTable {
    pub(super) codes: Codes,
    /// Bits in the low byte, the difference above. Where they do not fit [`WIDE`] and the code's length in
    /// the low byte, the size above; 0 where not even the code fits.
    entries: Box<[i32; 1 << DC_BITS]>,
}

const DC_BITS: u32 = 10;
const WIDE: i32 = 128;

impl DcTable {
    pub(super) fn new(codes: &Codes) -> Self {
        let mut entries = Box::new([0; 1 << DC_BITS]);
        codes.each(|code, length, size| {
            let (size, total) = (u32::from(size), length + u32::from(size));
            if length > DC_BITS {
                return;
            }
            if total > DC_BITS {
                let width = 1 << (DC_BITS - length);
                let entry = if size <= 16 { (size << 8 | length) as i32 | WIDE } else { 0 };
                entries[code as usize * width..][..width].fill(entry);
                return;
            }
            let width = 1 << (DC_BITS - total);
            let from = (code << (DC_BITS - length)) as usize;
            for value in 0..1_u32 << size {
                let entry = extend(value, size) << 8 | total as i32;
                entries[from + value as usize * width..][..width].fill(entry);
            }
        });
        Self { codes: codes.clone(), entries }
    }

    /// Reads a difference; `None` for bits that are no code. 56 bits must be available; 46 are left.
    #[inline(always)]
    pub(super) fn read(&self, bits: &mut Bits<'_>) -> Option<i32> {
        let entry = self.entries[(bits.peek() >> (64 - DC_BITS)) as usize];
        if entry & WIDE == 0 && entry != 0 {
            bits.consume((entry & 0xff) as u32);
            return Some(entry >> 8);
        }
        if entry != 0 {
            bits.consume((entry & 31) as u32);
            let size = (entry >> 8) as u32;
            let difference = extend(bits.take(size) as u32, size);
            bits.refill();
            return Some(difference);
        }
        let (after, difference) = self.read_slowly(*bits)?;
        *bits = after;
        Some(difference)
    }

    /// By value, so that the reader can stay in registers around the call.
    #[inline(never)]
    fn read_slowly<'a>(&self, mut bits: Bits<'a>) -> Option<(Bits<'a>, i32)> {
        let size = u32::from(self.codes.read(&mut bits)?);
        let difference = (size <= 16).then(|| extend(bits.take(size) as u32, size))?;
        bits.refill();
        Some((bits, difference))
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
    single: Singles,
    /// As many coefficients as fit: the sum of their squares in the upper half. If the last of them is
    /// the end of the block, the step is [`END`] more.
    several: Box<[u32; 1 << SEVERAL_BITS]>,
}

/// Bits that tables of one coefficient are looked up by.
pub(super) const SINGLE_BITS: u32 = 11;
const SEVERAL_BITS: u32 = 12;
/// The most bits of an entry of `several`; the last value may go beyond the bits that it is looked up by.
/// Three of them and a difference of the DC term must not be more than a refill makes available.
const MOST_BITS: u32 = 15;

impl AcTable {
    pub(super) fn new(codes: &Codes) -> Self {
        let single = single_coefficients(codes, SLOW, step);
        // For each start of bits the code's length and symbol, 0 where it is longer.
        let mut starts = vec![(0_u32, 0_u8); 1 << SEVERAL_BITS];
        codes.each(|code, length, symbol| {
            if length <= SEVERAL_BITS {
                let width = 1 << (SEVERAL_BITS - length);
                starts[code as usize * width..][..width].fill((length, symbol));
            }
        });
        let mut several = Box::new([0; 1 << SEVERAL_BITS]);
        for (index, target) in (0_u32..).zip(several.iter_mut()) {
            *target = Self::several(&starts, index);
        }
        Self { codes: codes.clone(), single, several }
    }

    /// The entry for as many coefficients as have their codes within the bits of `index`.
    fn several(starts: &[(u32, u8)], index: u32) -> u32 {
        let (mut bits, mut steps, mut squares) = (0, 0, 0);
        while bits < SEVERAL_BITS {
            let (length, symbol) = starts[((index << bits) & ((1 << SEVERAL_BITS) - 1)) as usize];
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            let total = bits + length + size;
            let step = step(run, size);
            if length == 0
                || bits + length > SEVERAL_BITS
                || total > MOST_BITS
                || (step < END && steps + step > 63)
            {
                break;
            }
            steps += step;
            if step == END {
                bits = total;
                break;
            }
            squares += if total <= SEVERAL_BITS {
                let value = (index >> (SEVERAL_BITS - total)) & ((1 << size) - 1);
                extend(value, size).unsigned_abs().pow(2)
            } else {
                // Not all of the value is known: the square of the middle of its range.
                9 << (2 * size) >> 4
            };
            bits = total;
        }
        if bits > 0 {
            return squares.min(0xffff) << 16 | steps << 8 | bits;
        }
        match starts[index as usize] {
            (length @ 1.., symbol) if symbol & 15 > 0 => {
                wide(length, u32::from(symbol >> 4), u32::from(symbol & 15)) | SLOW << 8
            }
            _ => SLOW << 8,
        }
    }
}

/// Look-up tables of one coefficient, by [`SINGLE_BITS`] bits.
pub(super) type Singles = Box<[u32; 1 << SINGLE_BITS]>;

/// Makes a table of one coefficient: for each start of bits their number in the low byte, then the step
/// that `step` tells for a run and a size, then the value. `slow` is the step where they do not fit.
pub(super) fn single_coefficients(codes: &Codes, slow: u32, step: impl Fn(u32, u32) -> u32) -> Singles {
    let mut entries = Box::new([slow << 8; 1 << SINGLE_BITS]);
    codes.each(|code, length, symbol| {
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
const fn wide(length: u32, run: u32, size: u32) -> u32 {
    (length | run << 5 | size << 9) << 16
}

/// By how much the index grows with a symbol.
const fn step(run: u32, size: u32) -> u32 {
    match (run, size) {
        (15, 0) => 16,
        // Other runs without a value do not occur in sequential data; libjpeg takes them for the end.
        (_, 0) => END,
        _ => run + 1,
    }
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
    /// Whether none was kept.
    pub(super) flat: bool,
    /// The sum of the squares of those not kept.
    pub(super) energy: u64,
}

/// Where reading a block stands, in one number: bits used in the low byte, the index above. Entries of the
/// tables, cut to 16 bits, add to both at once.
const fn stand(index: u32, used: u32) -> u32 {
    index << 8 | used
}

/// From here on the index is beyond the block, and from here on it is an [`END`].
const FULL: u32 = stand(64, 0);
const ENDED: u32 = stand(END, 0);

impl AcTable {
    /// Reads a block's AC coefficients; `None` for damage. Those up to `wanted.last` are put, multiplied,
    /// into `block` in natural order; without `KEEP` none. The squares of the others are summed up, those
    /// of one look-up with one multiplier. 46 bits must be available.
    #[inline(always)]
    pub(super) fn read<const KEEP: bool, const ENERGY: bool>(
        &self,
        bits: &mut Bits<'_>,
        wanted: &Wanted<'_>,
        block: &mut [i16; 64],
    ) -> Option<Rest> {
        let mut at = *bits;
        let mut stand = stand(1, 0);
        let mut energy = 0_u64;
        let mut flat = true;
        if KEEP {
            let last = wanted.last as u32;
            // Three look-ups of eleven bits, then more bits; a slow one sees to it itself.
            let mut turn = 3;
            while stand >> 8 <= last {
                if turn == 0 {
                    at.settle(&mut stand);
                    at.refill();
                    turn = 3;
                }
                turn -= 1;
                let entry = self.single[(at.peek() >> (64 - SINGLE_BITS)) as usize];
                let mut next = stand + (entry & 0xffff);
                let mut value = (entry as i32) >> 16;
                if next < FULL {
                    at.shift(entry);
                } else if next >= ENDED {
                    at.shift(entry);
                    at.settle(&mut next);
                    *bits = at;
                    return Some(Rest { flat, energy });
                } else {
                    at.settle(&mut stand);
                    let (after, one) = self.read_one(at, stand >> 8, entry)?;
                    at = after;
                    let Some((index, found)) = one else {
                        *bits = at;
                        return Some(Rest { flat, energy });
                    };
                    (next, value) = (index << 8, found);
                    turn = 3;
                }
                flat = false;
                stand = next;
                let place = ((next >> 8) - 1) as usize & 63;
                block[usize::from(NATURAL[place]) & 63] = value.wrapping_mul(wanted.steps[place]) as i16;
                if ENERGY {
                    let square = u64::from(value.unsigned_abs().wrapping_mul(value.unsigned_abs()));
                    energy = energy.wrapping_add(square.wrapping_mul(wanted.squares[place]));
                }
            }
            at.settle(&mut stand);
            if stand >= FULL {
                *bits = at;
                return Some(Rest { flat, energy });
            }
            at.refill();
        }
        loop {
            let mut left = 3;
            while left > 0 {
                left -= 1;
                let entry = self.several[(at.peek() >> (64 - SEVERAL_BITS)) as usize];
                let mut next = stand + (entry & 0xffff);
                if next < FULL {
                    at.shift(entry);
                    if ENERGY {
                        let weight = wanted.squares[(next >> 8) as usize & 63];
                        energy = energy.wrapping_add(u64::from(entry >> 16).wrapping_mul(weight));
                    }
                    stand = next;
                    continue;
                }
                // The end, unless the block was full before it and this belongs to the next one.
                if (ENDED..ENDED + FULL).contains(&next) {
                    at.shift(entry);
                    if ENERGY {
                        let weight = wanted.squares[(next >> 8) as usize & 63];
                        energy = energy.wrapping_add(u64::from(entry >> 16).wrapping_mul(weight));
                    }
                    at.settle(&mut next);
                    *bits = at;
                    return Some(Rest { flat, energy });
                }
                at.settle(&mut stand);
                let (after, one) = self.read_one(at, stand >> 8, entry)?;
                at = after;
                let Some((index, value)) = one else {
                    *bits = at;
                    return Some(Rest { flat, energy });
                };
                let square = u64::from(value.unsigned_abs().wrapping_mul(value.unsigned_abs()));
                energy = energy.wrapping_add(square.wrapping_mul(wanted.squares[(index - 1) as usize & 63]));
                stand = index << 8;
                if stand >= FULL {
                    *bits = at;
                    return Some(Rest { flat, energy });
                }
                left = 3;
            }
            at.settle(&mut stand);
            at.refill();
        }
    }

    /// Reads one symbol of which `entry` does not tell all; see [`Self::read_slowly`].
    #[inline(always)]
    fn read_one<'a>(
        &self,
        mut bits: Bits<'a>,
        index: u32,
        entry: u32,
    ) -> Option<(Bits<'a>, Option<(u32, i32)>)> {
        let wide = entry >> 16;
        if entry & (0xff << 8) != SLOW << 8 || wide == 0 {
            return self.read_slowly(bits, index);
        }
        bits.refill();
        bits.consume(wide & 31);
        let size = wide >> 9;
        let value = extend(bits.take(size) as u32, size);
        bits.refill();
        let index = index + (wide >> 5 & 15) + 1;
        (index <= 64).then_some((bits, Some((index, value))))
    }

    /// Reads one symbol: the index after its coefficient and the value, or nothing at the end. By value,
    /// so that the reader can stay in registers around the call; 56 bits are available afterwards.
    #[inline(never)]
    fn read_slowly<'a>(&self, mut bits: Bits<'a>, index: u32) -> Option<(Bits<'a>, Option<(u32, i32)>)> {
        bits.refill();
        let symbol = self.codes.read(&mut bits)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let (step, value) = match (run, size) {
            (15, 0) => (16, 0),
            (_, 0) => return Some((bits, None)),
            _ => (run + 1, extend(bits.take(size) as u32, size)),
        };
        bits.refill();
        (index + step <= 64).then_some((bits, Some((index + step, value))))
    }
}

/// The zigzag sequence (ITU-T T.81, figure A.6): for each index the place in the block, row by row.
pub(super) const NATURAL: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];
