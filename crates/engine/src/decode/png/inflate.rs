//! Decompression of zlib streams (RFC 1950) made for rows of pictures: a window slides over the output,
//! so memory does not grow with the picture.

mod copy;
mod huffman;
mod input;

use fearless_simd::{Level, Simd, dispatch};
use huffman::{
    DISTANCE_BITS, END, LINK, SYMBOL_BITS, Tables, base, code_bits, drop_bits, literals, special, value,
};

/// What is wrong with the compressed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The input ended within the stream.
    #[error("the compressed data ends too early")]
    Ended,
    #[error("the compressed data does not begin as zlib's")]
    Header,
    #[error("a compressed block of a kind that does not exist")]
    Block,
    #[error("a stored block whose length and its complement disagree")]
    Stored,
    #[error("a compressed block whose codes do not fit together")]
    Codes,
    #[error("a code that does not exist in the compressed data")]
    Code,
    #[error("a reference to before the beginning of the data")]
    Distance,
    /// The data that came in is not what was written, by its own checksum.
    #[error("the checksum of the compressed data does not match")]
    Checksum,
}

/// Where the compressed bytes come from.
pub(crate) trait Source {
    /// Puts the next bytes into `buffer`, from its start, and says how many; 0 at the end.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault>;
}

/// Furthest reference back.
const HISTORY: usize = 32 << 10;
/// More output than any one step makes: literals, the longest copy, and what that writes beyond its end.
const ROOM: usize = 320;
/// Output at a time and the history before it, a power of two. What may be written beyond comes on top.
const WINDOW: usize = 128 << 10;
/// The most that is given out in one piece.
pub(crate) const PIECE: usize = 64 << 10;
/// Input at a time, a power of two.
const INPUT: usize = 16 << 10;
/// More input than any one step takes: three refills of 8 bytes.
const STEP: usize = 48;
/// More input than the head of a block with its codes takes (at most 2.3 kbit).
const HEAD: usize = 512;

/// What comes next in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Block,
    /// Bytes left of a stored block.
    Stored(usize),
    Codes,
    Done,
}

/// Why the inner loop came to rest.
enum Rest {
    /// Not enough input, or not enough room, for another step.
    Short,
    /// The block ended.
    End,
}

/// The input and the bits taken from it.
struct Input {
    buffer: Box<[u8; INPUT + STEP]>,
    /// The next byte to take.
    at: usize,
    end: usize,
    /// Nothing follows the buffer.
    dry: bool,
    bits: u64,
    count: u32,
}

/// Decompresses one stream.
pub(crate) struct Inflater {
    level: Level,
    input: Input,
    tables: Box<Tables>,
    state: State,
    last: bool,
    /// What was found wrong; what was decompressed before can still be had.
    fault: Option<Fault>,
    window: Box<[u8; WINDOW + copy::BEYOND]>,
    /// What was not consumed yet is `window[read..written]`.
    read: usize,
    written: usize,
}

impl Inflater {
    pub(crate) fn new(level: Level) -> Self {
        Self {
            level,
            input: Input { buffer: zeroed(), at: 0, end: 0, dry: false, bits: 0, count: 0 },
            tables: Tables::new(),
            state: State::Start,
            last: false,
            fault: None,
            window: zeroed(),
            read: 0,
            written: 0,
        }
    }

    /// Up to `length` bytes that were not consumed yet, but not more than [`PIECE`]; fewer at the end of the
    /// stream only.
    pub(crate) fn peek(&mut self, length: usize, source: &mut dyn Source) -> Result<&[u8], Fault> {
        let length = length.min(PIECE);
        if self.written - self.read < length && self.state != State::Done {
            if WINDOW - self.written < length + 2 * ROOM {
                self.slide();
            }
            while self.written - self.read < length && self.state != State::Done {
                if let Some(fault) = self.fault {
                    return Err(fault);
                }
                self.fault = self.step(source).err();
            }
        }
        let end = self.written.min(self.read + length);
        Ok(&self.window[self.read..end])
    }

    /// Gives up `length` bytes that were peeked at.
    pub(crate) fn consume(&mut self, length: usize) {
        self.read = (self.read + length).min(self.written);
    }

    /// Makes room, keeping what may be referred to.
    fn slide(&mut self) {
        let keep = self.read.min(self.written.saturating_sub(HISTORY));
        copy::down(&mut self.window[..], keep, self.written);
        self.read -= keep;
        self.written -= keep;
    }

    fn step(&mut self, source: &mut dyn Source) -> Result<(), Fault> {
        self.input.want(HEAD, source)?;
        match self.state {
            State::Start => {
                let (method, flags) = (self.input.take(8)?, self.input.take(8)?);
                if method & 0xf != 8
                    || method >> 4 > 7
                    || (method << 8 | flags) % 31 != 0
                    || flags & 0x20 != 0
                {
                    return Err(Fault::Header);
                }
                self.state = State::Block;
            }
            State::Block => {
                self.last = self.input.take(1)? == 1;
                self.state = match self.input.take(2)? {
                    0 => State::Stored(self.input.stored()?),
                    1 => {
                        self.tables.fixed()?;
                        State::Codes
                    }
                    2 => {
                        self.codes()?;
                        State::Codes
                    }
                    _ => return Err(Fault::Block),
                };
            }
            State::Stored(left) => {
                let room = WINDOW - self.written;
                let taken = self.input.copy(&mut self.window[self.written..][..left.min(room)]);
                if taken == 0 && left > 0 {
                    return Err(Fault::Ended);
                }
                self.written += taken;
                self.state = if left > taken { State::Stored(left - taken) } else { self.after_block() };
            }
            State::Codes => {
                let rest = dispatch!(self.level, simd => self.run(simd))?;
                let rest = if matches!(rest, Rest::Short) && self.input.dry { self.crawl()? } else { rest };
                if matches!(rest, Rest::End) {
                    self.state = self.after_block();
                }
            }
            State::Done => {}
        }
        Ok(())
    }

    fn after_block(&self) -> State {
        if self.last { State::Done } else { State::Block }
    }

    /// Reads the lengths of a block's codes (RFC 1951, section 3.2.7).
    fn codes(&mut self) -> Result<(), Fault> {
        let input = &mut self.input;
        let symbols = input.take(5)? as usize + 257;
        let distances = input.take(5)? as usize + 1;
        let given = input.take(4)? as usize + 4;
        if symbols > 286 || distances > 30 {
            return Err(Fault::Codes);
        }
        const ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let mut lengths = [0; 19];
        for &symbol in &ORDER[..given] {
            lengths[usize::from(symbol)] = input.take(3)? as u8;
        }
        let mut table = [0; 128];
        let entries: [u32; 19] = std::array::from_fn(|symbol| (symbol as u32) << 16);
        huffman::build(&lengths, &entries, &mut table, &mut Vec::new())?;
        let mut lengths = [0; 286 + 30];
        let lengths = &mut lengths[..symbols + distances];
        let mut at = 0;
        while at < lengths.len() {
            input.refill();
            let entry = table[(input.bits & 127) as usize];
            if special(entry).is_some() {
                return Err(Fault::Codes);
            }
            input.skip(drop_bits(entry))?;
            let (value, times) = match base(entry) {
                16 if at == 0 => return Err(Fault::Codes),
                16 => (lengths[at - 1], input.take(2)? + 3),
                17 => (0, input.take(3)? + 3),
                18 => (0, input.take(7)? + 11),
                length => (length as u8, 1),
            };
            let run = lengths.get_mut(at..at + times as usize).ok_or(Fault::Codes)?;
            run.fill(value);
            at += times as usize;
        }
        let (symbols, distances) = lengths.split_at(symbols);
        self.tables.dynamic(symbols, distances)
    }

    /// Decodes as long as there is input and room for any step.
    #[inline(always)]
    fn run<S: Simd>(&mut self, simd: S) -> Result<Rest, Fault> {
        let Self { input, tables, window, written, .. } = self;
        simd.vectorize(
            #[inline(always)]
            || run(input, tables, window, written),
        )
    }

    /// Decodes symbol by symbol up to the very end of the input.
    fn crawl(&mut self) -> Result<Rest, Fault> {
        let Self { input, tables, window, written, .. } = self;
        while *written <= WINDOW - ROOM {
            input.refill();
            let mut entry = tables.symbols[input.bits as usize & ((1 << SYMBOL_BITS) - 1)];
            if literals(entry) == 0 && special(entry) == Some(LINK) {
                input.skip(drop_bits(entry))?;
                let index = input.bits as usize & ((1 << code_bits(entry)) - 1);
                entry = tables.more_symbols[base(entry) + index];
            }
            let (bits, count) = (input.bits, drop_bits(entry));
            input.skip(count)?;
            if literals(entry) > 0 {
                window[*written..*written + 4].copy_from_slice(&(entry >> 8).to_le_bytes());
                *written += literals(entry);
                continue;
            }
            match special(entry) {
                None => {}
                Some(END) => return Ok(Rest::End),
                _ => return Err(Fault::Code),
            }
            let length = value(bits, entry);
            input.refill();
            let mut entry = tables.distances[input.bits as usize & ((1 << DISTANCE_BITS) - 1)];
            if special(entry) == Some(LINK) {
                input.skip(drop_bits(entry))?;
                let index = input.bits as usize & ((1 << code_bits(entry)) - 1);
                entry = tables.more_distances[base(entry) + index];
            }
            let bits = input.bits;
            input.skip(drop_bits(entry))?;
            let distance = value(bits, entry);
            if special(entry).is_some() {
                return Err(Fault::Code);
            }
            if distance > *written {
                return Err(Fault::Distance);
            }
            copy::copy(window, *written, distance, length);
            *written += length;
        }
        Ok(Rest::Short)
    }
}

fn zeroed<const BYTES: usize>() -> Box<[u8; BYTES]> {
    vec![0; BYTES].into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([0; BYTES]))
}

#[inline(always)]
fn refill(input: &[u8; INPUT + STEP], at: &mut usize, bits: &mut u64, count: &mut u32) {
    let next = u64::from_le_bytes(copy::load(input, *at & (INPUT - 1)));
    let have = *count & 63;
    *bits |= next << have;
    *at += ((63 - have) >> 3) as usize;
    *count = have | 56;
}

#[inline(always)]
fn run(
    input: &mut Input,
    tables: &Tables,
    window: &mut [u8; WINDOW + copy::BEYOND],
    written: &mut usize,
) -> Result<Rest, Fault> {
    let Input { buffer, at: input_at, end, bits: input_bits, count: input_count, .. } = input;
    let (mut at, mut bits, mut count, mut out) = (*input_at, *input_bits, *input_count, *written);
    let room = WINDOW - ROOM;
    let enough = end.saturating_sub(STEP);
    let symbols = &tables.symbols;
    let look = |bits: u64| symbols[bits as usize & ((1 << SYMBOL_BITS) - 1)];
    macro_rules! refill {
        () => {
            refill(buffer, &mut at, &mut bits, &mut count)
        };
    }
    macro_rules! skip {
        ($entry:expr) => {
            // Only the low six bits of the entry and of the count are looked at, in both.
            bits >>= $entry & 63;
            count = count.wrapping_sub($entry);
        };
    }
    macro_rules! put {
        ($entry:expr) => {
            copy::store(window, out & (WINDOW - 1), ($entry >> 8).to_le_bytes());
            out += literals($entry);
            skip!($entry);
        };
    }
    if at > enough || out > room {
        return Ok(Rest::Short);
    }
    refill!();
    let mut entry = look(bits);
    let rest = loop {
        if at > enough || out > room {
            break Ok(Rest::Short);
        }
        if literals(entry) > 0 {
            put!(entry);
            entry = look(bits);
            if literals(entry) > 0 {
                put!(entry);
                entry = look(bits);
                if literals(entry) > 0 {
                    put!(entry);
                    entry = look(bits);
                    if literals(entry) > 0 {
                        put!(entry);
                        entry = look(bits);
                        refill!();
                        continue;
                    }
                }
            }
            refill!();
        }
        if let Some(kind) = special(entry) {
            skip!(entry);
            match kind {
                LINK => {
                    let index = bits as usize & ((1 << code_bits(entry)) - 1);
                    entry = tables.more_symbols[base(entry) + index];
                    if literals(entry) > 0 {
                        put!(entry);
                        refill!();
                        entry = look(bits);
                        continue;
                    }
                    if let Some(kind) = special(entry) {
                        skip!(entry);
                        break if kind == END { Ok(Rest::End) } else { Err(Fault::Code) };
                    }
                }
                END => break Ok(Rest::End),
                _ => break Err(Fault::Code),
            }
        }
        let length = value(bits, entry);
        skip!(entry);
        let mut reference = tables.distances[bits as usize & ((1 << DISTANCE_BITS) - 1)];
        if let Some(kind) = special(reference) {
            if kind != LINK {
                break Err(Fault::Code);
            }
            skip!(reference);
            let index = bits as usize & ((1 << code_bits(reference)) - 1);
            reference = tables.more_distances[base(reference) + index];
            if special(reference).is_some() {
                break Err(Fault::Code);
            }
        }
        let distance = value(bits, reference);
        skip!(reference);
        if distance > out {
            break Err(Fault::Distance);
        }
        // The next symbol is looked up before the copy, so as not to wait for it, and before the bits are
        // filled up, unless too few are left.
        if count & 63 < SYMBOL_BITS {
            refill!();
        }
        entry = look(bits);
        refill!();
        copy::copy(window, out, distance, length);
        out += length;
    };
    (*input_at, *input_bits, *input_count, *written) = (at, bits, count & 63, out);
    rest
}
