//! Bits of the header, from the lowest of each byte on (ISO/IEC 18181-1, section 4.2).

/// Reads bits; past the end there are none.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A value of [`Bits::u32`]: a number, or bits that are added to one.
pub(super) enum Value {
    Is(u32),
    Bits(u32, u32),
}

impl<'a> Bits<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Up to 32 bits.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for bit in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value |= u32::from(byte >> (self.at % 8) & 1) << bit;
            self.at += 1;
        }
        Some(value)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    /// One of four values, as two bits choose.
    pub(super) fn u32(&mut self, values: [Value; 4]) -> Option<u32> {
        let choice = self.take(2)? as usize;
        match values[choice] {
            Value::Is(value) => Some(value),
            Value::Bits(base, count) => self.take(count)?.checked_add(base),
        }
    }

    /// A value of an enumeration.
    pub(super) fn enumeration(&mut self) -> Option<u32> {
        self.u32([Value::Is(0), Value::Is(1), Value::Bits(2, 4), Value::Bits(18, 6)])
    }
}
