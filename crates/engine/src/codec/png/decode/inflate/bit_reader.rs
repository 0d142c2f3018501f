//! Reads the compressed bytes bit by bit, lowest first (RFC 1951, section 3.1.1).

use super::{Fault, Source};

/// Bytes buffered at a time, a power of two.
pub(super) const INPUT: usize = 16 << 10;
/// More input than any one step takes: three refills of 8 bytes.
pub(super) const STEP: usize = 48;

/// Buffered input, and the bits taken from it.
pub(super) struct BitReader {
    pub(super) buffer: Box<[u8; INPUT + STEP]>,
    /// The next byte to take.
    pub(super) at: usize,
    pub(super) end: usize,
    /// Whether the source has no more.
    pub(super) exhausted: bool,
    pub(super) bits: u64,
    pub(super) count: u32,
}

impl BitReader {
    pub(super) fn new() -> Self {
        Self { buffer: super::zeroed(), at: 0, end: 0, exhausted: false, bits: 0, count: 0 }
    }

    /// Ensures that `bytes` bytes are buffered, unless the source has no more.
    pub(super) fn ensure(&mut self, bytes: usize, source: &mut dyn Source) -> Result<(), Fault> {
        if self.exhausted || self.end - self.at >= bytes {
            return Ok(());
        }
        // Whole bytes in `bits` are returned to the buffer.
        let spare = (self.count / 8) as usize;
        self.at -= spare;
        self.count %= 8;
        self.bits &= (1 << self.count) - 1;
        self.buffer.copy_within(self.at..self.end, 0);
        self.end -= self.at;
        self.at = 0;
        while self.end < bytes && !self.exhausted {
            let read = source.read(&mut self.buffer[self.end..INPUT])?;
            self.end += read;
            self.exhausted = read == 0;
        }
        self.buffer[self.end..self.end + STEP].fill(0);
        Ok(())
    }

    /// Refills `bits`, with zeros beyond the end of the input.
    pub(super) fn refill(&mut self) {
        let at = self.at.min(self.end + STEP - 8);
        let next = u64::from_le_bytes(*self.buffer[at..].first_chunk().unwrap());
        self.bits |= next << self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    /// Consumes bits; fails beyond the end of the input.
    pub(super) fn skip(&mut self, count: u32) -> Result<(), Fault> {
        self.bits >>= count;
        self.count -= count;
        if self.at * 8 > self.end * 8 + self.count as usize {
            return Err(Fault::Ended);
        }
        Ok(())
    }

    pub(super) fn take(&mut self, count: u32) -> Result<u32, Fault> {
        self.refill();
        let value = self.bits & !(u64::MAX << count);
        self.skip(count)?;
        Ok(value as u32)
    }

    /// The length of a stored block (RFC 1951, section 3.2.4).
    pub(super) fn stored(&mut self) -> Result<usize, Fault> {
        self.skip(self.count % 8)?;
        let (length, complement) = (self.take(16)?, self.take(16)?);
        if length ^ complement != 0xffff {
            return Err(Fault::Stored);
        }
        Ok(length as usize)
    }

    /// Copies whole bytes, as many as are buffered.
    pub(super) fn copy(&mut self, into: &mut [u8]) -> usize {
        let mut taken = 0;
        while self.count >= 8 && taken < into.len() && self.at * 8 < self.end * 8 + self.count as usize {
            into[taken] = self.bits as u8;
            self.bits >>= 8;
            self.count -= 8;
            taken += 1;
        }
        if self.count < 8 && self.at < self.end {
            let length = (into.len() - taken).min(self.end - self.at);
            into[taken..][..length].copy_from_slice(&self.buffer[self.at..][..length]);
            self.at += length;
            self.bits = 0;
            self.count = 0;
            taken += length;
        }
        taken
    }
}
