//! Reading bits from entropy-coded data (ITU-T T.81, F.2.2.5): a 64-bit window that is filled eight bytes
//! at a time where there is no 0xFF among them, and byte by byte around stuffed zeros and markers.

/// A reader that stops at the first marker and returns zeros from there on, which it counts.
#[derive(Clone, Copy)]
pub(super) struct BitReader<'a> {
    /// Data that is not in the window yet, and the length of all data.
    rest: &'a [u8],
    length: usize,
    /// The next bits, from the top. Below the first `count` may be the first bits of `rest`.
    window: u64,
    count: u32,
    /// Zero bits returned beyond the end of the data.
    padding: u64,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(data: &'a [u8], at: usize) -> Self {
        Self { rest: data.get(at..).unwrap_or_default(), length: data.len(), window: 0, count: 0, padding: 0 }
    }

    /// Makes at least 56 bits available.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if let Some(bytes) = self.rest.first_chunk::<8>() {
            let word = u64::from_be_bytes(*bytes);
            // Whether any byte of the complement is zero.
            let inverse = !word;
            if inverse.wrapping_sub(0x0101_0101_0101_0101) & word & 0x8080_8080_8080_8080 == 0 {
                self.window |= word >> self.count;
                self.rest = &self.rest[((63 - self.count) >> 3 & 7) as usize..];
                self.count |= 56;
                return;
            }
        }
        // By value, so that the fields stay in registers in the calling loop.
        *self = self.refilled_bytewise();
    }

    #[inline(never)]
    fn refilled_bytewise(mut self) -> Self {
        while self.count < 56 {
            let byte = match *self.rest {
                [0xff, 0, ref rest @ ..] => {
                    self.rest = rest;
                    0xff
                }
                [] | [0xff, ..] => {
                    let missing = (63 - self.count) & !7;
                    self.padding = self.padding.saturating_add(missing.into());
                    self.count += missing;
                    return self;
                }
                [byte, ref rest @ ..] => {
                    self.rest = rest;
                    byte
                }
            };
            self.window |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        self
    }

    /// The next bits, the first of them at the top.
    #[inline(always)]
    pub(super) const fn peek(&self) -> u64 {
        self.window
    }

    /// Consumes up to 56 bits, which must be available.
    #[inline(always)]
    pub(super) const fn consume(&mut self, count: u32) {
        self.window <<= count;
        self.count = self.count.wrapping_sub(count);
    }

    /// Shifts the window by the low six bits of `entry`, without counting them; see [`Self::settle`].
    #[inline(always)]
    pub(super) const fn shift(&mut self, entry: u32) {
        self.window <<= entry & 63;
    }

    /// Counts bits as consumed by which the window was shifted.
    #[inline(always)]
    pub(super) const fn settle(&mut self, used: u32) {
        self.count = self.count.wrapping_sub(used);
    }

    /// BitReader that can be read before the next refill.
    #[inline(always)]
    pub(super) const fn available(&self) -> u32 {
        self.count
    }

    /// The next `count` bits, 0 to 56 of them, which must be available.
    #[inline(always)]
    pub(super) const fn take(&mut self, count: u32) -> u64 {
        // Two shifts, so that none is by 64.
        let value = (self.window >> 1) >> (63 - count);
        self.consume(count);
        value
    }

    /// Whether more bits were read than the data has.
    pub(super) const fn overrun(&self) -> bool {
        self.padding > self.count as u64
    }

    /// Position of the marker, or at most a few bytes before it.
    pub(super) const fn position(&self) -> usize {
        self.length - self.rest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_across_stuffing_and_pads_at_markers() {
        let mut data = Vec::new();
        let mut expected = Vec::new();
        for index in 0..200_u32 {
            let byte = if index % 11 < 2 { 0xff } else { (index * 37) as u8 };
            data.push(byte);
            expected.push(byte);
            if byte == 0xff {
                data.push(0);
            }
        }
        data.extend([0xff, 0xd9, 1, 2, 3]);
        for width in [1, 3, 7, 8, 13, 24] {
            let mut reader = BitReader::new(&data, 0);
            let total = expected.len() as u32 * 8 / width;
            for index in 0..total {
                reader.refill();
                let value = (index * width..(index + 1) * width).fold(0, |value, bit| {
                    value << 1 | u64::from(expected[bit as usize / 8] >> (7 - bit % 8) & 1)
                });
                assert_eq!(reader.take(width), value, "bit {} by {width}", index * width);
            }
            assert!(!reader.overrun());
            reader.refill();
            reader.consume(width + 7);
            assert!(reader.overrun());
            assert_eq!(data[reader.position()..][..2], [0xff, 0xd9]);
        }
    }
}
