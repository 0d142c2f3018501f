//! Rows of samples of each component, one MCU row at a time: components of lower resolution are interpolated to
//! the grid's, inks are converted to colours.

use fearless_simd::i16x16;
use fearless_simd::prelude::*;

use super::frame::{Component, Frame, SamplingRatio};
use super::idct::{self, Bounds, Coefficients, MIDDLE};
use super::variance::Variance;
use crate::colour::Cmyk;
use crate::error::Error;
use crate::header::Colour;
use crate::pixels::{Components, Row, RowSink};
use crate::simd::{Kernel, Lanes, SimdLevel, padded};

pub(super) struct Planes {
    level: SimdLevel,
    planes: Vec<Plane>,
    /// The variance within the samples of the first component.
    variance: Option<Variance>,
    colour: Colour,
    cmyk: Option<Cmyk>,
    inks: Vec<u8>,
    rgb: Vec<u8>,
    /// Columns and rows of the grid, and its rows in an MCU.
    size: (usize, usize),
    rows: usize,
    /// Rows that are interpolated with samples of the next MCU row.
    lag: usize,
    mcu_row: usize,
    emitted: usize,
    /// Whether samples are pixels.
    whole_codes: bool,
}

/// A component's samples of two MCU rows.
struct Plane {
    current: Vec<i16>,
    previous: Vec<i16>,
    stride: usize,
    /// Rows in an MCU row.
    rows: usize,
    /// Samples that hold image data.
    size: (usize, usize),
    ratio: (SamplingRatio, SamplingRatio),
    bounds: Bounds,
    /// A row at the grid's resolution.
    line: Vec<i16>,
    /// A row interpolated vertically, with one more sample at each end.
    between: Vec<i16>,
}

impl Planes {
    pub(super) fn new(
        frame: &Frame,
        colour: Colour,
        cmyk: Option<Cmyk>,
        level: SimdLevel,
        estimated: bool,
    ) -> Self {
        let mut planes: Vec<_> = frame.components.iter().map(|c| Plane::new(c, frame)).collect();
        let first = &frame.components[0];
        let full_resolution = first.ratio.0.is_one() && first.ratio.1.is_one();
        let reduced = first.block_samples != (8, 8);
        if full_resolution && reduced && cmyk.is_none() {
            // Interpolation and inks want code values.
            planes[0].bounds = Bounds::OVERSHOOT;
        }
        let blocks = (first.padded.0, first.factors.1);
        let variance = (full_resolution && reduced)
            .then(|| Variance::new(planes[0].stride, first.block_samples, blocks, estimated));
        let lag = frame
            .components
            .iter()
            .map(|c| if c.ratio.1.is_one() { 0 } else { c.ratio.1.grid.div_ceil(2 * c.ratio.1.own) });
        Self {
            level,
            variance,
            colour,
            cmyk,
            inks: Vec::new(),
            rgb: Vec::new(),
            size: frame.size,
            rows: frame.rows,
            lag: lag.max().unwrap_or(0),
            mcu_row: 0,
            emitted: 0,
            whole_codes: !reduced,
            planes,
        }
    }

    /// Whether the variance within samples is to be recorded.
    pub(super) fn records_variance(&self) -> bool {
        self.variance.as_ref().is_some_and(Variance::is_recorded)
    }

    /// Transforms the block in column `x` and row `y` (within the MCU row) of component `index` to samples. `steps` are
    /// multiplied with its coefficients, but for the first, which is `dc`.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "all parameters of a block; one inlined call")]
    pub(super) fn block<S: Lanes>(
        &mut self,
        simd: S,
        index: usize,
        block_samples: (usize, usize),
        (x, y): (usize, usize),
        dc: i32,
        flat: bool,
        block: &mut [i16; 64],
        steps: &[i16; 64],
    ) {
        let plane = &mut self.planes[index];
        let (stride, bounds) = (plane.stride, plane.bounds);
        let target = &mut plane.current[y * block_samples.1 * stride + x * block_samples.0..];
        if flat {
            return fill(block_samples, idct::flat(dc), target, stride);
        }
        block[0] = dc.clamp(-32768, 32767) as i16;
        let coefficients = Coefficients { block, steps };
        match block_samples {
            (8, 8) => idct::pixels(simd, coefficients, target, stride),
            (6, 6) => idct::samples::<S, 6, 6>(simd, coefficients, bounds, target, stride),
            (5, 5) => idct::samples::<S, 5, 5>(simd, coefficients, bounds, target, stride),
            (4, 4) => idct::samples::<S, 4, 4>(simd, coefficients, bounds, target, stride),
            (3, 3) => idct::samples::<S, 3, 3>(simd, coefficients, bounds, target, stride),
            (2, 2) => idct::samples::<S, 2, 2>(simd, coefficients, bounds, target, stride),
            (8, 4) => idct::samples::<S, 8, 4>(simd, coefficients, bounds, target, stride),
            (6, 3) => idct::samples::<S, 6, 3>(simd, coefficients, bounds, target, stride),
            (4, 2) => idct::samples::<S, 4, 2>(simd, coefficients, bounds, target, stride),
            (2, 1) => idct::samples::<S, 2, 1>(simd, coefficients, bounds, target, stride),
            _ => self.level.run(RareSize { block_samples, coefficients, bounds, target, stride }),
        }
        *block = [0; 64];
    }

    /// Sets the one sample of a block.
    #[inline(always)]
    pub(super) fn mean(&mut self, index: usize, (x, y): (usize, usize), dc: i32) {
        let plane = &mut self.planes[index];
        plane.current[y * plane.stride + x] = idct::mean(dc);
    }

    /// Records the variance within the samples of a block of the first component.
    #[inline(always)]
    pub(super) fn variance(&mut self, place: (usize, usize), variance: i16) {
        if let Some(recorded) = &mut self.variance {
            recorded.record(place, variance);
        }
    }

    /// Passes on the rows that are complete with this MCU row.
    pub(super) fn emit(&mut self, rows: &mut dyn RowSink) -> Result<(), Error> {
        if let Some(variance) = &mut self.variance {
            variance.distribute(self.level, &mut self.planes[0].current);
        }
        let decoded = (self.mcu_row + 1) * self.rows;
        let until = if decoded >= self.size.1 { self.size.1 } else { decoded - self.lag.min(decoded) };
        rows.batch(true);
        while self.emitted < until {
            self.emit_row(self.emitted, rows)?;
            self.emitted += 1;
        }
        rows.batch(false);
        self.mcu_row += 1;
        for plane in &mut self.planes {
            std::mem::swap(&mut plane.current, &mut plane.previous);
        }
        if let Some(variance) = &mut self.variance {
            variance.advance();
        }
        Ok(())
    }

    /// Passes on gray rows for the rest of the image.
    pub(super) fn emit_blank(&mut self, rows: &mut dyn RowSink) -> Result<(), Error> {
        while self.emitted < self.size.1 {
            for plane in &mut self.planes {
                plane.current.fill(MIDDLE);
            }
            if let Some(variance) = &mut self.variance {
                variance.clear();
            }
            self.emit(rows)?;
        }
        Ok(())
    }

    fn emit_row(&mut self, y: usize, rows: &mut dyn RowSink) -> Result<(), Error> {
        let (level, mcu_row, columns) = (self.level, self.mcu_row, self.size.0);
        for plane in &mut self.planes {
            plane.prepare(level, mcu_row, y, columns);
        }
        let line = |index: usize| self.planes.get(index).map_or(&[][..], |plane| plane.line(mcu_row, y));
        if let Some(cmyk) = &self.cmyk {
            self.inks.clear();
            let lines = [line(0), line(1), line(2), line(3)];
            self.inks.extend((0..columns).flat_map(|x| inks(self.colour, lines.map(|line| byte(line[x])))));
            self.rgb.resize(columns * 3, 0);
            cmyk.convert(&self.inks, &mut self.rgb);
            return rows.row(Row::U8(&self.rgb));
        }
        let variance = self.variance.as_ref().map_or(&[][..], |variance| variance.row(mcu_row, y));
        let ycc = self.colour == Colour::YCbCr;
        rows.row(Row::Components(Components {
            planes: [line(0), line(1), line(2)],
            ycc,
            whole_codes: self.whole_codes,
            variance,
        }))
    }
}

/// Fills the samples of a flat block: a constant number a row, so that each is a store or two.
#[inline(always)]
pub(super) fn fill((across, down): (usize, usize), value: i16, target: &mut [i16], stride: usize) {
    #[inline(always)]
    fn rows<const ACROSS: usize>(down: usize, value: i16, target: &mut [i16], stride: usize) {
        for row in target.chunks_mut(stride).take(down) {
            row[..ACROSS].copy_from_slice(&[value; ACROSS]);
        }
    }
    match across {
        8 => rows::<8>(down, value, target, stride),
        6 => rows::<6>(down, value, target, stride),
        5 => rows::<5>(down, value, target, stride),
        4 => rows::<4>(down, value, target, stride),
        3 => rows::<3>(down, value, target, stride),
        2 => rows::<2>(down, value, target, stride),
        _ => rows::<1>(down, value, target, stride),
    }
}

/// A block of samples that only unusual sampling factors lead to.
struct RareSize<'a> {
    block_samples: (usize, usize),
    coefficients: Coefficients<'a>,
    bounds: Bounds,
    target: &'a mut [i16],
    stride: usize,
}

impl Kernel for RareSize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { block_samples: (across, down), coefficients, bounds, target, stride } = self;
        // Square, and then samples left out: too rare for a variant of each shape.
        let side = across.max(down);
        let mut square = [0; 64];
        match side {
            8 => idct::samples::<S, 8, 8>(simd, coefficients, bounds, &mut square, 8),
            6 => idct::samples::<S, 6, 6>(simd, coefficients, bounds, &mut square, 8),
            5 => idct::samples::<S, 5, 5>(simd, coefficients, bounds, &mut square, 8),
            4 => idct::samples::<S, 4, 4>(simd, coefficients, bounds, &mut square, 8),
            3 => idct::samples::<S, 3, 3>(simd, coefficients, bounds, &mut square, 8),
            _ => idct::samples::<S, 2, 2>(simd, coefficients, bounds, &mut square, 8),
        }
        let part = |at: usize, count: usize| (at * side / count, ((at + 1) * side).div_ceil(count));
        for y in 0..down {
            for x in 0..across {
                // The mean of the samples that it covers.
                let ((left, right), (top, bottom)) = (part(x, across), part(y, down));
                let covered = (top..bottom).flat_map(|y| (left..right).map(move |x| y * 8 + x));
                let sum: i32 = covered.map(|at| i32::from(square[at])).sum();
                target[y * stride + x] = (sum / ((right - left) * (bottom - top)) as i32) as i16;
            }
        }
    }
}

impl Plane {
    fn new(component: &Component, frame: &Frame) -> Self {
        let stride = padded((component.padded.0 * component.block_samples.0).max(frame.size.0));
        let rows = component.block_samples.1 * component.factors.1;
        let ratio = component.ratio;
        let mut plane = Self { ratio, ..Self::sized(stride, rows, component.size) };
        if !(ratio.0.is_one() && ratio.1.is_one()) {
            plane.line = vec![0; padded(frame.size.0) + 2 * crate::simd::WIDTH];
            plane.between = vec![0; stride + 2 * crate::simd::WIDTH];
        }
        plane
    }

    fn sized(stride: usize, rows: usize, size: (usize, usize)) -> Self {
        let one = SamplingRatio { grid: 1, own: 1 };
        Self {
            current: vec![0; stride * rows],
            previous: vec![0; stride * rows],
            stride,
            rows,
            size,
            ratio: (one, one),
            bounds: Bounds::CODES,
            line: Vec::new(),
            between: Vec::new(),
        }
    }

    /// A row of samples of this MCU row or the one before.
    fn row(&self, mcu_row: usize, y: usize) -> &[i16] {
        let y = y.min(self.size.1.max(1) - 1);
        let samples = if y / self.rows == mcu_row { &self.current } else { &self.previous };
        &samples[y % self.rows * self.stride..][..self.stride]
    }

    /// Row `y` of the grid, after [`Self::prepare`].
    fn line(&self, mcu_row: usize, y: usize) -> &[i16] {
        if self.line.is_empty() { self.row(mcu_row, y) } else { &self.line }
    }

    /// Interpolates row `y` of the grid, if the component's resolution is lower.
    fn prepare(&mut self, level: SimdLevel, mcu_row: usize, y: usize, columns: usize) {
        if self.line.is_empty() {
            return;
        }
        let width = self.size.0;
        let mut between = std::mem::take(&mut self.between);
        let (near, far, share) = neighbours(self.ratio.1, y);
        let near_row = self.row(mcu_row, near);
        if share == 0 {
            between[1..=width].copy_from_slice(&near_row[..width]);
        } else {
            let far_row = self.row(mcu_row, far);
            let target = &mut between[1..=self.stride];
            level.run(Blend { near: near_row, far: far_row, share, target });
        }
        // The edge is repeated.
        between[0] = between[1];
        between[width + 1] = between[width];
        let ratio = self.ratio.0;
        if ratio.is_one() {
            self.line[..columns].copy_from_slice(&between[1..=columns]);
        } else if ratio.is_two() {
            level.run(UpsampleByTwo { samples: &between, line: &mut self.line });
        } else {
            for (x, sample) in self.line[..columns].iter_mut().enumerate() {
                let (near, far, share) = neighbours(ratio, x);
                let at = |index: usize| i32::from(between[1 + index.min(width - 1)]);
                *sample = ((at(near) * (16 - share) + at(far) * share + 8) >> 4) as i16;
            }
        }
        self.between = between;
    }
}

/// The component's sample nearest to sample `at` of the grid, the next nearest, and its share in sixteenths.
fn neighbours(ratio: SamplingRatio, at: usize) -> (usize, usize, i32) {
    // The middle of the sample, in the component's samples, from the middle of the first, times 32 grid.
    let middle = (2 * at as i64 + 1) * 16 * ratio.own as i64 - 16 * ratio.grid as i64;
    let unit = 32 * ratio.grid as i64;
    let (whole, rest) = (middle.div_euclid(unit), middle.rem_euclid(unit));
    let share = ((rest * 16 + unit / 2) / unit) as i32;
    let sample = |index: i64| index.max(0) as usize;
    if share <= 8 {
        (sample(whole), sample(whole + 1), share)
    } else {
        (sample(whole + 1), sample(whole), 16 - share)
    }
}

struct Blend<'a> {
    near: &'a [i16],
    far: &'a [i16],
    share: i32,
    target: &'a mut [i16],
}

impl Kernel for Blend<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        // Simple enough for the compiler to vectorise.
        let (near_share, far_share) = ((16 - self.share) as i16, self.share as i16);
        for ((target, &near), &far) in self.target.iter_mut().zip(self.near).zip(self.far) {
            // Halved sums of at most 4080 × 16 fit; the bit lost is 1/8 of a sixteenth.
            *target = ((near >> 1) * near_share + (far >> 1) * far_share + 4) >> 3;
        }
    }
}

/// Upsampling by two with the triangle filter: three parts of the nearer sample, one of the farther.
struct UpsampleByTwo<'a> {
    /// With a sample before the first.
    samples: &'a [i16],
    line: &'a mut [i16],
}

impl Kernel for UpsampleByTwo<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let mut at = 0;
        for target in self.line.chunks_exact_mut(32) {
            let Some(samples) = self.samples.get(at..at + 18) else { break };
            let (before, here, after) =
                (simd.load(samples), simd.load(&samples[1..]), simd.load(&samples[2..]));
            let here = here * 3 + i16x16::splat(simd, 2);
            let (low, high) = simd.interleave_i16x16((here + before) >> 2, (here + after) >> 2);
            low.store_slice(&mut target[..16]);
            high.store_slice(&mut target[16..]);
            at += 16;
        }
    }
}

/// A sample in 8 bits.
const fn byte(sample: i16) -> u8 {
    ((sample + 8) >> 4) as u8
}

/// Inks, 255 for full: Adobe stores them inverted, and in YCCK three of them as YCbCr.
fn inks(colour: Colour, [c, m, y, k]: [u8; 4]) -> [u8; 4] {
    if colour != Colour::Ycck {
        return [c, m, y, k].map(|ink| 255 - ink);
    }
    let (luma, cb, cr) = (i32::from(c), i32::from(m) - 128, i32::from(y) - 128);
    // ITU-T T.871, in 16-bit fixed point; the result is ink.
    let clamp = |v: i32| (v >> 16).clamp(0, 255) as u8;
    let base = (luma << 16) + (1 << 15);
    [clamp(base + 91_881 * cr), clamp(base - 22_554 * cb - 46_802 * cr), clamp(base + 116_130 * cb), 255 - k]
}
