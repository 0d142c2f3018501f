//! AC coefficients two at a time: a look-up table whose entries hold up to two coefficients and the end of
//! the block, for coefficients that are stored.

use super::ac::{END, PREFIX_BITS, Prefixes, SLOW, step};
use super::huffman::extend;

/// Bits that index the table.
pub(super) const PAIR_BITS: u32 = 11;

/// The largest size of a value in an entry.
const MAX_SIZE: u32 = 6;

/// The table: an [`Entry`] for each prefix.
pub(super) struct AcPairs([u32; 1 << PAIR_BITS]);

/// From the lowest bit on: the number of bits used, six bits; the index's step for the first coefficient, less
/// one, four bits; its step for the whole entry, or [`SLOW`], plus [`END`] if the block ends, eight bits; the
/// first value and the second, seven bits each.
///
/// With one coefficient the second value is 0 and has the place of the first; a single EOB is a coefficient of
/// 0. A slow entry has [`Entry::wide`] instead of the values, or 0.
#[derive(Clone, Copy)]
pub(super) struct Entry(u32);

/// Position in a block, packed: bits used, and the index above them as in an entry.
pub(super) const fn pack(index: u32) -> u32 {
    index << 10
}

/// The index of a position.
pub(super) const fn index(position: u32) -> u32 {
    position >> 10
}

/// The bits used of a position.
pub(super) const USED: u32 = 63;

impl Entry {
    /// Also the number that the window is to be shifted by, in its low six bits.
    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    /// What to add to a position.
    pub(super) const fn advance(self) -> u32 {
        self.0 & (0xff << 10 | USED)
    }

    /// The position of the first coefficient after the index.
    pub(super) const fn first(self) -> u32 {
        self.0 >> 6 & 15
    }

    /// Both values.
    pub(super) const fn values(self) -> (i32, i32) {
        ((self.0 << 7) as i32 >> 25, self.0 as i32 >> 25)
    }

    /// Whether it holds no nonzero value.
    pub(super) const fn is_zero(self) -> bool {
        self.0 >> 18 == 0
    }

    pub(super) const fn is_slow(self) -> bool {
        self.0 & (0xff << 10) == SLOW << 10
    }

    /// Of a slow entry whose code fits: the code's length in five bits, the run in four, the size above.
    pub(super) const fn wide(self) -> u32 {
        self.0 >> 18
    }
}

impl AcPairs {
    pub(super) fn new(prefixes: &Prefixes) -> Self {
        let mut entries = [0; 1 << PAIR_BITS];
        for (bits, target) in (0_u32..).zip(entries.iter_mut()) {
            *target = entry(prefixes, bits << (PREFIX_BITS - PAIR_BITS));
        }
        Self(entries)
    }

    /// The entry for the bits at the top of `window`.
    #[inline(always)]
    pub(super) fn find(&self, window: u64) -> Entry {
        Entry(self.0[(window >> (64 - PAIR_BITS)) as usize])
    }
}

fn entry(prefixes: &Prefixes, window: u32) -> u32 {
    let (mut bits, mut steps, mut first) = (0, 0, 0);
    let mut values = [0, 0];
    for count in 0..=values.len() {
        let (length, symbol) = prefixes[((window << bits) & ((1 << PREFIX_BITS) - 1)) as usize];
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let total = bits + length + size;
        if length == 0 || total > PAIR_BITS || size > MAX_SIZE {
            break;
        }
        let step = step(run, size);
        if step == END {
            steps = steps.max(1) + END;
            bits = total;
            break;
        }
        let Some(value) = values.get_mut(count) else { break };
        *value = extend(window >> (PREFIX_BITS - total) & ((1 << size) - 1), size);
        if count == 0 {
            first = step - 1;
        }
        steps += step;
        bits = total;
    }
    if bits > 0 {
        let [one, two] = values.map(|value: i32| value as u32 & 0x7f);
        return two << 25 | one << 18 | steps << 10 | first << 6 | bits;
    }
    let (length, symbol) = prefixes[window as usize];
    let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
    let known = (1..=PAIR_BITS).contains(&length) && size > 0;
    let wide = if known { length | run << 5 | size << 9 } else { 0 };
    wide << 18 | SLOW << 10
}
