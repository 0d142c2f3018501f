//! Converts pixels to level-shifted samples of luma and chroma, one MCU row at a time.
//!
//! Samples have four fractional bits up to the transform, so that they are not rounded to whole values. Arithmetic
//! is in integers, so every machine gives the same samples.

use super::dct::GROUP;
use super::layout::{BLOCK, Layout, Sampling};
use crate::pixels::Image8;

/// Fractional bits of a sample.
pub(super) const FRACTION: u32 = 4;

/// Luma of red, green and blue in 1/65536 (T.871, clause 7: those of BT.601).
const LUMA: [u32; 3] = [19595, 38470, 7471];
/// Factors from blue and red less luma to chroma, in 1/32768: 0.5 / (1 - 0.114) and 0.5 / (1 - 0.299).
const CHROMA: [i16; 2] = [18492, 23372];

/// The samples of one component in an MCU row.
#[derive(Debug, Default)]
pub(super) struct Plane {
    /// Samples in a row: a multiple of [`GROUP`].
    stride: usize,
    /// Row after row.
    samples: Vec<i16>,
}

impl Plane {
    fn new(columns: usize, rows: usize) -> Self {
        let stride = columns.next_multiple_of(GROUP);
        Self { stride, samples: vec![0; stride * rows] }
    }

    /// Groups of blocks across.
    pub(super) const fn groups(&self) -> usize {
        self.stride / GROUP
    }

    /// The samples of group `group` in row `row` of blocks.
    #[inline(always)]
    pub(super) fn group(&self, row: usize, group: usize) -> [&[i16; GROUP]; BLOCK] {
        std::array::from_fn(|y| {
            let at = (row * BLOCK + y) * self.stride + group * GROUP;
            self.samples[at..].first_chunk().expect("rows are whole groups")
        })
    }

    fn row(&mut self, index: usize) -> &mut [i16] {
        &mut self.samples[index * self.stride..][..self.stride]
    }
}

/// The samples of an MCU row, and the buffers of their conversion.
pub(super) struct McuRow {
    layout: Layout,
    pub(super) planes: [Plane; 3],
    /// A row of pixels, extended to the width of a plane.
    pixels: Vec<u8>,
    /// Red, green and blue of that row, in the upper half of sixteen bits.
    wide: [Vec<u16>; 3],
    /// Blue and red less luma of the rows of pixels of one row of chroma.
    differences: [Plane; 2],
}

impl McuRow {
    pub(super) fn new(layout: Layout) -> Self {
        let columns = layout.mcus_across() * layout.mcu_size();
        let luma = Plane::new(columns, layout.mcu_size());
        let stride = luma.stride;
        let gray = layout.sampling == Sampling::Gray;
        let pixels = vec![0; stride * layout.components()];
        let wide = std::array::from_fn(|_| vec![0; if gray { 0 } else { stride }]);
        let chroma = || if gray { Plane::default() } else { Plane::new(columns / layout.factor(0), BLOCK) };
        let difference = || if gray { Plane::default() } else { Plane::new(columns, layout.factor(0)) };
        let differences = [difference(), difference()];
        Self { layout, planes: [luma, chroma(), chroma()], pixels, wide, differences }
    }

    /// Converts the pixels of MCU row `index`. Beyond the image its last row and column are repeated.
    #[inline(always)]
    pub(super) fn fill(&mut self, image: &Image8, index: usize) {
        let top = index * self.layout.mcu_size();
        if self.layout.sampling == Sampling::Gray {
            for y in 0..BLOCK {
                self.read::<1>(image, top + y);
                gray(&self.pixels, self.planes[0].row(y));
            }
            return;
        }
        let rows = self.layout.factor(0);
        for y in 0..BLOCK {
            for part in 0..rows {
                self.read::<3>(image, top + y * rows + part);
                widen(&self.pixels, &mut self.wide);
                let [blue, red] = &mut self.differences;
                colour(&self.wide, self.planes[0].row(y * rows + part), blue.row(part), red.row(part));
            }
            for ((plane, difference), factor) in
                self.planes[1..].iter_mut().zip(&self.differences).zip(CHROMA)
            {
                if rows == 1 {
                    full(&difference.samples, plane.row(y), factor);
                } else {
                    halved(&difference.samples, plane.row(y), factor);
                }
            }
        }
    }

    /// Reads row `y` of the image, or its last one.
    #[inline(always)]
    fn read<const CHANNELS: usize>(&mut self, image: &Image8, y: usize) {
        let length = self.layout.width * CHANNELS;
        let row = &image.samples[y.min(self.layout.height - 1) * length..][..length];
        let (inside, beyond) = self.pixels.split_at_mut(length);
        inside.copy_from_slice(row);
        let last = row.last_chunk::<CHANNELS>().expect("rows have pixels");
        beyond.as_chunks_mut().0.fill(*last);
    }
}

#[inline(always)]
fn gray(pixels: &[u8], luma: &mut [i16]) {
    for (luma, &value) in luma.iter_mut().zip(pixels) {
        *luma = (i16::from(value) - 128) << FRACTION;
    }
}

/// Deinterleaves red, green and blue.
///
/// A separate loop: merged with the following products, the compiler folds the shift into their factors, which
/// then do not fit 16 bits.
#[inline(always)]
fn widen(pixels: &[u8], [red, green, blue]: &mut [Vec<u16>; 3]) {
    for (((pixel, red), green), blue) in pixels.as_chunks::<3>().0.iter().zip(red).zip(green).zip(blue) {
        *red = u16::from(pixel[0]) << 8;
        *green = u16::from(pixel[1]) << 8;
        *blue = u16::from(pixel[2]) << 8;
    }
}

/// Luma, and blue and red less luma.
#[inline(always)]
fn colour([r, g, b]: &[Vec<u16>; 3], luma: &mut [i16], blue: &mut [i16], red: &mut [i16]) {
    for (((((&r, &g), &b), luma), blue), red) in r.iter().zip(g).zip(b).zip(luma).zip(blue).zip(red) {
        // 8 fractional bits in 16 bits, each product truncated; the one added compensates that.
        let part = |value: u16, weight: u32| ((u32::from(value) * weight) >> 16) as u16;
        let sum = part(r, LUMA[0]) + part(g, LUMA[1]) + part(b, LUMA[2]) + 1;
        let about_zero = |value: u16| (value >> (8 - FRACTION)) as i16 - (128 << FRACTION);
        let y = about_zero(sum + (1 << (7 - FRACTION)));
        *luma = y;
        *blue = about_zero(b) - y;
        *red = about_zero(r) - y;
    }
}

/// Differences to a row of chroma at full resolution.
#[inline(always)]
fn full(differences: &[i16], chroma: &mut [i16], factor: i16) {
    for (chroma, &difference) in chroma.iter_mut().zip(differences) {
        *chroma = scaled(2 * difference, factor);
    }
}

/// Two rows of differences to a row of chroma: the mean of each four.
#[inline(always)]
fn halved(differences: &[i16], chroma: &mut [i16], factor: i16) {
    let (upper, lower) = differences.split_at(differences.len() / 2);
    let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
    for (chroma, (&[a, b], &[c, d])) in chroma.iter_mut().zip(pairs) {
        *chroma = scaled(a + b + c + d, factor / 2);
    }
}

/// `value * factor / 65536`, truncated.
#[inline(always)]
fn scaled(value: i16, factor: i16) -> i16 {
    ((i32::from(value) * i32::from(factor)) >> 16) as i16
}
