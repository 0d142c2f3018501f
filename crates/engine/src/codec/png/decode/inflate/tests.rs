//! Streams of this crate's Deflate, stored blocks, truncated and corrupt streams.

use super::*;
use crate::codec::png::encode::deflate::{self, Search};
use crate::stop::Stop;

/// Supplies a few bytes at a time.
struct PartSource<'a>(&'a [u8], usize);

impl Source for PartSource<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        let (read, rest) = self.0.split_at(self.0.len().min(buffer.len()).min(self.1));
        buffer[..read.len()].copy_from_slice(read);
        self.0 = rest;
        Ok(read.len())
    }
}

fn inflate(stream: &[u8], piece: usize, row: usize) -> Result<Vec<u8>, Fault> {
    let (mut inflater, mut source) = (Inflater::new(Level::new()), PartSource(stream, piece));
    let mut bytes = Vec::new();
    loop {
        let read = inflater.peek(row, &mut source)?;
        let length = read.len();
        bytes.extend_from_slice(read);
        inflater.consume(length);
        if length < row {
            return Ok(bytes);
        }
    }
}

fn random(state: &mut u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *state >> 8
}

/// Literals and repetitions of all distances and lengths.
fn mixture(length: usize, furthest: u32, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = vec![1, 2, 3];
    while bytes.len() < length {
        if random(&mut state).is_multiple_of(2) {
            let literals = random(&mut state) % 9;
            bytes.extend((0..literals).map(|_| (random(&mut state) % 50 * 5) as u8));
        } else {
            let distance = (1 + random(&mut state) % furthest).min(bytes.len() as u32) as usize;
            for _ in 0..random(&mut state) % 300 {
                bytes.push(bytes[bytes.len() - distance]);
            }
        }
    }
    bytes
}

fn zlib(bytes: Vec<u8>, effort: Search) -> Vec<u8> {
    deflate::zlib(bytes, effort, Stop(&|| false)).unwrap()
}

#[test]
fn compressed_data_round_trips() {
    for (length, furthest) in [(0, 1), (1, 1), (70, 3), (5000, 40), (300_000, 9), (300_000, 40_000)] {
        let bytes = mixture(length, furthest, length as u32);
        for effort in [Search::Fast, Search::Trial, Search::Thorough] {
            let stream = zlib(bytes.clone(), effort);
            for (piece, row) in [(usize::MAX, 1000), (usize::MAX, PIECE), (700, 5), (1, 30_000)] {
                assert!(inflate(&stream, piece, row) == Ok(bytes.clone()), "{length}, {furthest}, {piece}");
            }
        }
    }
}

#[test]
fn stored_blocks() {
    let bytes: Vec<u8> = (0..200_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut stream = vec![0x78, 0x01];
    for (at, part) in bytes.chunks(60_000).enumerate() {
        let length = part.len() as u16;
        stream.push(u8::from(at == 3));
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&(!length).to_le_bytes());
        stream.extend_from_slice(part);
    }
    for (piece, row) in [(usize::MAX, 1000), (3000, 7), (1, 60_000)] {
        assert!(inflate(&stream, piece, row) == Ok(bytes.clone()));
    }
    stream[3] ^= 1;
    assert_eq!(inflate(&stream, 100, 10), Err(Fault::Stored));
}

#[test]
fn a_truncated_stream_is_an_error_after_correct_bytes() {
    let bytes = mixture(3000, 100, 7);
    let stream = zlib(bytes.clone(), Search::Fast);
    // The Adler-32 at the end is not read.
    for length in 0..stream.len() - 5 {
        let (mut inflater, mut source) = (Inflater::new(Level::new()), PartSource(&stream[..length], 64));
        let mut at = 0;
        while let Ok(read) = inflater.peek(7, &mut source) {
            assert!(!read.is_empty(), "truncated to {length}: accepted as complete");
            assert_eq!(read, &bytes[at..at + read.len()], "truncated to {length}");
            at += read.len();
            let taken = read.len();
            inflater.consume(taken);
        }
    }
}

#[test]
fn any_flipped_bit_is_an_error_or_bounded_output() {
    let bytes = mixture(2000, 300, 3);
    for effort in [Search::Fast, Search::Thorough] {
        let stream = zlib(bytes.clone(), effort);
        for at in 0..stream.len() {
            for bit in 0..8 {
                let mut changed = stream.clone();
                changed[at] ^= 1 << bit;
                if let Ok(bytes) = inflate(&changed, 1000, 100) {
                    assert!(bytes.len() < stream.len() * 1100);
                }
            }
        }
    }
}

#[test]
fn invalid_code_lengths_are_refused() {
    let table = |lengths: &[u8]| {
        let mut tables = Tables::new();
        let mut symbols = [0; 286];
        symbols[..lengths.len()].copy_from_slice(lengths);
        symbols[256] = 1;
        tables.dynamic(&symbols, &[1])
    };
    assert_eq!(table(&[1]), Ok(()), "two codes of one bit");
    assert_eq!(table(&[]), Ok(()), "a single code");
    assert_eq!(table(&[2]), Err(Fault::Codes), "undersubscribed");
    assert_eq!(table(&[1, 1]), Err(Fault::Codes), "oversubscribed");
    assert_eq!(Tables::new().dynamic(&[1; 2], &[1]), Err(Fault::Codes), "no end of block");
}
