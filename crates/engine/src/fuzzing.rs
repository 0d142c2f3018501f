//! What fuzz targets reach past the engine's interface; compiled with `--cfg fuzzing` only.

use crate::decode::png::inflate::{Fault, Inflater, Source};
use crate::simd::SimdLevel;

/// Decompresses a zlib stream as the PNG decoder does, until there are more than `most` bytes, asking for
/// `piece` at a time; input arrives in parts of `part` bytes.
///
/// # Errors
/// What is wrong with the stream.
pub fn inflate(
    level: SimdLevel,
    stream: &[u8],
    part: usize,
    piece: usize,
    most: usize,
) -> Result<Vec<u8>, String> {
    let (mut inflater, mut source) = (Inflater::new(level.library()), Parts { stream, part: part.max(1) });
    let mut bytes = Vec::new();
    loop {
        let next = inflater.peek(piece.max(1), &mut source).map_err(|fault| fault.to_string())?;
        let length = next.len();
        bytes.extend_from_slice(next);
        inflater.consume(length);
        if length == 0 || bytes.len() > most {
            return Ok(bytes);
        }
    }
}

/// A stream that arrives in parts.
struct Parts<'a> {
    stream: &'a [u8],
    part: usize,
}

impl Source for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        let (read, rest) = self.stream.split_at(self.part.min(self.stream.len()).min(buffer.len()));
        buffer[..read.len()].copy_from_slice(read);
        self.stream = rest;
        Ok(read.len())
    }
}
