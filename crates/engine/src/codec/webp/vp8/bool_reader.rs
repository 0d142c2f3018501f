//! The boolean entropy decoder (RFC 6386, section 7).

/// Reads booleans of given probabilities. Past the end of the data it reads zero bits.
#[derive(Debug, Clone)]
pub(super) struct BoolReader<'a> {
    rest: &'a [u8],
    /// Bits not yet used up, from the highest on; the eight that are compared come first.
    value: u64,
    /// 128 to 255.
    range: u32,
    /// Bits in `value` beyond the first eight; below 0 there are too few.
    bits: i32,
    past_end: bool,
}

impl<'a> BoolReader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { rest: data, value: 0, range: 255, bits: -8, past_end: false }
    }

    /// Whether bits beyond the end were needed.
    pub(super) fn is_past_end(&self) -> bool {
        self.past_end
    }

    /// A boolean that is false with a probability of `probability` in 256.
    #[inline(always)]
    pub(super) fn read(&mut self, probability: u8) -> bool {
        if self.bits < 0 {
            self.fill();
        }
        let split = 1 + (((self.range - 1) * u32::from(probability)) >> 8);
        let bound = u64::from(split) << 56;
        let bit = self.value >= bound;
        if bit {
            self.range -= split;
            self.value -= bound;
        } else {
            self.range = split;
        }
        let shift = self.range.leading_zeros() & 7;
        self.range <<= shift;
        self.value <<= shift;
        self.bits -= shift as i32;
        bit
    }

    /// A boolean of even odds that negates a value: what [`Self::read`] does with 128, without a branch.
    #[inline(always)]
    pub(super) fn read_sign(&mut self, value: i32) -> i32 {
        if self.bits < 0 {
            self.fill();
        }
        let split = (self.range + 1) >> 1;
        let bound = u64::from(split) << 56;
        let negative = self.value >= bound;
        let mask = -i32::from(negative);
        self.value -= bound & mask as i64 as u64;
        // Either part is at least 64 and at most 128 wide.
        self.range = if negative { self.range - split } else { split };
        let shift = self.range.leading_zeros() & 7;
        self.range <<= shift;
        self.value <<= shift;
        self.bits -= shift as i32;
        (value ^ mask) - mask
    }

    #[inline(always)]
    fn fill(&mut self) {
        let valid = (self.bits + 8) as u32;
        if let Some(next) = self.rest.first_chunk::<8>() {
            self.value |= (u64::from_be_bytes(*next) & !0xff) >> valid;
            self.bits += 56;
            self.rest = &self.rest[7..];
        } else if let Some((&next, rest)) = self.rest.split_first() {
            self.value |= u64::from(next) << (56 - valid);
            self.bits += 8;
            self.rest = rest;
        } else {
            self.past_end = true;
            self.bits += 8;
        }
    }

    /// A flag: a boolean of even odds.
    pub(super) fn flag(&mut self) -> bool {
        self.read(128)
    }

    /// An unsigned number of `bits` bits, the highest first.
    pub(super) fn literal(&mut self, bits: u32) -> u32 {
        (0..bits).fold(0, |value, _| value << 1 | u32::from(self.flag()))
    }

    /// A number of `bits` bits and its sign.
    pub(super) fn signed(&mut self, bits: u32) -> i32 {
        let value = self.literal(bits) as i32;
        if self.flag() { -value } else { value }
    }

    /// A flag, and if it is set a number with a sign.
    pub(super) fn optional_signed(&mut self, bits: u32) -> Option<i32> {
        self.flag().then(|| self.signed(bits))
    }
}
