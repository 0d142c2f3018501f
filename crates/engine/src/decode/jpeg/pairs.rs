//! AC coefficients two at a time: a look-up table whose entries hold up to two coefficients and the end of
//! the block, for blocks whose values are kept.

use super::ac::{END, SLOW, STARTS_BITS, Starts, step};
use super::huffman::extend;

/// Bits that the table is looked up by.
pub(super) const PAIR_BITS: u32 = 11;

/// The largest size of a value that an entry holds.
const MOST_SIZE: u32 = 6;

/// The table: for each start of bits an [`Entry`].
pub(super) struct Pairs([u32; 1 << PAIR_BITS]);

/// From the lowest bit on: the number of bits used, six bits; what the index grows by with the first
/// coefficient, less one, four bits; what it grows by with all of the entry, or [`SLOW`], plus [`END`] if the
/// block ends, eight bits; the first value and the second, seven bits each.
///
/// With one coefficient the second value is 0 and stands where the first does; an end alone is a coefficient
/// of 0. A slow entry has what [`Entry::wide`] tells instead of the values, or nothing.
#[derive(Clone, Copy)]
pub(super) struct Entry(u32);

/// Where reading a block stands, in one number: bits used, the index above them as in an entry.
pub(super) const fn stand(index: u32) -> u32 {
    index << 10
}

/// The index in a stand.
pub(super) const fn index(stand: u32) -> u32 {
    stand >> 10
}

/// The bits used in a stand.
pub(super) const USED: u32 = 63;

impl Entry {
    /// Also the number that the window is to be shifted by, in its low six bits.
    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    /// What a stand grows by.
    pub(super) const fn grows(self) -> u32 {
        self.0 & (0xff << 10 | USED)
    }

    /// The place of the first coefficient after the index that was reached.
    pub(super) const fn first(self) -> u32 {
        self.0 >> 6 & 15
    }

    /// Both values.
    pub(super) const fn values(self) -> (i32, i32) {
        ((self.0 << 7) as i32 >> 25, self.0 as i32 >> 25)
    }

    /// Whether it holds no value, or zeros.
    pub(super) const fn is_nothing(self) -> bool {
        self.0 >> 18 == 0
    }

    pub(super) const fn is_slow(self) -> bool {
        self.0 & (0xff << 10) == SLOW << 10
    }

    /// Of a slow entry whose code is known: the code's length in five bits, the run in four, the size above.
    pub(super) const fn wide(self) -> u32 {
        self.0 >> 18
    }
}

impl Pairs {
    pub(super) fn new(starts: &Starts) -> Self {
        let mut entries = [0; 1 << PAIR_BITS];
        for (bits, target) in (0_u32..).zip(entries.iter_mut()) {
            *target = entry(starts, bits << (STARTS_BITS - PAIR_BITS));
        }
        Self(entries)
    }

    /// The entry for the bits at the top of `window`.
    #[inline(always)]
    pub(super) fn find(&self, window: u64) -> Entry {
        Entry(self.0[(window >> (64 - PAIR_BITS)) as usize])
    }
}

fn entry(starts: &Starts, window: u32) -> u32 {
    let (mut bits, mut grows, mut first) = (0, 0, 0);
    let mut values = [0, 0];
    for turn in 0..=values.len() {
        let (length, symbol) = starts[((window << bits) & ((1 << STARTS_BITS) - 1)) as usize];
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let total = bits + length + size;
        if length == 0 || total > PAIR_BITS || size > MOST_SIZE {
            break;
        }
        let step = step(run, size);
        if step == END {
            grows = grows.max(1) + END;
            bits = total;
            break;
        }
        let Some(value) = values.get_mut(turn) else { break };
        *value = extend(window >> (STARTS_BITS - total) & ((1 << size) - 1), size);
        if turn == 0 {
            first = step - 1;
        }
        grows += step;
        bits = total;
    }
    if bits > 0 {
        let [one, two] = values.map(|value: i32| value as u32 & 0x7f);
        return two << 25 | one << 18 | grows << 10 | first << 6 | bits;
    }
    let (length, symbol) = starts[window as usize];
    let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
    let known = (1..=PAIR_BITS).contains(&length) && size > 0;
    let wide = if known { length | run << 5 | size << 9 } else { 0 };
    wide << 18 | SLOW << 10
}
