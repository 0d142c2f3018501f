//! Samples of every depth and format, from the bytes of strips and tiles.

use super::chunk::Chunk;
use crate::codec::tiff::page::{Page, Photometric, SampleFormat};

/// The sample at `index` of a row, as stored.
#[inline]
fn stored(row: &[u8], index: usize, bits: usize, little: bool) -> u64 {
    if bits.is_multiple_of(8) {
        let size = bits / 8;
        let bytes = row.get(index * size..(index + 1) * size).unwrap_or_default();
        let join = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
        return if little { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) };
    }
    let from = index * bits;
    let (first, last) = (from / 8, (from + bits - 1) / 8);
    let join = |value: u64, at: usize| (value << 8) | u64::from(row.get(at).copied().unwrap_or(0));
    (first..=last).fold(0, join) >> (8 * (last + 1) - from - bits) & ((1 << bits) - 1)
}

/// The value of a sample.
fn value(page: &Page<'_>, row: &[u8], index: usize) -> f64 {
    let bits = page.bits;
    let stored = stored(row, index, bits, page.ifd.is_little());
    match (page.format, bits) {
        (SampleFormat::Unsigned, _) => stored as f64,
        (SampleFormat::Signed, _) => ((stored << (64 - bits)) as i64 >> (64 - bits)) as f64,
        (SampleFormat::Float, 16) => half(stored as u16),
        (SampleFormat::Float, 32) => f32::from_bits(stored as u32).into(),
        (SampleFormat::Float, _) => f64::from_bits(stored),
    }
}

/// A float of 16 bits (IEEE 754, binary16).
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 => f64::INFINITY,
        _ => (1.0 + fraction / 1024.0) * 2_f64.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// The range of values, of samples that do not have the range of their type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    low: f64,
    high: f64,
}

impl Default for Range {
    fn default() -> Self {
        Self { low: f64::INFINITY, high: f64::NEG_INFINITY }
    }
}

impl Range {
    /// Takes the samples of the first pixels of a row into account.
    pub(super) fn add(
        &mut self,
        page: &Page<'_>,
        chunk: &Chunk<'_>,
        (plane, y): (usize, usize),
        pixels: usize,
    ) {
        let (shape, colours) = (chunk.shape, page.photometric.samples());
        let row = row(chunk, y);
        for at in 0..pixels * shape.samples {
            let sample = if page.planar { plane } else { at % shape.samples };
            let value = value(page, row, at);
            if sample < colours && value.is_finite() {
                self.low = self.low.min(value);
                self.high = self.high.max(value);
            }
        }
    }

    /// The values that are shown as black and white: a common range that holds all, or else their own.
    fn shown(self, page: &Page<'_>) -> (f64, f64) {
        let Self { low, high } = self;
        let rgb = page.photometric == Photometric::Rgb;
        match page.format {
            _ if low > high => (0.0, 1.0),
            SampleFormat::Unsigned => {
                let all = 2_f64.powi(page.bits as i32) - 1.0;
                (0.0, [255.0, 65535.0].into_iter().find(|&most| high <= most).unwrap_or(all))
            }
            SampleFormat::Float if low >= 0.0 && high <= 1.0 => (0.0, 1.0),
            // Lights brighter than white are clipped.
            SampleFormat::Float if rgb && high <= 64.0 => (0.0, 1.0),
            _ if low >= 0.0 && high <= 255.0 && high > 64.0 => (0.0, 255.0),
            _ if low == high => (low - 1.0, low + 1.0),
            _ => (low, high),
        }
    }
}

/// The bytes of row `y`.
pub(super) fn row<'a>(chunk: &'a Chunk<'_>, y: usize) -> &'a [u8] {
    let length = chunk.shape.row_bytes();
    chunk.bytes.get(y / chunk.shape.shared.1 * length..).map_or(&[], |rest| &rest[..rest.len().min(length)])
}

/// Interleaved samples of a row; only one of the two is used.
#[derive(Default)]
pub(super) struct Line {
    /// Those of up to 8 bits, as stored.
    pub(super) narrow: Vec<u8>,
    /// Others, scaled to 16 bits.
    pub(super) wide: Vec<u16>,
}

/// Reads rows of samples.
pub(super) struct SampleReader {
    /// Whether samples are read as 16 bits.
    pub(super) is_wide: bool,
    shown: Option<(f64, f64)>,
    samples: usize,
    width: usize,
}

impl SampleReader {
    /// For pixels of `samples` samples. `range`: that of the samples, where it is not that of their type.
    pub(super) fn new(page: &Page<'_>, samples: usize, range: Option<Range>) -> Self {
        let shown = range.map(|range| range.shown(page));
        Self { is_wide: page.bits > 8 || shown.is_some(), shown, samples, width: page.width as usize }
    }

    /// Reads row `y` of a band.
    pub(super) fn read(&self, page: &Page<'_>, chunks: &[Chunk<'_>], y: usize, line: &mut Line) {
        let length = self.width * self.samples;
        if self.is_wide {
            line.wide.resize(length, 0);
        } else {
            line.narrow.resize(length, 0);
        }
        let mut left = 0;
        let mut plane = 0;
        for chunk in chunks {
            let interleaved = chunk.shape.samples > 1 || !page.planar;
            let samples =
                if interleaved { 0..chunk.shape.samples.min(self.samples) } else { plane..plane + 1 };
            let columns = left..self.width.min(left + chunk.shape.width);
            left += chunk.shape.width;
            if samples.end <= self.samples {
                self.place(page, chunk, y, (columns, samples), line);
            }
            if left >= self.width {
                (left, plane) = (0, plane + 1);
            }
        }
    }

    /// Places the samples of a chunk's row.
    fn place(
        &self,
        page: &Page<'_>,
        chunk: &Chunk<'_>,
        y: usize,
        (columns, samples): (std::ops::Range<usize>, std::ops::Range<usize>),
        line: &mut Line,
    ) {
        let (shape, row) = (chunk.shape, row(chunk, y));
        let targets = columns.start * self.samples..columns.end * self.samples;
        if shape.is_in_units() {
            return units(shape, row, y, &mut line.narrow[targets], self.samples);
        }
        let across = shape.shared.0;
        if !self.is_wide {
            let target = &mut line.narrow[targets];
            if shape.bits == 8 && shape.samples == self.samples && across == 1 {
                let length = target.len().min(row.len());
                target[..length].copy_from_slice(&row[..length]);
                return;
            }
            for (x, pixel) in target.chunks_exact_mut(self.samples).enumerate() {
                for (at, sample) in pixel[samples.clone()].iter_mut().enumerate() {
                    *sample = stored(row, x / across * shape.samples + at, shape.bits, false) as u8;
                }
            }
            return;
        }
        let target = &mut line.wide[targets];
        let most = if shape.bits >= 16 { 65535 } else { (1_u64 << shape.bits) - 1 };
        for (x, pixel) in target.chunks_exact_mut(self.samples).enumerate() {
            for (at, sample) in pixel[samples.clone()].iter_mut().enumerate() {
                let index = x / across * shape.samples + at;
                *sample = match self.shown {
                    None if most == 65535 => stored(row, index, shape.bits, page.ifd.is_little()) as u16,
                    None => {
                        let stored = stored(row, index, shape.bits, page.ifd.is_little());
                        ((stored * 65535 + most / 2) / most) as u16
                    }
                    // Alpha has the range of its type.
                    Some(_) if samples.start + at >= page.photometric.samples() => {
                        let full = match page.format {
                            SampleFormat::Float => 1.0,
                            SampleFormat::Signed => 2_f64.powi(shape.bits as i32 - 1) - 1.0,
                            SampleFormat::Unsigned => 2_f64.powi(shape.bits as i32) - 1.0,
                        };
                        (value(page, row, index) / full * 65535.0) as u16
                    }
                    Some((low, high)) => {
                        ((value(page, row, index) - low) / (high - low) * 65535.0 + 0.5) as u16
                    }
                };
            }
        }
    }
}

/// Samples of interleaved units of subsampled Y'CbCr of 8 bits (TIFF 6.0, section 21).
fn units(shape: super::chunk::Shape, row: &[u8], y: usize, target: &mut [u8], samples: usize) {
    let (across, down) = shape.shared;
    let unit = across * down + 2 + shape.samples.saturating_sub(3);
    for (x, pixel) in target.chunks_exact_mut(samples).enumerate() {
        let Some(unit) = row.get(x / across * unit..(x / across + 1) * unit) else { return };
        let colours = [unit[y % down * across + x % across], unit[across * down], unit[across * down + 1]];
        for (sample, colour) in pixel.iter_mut().zip(colours) {
            *sample = colour;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_every_depth() {
        let row = [0b1011_0011, 0b0101_1100, 0x12, 0x34, 0x56, 0x78];
        assert_eq!([0, 1, 7, 8].map(|at| stored(&row, at, 1, false)), [1, 0, 1, 0]);
        assert_eq!([0, 1, 5].map(|at| stored(&row, at, 3, false)), [0b101, 0b100, 0]);
        assert_eq!([0, 1].map(|at| stored(&row, at, 12, false)), [0b1011_0011_0101, 0b1100_0001_0010]);
        assert_eq!([1, 2].map(|at| stored(&row, at, 16, true)), [0x3412, 0x7856]);
        assert_eq!([1, 2].map(|at| stored(&row, at, 16, false)), [0x1234, 0x5678]);
        assert_eq!(stored(&row[2..], 0, 31, false), 0x1234_5678 >> 1);
        assert_eq!(stored(&row, 9, 16, false), 0, "beyond the end");
    }

    #[test]
    fn halves() {
        for (bits, expected) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_953_125), (1, 2_f64.powi(-24))]
        {
            assert!((half(bits) - expected).abs() < 1e-12, "{bits:x}");
        }
    }
}
