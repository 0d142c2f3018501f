//! Decompression of zlib streams (RFC 1950) with a sliding window over the output, so that memory does not grow
//! with the image.

mod bit_reader;
mod copy;
mod huffman;
mod symbols;

use bit_reader::BitReader;
use fearless_simd::{Level, dispatch};
use huffman::{Tables, base, drop_bits, special};
use symbols::LoopEnd;

/// A fault of the compressed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The input ended within the stream.
    #[error("the compressed data ends too early")]
    Ended,
    #[error("the compressed data has an invalid zlib header")]
    Header,
    #[error("a compressed block of an unknown type")]
    Block,
    #[error("a stored block whose length and its complement disagree")]
    Stored,
    #[error("a compressed block with invalid code lengths")]
    Codes,
    #[error("an invalid code in the compressed data")]
    Code,
    #[error("more compressed blocks than an image can need")]
    Blocks,
    #[error("a distance to before the beginning of the data")]
    Distance,
    /// The compressed data does not match its CRC.
    #[error("the checksum of the compressed data does not match")]
    Checksum,
}

/// Source of the compressed bytes.
pub(crate) trait Source {
    /// Reads the next bytes into `buffer` and returns their number; 0 at the end.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault>;
}

/// A stream in one slice.
impl Source for &[u8] {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        let (read, rest) = self.split_at(self.len().min(buffer.len()));
        buffer[..read.len()].copy_from_slice(read);
        *self = rest;
        Ok(read.len())
    }
}

/// Largest distance.
const HISTORY: usize = 32 << 10;
/// More output than any one step writes: literals, the longest copy, and its overrun.
const ROOM: usize = 320;
/// Output and the history before it, a power of two, without the overrun of copies.
const WINDOW: usize = 128 << 10;
/// The most bytes returned at a time.
pub(crate) const PIECE: usize = 64 << 10;
/// The most blocks with codes of their own, whose tables take microseconds each. Encoders write one for some
/// 10,000 symbols.
const MAX_DYNAMIC: u32 = 1 << 18;
/// More input than the header of a block takes (at most 2.3 kbit).
const HEAD: usize = 512;

/// The next part of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Block,
    /// Bytes left of a stored block.
    Stored(usize),
    Codes,
    Done,
}

/// Decompresses one stream.
pub(crate) struct Inflater {
    level: Level,
    input: BitReader,
    tables: Box<Tables>,
    state: State,
    /// Blocks with codes of their own so far.
    dynamic: u32,
    last: bool,
    /// The first fault; what was decompressed before it is still returned.
    fault: Option<Fault>,
    window: Box<[u8; WINDOW + copy::OVERRUN]>,
    /// Bytes that were not consumed yet are `window[read..written]`.
    read: usize,
    written: usize,
}

impl Inflater {
    pub(crate) fn new(level: Level) -> Self {
        Self {
            level,
            input: BitReader::new(),
            tables: Tables::new(),
            state: State::Start,
            dynamic: 0,
            last: false,
            fault: None,
            window: zeroed(),
            read: 0,
            written: 0,
        }
    }

    /// Up to `length` bytes that were not consumed yet, at most [`PIECE`]; fewer only at the end of the stream.
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

    /// Consumes `length` bytes that were peeked at.
    pub(crate) fn consume(&mut self, length: usize) {
        self.read = (self.read + length).min(self.written);
    }

    /// Moves the window, retaining the history and what was not consumed.
    fn slide(&mut self) {
        let from = self.read.min(self.written.saturating_sub(HISTORY));
        copy::move_to_start(&mut self.window[..], from, self.written);
        self.read -= from;
        self.written -= from;
    }

    fn step(&mut self, source: &mut dyn Source) -> Result<(), Fault> {
        self.input.ensure(HEAD, source)?;
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
                let Self { input, tables, window, written, .. } = self;
                let end = dispatch!(self.level, simd => symbols::run(simd, input, tables, window, written))?;
                let ends = end == LoopEnd::Block
                    || input.exhausted
                        && symbols::run_checked(input, tables, window, written)? == LoopEnd::Block;
                if ends {
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

    /// Reads a block's code lengths (RFC 1951, section 3.2.7).
    fn codes(&mut self) -> Result<(), Fault> {
        self.dynamic += 1;
        if self.dynamic > MAX_DYNAMIC {
            return Err(Fault::Blocks);
        }
        let input = &mut self.input;
        let symbols = input.take(5)? as usize + 257;
        let distances = input.take(5)? as usize + 1;
        let count = input.take(4)? as usize + 4;
        if symbols > 286 || distances > 30 {
            return Err(Fault::Codes);
        }
        const ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let mut lengths = [0; 19];
        for &symbol in &ORDER[..count] {
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
}

fn zeroed<const BYTES: usize>() -> Box<[u8; BYTES]> {
    vec![0; BYTES].into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([0; BYTES]))
}

#[cfg(test)]
mod tests;
