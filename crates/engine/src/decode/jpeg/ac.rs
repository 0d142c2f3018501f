//! AC coefficients of sequential scans (ITU-T T.81, F.2.2.2): those that the scale needs are put into the
//! block, the rest is stepped over, several at a time.

use super::bits::Bits;
use super::huffman::{Codes, NATURAL, extend, wide};
use super::pairs::{self, Pairs};

/// The end of the block, as it stands in the step of an entry.
pub(super) const END: u32 = 128;
/// In the step of an entry: the bits do not fit this table.
pub(super) const SLOW: u32 = 64;

/// AC coefficients by the bits that begin with their code.
///
/// One table for blocks whose values are kept, and one for what is stepped over.
pub(super) struct AcTable {
    pub(super) codes: Codes,
    pairs: Pairs,
    /// As many coefficients as fit. The number of bits in the low byte, then the step: by how much the index
    /// into the zigzag sequence grows, or [`SLOW`]; if the last of them is the end of the block, [`END`]
    /// more. The sum of their squares in the upper half.
    several: [u32; 1 << SEVERAL_BITS],
}

/// For each start of [`STARTS_BITS`] bits the code's length and symbol; length 0 where it is longer.
pub(super) type Starts = [(u32, u8)];
pub(super) const STARTS_BITS: u32 = 12;
const SEVERAL_BITS: u32 = STARTS_BITS;
/// The most bits of an entry of `several`; the last value may go beyond the bits that it is looked up by.
/// Three of them and a difference of the DC term must not be more than a refill makes available.
const MOST_BITS: u32 = 15;

impl AcTable {
    pub(super) fn new(codes: &Codes) -> Self {
        let mut starts = vec![(0_u32, 0_u8); 1 << STARTS_BITS];
        codes.each(|code, length, symbol| {
            if length <= STARTS_BITS {
                let width = 1 << (STARTS_BITS - length);
                starts[code as usize * width..][..width].fill((length, symbol));
            }
        });
        let mut several = [0; 1 << SEVERAL_BITS];
        for (index, target) in (0_u32..).zip(several.iter_mut()) {
            *target = Self::several(&starts, index);
        }
        Self { codes: codes.clone(), pairs: Pairs::new(&starts), several }
    }

    /// The entry for as many coefficients as have their codes within the bits of `index`.
    fn several(starts: &Starts, index: u32) -> u32 {
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

/// By how much the index grows with a symbol.
pub(super) const fn step(run: u32, size: u32) -> u32 {
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
    /// What the squares of those stepped over are multiplied with, by the index after the last of them,
    /// modulo 64.
    pub(super) squares: &'a [u64; 64],
}

/// Puts the coefficient at index `at` of the zigzag sequence into `block`.
#[inline(always)]
fn put(block: &mut [i16; 64], at: u32, value: i32) {
    block[usize::from(NATURAL[at as usize & 63]) & 63] = value as i16;
}

/// What is known of a block's AC coefficients besides those that were kept.
#[derive(Clone, Copy, Default)]
pub(super) struct Rest {
    /// Whether none was put into the block that is not 0.
    pub(super) flat: bool,
    /// The sum of the squares of the others.
    pub(super) energy: u64,
}

/// Where reading a block stands, in one number: bits used in the low byte, the index above. Entries of the
/// tables, cut to 16 bits, add to both at once.
const fn stand(index: u32, used: u32) -> u32 {
    index << 8 | used
}

/// Bits that may have been used before a look-up of [`pairs::PAIR_BITS`]: the DC coefficient leaves 46.
const MOST_USED: u32 = 46 - pairs::PAIR_BITS;

/// From here on the index is beyond the block, and from here on it is an [`END`].
const FULL: u32 = stand(64, 0);
const ENDED: u32 = stand(END, 0);

impl AcTable {
    /// Reads a block's AC coefficients; `None` for damage. Those up to `wanted.last`, and perhaps one beyond,
    /// are put into `block` in natural order; without `KEEP` none. The squares of the others are summed up,
    /// those of one look-up with one multiplier. 46 bits must be available.
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
            let mut reached = pairs::stand(1);
            while pairs::index(reached) <= wanted.last as u32 {
                if reached & pairs::USED > MOST_USED {
                    at.settle(reached & pairs::USED);
                    reached &= !pairs::USED;
                    at.refill();
                }
                let entry = self.pairs.find(at.peek());
                let next = reached + entry.grows();
                if next < pairs::stand(64) || (pairs::stand(END)..pairs::stand(END + 64)).contains(&next) {
                    at.shift(entry.bits());
                    let (first, second) = entry.values();
                    // The first is put last: the second may stand in its place.
                    for (value, place) in [
                        (second, pairs::index(next).wrapping_sub(1)),
                        (first, pairs::index(reached) + entry.first()),
                    ] {
                        put(block, place, value);
                    }
                    if next >= pairs::stand(END) {
                        at.settle(next & pairs::USED);
                        *bits = at;
                        return Some(Rest { flat: flat && entry.is_nothing(), energy });
                    }
                    reached = next;
                    flat = false;
                    continue;
                }
                at.settle(reached & pairs::USED);
                let wide = if entry.is_slow() { entry.wide() } else { 0 };
                let (after, one) = self.read_one(at, pairs::index(reached), wide)?;
                at = after;
                let Some((index, value)) = one else {
                    *bits = at;
                    return Some(Rest { flat, energy });
                };
                put(block, index - 1, value);
                flat = false;
                reached = pairs::stand(index);
            }
            at.settle(reached & pairs::USED);
            stand = self::stand(pairs::index(reached), 0);
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
                let next = stand + (entry & 0xffff);
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
                    at.settle(next & 0xff);
                    *bits = at;
                    return Some(Rest { flat, energy });
                }
                at.settle(stand & 0xff);
                stand &= !0xff;
                let wide = if entry & (0xff << 8) == SLOW << 8 { entry >> 16 } else { 0 };
                let (after, one) = self.read_one(at, stand >> 8, wide)?;
                at = after;
                let Some((index, value)) = one else {
                    *bits = at;
                    return Some(Rest { flat, energy });
                };
                let square = u64::from(value.unsigned_abs().wrapping_mul(value.unsigned_abs()));
                energy = energy.wrapping_add(square.wrapping_mul(wanted.squares[index as usize & 63]));
                stand = index << 8;
                if stand >= FULL {
                    *bits = at;
                    return Some(Rest { flat, energy });
                }
                left = 3;
            }
            at.settle(stand & 0xff);
            stand &= !0xff;
            at.refill();
        }
    }

    /// Reads one symbol that does not fit a table; `wide` is what the table tells of it, or 0. See
    /// [`Self::read_slowly`].
    #[inline(always)]
    fn read_one<'a>(
        &self,
        mut bits: Bits<'a>,
        index: u32,
        wide: u32,
    ) -> Option<(Bits<'a>, Option<(u32, i32)>)> {
        if wide == 0 {
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
