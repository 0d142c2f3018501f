//! Stripes of Y'CbCr to rows of gray or RGB: ranges and matrices of ITU-T H.273, chroma interpolated between its samples.

use super::properties::CodePoints;
use crate::error::Error;
use crate::foreign::{Layout, Samples};

/// Converts the stripes of an image, in order.
pub(super) struct Converter {
    width: usize,
    samples: Samples,
    sample_bytes: usize,
    matrix: Matrix,
    /// The rows of chroma of the previous stripe and the current one; of images without, empty.
    chroma: [Chroma; 2],
    /// The second row of luma of the previous stripe, where two share chroma: it needs the stripe after it.
    pending: Option<Vec<u16>>,
    /// Chroma of one row at full width.
    wide: [Vec<i32>; 2],
    /// A finished row: 8 bits if the image has no more, otherwise 16.
    row: Vec<u16>,
}

#[derive(Default, Clone)]
struct Chroma([Vec<u16>; 2]);

/// Integers that make up the colours: samples less their offset, times these, shifted.
#[derive(Debug, Clone, Copy)]
struct Matrix {
    kind: MatrixKind,
    shift: u32,
    most: i32,
    luma: i32,
    black: i32,
    middle: i32,
    /// Red of Cr, green of Cb and Cr, blue of Cb.
    chroma: [i32; 4],
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum MatrixKind {
    /// By weights of red and blue.
    Weighted,
    /// Green, blue and red as they are.
    Identity,
    /// Luma, orange and green.
    YCgCo,
}

impl Matrix {
    fn new(points: CodePoints, bits: u8) -> Result<Self, Error> {
        let (kind, red, blue) = match points.matrix {
            0 => (MatrixKind::Identity, 0.0, 0.0),
            1 => (MatrixKind::Weighted, 0.2126, 0.0722),
            4 => (MatrixKind::Weighted, 0.30, 0.11),
            7 => (MatrixKind::Weighted, 0.212, 0.087),
            8 => (MatrixKind::YCgCo, 0.0, 0.0),
            9 => (MatrixKind::Weighted, 0.2627, 0.0593),
            // Derived from the primaries.
            12 if matches!(points.primaries, 1) => (MatrixKind::Weighted, 0.2126, 0.0722),
            12 if points.primaries == 9 => (MatrixKind::Weighted, 0.2627, 0.0593),
            12 if matches!(points.primaries, 11 | 12) => (MatrixKind::Weighted, 0.2290, 0.0793),
            2 | 5 | 6 | 12 => (MatrixKind::Weighted, 0.299, 0.114),
            other => {
                return Err(Error::Unsupported(format!(
                    "heif: the matrix {other} of ITU-T H.273; save it as sRGB"
                )));
            }
        };
        let full = f64::from((1_u32 << bits) - 1);
        let unit = f64::from(1_u32 << (bits - 8));
        let (black, luma_range, chroma_range) =
            if points.full_range { (0.0, full, full) } else { (16.0 * unit, 219.0 * unit, 224.0 * unit) };
        let (most, shift) = if bits == 8 { (255.0, 16) } else { (65535.0, 12) };
        let scale =
            |factor: f64, range: f64| (factor * most / range * f64::from(1_u32 << shift)).round() as i32;
        let green = 1.0 - red - blue;
        let (cr, cb) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
        let chroma = match kind {
            MatrixKind::Weighted => [cr, -cb * blue / green, -cr * red / green, cb],
            MatrixKind::YCgCo => [1.0; 4],
            MatrixKind::Identity => [0.0; 4],
        };
        Ok(Self {
            kind,
            shift,
            most: most as i32,
            luma: scale(1.0, luma_range),
            black: black as i32,
            middle: 1 << (bits - 1),
            chroma: chroma.map(|factor| scale(factor, chroma_range)),
        })
    }

    fn clamp(self, value: i32) -> u16 {
        ((value + (1 << (self.shift - 1))) >> self.shift).clamp(0, self.most) as u16
    }

    /// One sample of luma as it is.
    fn gray(self, luma: u16) -> u16 {
        self.clamp((i32::from(luma) - self.black) * self.luma)
    }

    fn colour(self, luma: u16, cb: i32, cr: i32) -> [u16; 3] {
        let y = (i32::from(luma) - self.black) * self.luma;
        match self.kind {
            MatrixKind::Identity => {
                let value = |sample: i32| self.clamp((sample - self.black) * self.luma);
                [value(cr), self.clamp(y), value(cb)]
            }
            MatrixKind::YCgCo => {
                let (green, orange) =
                    ((cb - self.middle) * self.chroma[0], (cr - self.middle) * self.chroma[0]);
                [y - green + orange, y + green, y - green - orange].map(|value| self.clamp(value))
            }
            MatrixKind::Weighted => {
                let (cb, cr) = (cb - self.middle, cr - self.middle);
                let [red, green_cb, green_cr, blue] = self.chroma;
                [y + cr * red, y + cb * green_cb + cr * green_cr, y + cb * blue]
                    .map(|value| self.clamp(value))
            }
        }
    }
}

impl Converter {
    /// For stripes of this layout; `points` are those of the file, where it has some.
    pub(super) fn new(layout: &Layout, points: CodePoints) -> Result<Self, Error> {
        if layout.bits > 12 {
            return Err(Error::Unsupported(format!("heif: {} bits a sample", layout.bits)));
        }
        if matches!(layout.samples, Samples::Interleaved(_)) {
            return Err(Error::Internal("heif: interleaved samples".into()));
        }
        Ok(Self {
            width: layout.width as usize,
            samples: layout.samples,
            sample_bytes: layout.sample_bytes(),
            matrix: Matrix::new(points, layout.bits)?,
            chroma: Default::default(),
            pending: None,
            wide: Default::default(),
            row: Vec::new(),
        })
    }

    /// Samples a pixel of the rows.
    pub(super) const fn channels(&self) -> usize {
        if matches!(self.samples, Samples::Gray) { 1 } else { 3 }
    }

    /// Converts a stripe, and passes the rows that are finished on.
    pub(super) fn stripe(
        &mut self,
        stripe: &[u8],
        each: &mut dyn FnMut(&[u16]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (width, half) = (self.width, self.width.div_ceil(2));
        let mut rest = stripe;
        let bytes = self.sample_bytes;
        let mut take = |samples: usize| {
            let (row, after) = rest.split_at(rest.len().min(samples * bytes));
            rest = after;
            widened(row, bytes)
        };
        match self.samples {
            Samples::Gray => {
                let luma = take(width);
                self.row.clear();
                self.row.extend(luma.iter().map(|&luma| self.matrix.gray(luma)));
                each(&self.row)
            }
            Samples::Planes444 | Samples::Planes422 => {
                let side = if self.samples == Samples::Planes444 { width } else { half };
                let luma = take(width);
                let current = Chroma([take(side), take(side)]);
                self.emit(&luma, &current, &current, each)
            }
            _ => {
                let (first, second) = (take(width), take(width));
                let current = Chroma([take(half), take(half)]);
                let [_, previous] = std::mem::take(&mut self.chroma);
                // The first row has no chroma above it.
                let above = if previous.0[0].is_empty() { current.clone() } else { previous };
                if let Some(pending) = self.pending.take() {
                    self.emit(&pending, &above, &current, each)?;
                }
                self.emit(&first, &current, &above, each)?;
                self.pending = Some(second);
                self.chroma = [above, current];
                Ok(())
            }
        }
    }

    /// The last row, where it waits for chroma that does not come.
    pub(super) fn finish(&mut self, each: &mut dyn FnMut(&[u16]) -> Result<(), Error>) -> Result<(), Error> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let [_, last] = std::mem::take(&mut self.chroma);
        self.emit(&pending, &last, &last, each)
    }

    /// Converts a row of luma with the row of chroma that is nearest, and the one after that.
    fn emit(
        &mut self,
        luma: &[u16],
        near: &Chroma,
        far: &Chroma,
        each: &mut dyn FnMut(&[u16]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let subsampled = near.0[0].len() < self.width;
        for (wide, (near, far)) in self.wide.iter_mut().zip(near.0.iter().zip(&far.0)) {
            wide.clear();
            if subsampled {
                widen(near, far, self.width, wide);
            } else {
                wide.extend(near.iter().map(|&value| i32::from(value)));
            }
        }
        let [cb, cr] = &self.wide;
        self.row.clear();
        for ((&luma, &cb), &cr) in luma.iter().zip(cb).zip(cr) {
            self.row.extend(self.matrix.colour(luma, cb, cr));
        }
        each(&self.row)
    }
}

/// Samples of one or two bytes.
fn widened(row: &[u8], bytes: usize) -> Vec<u16> {
    match bytes {
        1 => row.iter().map(|&sample| sample.into()).collect(),
        _ => row.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect(),
    }
}

/// Chroma of half the width at full width: three quarters of the nearest sample and one of the next, both ways.
fn widen(near: &[u16], far: &[u16], width: usize, out: &mut Vec<i32>) {
    let down = |at: usize| 3 * i32::from(near[at]) + i32::from(far[at]);
    let last = near.len() - 1;
    let mut before = down(0);
    let mut current = before;
    for at in 0..near.len() {
        let next = down((at + 1).min(last));
        out.push((3 * current + before + 8) >> 4);
        out.push((3 * current + next + 8) >> 4);
        (before, current) = (current, next);
    }
    out.truncate(width);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(matrix: u8, full_range: bool) -> CodePoints {
        CodePoints { primaries: 1, transfer: 13, matrix, full_range }
    }

    fn layout(samples: Samples, bits: u8, width: u32, height: u32) -> Layout {
        Layout { width, height, samples, bits, code_points: None, profile: Vec::new() }
    }

    fn rows(layout: &Layout, points: CodePoints, stripes: &[&[u8]]) -> Vec<Vec<u16>> {
        let mut converter = Converter::new(layout, points).unwrap();
        let mut rows = Vec::new();
        let mut each = |row: &[u16]| {
            rows.push(row.to_vec());
            Ok(())
        };
        for stripe in stripes {
            converter.stripe(stripe, &mut each).unwrap();
        }
        converter.finish(&mut each).unwrap();
        rows
    }

    #[test]
    fn primaries_come_out_of_every_matrix() {
        // Red: Y, Cb and Cr by BT.709 in the limited range, and by BT.601 in the full one.
        let limited = layout(Samples::Planes444, 8, 1, 1);
        let red = rows(&limited, points(1, false), &[&[63, 102, 240]]);
        assert!(red[0].iter().zip([255, 0, 0]).all(|(&one, other)| one.abs_diff(other) <= 1), "{red:?}");
        let red = rows(&limited, points(6, true), &[&[76, 85, 255]]);
        assert!(red[0].iter().zip([254, 0, 0]).all(|(&one, other)| one.abs_diff(other) <= 1), "{red:?}");
        // Green, blue and red as they are.
        assert_eq!(rows(&limited, points(0, true), &[&[10, 20, 30]]), [[30, 10, 20]]);
        assert!(Converter::new(&limited, points(14, true)).is_err());
    }

    #[test]
    fn more_bits_fill_sixteen() {
        let white = [0xff, 3, 0, 2, 0, 2];
        let rows = rows(&layout(Samples::Planes444, 10, 1, 1), points(1, true), &[&white]);
        assert!(rows[0].iter().all(|&value| value >= 65_500), "{rows:?}");
    }

    #[test]
    fn chroma_is_interpolated_both_ways() {
        // Gray luma of 4 x 4 pixels; blue only in the last sample of chroma.
        let first = [128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128];
        let second = [128, 128, 128, 128, 128, 128, 128, 128, 128, 192, 128, 128];
        let rows = rows(&layout(Samples::Planes420, 8, 4, 4), points(6, true), &[&first, &second]);
        assert_eq!(rows.len(), 4);
        let blue = |y: usize, x: usize| rows[y][x * 3 + 2] - 128;
        assert_eq!((blue(0, 3), blue(3, 0)), (0, 0));
        assert!(blue(3, 3) > blue(2, 3) && blue(2, 3) > blue(1, 3) && blue(1, 3) > 0, "{rows:?}");
        assert!(blue(3, 3) > blue(3, 2) && blue(3, 2) > blue(3, 1) && blue(3, 1) > 0, "{rows:?}");
    }
}
