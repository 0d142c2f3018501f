//! AC coefficients of sequential scans (ITU-T T.81, F.2.2.2): those that the scale needs are written into the
//! block, the others are skipped, several at a time.

use super::ac_pairs::{self, AcPairs};
use super::bit_reader::BitReader;
use super::huffman::{Codes, NATURAL, extend, wide};

/// Added to the step of an entry that ends the block (EOB).
pub(super) const END: u32 = 128;
/// The step of an entry whose bits do not fit the table.
pub(super) const SLOW: u32 = 64;

/// AC coefficients by the bits that begin with their code.
///
/// One table for coefficients that are stored, and one for those that are skipped.
pub(super) struct AcTable {
    pub(super) codes: Codes,
    pairs: AcPairs,
    /// As many coefficients as fit. The number of bits in the low byte, then the step: by how much the index
    /// into the zigzag sequence grows, or [`SLOW`]; plus [`END`] if the block ends. The sum of their squares
    /// in the upper half.
    skipped: [u32; 1 << SKIP_BITS],
    /// The lower halves, where energy is not wanted, as of chroma: less of the first cache.
    steps: [u16; 1 << SKIP_BITS],
}

/// For each prefix of [`PREFIX_BITS`] bits the code's length and symbol; length 0 where the code is longer.
pub(super) type Prefixes = [(u32, u8)];
pub(super) const PREFIX_BITS: u32 = 12;
const SKIP_BITS: u32 = PREFIX_BITS;
/// Most bits of an entry of `skipped`; the last value may exceed the bits of the look-up. Three entries and a
/// DC difference must not take more than a refill makes available.
const MAX_ENTRY_BITS: u32 = 15;

impl AcTable {
    pub(super) fn new(codes: &Codes) -> Self {
        let mut prefixes = vec![(0_u32, 0_u8); 1 << PREFIX_BITS];
        codes.for_each(|code, length, symbol| {
            if length <= PREFIX_BITS {
                let width = 1 << (PREFIX_BITS - length);
                prefixes[code as usize * width..][..width].fill((length, symbol));
            }
        });
        let mut skipped = [0; 1 << SKIP_BITS];
        for (index, target) in (0_u32..).zip(skipped.iter_mut()) {
            *target = Self::skip_entry(&prefixes, index);
        }
        let steps = skipped.map(|entry| entry as u16);
        Self { codes: codes.clone(), pairs: AcPairs::new(&prefixes), skipped, steps }
    }

    /// The entry for as many coefficients as have their codes within the bits of `index`.
    fn skip_entry(prefixes: &Prefixes, index: u32) -> u32 {
        let (mut bits, mut steps, mut squares) = (0, 0, 0);
        while bits < SKIP_BITS {
            let (length, symbol) = prefixes[((index << bits) & ((1 << SKIP_BITS) - 1)) as usize];
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            let total = bits + length + size;
            let step = step(run, size);
            if length == 0
                || bits + length > SKIP_BITS
                || total > MAX_ENTRY_BITS
                || (step < END && steps + step > 63)
            {
                break;
            }
            steps += step;
            if step == END {
                bits = total;
                break;
            }
            squares += if total <= SKIP_BITS {
                let value = (index >> (SKIP_BITS - total)) & ((1 << size) - 1);
                extend(value, size).unsigned_abs().pow(2)
            } else {
                // Only part of the value is known: the square of the middle of its range.
                9 << (2 * size) >> 4
            };
            bits = total;
        }
        if bits > 0 {
            return squares.min(0xffff) << 16 | steps << 8 | bits;
        }
        match prefixes[index as usize] {
            (length @ 1.., symbol) if symbol & 15 > 0 => {
                wide(length, u32::from(symbol >> 4), u32::from(symbol & 15)) | SLOW << 8
            }
            _ => SLOW << 8,
        }
    }
}

/// By how much the index grows with a symbol.
pub(super) const fn step(run: u32, size: u32) -> u32 {
    match (run, size) {
        (15, 0) => 16,
        // Other runs without a value do not occur in sequential data; libjpeg treats them as EOB.
        (_, 0) => END,
        _ => run + 1,
    }
}

/// Which AC coefficients of a block are stored, and how the others count.
pub(super) struct AcSelection<'a> {
    /// The last index of the zigzag sequence that is stored, 0 if none is.
    pub(super) last: usize,
    /// Factors of the squares of skipped coefficients, by the index after the last of a look-up, modulo 64.
    pub(super) squares: &'a [u64; 64],
}

/// Writes the coefficient at index `at` of the zigzag sequence into `block`.
#[inline(always)]
fn put(block: &mut [i16; 64], at: u32, value: i32) {
    block[usize::from(NATURAL[at as usize & 63]) & 63] = value as i16;
}

/// Result of reading a block's AC coefficients.
#[derive(Clone, Copy, Default)]
pub(super) struct AcSummary {
    /// Whether no nonzero coefficient was stored.
    pub(super) flat: bool,
    /// The weighted sum of the squares of the skipped ones.
    pub(super) energy: u64,
}

/// Position in a block, packed: bits used in the low byte, the index above. The low 16 bits of a table entry
/// advance both at once.
const fn pack(index: u32, used: u32) -> u32 {
    index << 8 | used
}

/// BitReader that may have been used before a look-up of [`ac_pairs::PAIR_BITS`]: the DC coefficient leaves 46.
const MAX_USED: u32 = 46 - ac_pairs::PAIR_BITS;

/// Positions from here on are beyond the block, and from [`ENDED`] on the block has ended.
const FULL: u32 = pack(64, 0);
const ENDED: u32 = pack(END, 0);

impl AcTable {
    /// Reads a block's AC coefficients; `None` if they are corrupt. Those up to `selection.last`, and perhaps
    /// one beyond, are written into `block` in natural order; without `STORE` none. The squares of the others
    /// are summed, those of one look-up with one factor. 46 bits must be available.
    #[inline(always)]
    pub(super) fn read<const STORE: bool, const ENERGY: bool>(
        &self,
        bits: &mut BitReader<'_>,
        selection: &AcSelection<'_>,
        block: &mut [i16; 64],
    ) -> Option<AcSummary> {
        let mut at = *bits;
        let mut position = pack(1, 0);
        let mut energy = 0_u64;
        let mut flat = true;
        if STORE {
            let mut reached = ac_pairs::pack(1);
            while ac_pairs::index(reached) <= selection.last as u32 {
                if reached & ac_pairs::USED > MAX_USED {
                    at.settle(reached & ac_pairs::USED);
                    reached &= !ac_pairs::USED;
                    at.refill();
                }
                let entry = self.pairs.find(at.peek());
                let next = reached + entry.advance();
                if next < ac_pairs::pack(64)
                    || (ac_pairs::pack(END)..ac_pairs::pack(END + 64)).contains(&next)
                {
                    at.shift(entry.bits());
                    let (first, second) = entry.values();
                    // The first is written last: the second may have the same place.
                    for (value, place) in [
                        (second, ac_pairs::index(next).wrapping_sub(1)),
                        (first, ac_pairs::index(reached) + entry.first()),
                    ] {
                        put(block, place, value);
                    }
                    if next >= ac_pairs::pack(END) {
                        at.settle(next & ac_pairs::USED);
                        *bits = at;
                        return Some(AcSummary { flat: flat && entry.is_zero(), energy });
                    }
                    reached = next;
                    flat = false;
                    continue;
                }
                at.settle(reached & ac_pairs::USED);
                let wide = if entry.is_slow() { entry.wide() } else { 0 };
                let (after, one) = self.read_one(at, ac_pairs::index(reached), wide)?;
                at = after;
                let Some((index, value)) = one else {
                    *bits = at;
                    return Some(AcSummary { flat, energy });
                };
                put(block, index - 1, value);
                flat = false;
                reached = ac_pairs::pack(index);
            }
            at.settle(reached & ac_pairs::USED);
            position = pack(ac_pairs::index(reached), 0);
            if position >= FULL {
                *bits = at;
                return Some(AcSummary { flat, energy });
            }
            at.refill();
        }
        loop {
            let mut left = 3;
            while left > 0 {
                left -= 1;
                let prefix = (at.peek() >> (64 - SKIP_BITS)) as usize;
                let entry = if ENERGY { self.skipped[prefix] } else { self.steps[prefix].into() };
                let next = position + (entry & 0xffff);
                if next < FULL {
                    at.shift(entry);
                    if ENERGY {
                        let weight = selection.squares[(next >> 8) as usize & 63];
                        energy = energy.wrapping_add(u64::from(entry >> 16).wrapping_mul(weight));
                    }
                    position = next;
                    continue;
                }
                // EOB, unless the block was full before and this code belongs to the next one.
                if (ENDED..ENDED + FULL).contains(&next) {
                    at.shift(entry);
                    if ENERGY {
                        let weight = selection.squares[(next >> 8) as usize & 63];
                        energy = energy.wrapping_add(u64::from(entry >> 16).wrapping_mul(weight));
                    }
                    at.settle(next & 0xff);
                    *bits = at;
                    return Some(AcSummary { flat, energy });
                }
                at.settle(position & 0xff);
                position &= !0xff;
                let wide = if entry & (0xff << 8) == SLOW << 8 { self.skipped[prefix] >> 16 } else { 0 };
                let (after, one) = self.read_one(at, position >> 8, wide)?;
                at = after;
                let Some((index, value)) = one else {
                    *bits = at;
                    return Some(AcSummary { flat, energy });
                };
                let square = u64::from(value.unsigned_abs().wrapping_mul(value.unsigned_abs()));
                energy = energy.wrapping_add(square.wrapping_mul(selection.squares[index as usize & 63]));
                position = index << 8;
                if position >= FULL {
                    *bits = at;
                    return Some(AcSummary { flat, energy });
                }
                left = 3;
            }
            at.settle(position & 0xff);
            position &= !0xff;
            at.refill();
        }
    }

    /// Reads one symbol that does not fit a table; `wide` is the table's entry for its code, or 0. Returns as
    /// [`Self::read_symbol`] does.
    #[inline(always)]
    fn read_one<'a>(
        &self,
        mut bits: BitReader<'a>,
        index: u32,
        wide: u32,
    ) -> Option<(BitReader<'a>, Option<(u32, i32)>)> {
        if wide == 0 {
            return self.read_symbol(bits, index);
        }
        bits.refill();
        bits.consume(wide & 31);
        let size = wide >> 9;
        let value = extend(bits.take(size) as u32, size);
        bits.refill();
        let index = index + (wide >> 5 & 15) + 1;
        (index <= 64).then_some((bits, Some((index, value))))
    }

    /// Reads one symbol: the index after its coefficient and the value, or `None` for EOB. The reader is passed
    /// by value, to stay in registers around the call; 56 bits are available afterwards.
    #[inline(never)]
    fn read_symbol<'a>(
        &self,
        mut bits: BitReader<'a>,
        index: u32,
    ) -> Option<(BitReader<'a>, Option<(u32, i32)>)> {
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
