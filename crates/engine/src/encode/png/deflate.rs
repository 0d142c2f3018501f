//! Compression as a zlib stream (RFC 1950, RFC 1951): repetitions found through chains of places with the
//! same four bytes, taken one place later if that is better, then a code for each block.

mod block;
mod lengths;

use block::{Block, Writer};

use crate::error::Error;
use crate::stop::Stop;

/// How hard repetitions are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Effort {
    /// For what hardly repeats itself: filtered pictures.
    Fast,
    /// For drawings.
    Thorough,
    /// To see which is smaller.
    Trial,
}

const LONGEST: usize = 258;
const WINDOW: usize = 32 << 10;
/// Bytes between two questions whether to stop.
const AT_ONCE: usize = 16 << 10;
const HASH_BITS: u32 = 16;

/// Looks for repetitions.
struct Finder<'a> {
    /// With some bytes behind it, so that four can be read everywhere.
    data: &'a [u8],
    end: usize,
    /// The last place of each hash, counted from 1; 0 for none.
    heads: Box<[u32; 1 << HASH_BITS]>,
    /// For each place in the window how far before it the one before is; 0 for none within reach.
    chain: Box<[u16; WINDOW]>,
    /// The least length of a repetition, and the bits of four bytes that must be equal for it.
    shortest: usize,
    mask: u32,
    /// The most places looked at, the length that is good enough, and the one from which the next place is
    /// not looked at.
    tries: usize,
    enough: usize,
    lazy: usize,
}

/// Compresses `data`.
pub(crate) fn zlib(mut data: Vec<u8>, effort: Effort, stop: Stop<'_>) -> Result<Vec<u8>, Error> {
    let end = data.len();
    let sum = adler(&data);
    data.extend_from_slice(&[0; 4]);
    let data = &data[..];
    let mut writer = Writer::default();
    writer.bits(0x9c78, 16);
    let mut block = Block::new();
    let (shortest, mask, tries, enough, lazy) = match effort {
        Effort::Fast => (4, u32::MAX, 4, 64, 16),
        Effort::Trial => (3, 0xff_ffff, 8, 32, 16),
        Effort::Thorough => (3, 0xff_ffff, 96, 128, 32),
    };
    let (heads, chain) = (Box::new([0; 1 << HASH_BITS]), Box::new([0; WINDOW]));
    let mut finder = Finder { data, end, heads, chain, shortest, mask, tries, enough, lazy };
    let mut at = 0;
    // What was found at `at` already, in view of it.
    let mut known = None;
    let mut ask_at = 0;
    while at < end {
        if at >= ask_at {
            stop.check("encoding")?;
            ask_at = at + AT_ONCE;
        }
        let found = known.take().unwrap_or_else(|| finder.find(at, 0));
        if found.length < shortest {
            block.literal(data[at]);
            at += 1;
        } else {
            let looks_on = found.length < finder.lazy;
            let next =
                if looks_on { finder.find(at + 1, found.length) } else { Match { length: 0, distance: 0 } };
            if next.length > found.length {
                block.literal(data[at]);
                at += 1;
                known = Some(next);
            } else {
                block.repetition(found.length, found.distance);
                let end = at + found.length;
                // The place after `at` was entered when it was looked up.
                let entered = if looks_on { at + 2 } else { at + 1 };
                for place in entered..end {
                    finder.enter(place);
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
    bytes.extend_from_slice(&sum.to_be_bytes());
    Ok(bytes)
}

/// A repetition, if it is long enough.
#[derive(Debug, Clone, Copy)]
struct Match {
    length: usize,
    distance: usize,
}

impl Finder<'_> {
    /// Puts a place at the head of its chain and tells how far before it the one that was there is; 0 if there
    /// was none within reach.
    #[inline(always)]
    fn enter(&mut self, place: usize) -> usize {
        let hash = (four(self.data, place) & self.mask).wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS);
        let head = &mut self.heads[hash as usize];
        let back = (place + 1).wrapping_sub(*head as usize);
        let back = if *head == 0 || back > WINDOW { 0 } else { back };
        *head = place as u32 + 1;
        self.chain[place % WINDOW] = back as u16;
        back
    }

    /// Enters the place and looks for the longest repetition there that is longer than `than`.
    #[inline(always)]
    fn find(&mut self, place: usize, than: usize) -> Match {
        let none = Match { length: 0, distance: 0 };
        if place >= self.end {
            return none;
        }
        let mut back = self.enter(place);
        let data = self.data;
        let ahead = &data[place..self.end.min(place + LONGEST)];
        let mut best = Match { length: than.max(self.shortest - 1), distance: 0 };
        if ahead.len() <= best.length {
            return none;
        }
        // The last of the bytes that a longer one must have: they tell most.
        let mut tail = tail_of(data, place, best.length);
        // What is good already is worth less of a search.
        let mut tries = if than >= 8 { self.tries / 4 } else { self.tries };
        let mut distance = 0;
        while back != 0 && tries > 0 {
            tries -= 1;
            distance += back;
            if distance > WINDOW {
                break;
            }
            let from = place - distance;
            if tail_of(data, from, best.length) == tail {
                let length = common(&data[from..], ahead);
                if length > best.length {
                    best = Match { length, distance };
                    if length >= self.enough || length == ahead.len() {
                        break;
                    }
                    tail = tail_of(data, place, length);
                }
            }
            back = self.chain[from % WINDOW].into();
        }
        if best.distance == 0 { none } else { best }
    }
}

#[inline(always)]
fn four(data: &[u8], place: usize) -> u32 {
    data[place..place + 4].try_into().map_or(0, u32::from_le_bytes)
}

/// The last four of the bytes that a repetition longer than `length` must have, or all three.
#[inline(always)]
fn tail_of(data: &[u8], place: usize, length: usize) -> u32 {
    if length < 3 { four(data, place) & 0xff_ffff } else { four(data, place + length - 3) }
}

/// How many bytes are equal.
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
    // As many bytes as the sums hold.
    for part in data.chunks(5552) {
        for &byte in part {
            a += u32::from(byte);
            b += a;
        }
        (a, b) = (a % 65521, b % 65521);
    }
    b << 16 | a
}
