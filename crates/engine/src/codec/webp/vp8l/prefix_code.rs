//! Prefix codes (RFC 9649, section 3.7.2) as look-up tables.

use super::bit_reader::BitReader;

/// Bits looked up at once.
const ROOT_BITS: u32 = 8;
const MAX_LENGTH: usize = 15;
/// Symbols of the code of lengths, in the order of their lengths.
const LENGTH_ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// The tables of all codes of an image, one after the other. An entry is a symbol above four bits of its length;
/// where these are more than [`ROOT_BITS`] and the entry is in a root table, it is the place of a second table above
/// the number of bits that both take.
#[derive(Debug, Default)]
pub(super) struct Tables {
    entries: Vec<u16>,
    /// Scratch: the length of each symbol, and the symbols by length.
    lengths: Vec<u8>,
    sorted: Vec<u16>,
}

/// One code: where its tables are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Code {
    at: u32,
    mask: u32,
}

impl Code {
    /// The only symbol, if there is one alone: it takes no bits.
    pub(super) fn only(self, tables: &Tables) -> Option<u16> {
        (self.mask == 0).then(|| tables.entries[self.at as usize] >> 4)
    }

    /// Decodes a symbol from the entries of all tables; at least 15 bits must be available.
    #[inline(always)]
    pub(super) fn decode(self, entries: &[u16], reader: &mut BitReader<'_>) -> usize {
        let bits = reader.peek() as u32;
        let mut entry = entries[(self.at + (bits & self.mask)) as usize];
        let length = u32::from(entry & 15);
        if length > ROOT_BITS {
            let more = (bits >> ROOT_BITS) & ((1 << (length - ROOT_BITS)) - 1);
            entry = entries[(self.at + u32::from(entry >> 4) + more) as usize];
        }
        reader.consume(u32::from(entry & 15));
        usize::from(entry >> 4)
    }
}

impl Tables {
    pub(super) fn entries(&self) -> &[u16] {
        &self.entries
    }

    /// Reads a code for so many symbols.
    pub(super) fn read(&mut self, reader: &mut BitReader<'_>, symbols: usize) -> Result<Code, &'static str> {
        let mut lengths = std::mem::take(&mut self.lengths);
        lengths.clear();
        lengths.resize(symbols, 0);
        let read = self.read_lengths(reader, &mut lengths);
        let code = read.and_then(|()| self.build(&lengths));
        self.lengths = lengths;
        code
    }

    fn read_lengths(&mut self, reader: &mut BitReader<'_>, lengths: &mut [u8]) -> Result<(), &'static str> {
        if reader.flag() {
            let two = reader.flag();
            let first_bits = if reader.flag() { 8 } else { 1 };
            for bits in [first_bits, 8].into_iter().take(1 + usize::from(two)) {
                let symbol = reader.read(bits) as usize;
                *lengths.get_mut(symbol).ok_or("a prefix code has a symbol that does not exist")? = 1;
            }
            return Ok(());
        }
        let count = 4 + reader.read(4) as usize;
        let mut code_lengths = [0; 19];
        for &symbol in &LENGTH_ORDER[..count] {
            code_lengths[symbol] = reader.read(3) as u8;
        }
        let start = self.entries.len();
        let code = self.build(&code_lengths)?;
        let mut left = lengths.len();
        if reader.flag() {
            let bits = 2 + 2 * reader.read(3);
            left = 2 + reader.read(bits) as usize;
            if left > lengths.len() {
                return Err("a prefix code has too many lengths");
            }
        }
        let mut last = 8;
        let mut at = 0;
        while at < lengths.len() && left > 0 {
            left -= 1;
            reader.refill();
            let symbol = code.decode(&self.entries, reader);
            let (length, times) = match symbol {
                16 => (last, 3 + reader.read(2)),
                17 => (0, 3 + reader.read(3)),
                18 => (0, 11 + reader.read(7)),
                length => (length as u8, 1),
            };
            if length > 0 {
                last = length;
            }
            let end = at + times as usize;
            lengths.get_mut(at..end).ok_or("a prefix code has too many lengths")?.fill(length);
            at = end;
        }
        self.entries.truncate(start);
        Ok(())
    }

    /// Appends the tables of the canonical code with these lengths.
    fn build(&mut self, lengths: &[u8]) -> Result<Code, &'static str> {
        let mut counts = [0_usize; MAX_LENGTH + 1];
        for &length in lengths {
            counts[usize::from(length)] += 1;
        }
        counts[0] = 0;
        let at = self.entries.len();
        let used: usize = counts.iter().sum();
        if used <= 1 {
            let only = lengths.iter().position(|&length| length > 0).ok_or("a prefix code is empty")?;
            self.entries.push((only as u16) << 4);
            return Ok(Code { at: at as u32, mask: 0 });
        }
        let space: usize =
            counts.iter().enumerate().map(|(length, count)| count << (MAX_LENGTH - length)).sum();
        if space != 1 << MAX_LENGTH {
            return Err("a prefix code is not complete");
        }
        // Symbols by length.
        let mut next = [0; MAX_LENGTH + 1];
        for length in 1..MAX_LENGTH {
            next[length + 1] = next[length] + counts[length];
        }
        self.sorted.clear();
        self.sorted.resize(used, 0);
        for (symbol, &length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            self.sorted[next[usize::from(length)]] = symbol as u16;
            next[usize::from(length)] += 1;
        }
        let longest = (1..=MAX_LENGTH).rev().find(|&length| counts[length] > 0).unwrap_or(1) as u32;
        let root_bits = longest.min(ROOT_BITS);
        let mask = (1 << root_bits) - 1;
        self.entries.resize(at + (1 << root_bits), 0);
        // The code, and the table that it is in: its place, the bits looked up in it, and of which root entry.
        let (mut code, mut length) = (0_u32, 0);
        let (mut table, mut table_bits, mut table_root) = (at, root_bits, None);
        let mut left_of_length = 0;
        let mut remaining = counts;
        for index in 0..used {
            while left_of_length == 0 {
                length += 1;
                code <<= 1;
                left_of_length = counts[length as usize];
            }
            let reversed = code.reverse_bits() >> (32 - length);
            let mut low = reversed as usize;
            let mut step = length;
            if length > root_bits {
                let root = reversed & mask;
                if table_root != Some(root) {
                    table_root = Some(root);
                    table = self.entries.len();
                    table_bits = second_bits(&remaining, length, root_bits);
                    self.entries.resize(table + (1 << table_bits), 0);
                    let place = ((table - at) as u16) << 4;
                    self.entries[at + root as usize] = place | (root_bits + table_bits) as u16;
                }
                low >>= root_bits;
                step = length - root_bits;
            }
            let entry = self.sorted[index] << 4 | length as u16;
            for place in (low..1 << table_bits).step_by(1 << step) {
                self.entries[table + place] = entry;
            }
            remaining[length as usize] -= 1;
            left_of_length -= 1;
            code += 1;
        }
        Ok(Code { at: at as u32, mask })
    }
}

/// Bits of a second table that begins with a code of this length, with these codes left.
fn second_bits(remaining: &[usize; MAX_LENGTH + 1], length: u32, root_bits: u32) -> u32 {
    let mut bits = length - root_bits;
    let mut space = 1_usize << bits;
    for &count in &remaining[length as usize..MAX_LENGTH] {
        if count >= space {
            break;
        }
        space = (space - count) << 1;
        bits += 1;
    }
    bits
}
