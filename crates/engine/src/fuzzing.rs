//! Entry points for fuzz targets beyond the public interface; compiled with `--cfg fuzzing` only.

use crate::codec::png::decode::inflate::{Fault, Inflater, Source};
use crate::simd::SimdLevel;

/// Decompresses a zlib stream as the PNG decoder does, until there are more than `limit` bytes,
/// requesting `piece` at a time; input is supplied in parts of `part` bytes.
///
/// # Errors
/// The first fault of the stream.
pub fn inflate(
    level: SimdLevel,
    stream: &[u8],
    part: usize,
    piece: usize,
    limit: usize,
) -> Result<Vec<u8>, String> {
    let (mut inflater, mut source) =
        (Inflater::new(level.dispatch_level()), PartSource { stream, part: part.max(1) });
    let mut bytes = Vec::new();
    loop {
        let next = inflater.peek(piece.max(1), &mut source).map_err(|fault| fault.to_string())?;
        let length = next.len();
        bytes.extend_from_slice(next);
        inflater.consume(length);
        if length == 0 || bytes.len() > limit {
            return Ok(bytes);
        }
    }
}

/// A stream that is supplied in parts.
struct PartSource<'a> {
    stream: &'a [u8],
    part: usize,
}

impl Source for PartSource<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        let (read, rest) = self.stream.split_at(self.part.min(self.stream.len()).min(buffer.len()));
        buffer[..read.len()].copy_from_slice(read);
        self.stream = rest;
        Ok(read.len())
    }
}
