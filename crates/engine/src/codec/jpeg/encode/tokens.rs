//! Tokens of a sequential scan: run lengths, sizes and differences (T.81, F.1.2), counted so that Huffman tables can
//! be computed before the bits are written.

use super::bit_writer::{CHOICE, Token};
use super::dct::GROUP;
use super::layout::BLOCK;
use super::quantisation::{Levels, ZIGZAG};

/// Table numbers of luma or chroma; see [`Token`].
#[derive(Debug, Clone, Copy)]
pub(super) struct TableSet {
    dc: u32,
    ac: u32,
}

/// The tables of luma and chroma, in the order DC, AC, DC, AC.
pub(super) const TABLE_SETS: [TableSet; 2] =
    [TableSet { dc: 0, ac: 0x100 }, TableSet { dc: 0x200, ac: 0x300 }];

/// Tokens reserved for a block: more than it can have, and a power of two.
const BLOCK_TOKENS: usize = 128;
/// Tokens in a chunk.
const CHUNK: usize = 16 * 1024;
/// Sixteen zeros (T.81, F.1.2.2.1).
pub(super) const ZRL: Token = 0xf0;

/// The tokens of a scan in chunks, so that growing copies nothing.
pub(super) struct Tokens {
    full: Vec<Vec<Token>>,
    chunk: Vec<Token>,
    used: usize,
    counts: Box<[u32; CHOICE as usize + 1]>,
}

impl Tokens {
    /// `blocks`: upper bound on the number of blocks.
    pub(super) fn new(blocks: usize) -> Self {
        let chunk = vec![0; CHUNK.min(blocks.saturating_mul(64) + BLOCK_TOKENS)];
        Self { full: Vec::new(), chunk, used: 0, counts: Box::new([0; CHOICE as usize + 1]) }
    }

    /// Frequencies of the symbols of table `index`.
    pub(super) fn counts(&self, index: usize) -> &[u32; 256] {
        &self.counts.as_chunks::<256>().0[index]
    }

    /// The tokens in their order.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &[Token]> {
        self.full.iter().map(Vec::as_slice).chain(std::iter::once(&self.chunk[..self.used]))
    }

    /// Removes the tokens; frequencies remain.
    pub(super) fn clear(&mut self) {
        self.full.clear();
        self.used = 0;
    }

    /// Ensures that the chunk has room for a block.
    #[inline(always)]
    fn reserve(&mut self) {
        if self.chunk.len() - self.used < BLOCK_TOKENS {
            let mut chunk = std::mem::replace(&mut self.chunk, vec![0; CHUNK]);
            chunk.truncate(self.used);
            self.full.push(chunk);
            self.used = 0;
        }
    }

    /// Adds a block of levels. `before` is the DC level of the component's previous block.
    #[inline(always)]
    pub(super) fn block(&mut self, levels: &Levels, index: usize, tables: TableSet, before: &mut i16) {
        let values: &[i16; 256] = levels.values.as_flattened().try_into().expect("four blocks");
        let lane = index * BLOCK;
        let mut mask = levels.mask(index) & !1;
        let dc = values[lane];
        let difference = dc - std::mem::replace(before, dc);

        self.reserve();
        let room: &mut [Token; BLOCK_TOKENS] =
            self.chunk[self.used..].first_chunk_mut().expect("room was reserved");
        let counts = &mut *self.counts;
        let mut used = 0;
        let mut push = |token: Token| {
            counts[(token & CHOICE) as usize] += 1;
            room[used % BLOCK_TOKENS] = token;
            used += 1;
        };
        push(level_token(difference) | tables.dc);
        let mut next = 1;
        while mask != 0 {
            let place = mask.trailing_zeros();
            mask &= mask - 1;
            let mut run = place - next;
            while run > 15 {
                push(ZRL | tables.ac);
                run -= 16;
            }
            next = place + 1;
            let at = usize::from(PLACES[(place % 64) as usize]) + lane;
            push(level_token(values[at % 256]) | run << 4 | tables.ac);
        }
        if next < 64 {
            push(tables.ac);
        }
        self.used += used;
    }

    /// Adds a block beyond the image: flat, with the previous DC level.
    #[inline(always)]
    pub(super) fn padding_block(&mut self, tables: TableSet) {
        self.reserve();
        for token in [tables.dc, tables.ac] {
            self.counts[token as usize] += 1;
            self.chunk[self.used] = token;
            self.used += 1;
        }
    }
}

/// Positions in the levels of a group's first block, in zigzag order.
static PLACES: [u8; 64] = {
    let mut places = [0; 64];
    let mut k = 0;
    while k < 64 {
        let (row, column) = (ZIGZAG[k] as usize / BLOCK, ZIGZAG[k] as usize % BLOCK);
        places[k] = (column * GROUP + row) as u8;
        k += 1;
    }
    places
};

/// A level's size (SSSS) and additional bits (T.81, tables F.1 and F.2).
#[inline(always)]
pub(super) fn level_token(level: i16) -> Token {
    LEVEL_TOKENS[usize::from(level as u16) % LEVEL_TOKENS.len()]
}

/// [`level_token`] for every level and difference that eight bits can make. Mostly the few near zero
/// are used, so the table takes little of the cache.
static LEVEL_TOKENS: [Token; 4096] = {
    let mut tokens = [0; 4096];
    let mut level = -2047_i32;
    while level < 2048 {
        let size = 32 - level.unsigned_abs().leading_zeros();
        let bits = if level < 0 { level - 1 } else { level } as u32 & ((1 << size) - 1);
        tokens[(level & 4095) as usize] = bits << 16 | size;
        level += 1;
    }
    tokens
};
