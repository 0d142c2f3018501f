//! Writes entropy-coded bits, most significant first, with byte stuffing (T.81, F.1.2.3).

use super::huffman::Code;

/// A symbol with the bits that follow it: the symbol below, the number of its table from bit 8, the bits
/// from bit 16. Their number is [`following`].
pub(super) type Token = u32;

/// In place of a table's number: raw bits without a code, as many as the symbol says, sixteen at most.
pub(super) const RAW: Token = 0x300;

/// Number of bits that follow a symbol: its low nibble, a size; of an EOB run (T.81, G.1.2.2), whose size is 0,
/// its high nibble.
pub(super) const fn following(symbol: u8) -> u32 {
    match (symbol >> 4, symbol & 15) {
        (15, 0) => 0,
        (run, 0) => run as u32,
        (_, size) => size as u32,
    }
}

/// The bits of [`Token`] that choose a code.
pub(super) const CHOICE: u32 = 0x3ff;

/// The codes of four tables, ready for tokens.
pub(super) struct Codes {
    /// The code, shifted left by the bits that follow; from bit 27 on the length of both.
    entries: [u32; CHOICE as usize + 1],
}

/// First bit of an entry's length, above a code of 16 bits and 11 that follow.
const LENGTH: u32 = 27;

impl Codes {
    /// For up to four tables; with fewer than four, [`RAW`] can be used.
    pub(super) fn new(tables: &[[Code; 256]]) -> Self {
        let mut entries = [0; CHOICE as usize + 1];
        for bits in 1..=16 {
            entries[(RAW + bits) as usize] = bits << LENGTH;
        }
        for (at, (entry, code)) in entries.iter_mut().zip(tables.as_flattened()).enumerate() {
            let extra = following(at as u8);
            *entry = u32::from(code.bits) << extra | (u32::from(code.length) + extra) << LENGTH;
        }
        Self { entries }
    }
}

/// Tokens packed at a time.
const BATCH: usize = 512;

/// Packs bits and appends them to the file.
pub(super) struct BitWriter {
    file: Vec<u8>,
    /// The lowest `filled` bits are not written yet.
    bits: u64,
    filled: u32,
}

impl BitWriter {
    /// Appends to `file`.
    pub(super) const fn new(file: Vec<u8>) -> Self {
        Self { file, bits: 0, filled: 0 }
    }

    /// Appends tokens.
    #[inline(always)]
    pub(super) fn tokens(&mut self, tokens: &[Token], codes: &Codes) {
        // First packed into a buffer without branches; then stuffed eight bytes at a time.
        let mut packed = [0; BATCH * 4 + 8];
        for batch in tokens.chunks(BATCH) {
            let (mut bits, mut filled, mut at) = (self.bits, self.filled, 0);
            let mut append = |tokens: &[Token]| {
                for &token in tokens {
                    let entry = codes.entries[(token & CHOICE) as usize];
                    let length = entry >> LENGTH;
                    bits = bits << length | u64::from(entry & ((1 << LENGTH) - 1) | token >> 16);
                    filled += length;
                }
                packed[at..at + 8].copy_from_slice(&(bits << (64 - filled)).to_be_bytes());
                at += (filled / 8) as usize;
                filled %= 8;
            };
            // Two tokens take at most 54 bits, which fit beside seven unwritten ones.
            let (pairs, last) = batch.as_chunks::<2>();
            pairs.iter().for_each(|pair| append(pair));
            if !last.is_empty() {
                append(last);
            }
            (self.bits, self.filled) = (bits, filled);
            self.write_stuffed(&packed[..at]);
        }
    }

    /// Appends whole bytes, a zero after every 0xFF.
    #[inline(always)]
    fn write_stuffed(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks::<8>();
        for eight in eights {
            // A carry into the top bit of a byte whose top bit is set occurs only for 0xFF.
            const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
            let word = u64::from_le_bytes(*eight);
            if ((word & LOW) + (LOW / 0x7f)) & word & !LOW == 0 {
                self.file.extend_from_slice(eight);
            } else {
                self.write_stuffed_bytes(eight);
            }
        }
        self.write_stuffed_bytes(rest);
    }

    fn write_stuffed_bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.file.push(byte);
            if byte == 0xff {
                self.file.push(0);
            }
        }
    }

    /// Pads the last byte with ones and returns the file.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            let last = (self.bits << (8 - self.filled)) as u8 | (0xff >> self.filled);
            self.write_stuffed_bytes(&[last]);
        }
        self.file
    }
}
