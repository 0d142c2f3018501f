//! VP8L, lossless images (RFC 9649, section 3): a row at a time.

mod bit_reader;
mod pixels;
mod prefix_code;
mod transform;

use bit_reader::BitReader;
use pixels::Pixels;
use transform::Transform;

use crate::simd::SimdLevel;

/// Bytes of the header: a signature, the size, whether there is alpha, a version.
const HEADER: usize = 5;

/// Bytes that decoding an image of this size takes.
pub(super) fn memory(width: u64, height: u64) -> u64 {
    // Transforms have a value for each block, of 4 x 4 pixels at least, and there are three such maps.
    let pixels = width * height;
    pixels::memory(pixels) + 3 * 4 * (pixels / 16 + width + height + 1) + 4 * 4 * width
}

pub(super) struct Decoder<'a> {
    level: SimdLevel,
    pixels: Pixels<'a>,
    /// In the order in which they are undone.
    transforms: Vec<Transform>,
    row: Vec<u32>,
    done: usize,
}

impl<'a> Decoder<'a> {
    /// For a file's chunk.
    pub(super) fn new(data: &'a [u8], size: (usize, usize), level: SimdLevel) -> Result<Self, &'static str> {
        let header = data.get(..HEADER).ok_or("the header is truncated")?;
        if header[4] >> 5 != 0 {
            return Err("a version that is not defined");
        }
        Self::without_header(&data[HEADER..], size, level)
    }

    /// For data without a header, as of alpha.
    pub(super) fn without_header(
        data: &'a [u8],
        mut size: (usize, usize),
        level: SimdLevel,
    ) -> Result<Self, &'static str> {
        let mut reader = BitReader::new(data);
        let mut transforms: Vec<Transform> = Vec::new();
        while reader.flag() {
            let (transform, after) = Transform::read(reader, &mut size, level)?;
            reader = after;
            if transforms.iter().any(|earlier| earlier.kind() == transform.kind()) {
                return Err("a transform is applied twice");
            }
            transforms.push(transform);
        }
        transforms.reverse();
        let pixels = Pixels::new(reader, size, true, level)?;
        Ok(Self { level, pixels, transforms, row: Vec::new(), done: 0 })
    }

    /// The next row, as ARGB.
    pub(super) fn row(&mut self) -> Result<&[u32], &'static str> {
        let y = self.done;
        self.done += 1;
        self.row.clear();
        self.row.extend_from_slice(self.pixels.row(y)?);
        for transform in &mut self.transforms {
            transform.undo(self.level, y, &mut self.row);
        }
        Ok(&self.row)
    }
}
