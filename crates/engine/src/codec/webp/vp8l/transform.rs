//! Inverse transforms of VP8L (RFC 9649, section 3.5), a row at a time.

use super::bit_reader::BitReader;
use super::pixels::Pixels;
use crate::simd::{Kernel, Lanes, SimdLevel};

const OPAQUE_BLACK: u32 = 0xff00_0000;

/// A transform, with what it has of the row before.
pub(super) enum Transform {
    Predictor { blocks: Blocks, above: Vec<u32> },
    Colour(Blocks),
    SubtractGreen,
    Palette { colours: Vec<u32>, bits: u32, width: usize },
}

/// Parameters of square blocks.
pub(super) struct Blocks {
    bits: u32,
    across: usize,
    values: Vec<u32>,
}

impl Blocks {
    fn read<'a>(
        mut reader: BitReader<'a>,
        (width, height): (usize, usize),
        level: SimdLevel,
    ) -> Result<(Self, BitReader<'a>), &'static str> {
        let bits = 2 + reader.read(3);
        let size = (width.div_ceil(1 << bits), height.div_ceil(1 << bits));
        let (values, reader) = Pixels::whole(reader, size, level)?;
        Ok((Self { bits, across: size.0, values }, reader))
    }

    /// Columns of row `y` with the value of their block.
    #[inline(always)]
    fn row(&self, y: usize, width: usize) -> impl Iterator<Item = (std::ops::Range<usize>, u32)> {
        let side = 1 << self.bits;
        let values = &self.values[(y >> self.bits) * self.across..][..self.across];
        values.iter().enumerate().map(move |(x, &value)| (x * side..((x + 1) * side).min(width), value))
    }
}

impl Transform {
    /// Reads the next transform of an image of this size, which may become narrower by it.
    pub(super) fn read<'a>(
        mut reader: BitReader<'a>,
        size: &mut (usize, usize),
        level: SimdLevel,
    ) -> Result<(Self, BitReader<'a>), &'static str> {
        Ok(match reader.read(2) {
            0 => {
                let (blocks, reader) = Blocks::read(reader, *size, level)?;
                (Self::Predictor { blocks, above: vec![0; size.0] }, reader)
            }
            1 => {
                let (blocks, reader) = Blocks::read(reader, *size, level)?;
                (Self::Colour(blocks), reader)
            }
            2 => (Self::SubtractGreen, reader),
            _ => {
                let count = reader.read(8) as usize + 1;
                let (mut colours, reader) = Pixels::whole(reader, (count, 1), level)?;
                for index in 1..count {
                    colours[index] = add(colours[index], colours[index - 1]);
                }
                // Indices that do not exist are transparent.
                colours.resize(256, 0);
                let bits = match count {
                    ..=2 => 3,
                    3..=4 => 2,
                    5..=16 => 1,
                    _ => 0,
                };
                let width = size.0;
                size.0 = width.div_ceil(1 << bits);
                (Self::Palette { colours, bits, width }, reader)
            }
        })
    }

    /// Which of the four it is.
    pub(super) fn kind(&self) -> usize {
        match self {
            Self::Predictor { .. } => 0,
            Self::Colour(_) => 1,
            Self::SubtractGreen => 2,
            Self::Palette { .. } => 3,
        }
    }

    /// Undoes the transform of row `y`.
    pub(super) fn undo(&mut self, level: SimdLevel, y: usize, row: &mut Vec<u32>) {
        match self {
            Self::Predictor { blocks, above } => {
                level.run(Predict { blocks, above, row, y });
                above.copy_from_slice(row);
            }
            Self::Colour(blocks) => level.run(Colour { blocks, row, y }),
            Self::SubtractGreen => level.run(AddGreen(row)),
            Self::Palette { colours, bits, width } => unpack(colours, *bits, *width, row),
        }
    }
}

/// Indices, several in the green of a pixel, become colours.
fn unpack(colours: &[u32], bits: u32, width: usize, row: &mut Vec<u32>) {
    let packed = row.len();
    row.resize(width, 0);
    // Each index is read before a colour replaces it.
    let each = 8 >> bits;
    let mask = (1_u32 << each) - 1;
    for at in (0..packed).rev() {
        let mut indices = (row[at] >> 8) & 0xff;
        let end = ((at + 1) << bits).min(width);
        for pixel in &mut row[at << bits..end] {
            *pixel = colours[(indices & mask) as usize & 0xff];
            indices >>= each;
        }
    }
}

struct AddGreen<'a>(&'a mut [u32]);

impl Kernel for AddGreen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        for pixel in self.0 {
            let green = (*pixel >> 8) & 0xff;
            let both = (*pixel & 0x00ff_00ff).wrapping_add(green << 16 | green) & 0x00ff_00ff;
            *pixel = *pixel & 0xff00_ff00 | both;
        }
    }
}

struct Colour<'a> {
    blocks: &'a Blocks,
    row: &'a mut [u32],
    y: usize,
}

impl Kernel for Colour<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        let width = self.row.len();
        for (columns, value) in self.blocks.row(self.y, width) {
            let factor = |shift: u32| i32::from((value >> shift) as i8);
            let (green_to_red, green_to_blue, red_to_blue) = (factor(0), factor(8), factor(16));
            for pixel in &mut self.row[columns] {
                let green = i32::from((*pixel >> 8) as i8);
                let red = ((*pixel >> 16) as i32).wrapping_add((green_to_red * green) >> 5) & 0xff;
                let blue = (*pixel as i32)
                    .wrapping_add((green_to_blue * green) >> 5)
                    .wrapping_add((red_to_blue * i32::from(red as i8)) >> 5);
                *pixel = *pixel & 0xff00_ff00 | (red as u32) << 16 | (blue & 0xff) as u32;
            }
        }
    }
}

/// The sum of each channel.
#[inline(always)]
fn add(a: u32, b: u32) -> u32 {
    let alternate = 0xff00_ff00;
    let high = (a & alternate).wrapping_add(b & alternate) & alternate;
    let low = (a & !alternate).wrapping_add(b & !alternate) & !alternate;
    high | low
}

/// The mean of each channel, rounded down.
#[inline(always)]
fn mean(a: u32, b: u32) -> u32 {
    (a & b).wrapping_add(((a ^ b) & 0xfefe_fefe) >> 1)
}

/// The left or the upper pixel, whichever is nearer to left + above − corner.
#[inline(always)]
fn select(left: u32, above: u32, corner: u32) -> u32 {
    let (left_bytes, above_bytes, corner) = (left.to_le_bytes(), above.to_le_bytes(), corner.to_le_bytes());
    let distance = |bytes: [u8; 4]| {
        (0..4).map(|channel| i32::from(bytes[channel].abs_diff(corner[channel]))).sum::<i32>()
    };
    if distance(above_bytes) < distance(left_bytes) { left } else { above }
}

/// Each channel of three pixels by a function.
#[inline(always)]
fn by_channel(a: u32, b: u32, c: u32, of: impl Fn(i16, i16, i16) -> i16) -> u32 {
    let (a, b, c) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
    let mut result = [0; 4];
    for channel in 0..4 {
        let sum = of(a[channel].into(), b[channel].into(), c[channel].into());
        result[channel] = sum.clamp(0, 255) as u8;
    }
    u32::from_le_bytes(result)
}

struct Predict<'a> {
    blocks: &'a Blocks,
    above: &'a [u32],
    row: &'a mut [u32],
    y: usize,
}

impl Kernel for Predict<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        let Self { blocks, above, row, y } = self;
        if y == 0 {
            let mut left = OPAQUE_BLACK;
            for pixel in row {
                *pixel = add(*pixel, left);
                left = *pixel;
            }
            return;
        }
        row[0] = add(row[0], above[0]);
        let width = row.len();
        for (columns, value) in blocks.row(y, width) {
            let columns = columns.start.max(1)..columns.end;
            if columns.is_empty() {
                continue;
            }
            predict((value >> 8) & 15, columns, above, row);
        }
    }
}

/// Adds the prediction of one mode to the pixels in these columns.
#[inline(always)]
fn predict(mode: u32, columns: std::ops::Range<usize>, above: &[u32], row: &mut [u32]) {
    // Left, above left, above, above right.
    #[inline(always)]
    fn each(
        columns: std::ops::Range<usize>,
        above: &[u32],
        row: &mut [u32],
        prediction: impl Fn(u32, u32, u32, u32) -> u32,
    ) {
        // Right of the last pixel above is, in memory, the first of this row.
        let last = above.len() - 1;
        let first = row[0];
        let end = columns.end.min(last);
        let mut left = row[columns.start - 1];
        let window = above[columns.start - 1..=end.max(columns.start)].windows(3);
        for (pixel, above) in row[columns.start..end.max(columns.start)].iter_mut().zip(window) {
            left = add(*pixel, prediction(left, above[0], above[1], above[2]));
            *pixel = left;
        }
        if columns.end > last {
            row[last] = add(row[last], prediction(left, above[last - 1], above[last], first));
        }
    }
    match mode {
        1 => each(columns, above, row, |left, _, _, _| left),
        2 => each(columns, above, row, |_, _, above, _| above),
        3 => each(columns, above, row, |_, _, _, right| right),
        4 => each(columns, above, row, |_, corner, _, _| corner),
        5 => each(columns, above, row, |left, _, above, right| mean(mean(left, right), above)),
        6 => each(columns, above, row, |left, corner, _, _| mean(left, corner)),
        7 => each(columns, above, row, |left, _, above, _| mean(left, above)),
        8 => each(columns, above, row, |_, corner, above, _| mean(corner, above)),
        9 => each(columns, above, row, |_, _, above, right| mean(above, right)),
        10 => each(columns, above, row, |left, corner, above, right| {
            mean(mean(left, corner), mean(above, right))
        }),
        11 => each(columns, above, row, |left, corner, above, _| select(left, above, corner)),
        12 => each(columns, above, row, |left, corner, above, _| {
            by_channel(left, above, corner, |left, above, corner| left + above - corner)
        }),
        13 => each(columns, above, row, |left, corner, above, _| {
            by_channel(mean(left, above), corner, 0, |mean, corner, _| mean + (mean - corner) / 2)
        }),
        _ => each(columns, above, row, |_, _, _, _| OPAQUE_BLACK),
    }
}
