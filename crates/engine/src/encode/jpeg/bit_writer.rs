//! Entropy-coded bits: packed from the most significant down, a zero byte after every 0xFF (T.81, F.1.2.3).

use super::huffman::Code;

/// A symbol with the bits that follow it: the symbol below, the number of its table from bit 8, the bits
/// from bit 16. How many bits follow is what [`following`] says.
pub(super) type Token = u32;

/// In place of a table's number: no code, only as many bits as the symbol says, sixteen at most.
pub(super) const NO_CODE: Token = 0x300;

/// How many bits follow a symbol: as many as its low nibble says, which is a size; but a run of ends of
/// blocks (T.81, G.1.2.2) has no size, and as many bits as its high nibble says.
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
    /// The code moved up to make room for the bits that follow, and from bit 27 how long both are.
    entries: [u32; CHOICE as usize + 1],
}

/// Where the length of an entry begins: a code of 16 bits and 11 that follow lie below.
const LENGTH: u32 = 27;

impl Codes {
    /// Up to four tables; where there are fewer than four, [`NO_CODE`] can be used.
    pub(super) fn new(tables: &[[Code; 256]]) -> Self {
        let mut entries = [0; CHOICE as usize + 1];
        for bits in 1..=16 {
            entries[(NO_CODE + bits) as usize] = bits << LENGTH;
        }
        for (at, (entry, code)) in entries.iter_mut().zip(tables.as_flattened()).enumerate() {
            let extra = following(at as u8);
            *entry = u32::from(code.bits) << extra | (u32::from(code.length) + extra) << LENGTH;
        }
        Self { entries }
    }
}

/// Tokens packed in one go.
const BATCH: usize = 512;

/// Packs bits and appends them to the file.
pub(super) struct Bits {
    file: Vec<u8>,
    /// The last `filled` bits are those not written yet; what lies above has been.
    bits: u64,
    filled: u32,
}

impl Bits {
    /// Goes on behind `file`.
    pub(super) const fn new(file: Vec<u8>) -> Self {
        Self { file, bits: 0, filled: 0 }
    }

    /// Appends tokens.
    #[inline(always)]
    pub(super) fn tokens(&mut self, tokens: &[Token], codes: &Codes) {
        // Packed into a buffer without a branch first; a look for 0xFF follows eight bytes at a time.
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
            // Two take 54 bits at most, so with seven left from before they still fit.
            let (pairs, last) = batch.as_chunks::<2>();
            pairs.iter().for_each(|pair| append(pair));
            if !last.is_empty() {
                append(last);
            }
            (self.bits, self.filled) = (bits, filled);
            self.stuffed(&packed[..at]);
        }
    }

    /// Appends whole bytes, a zero after every 0xFF.
    #[inline(always)]
    fn stuffed(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks::<8>();
        for eight in eights {
            // A carry into the top bit of a byte whose top bit is set comes from 0xFF alone.
            const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
            let word = u64::from_le_bytes(*eight);
            if ((word & LOW) + (LOW / 0x7f)) & word & !LOW == 0 {
                self.file.extend_from_slice(eight);
            } else {
                self.stuffed_bytes(eight);
            }
        }
        self.stuffed_bytes(rest);
    }

    fn stuffed_bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.file.push(byte);
            if byte == 0xff {
                self.file.push(0);
            }
        }
    }

    /// Fills the last byte with ones and gives the file back.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            let last = (self.bits << (8 - self.filled)) as u8 | (0xff >> self.filled);
            self.stuffed_bytes(&[last]);
        }
        self.file
    }
}
