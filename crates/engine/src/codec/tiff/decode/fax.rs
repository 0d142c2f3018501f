//! Fax codings of bilevel images: ITU-T T.4 in one and two dimensions, and T.6.

use std::sync::LazyLock;

use crate::codec::tiff::page::Fax;

/// Codes of white runs of 0 to 63, then of 64, 128, … 1728.
const WHITE: &str = "\
    00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 \
    101010 101011 0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 \
    0011000 00000010 00000011 00011010 00011011 00010010 00010011 00010100 00010101 00010110 00010111 \
    00101000 00101001 00101010 00101011 00101100 00101101 00000100 00000101 00001010 00001011 01010010 \
    01010011 01010100 01010101 00100100 00100101 01011000 01011001 01011010 01011011 01001010 01001011 \
    00110010 00110011 00110100 11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 \
    01100111 011001100 011001101 011010010 011010011 011010100 011010101 011010110 011010111 011011000 \
    011011001 011011010 011011011 010011000 010011001 010011010 011000 010011011";
/// The same of black runs.
const BLACK: &str = "\
    0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 \
    000011000 0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 \
    00000101000 00000010111 00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 \
    000001101001 000001101010 000001101011 000011010010 000011010011 000011010100 000011010101 \
    000011010110 000011010111 000001101100 000001101101 000011011010 000011011011 000001010100 \
    000001010101 000001010110 000001010111 000001100100 000001100101 000001010010 000001010011 \
    000000100100 000000110111 000000111000 000000100111 000000101000 000001011000 000001011001 \
    000000101011 000000101100 000001011010 000001100110 000001100111 0000001111 000011001000 \
    000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100 0000001101101 \
    0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011 0000001110100 \
    0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 0000001010100 0000001010101 \
    0000001011010 0000001011011 0000001100100 0000001100101";
/// Codes of runs of 1792, 1856, … 2560 in either colour.
const LONG: &str = "\
    00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 000000010110 \
    000000010111 000000011100 000000011101 000000011110 000000011111";

/// Bits of the longest code.
const LONGEST: u32 = 13;

/// For the next [`LONGEST`] bits: the run that they begin with, and the bits of its code; 0 bits for none.
type RunTable = Box<[(u16, u8)]>;

static WHITE_RUNS: LazyLock<RunTable> = LazyLock::new(|| run_table(WHITE));
static BLACK_RUNS: LazyLock<RunTable> = LazyLock::new(|| run_table(BLACK));

fn run_table(codes: &str) -> RunTable {
    let mut table = vec![(0, 0); 1 << LONGEST].into_boxed_slice();
    let runs = (0..64).chain((1..).map(|sixty_fours| sixty_fours * 64));
    for (code, run) in codes.split_whitespace().chain(LONG.split_whitespace()).zip(runs) {
        let spare = LONGEST as usize - code.len();
        let first = code.bytes().fold(0, |bits, digit| bits << 1 | usize::from(digit == b'1')) << spare;
        table[first..first + (1 << spare)].fill((run, code.len() as u8));
    }
    table
}

/// How the next part of a row relates to the row above (T.4, table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    Horizontal,
    Vertical(i8),
}

/// Why a row ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The data ends, or an end-of-line code.
    Ended,
    Code,
    Extension,
}

/// Rows between polls of `stop`.
const ROWS_PER_POLL: usize = 64;

/// Decodes `height` rows to packed bits, 0 for white; fewer if the data ends.
pub(super) fn decode(
    data: &[u8],
    coding: Fax,
    width: usize,
    height: usize,
    stopped: &dyn Fn() -> bool,
) -> Result<Vec<u8>, String> {
    let row_bytes = width.div_ceil(8);
    let mut bytes = vec![0; row_bytes * height];
    let mut decoder =
        Decoder { bits: Bits { data, at: 0 }, width: width as u32, above: Vec::new(), row: Vec::new() };
    for (y, row) in bytes.chunks_exact_mut(row_bytes).enumerate() {
        if y % ROWS_PER_POLL == 0 && stopped() {
            return Err("stopped".into());
        }
        match decoder.row(coding) {
            Ok(()) => draw(&decoder.row, row),
            Err(Fault::Ended) => {
                bytes.truncate(y * row_bytes);
                break;
            }
            Err(Fault::Code) => return Err(format!("an invalid fax code in row {y}")),
            Err(Fault::Extension) => return Err(format!("an uncompressed part of a fax in row {y}")),
        }
        std::mem::swap(&mut decoder.above, &mut decoder.row);
    }
    Ok(bytes)
}

struct Decoder<'a> {
    bits: Bits<'a>,
    width: u32,
    /// Where the colour changes in the row above, and in this one: to black, to white, to black …
    above: Vec<u32>,
    row: Vec<u32>,
}

impl Decoder<'_> {
    fn row(&mut self, coding: Fax) -> Result<(), Fault> {
        self.row.clear();
        match coding {
            Fax::Aligned(bytes) => {
                self.bits.align(bytes);
                if self.bits.is_at_end() {
                    return Err(Fault::Ended);
                }
                self.one_dimensional()
            }
            Fax::T6 => {
                if self.bits.is_at_end() {
                    return Err(Fault::Ended);
                }
                self.two_dimensional()
            }
            Fax::T4 { two_dimensional } => {
                let mut one_dimensional = !two_dimensional;
                let mut ends = 0;
                while self.bits.end_of_line() {
                    ends += 1;
                    if two_dimensional {
                        one_dimensional = self.bits.take(1) == 1;
                    }
                }
                // Several of them end the page; without any, the first row cannot refer to one above.
                if ends > 1 || self.bits.is_at_end() {
                    return Err(Fault::Ended);
                }
                let ended = if one_dimensional || self.above.is_empty() && ends == 0 {
                    self.one_dimensional()
                } else {
                    self.two_dimensional()
                };
                match ended {
                    // A row that ends too early is white from there on.
                    Err(Fault::Ended) if !self.bits.is_at_end() => Ok(()),
                    other => other,
                }
            }
        }
    }

    fn one_dimensional(&mut self) -> Result<(), Fault> {
        let (mut at, mut black) = (0, false);
        while at < self.width {
            at = (at + self.run(black)?).min(self.width);
            self.row.push(at);
            black = !black;
        }
        Ok(())
    }

    fn two_dimensional(&mut self) -> Result<(), Fault> {
        // Before the first pixel, a change at 0 counts as to the right.
        let (mut at, mut started, mut black) = (0_u32, false, false);
        let mut above = 0;
        while at < self.width {
            while self.above.get(above).is_some_and(|&change| change < at || change == at && started) {
                above += 1;
            }
            // The first change to the colour that is not the current one.
            let first = above + usize::from((above % 2 == 1) != black);
            let [first, second] =
                [first, first + 1].map(|index| self.above.get(index).copied().unwrap_or(self.width));
            match self.mode()? {
                Mode::Pass => at = second,
                Mode::Horizontal => {
                    for colour in [black, !black] {
                        at = (at + self.run(colour)?).min(self.width);
                        self.row.push(at);
                    }
                }
                Mode::Vertical(offset) => {
                    let to = i64::from(first) + i64::from(offset);
                    let to = u32::try_from(to).ok().filter(|&to| to >= at).ok_or(Fault::Code)?;
                    at = to.min(self.width);
                    self.row.push(at);
                    black = !black;
                }
            }
            started = true;
        }
        Ok(())
    }

    fn mode(&mut self) -> Result<Mode, Fault> {
        let next = self.bits.peek(7);
        let (mode, bits) = match next {
            0b100_0000.. => (Mode::Vertical(0), 1),
            0b011_0000.. => (Mode::Vertical(1), 3),
            0b010_0000.. => (Mode::Vertical(-1), 3),
            0b001_0000.. => (Mode::Horizontal, 3),
            0b000_1000.. => (Mode::Pass, 4),
            0b000_0110.. => (Mode::Vertical(2), 6),
            0b000_0100.. => (Mode::Vertical(-2), 6),
            0b000_0011 => (Mode::Vertical(3), 7),
            0b000_0010 => (Mode::Vertical(-3), 7),
            0b000_0001 => return Err(Fault::Extension),
            _ => return Err(if self.bits.peek(11) == 0 { Fault::Ended } else { Fault::Code }),
        };
        self.bits.skip(bits)?;
        Ok(mode)
    }

    /// A run: make-up codes of multiples of 64, and a terminating code below.
    fn run(&mut self, black: bool) -> Result<u32, Fault> {
        let table = if black { &BLACK_RUNS } else { &WHITE_RUNS };
        let mut length = 0_u32;
        loop {
            let (run, bits) = table[self.bits.peek(LONGEST) as usize];
            if bits == 0 {
                return Err(if self.bits.peek(11) == 0 { Fault::Ended } else { Fault::Code });
            }
            self.bits.skip(bits.into())?;
            length = length.saturating_add(run.into());
            if run < 64 {
                return Ok(length.min(self.width));
            }
        }
    }
}

/// Sets the black runs of a row.
fn draw(changes: &[u32], row: &mut [u8]) {
    for run in changes.chunks(2) {
        let from = run[0] as usize;
        let to = run.get(1).map_or(row.len() * 8, |&to| to as usize);
        if from >= to {
            continue;
        }
        let (first, last) = (from / 8, (to - 1) / 8);
        let (left, right) = (0xff >> (from % 8), 0xff << (7 - (to - 1) % 8));
        if first == last {
            row[first] |= left & right as u8;
        } else {
            row[first] |= left;
            row[first + 1..last].fill(0xff);
            row[last] |= right as u8;
        }
    }
}

/// Bits, from the highest of each byte.
struct Bits<'a> {
    data: &'a [u8],
    /// Bits taken.
    at: usize,
}

impl Bits<'_> {
    /// The next `count` bits, at most 13; zeros after the end.
    fn peek(&self, count: u32) -> u32 {
        let byte = |at: usize| u32::from(self.data.get(at).copied().unwrap_or(0));
        let at = self.at / 8;
        let bits = byte(at) << 16 | byte(at + 1) << 8 | byte(at + 2);
        bits >> (24 - count - self.at as u32 % 8) & ((1 << count) - 1)
    }

    fn skip(&mut self, count: usize) -> Result<(), Fault> {
        self.at += count;
        if self.at > self.data.len() * 8 { Err(Fault::Ended) } else { Ok(()) }
    }

    fn take(&mut self, count: u32) -> u32 {
        let bits = self.peek(count);
        self.at += count as usize;
        bits
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.data.len() * 8
    }

    fn align(&mut self, bytes: usize) {
        self.at = self.at.next_multiple_of(8 * bytes);
    }

    /// Skips an end-of-line code, 11 or more zeros and a one, if it is next.
    fn end_of_line(&mut self) -> bool {
        if self.is_at_end() || self.peek(11) != 0 {
            return false;
        }
        while !self.is_at_end() {
            if self.at.is_multiple_of(8) && self.data[self.at / 8] == 0 {
                self.at += 8;
            } else if self.take(1) == 1 {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_the_beginning_of_another() {
        for (name, codes) in [("white", WHITE), ("black", BLACK)] {
            let all: Vec<_> = codes.split_whitespace().chain(LONG.split_whitespace()).collect();
            assert_eq!(all.len(), 64 + 40, "{name}");
            for (index, code) in all.iter().enumerate() {
                let other =
                    all.iter().enumerate().find(|(at, other)| *at != index && other.starts_with(code));
                assert_eq!(other, None, "{name}");
            }
        }
    }

    /// Bits written as text.
    fn packed(bits: &str) -> Vec<u8> {
        let digits: Vec<u8> = bits.bytes().filter(|digit| *digit != b' ').map(|digit| digit - b'0').collect();
        digits
            .chunks(8)
            .map(|byte| byte.iter().enumerate().fold(0, |sum, (at, bit)| sum | bit << (7 - at)))
            .collect()
    }

    #[test]
    fn rows_of_every_coding() {
        // 4 white, 3 black, 9 white; then the same moved by one to the right.
        let rows = [0b0000_1110, 0, 0b0000_0111, 0];
        let (first, second) = ("1011 10 10100", "1100 10 01111");
        let eol = "000000000001";
        let second = second.replace("01111", "10011");
        let moved = "011 011 1";
        let decode = |bits: &str, coding| {
            decode(&packed(bits), coding, 16, 2, &|| false).map_err(|why| format!("{bits}: {why}"))
        };
        let one = Fax::T4 { two_dimensional: false };
        let two = Fax::T4 { two_dimensional: true };
        for (bits, coding) in [
            (format!("{first} 00000 {second}"), Fax::Aligned(1)),
            (format!("{first} 00000 {second}"), Fax::Aligned(2)),
            (format!("{first}{second}"), one),
            (format!("{eol}{first}{eol}{second}"), one),
            (format!("0000{eol}{first}0000000{eol}{second}{}", eol.repeat(6)), one),
            (format!("{eol}1{first}{eol}0{moved}{}", format!("{eol}1").repeat(6)), two),
            (format!("{eol}1{first}{eol}1{second}"), two),
            (format!("001 1011 10 1 {moved} {eol}{eol}"), Fax::T6),
        ] {
            assert_eq!(decode(&bits, coding).as_deref(), Ok(&rows[..]), "{coding:?} {bits}");
        }
        assert_eq!(
            decode(&format!("{first}{}", eol.repeat(6)), one).unwrap(),
            rows[..2],
            "one row is missing"
        );
        assert!(decode("0000000011", one).is_err());
    }

    #[test]
    fn hostile_bits_end() {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for _ in 0..400 {
            let data: Vec<u8> = (0..300).map(|_| next() & next()).collect();
            for coding in [
                Fax::Aligned(1),
                Fax::Aligned(2),
                Fax::T4 { two_dimensional: false },
                Fax::T4 { two_dimensional: true },
                Fax::T6,
            ] {
                for width in [1, 7, 64, 4000] {
                    if let Ok(rows) = decode(&data, coding, width, 20, &|| false) {
                        assert!(rows.len() <= width.div_ceil(8) * 20);
                    }
                }
            }
        }
    }
}
