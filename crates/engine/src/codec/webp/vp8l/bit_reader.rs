//! Bits from the lowest of each byte on.

/// Reads bits; zeros past the end of the data.
#[derive(Debug, Clone)]
pub(super) struct BitReader<'a> {
    rest: &'a [u8],
    /// The next bits, from the lowest on. Those beyond `bits` are zero or as in the data.
    value: u64,
    bits: u32,
    /// How many of `bits` are not of the data.
    beyond: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { rest: data, value: 0, bits: 0, beyond: 0 }
    }

    /// Whether bits past the end were read.
    pub(super) fn is_past_end(&self) -> bool {
        self.beyond > self.bits
    }

    /// Makes at least 56 bits available.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if let Some(next) = self.rest.first_chunk::<8>() {
            self.value |= u64::from_le_bytes(*next) << self.bits;
            self.rest = &self.rest[(63 - self.bits) as usize / 8..];
            self.bits |= 56;
        } else {
            self.refill_last();
        }
    }

    fn refill_last(&mut self) {
        while self.bits < 56 {
            if let Some((&next, rest)) = self.rest.split_first() {
                self.value |= u64::from(next) << self.bits;
                self.rest = rest;
            } else {
                // More than could ever be used up between two refills is not counted.
                self.beyond = (self.beyond + 8).min(1 << 16);
            }
            self.bits += 8;
        }
    }

    /// The next bits, after [`Self::refill`].
    #[inline(always)]
    pub(super) fn peek(&self) -> u64 {
        self.value
    }

    /// Available bits.
    #[inline(always)]
    pub(super) fn available(&self) -> u32 {
        self.bits
    }

    #[inline(always)]
    pub(super) fn consume(&mut self, count: u32) {
        self.value >>= count;
        self.bits -= count;
    }

    /// The next `count` bits, at most 32.
    #[inline(always)]
    pub(super) fn read(&mut self, count: u32) -> u32 {
        if self.bits < count {
            self.refill();
        }
        let value = self.value & ((1 << count) - 1);
        self.consume(count);
        value as u32
    }

    pub(super) fn flag(&mut self) -> bool {
        self.read(1) != 0
    }
}
