//! Compression as a zlib stream (RFC 1950, RFC 1951): matches through hash chains, with lazy matching, then Huffman
//! codes for each block.

mod block;
mod code_lengths;

use block::{BitWriter, Block};

use crate::error::Error;
use crate::stop::Stop;

/// How matches are searched for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Search {
    /// For data with few repetitions: filtered images.
    Fast,
    /// For graphics.
    Thorough,
    /// To compare sizes.
    Trial,
}

const LONGEST: usize = 258;
const WINDOW: usize = 32 << 10;
/// Bytes between polls of `stop`.
const BYTES_PER_POLL: usize = 16 << 10;
const HASH_BITS: u32 = 16;

/// Finds matches through hash chains.
struct MatchFinder<'a> {
    /// With padding after it, so that four bytes can be read everywhere.
    data: &'a [u8],
    end: usize,
    /// The last position of each hash, counted from 1; 0 for none.
    heads: Box<[u32; 1 << HASH_BITS]>,
    /// For each position in the window the distance to the previous one of its hash; 0 for none in the window.
    chain: Box<[u16; WINDOW]>,
    /// The least length of a match, and the bits of four bytes that must be equal for it.
    shortest: usize,
    mask: u32,
    /// The most positions tried, the length that ends a search, and the one from which the next position is not
    /// tried.
    tries: usize,
    enough: usize,
    lazy: usize,
}

/// Compresses `data`.
pub(crate) fn zlib(mut data: Vec<u8>, effort: Search, stop: Stop<'_>) -> Result<Vec<u8>, Error> {
    let end = data.len();
    let checksum = adler(&data);
    data.extend_from_slice(&[0; 4]);
    let data = &data[..];
    let mut writer = BitWriter::default();
    writer.bits(0x9c78, 16);
    let mut block = Block::new();
    let (shortest, mask, tries, enough, lazy) = match effort {
        Search::Fast => (4, u32::MAX, 4, 64, 16),
        Search::Trial => (3, 0xff_ffff, 8, 32, 16),
        Search::Thorough => (3, 0xff_ffff, 48, 128, 32),
    };
    let (heads, chain) = (Box::new([0; 1 << HASH_BITS]), Box::new([0; WINDOW]));
    let mut finder = MatchFinder { data, end, heads, chain, shortest, mask, tries, enough, lazy };
    let mut at = 0;
    // The match at `at`, if it was searched for already.
    let mut known = None;
    let mut poll_at = 0;
    while at < end {
        if at >= poll_at {
            stop.check("encoding")?;
            poll_at = at + BYTES_PER_POLL;
        }
        let found = known.take().unwrap_or_else(|| finder.find(at, 0));
        if found.length < shortest {
            block.literal(data[at]);
            at += 1;
        } else {
            let tries_next = found.length < finder.lazy;
            let next =
                if tries_next { finder.find(at + 1, found.length) } else { Match { length: 0, distance: 0 } };
            if next.length > found.length {
                block.literal(data[at]);
                at += 1;
                known = Some(next);
            } else {
                block.back_reference(found.length, found.distance);
                let end = at + found.length;
                // The position after `at` was entered by its search.
                let entered = if tries_next { at + 2 } else { at + 1 };
                for position in entered..end {
                    finder.enter(position);
                }
                at = end;
            }
        }
        if block.is_full() {
            block.write(&mut writer, &data[..at], false);
        }
    }
    block.write(&mut writer, &data[..end], true);
    let mut bytes = writer.finish();
    bytes.extend_from_slice(&checksum.to_be_bytes());
    Ok(bytes)
}

/// A match, if it is long enough.
#[derive(Debug, Clone, Copy)]
struct Match {
    length: usize,
    distance: usize,
}

impl MatchFinder<'_> {
    /// Puts a position at the head of its chain; returns the distance to the previous head, 0 if there is none in
    /// the window.
    #[inline(always)]
    fn enter(&mut self, position: usize) -> usize {
        let hash = (four(self.data, position) & self.mask).wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS);
        let head = &mut self.heads[hash as usize];
        let back = (position + 1).wrapping_sub(*head as usize);
        let back = if *head == 0 || back > WINDOW { 0 } else { back };
        *head = position as u32 + 1;
        self.chain[position % WINDOW] = back as u16;
        back
    }

    /// Enters the position and finds the longest match there that is longer than `than`.
    #[inline(always)]
    fn find(&mut self, position: usize, than: usize) -> Match {
        let none = Match { length: 0, distance: 0 };
        if position >= self.end {
            return none;
        }
        let mut back = self.enter(position);
        let data = self.data;
        let ahead = &data[position..self.end.min(position + LONGEST)];
        let mut best = Match { length: than.max(self.shortest - 1), distance: 0 };
        if ahead.len() <= best.length {
            return none;
        }
        // The last of the bytes that a longer match must have: they differ most often.
        let mut tail = tail_of(data, position, best.length);
        // A good match found before shortens the search.
        let mut tries = if than >= 8 { self.tries / 4 } else { self.tries };
        let mut distance = 0;
        while back != 0 && tries > 0 {
            tries -= 1;
            distance += back;
            if distance > WINDOW {
                break;
            }
            let from = position - distance;
            if tail_of(data, from, best.length) == tail {
                let length = common(&data[from..], ahead);
                if length > best.length {
                    best = Match { length, distance };
                    if length >= self.enough || length == ahead.len() {
                        break;
                    }
                    tail = tail_of(data, position, length);
                }
            }
            back = self.chain[from % WINDOW].into();
        }
        if best.distance == 0 { none } else { best }
    }
}

#[inline(always)]
fn four(data: &[u8], position: usize) -> u32 {
    data[position..position + 4].try_into().map_or(0, u32::from_le_bytes)
}

/// The last four of the bytes that a match longer than `length` must have, or all three.
#[inline(always)]
fn tail_of(data: &[u8], position: usize, length: usize) -> u32 {
    if length < 3 { four(data, position) & 0xff_ffff } else { four(data, position + length - 3) }
}

/// Length of the common prefix.
fn common(a: &[u8], b: &[u8]) -> usize {
    let mut length = 0;
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        let differ = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differ != 0 {
            return length + differ.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    length + a[length..].iter().zip(&b[length..]).take_while(|(a, b)| a == b).count()
}

/// Adler-32 (RFC 1950, section 8.2).
fn adler(data: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    // As many bytes as the sums hold without overflow.
    for part in data.chunks(5552) {
        for &byte in part {
            a += u32::from(byte);
            b += a;
        }
        (a, b) = (a % 65521, b % 65521);
    }
    b << 16 | a
}
