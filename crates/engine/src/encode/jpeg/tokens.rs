//! Levels to tokens of a sequential scan: run lengths, sizes and differences (T.81, F.1.2), counted on
//! the way, so that the code tables can be made before a bit is written.

use super::bits::{CHOICE, Token};
use super::dct::GROUP;
use super::layout::BLOCK;
use super::quantise::{Levels, ZIGZAG};

/// Numbers of the tables of a class of components; see [`Token`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Class {
    dc: u32,
    ac: u32,
}

/// The classes of luma and chroma; the tables stand in the order DC, AC, DC, AC.
pub(super) const CLASSES: [Class; 2] = [Class { dc: 0, ac: 0x100 }, Class { dc: 0x200, ac: 0x300 }];

/// Room a block is given: more than it can take, and a power of two.
const ROOM: usize = 128;
/// Tokens in one chunk.
const CHUNK: usize = 16 * 1024;
/// Sixteen zeros.
pub(super) const ZEROS: Token = 0xf0;

/// The tokens of a scan in chunks, so that growing copies nothing.
pub(super) struct Tokens {
    full: Vec<Vec<Token>>,
    chunk: Vec<Token>,
    used: usize,
    counts: Box<[u32; CHOICE as usize + 1]>,
}

impl Tokens {
    /// `blocks` is how many blocks are to come, at most.
    pub(super) fn new(blocks: usize) -> Self {
        let chunk = vec![0; CHUNK.min(blocks.saturating_mul(64) + ROOM)];
        Self { full: Vec::new(), chunk, used: 0, counts: Box::new([0; CHOICE as usize + 1]) }
    }

    /// How often each symbol of table `index` comes.
    pub(super) fn counts(&self, index: usize) -> &[u32; 256] {
        &self.counts.as_chunks::<256>().0[index]
    }

    /// The tokens in their order.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &[Token]> {
        self.full.iter().map(Vec::as_slice).chain(std::iter::once(&self.chunk[..self.used]))
    }

    /// Forgets the tokens, not what was counted.
    pub(super) fn clear(&mut self) {
        self.full.clear();
        self.used = 0;
    }

    /// Makes sure that the chunk has room for one more block.
    #[inline(always)]
    fn make_room(&mut self) {
        if self.chunk.len() - self.used < ROOM {
            let mut chunk = std::mem::replace(&mut self.chunk, vec![0; CHUNK]);
            chunk.truncate(self.used);
            self.full.push(chunk);
            self.used = 0;
        }
    }

    /// A block of levels. `before` is the DC level of the component's block before it.
    #[inline(always)]
    pub(super) fn block(&mut self, levels: &Levels, index: usize, class: Class, before: &mut i16) {
        let values: &[i16; 256] = levels.values.as_flattened().try_into().expect("four blocks");
        let lane = index * BLOCK;
        let mut mask = levels.mask(index) & !1;
        let dc = values[lane];
        let difference = dc - std::mem::replace(before, dc);

        self.make_room();
        let room: &mut [Token; ROOM] = self.chunk[self.used..].first_chunk_mut().expect("room was made");
        let counts = &mut *self.counts;
        let mut used = 0;
        let mut push = |token: Token| {
            counts[(token & CHOICE) as usize] += 1;
            room[used % ROOM] = token;
            used += 1;
        };
        push(sized(difference) | class.dc);
        let mut next = 1;
        while mask != 0 {
            let place = mask.trailing_zeros();
            mask &= mask - 1;
            let mut run = place - next;
            while run > 15 {
                push(ZEROS | class.ac);
                run -= 16;
            }
            next = place + 1;
            let at = usize::from(PLACES[(place % 64) as usize]) + lane;
            push(sized(values[at % 256]) | run << 4 | class.ac);
        }
        if next < 64 {
            push(class.ac);
        }
        self.used += used;
    }

    /// A block that lies beyond the picture: as the one before it, and flat.
    #[inline(always)]
    pub(super) fn no_block(&mut self, class: Class) {
        self.make_room();
        for token in [class.dc, class.ac] {
            self.counts[token as usize] += 1;
            self.chunk[self.used] = token;
            self.used += 1;
        }
    }
}

/// Places in the levels of a group's first block, in zigzag order.
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

/// A level's size and the bits that tell it from others of that size (T.81, tables F.1 and F.2).
#[inline(always)]
pub(super) fn sized(level: i16) -> Token {
    SIZED[usize::from(level as u16) % SIZED.len()]
}

/// [`sized`] for every level and difference that eight bits can make. Only the few near zero are used
/// much, so little of it takes up room in the cache.
static SIZED: [Token; 4096] = {
    let mut sized = [0; 4096];
    let mut level = -2047_i32;
    while level < 2048 {
        let size = 32 - level.unsigned_abs().leading_zeros();
        let bits = if level < 0 { level - 1 } else { level } as u32 & ((1 << size) - 1);
        sized[(level & 4095) as usize] = bits << 16 | size;
        level += 1;
    }
    sized
};
