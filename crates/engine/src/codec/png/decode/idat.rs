//! The compressed data of a PNG: the contents of its IDAT chunks, with their CRCs (W3C PNG, third edition,
//! sections 5.3 and 11.2.3).

use super::inflate::{Fault, Source};
use crate::bytes::be32;

/// Reads through consecutive IDAT chunks.
pub(super) struct Idat<'a> {
    bytes: &'a [u8],
    /// The next byte of data.
    at: usize,
    /// Bytes of data left in this chunk.
    left: usize,
    crc: crc32fast::Hasher,
}

impl<'a> Idat<'a> {
    /// The chunks from the one at `at` on.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        let mut idat = Self { bytes, at, left: 0, crc: crc32fast::Hasher::new() };
        idat.enter();
        idat
    }

    /// Enters the chunk that begins here, if it is an IDAT.
    fn enter(&mut self) -> bool {
        let (Some(length), Some(b"IDAT")) =
            (be32(self.bytes, self.at), self.bytes.get(self.at + 4..self.at + 8))
        else {
            return false;
        };
        self.at += 8;
        self.left = length as usize;
        self.crc = crc32fast::Hasher::new();
        self.crc.update(b"IDAT");
        true
    }

    /// Reads the rest of this chunk and checks its CRC.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let rest = &rest[..self.left.min(rest.len())];
        self.advance(rest)
    }

    fn advance(&mut self, read: &[u8]) -> Result<(), Fault> {
        self.crc.update(read);
        self.at += read.len();
        self.left -= read.len();
        if self.left > 0 {
            return Ok(());
        }
        // A file that ends before the CRC has the complete image.
        let matches = be32(self.bytes, self.at).is_none_or(|crc| crc == self.crc.clone().finalize());
        if matches { Ok(()) } else { Err(Fault::Checksum) }
    }
}

impl Source for Idat<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        while self.left == 0 {
            let end = self.at;
            self.at += 4;
            if !self.enter() {
                self.at = end;
                return Ok(0);
            }
            self.advance(&[])?;
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let read = &rest[..self.left.min(rest.len()).min(buffer.len())];
        buffer[..read.len()].copy_from_slice(read);
        self.advance(read)?;
        Ok(read.len())
    }
}
