//! The horizontal pass and the conversion from light: a row of boxes to a row of the resampled image.

use std::sync::Arc;

use fearless_simd::i32x8;
use fearless_simd::prelude::*;

use super::weights::{ONE, Weights};
use crate::light::{LIGHT, encoder};
use crate::pixels::{Image16, Model};
use crate::simd::{Kernel, Lanes, SimdLevel, WIDTH, array_from_fn, padded};

pub(super) struct Horizontal {
    model: Model,
    weights: Arc<Weights>,
    /// A row in planes, which are `stride` apart: long enough for whole vectors of weights from any box on.
    planes: Vec<i16>,
    stride: usize,
    /// One row of sums: light with premultiplied alpha, a plane a channel.
    sums: Vec<i32>,
    samples: Vec<u16>,
}

impl Horizontal {
    /// Appends its rows to `samples`, which is empty.
    pub(super) fn new(model: Model, weights: Arc<Weights>, samples: Vec<u16>) -> Self {
        let longest = (0..weights.len()).map(|out| weights.window(out).0 + weights.window(out).1.len()).max();
        let stride = padded(longest.unwrap_or(0).max(weights.span.boxes));
        let channels = model.channels();
        Self { model, planes: Vec::new(), stride, sums: vec![0; weights.len() * channels], samples, weights }
    }

    /// The distance of planes that [`Self::planes`] takes.
    pub(super) const fn stride(&self) -> usize {
        self.stride
    }

    /// Takes a row of boxes: interleaved, or planes padded to whole vectors.
    pub(super) fn row(&mut self, level: SimdLevel, line: &[i16], interleaved: bool) {
        let channels = self.model.channels();
        let boxes = self.weights.span.boxes;
        let mut planes = std::mem::take(&mut self.planes);
        planes.resize(self.stride * channels, 0);
        for (channel, plane) in planes.chunks_exact_mut(self.stride).enumerate() {
            if interleaved {
                for (target, &sample) in
                    plane[..boxes].iter_mut().zip(line[channel..].iter().step_by(channels))
                {
                    *target = sample;
                }
            } else {
                plane[..boxes].copy_from_slice(&line[channel * padded(boxes)..][..boxes]);
            }
        }
        self.planes(level, &planes);
        self.planes = planes;
    }

    /// Takes a row of boxes in planes [`Self::stride`] apart. What follows the boxes has no weight.
    pub(super) fn planes(&mut self, level: SimdLevel, planes: &[i16]) {
        let Self { weights, stride, sums, .. } = self;
        level.run(Sums { weights, planes, stride: *stride, sums });
        encode_row(self.model, self.weights.len(), &self.sums, &mut self.samples);
    }

    pub(super) fn finish(self, height: usize) -> Image16 {
        Image16 { width: self.weights.len(), height, model: self.model, samples: self.samples }
    }
}

/// Appends a row of sums, light with premultiplied alpha and plane by plane, as 16-bit sRGB with straight
/// alpha.
pub(super) fn encode_row(model: Model, width: usize, sums: &[i32], samples: &mut Vec<u16>) {
    let channels = model.channels();
    let from = samples.len();
    samples.resize(from + width * channels, 0);
    let row = &mut samples[from..];
    let encode = encoder();
    if model == Model::Rgb {
        let (red, rest) = sums.split_at(width);
        let (green, blue) = rest.split_at(width);
        for (((pixel, &r), &g), &b) in row.as_chunks_mut().0.iter_mut().zip(red).zip(green).zip(blue) {
            *pixel = [encode(r), encode(g), encode(b)];
        }
        return;
    }
    if !model.has_alpha() {
        for (channel, sums) in sums.chunks_exact(width).enumerate() {
            for (sample, &sum) in row[channel..].iter_mut().step_by(channels).zip(sums) {
                *sample = encode(sum);
            }
        }
        return;
    }
    let (colours, opacities) = sums.split_at((channels - 1) * width);
    for (x, (pixel, &opacity)) in row.chunks_exact_mut(channels).zip(opacities).enumerate() {
        let opacity = opacity.clamp(0, LIGHT);
        for (channel, sample) in pixel[..channels - 1].iter_mut().enumerate() {
            let light = colours[channel * width + x].clamp(0, LIGHT);
            *sample = (light * LIGHT + opacity / 2).checked_div(opacity).map_or(0, encode);
        }
        pixel[channels - 1] = ((opacity * 65535 + LIGHT / 2) / LIGHT) as u16;
    }
}

/// The weighted sums of a row, of all planes.
struct Sums<'a> {
    weights: &'a Weights,
    planes: &'a [i16],
    stride: usize,
    sums: &'a mut [i32],
}

impl Kernel for Sums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        match self.planes.len() / self.stride {
            1 => self.channels::<S, 1>(simd),
            2 => self.channels::<S, 2>(simd),
            3 => self.channels::<S, 3>(simd),
            _ => self.channels::<S, 4>(simd),
        }
    }
}

impl Sums<'_> {
    /// Of all channels at once, because they share their weights.
    #[inline(always)]
    fn channels<S: Lanes, const CHANNELS: usize>(self, simd: S) {
        let Self { weights, planes, stride, sums } = self;
        let width = weights.len();
        let mut planes = planes.chunks_exact(stride);
        let planes: [&[i16]; CHANNELS] = std::array::from_fn(|_| planes.next().unwrap_or_default());
        let mut sums = sums.chunks_exact_mut(width);
        let mut sums: [&mut [i32]; CHANNELS] = std::array::from_fn(|_| sums.next().unwrap_or_default());
        for out in 0..width {
            let (first, window) = weights.window(out);
            let boxes: [&[i16]; CHANNELS] =
                array_from_fn(|channel| &planes[channel][first..first + window.len()]);
            let mut totals = [i32x8::splat(simd, 0); CHANNELS];
            for (at, weights) in window.chunks_exact(WIDTH).enumerate() {
                let weights = simd.load(weights);
                for (total, boxes) in totals.iter_mut().zip(boxes) {
                    *total += simd.pairwise_dot_product_i16x16(simd.load(&boxes[at * WIDTH..]), weights);
                }
            }
            let totals = reduced(simd, totals);
            for (sums, total) in sums.iter_mut().zip(totals) {
                sums[out] = (total + ONE / 2) >> 14;
            }
        }
    }
}

/// The sums of the lanes of up to four vectors.
#[inline(always)]
fn reduced<S: Lanes, const N: usize>(simd: S, vectors: [i32x8<S>; N]) -> [i32; N] {
    let vector = |index: usize| vectors.get(index).copied().unwrap_or_else(|| i32x8::splat(simd, 0));
    // Interleaved, so that one addition serves two vectors, and then four.
    let pair = |a: usize| {
        let (low, high) = simd.interleave_i32x8(vector(a), vector(a + 1));
        let (low, high) = (low + high).split();
        low + high
    };
    let sums = if N > 2 {
        let (low, high) = simd.interleave_i32x4(pair(0), pair(2));
        let sums = low + high;
        let sums = sums.as_slice();
        [sums[0], sums[2], sums[1], sums[3]]
    } else {
        let sums = pair(0);
        let sums = sums.as_slice();
        [sums[0] + sums[2], sums[1] + sums[3], 0, 0]
    };
    array_from_fn(|index| sums[index])
}
