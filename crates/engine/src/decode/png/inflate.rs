//! Decompression of zlib streams (RFC 1950) made for rows of pictures: a window slides over the output,
//! so memory does not grow with the picture.

mod copy;
mod huffman;
mod input;
mod symbols;

use fearless_simd::{Level, dispatch};
use huffman::{Tables, base, drop_bits, special};
use input::Input;
use symbols::Rest;

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
            input: Input::new(),
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
                let Self { input, tables, window, written, .. } = self;
                let rest = dispatch!(self.level, simd => symbols::run(simd, input, tables, window, written))?;
                let ends = rest == Rest::End
                    || input.dry && symbols::crawl(input, tables, window, written)? == Rest::End;
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
}

fn zeroed<const BYTES: usize>() -> Box<[u8; BYTES]> {
    vec![0; BYTES].into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([0; BYTES]))
}

#[cfg(test)]
mod tests;
