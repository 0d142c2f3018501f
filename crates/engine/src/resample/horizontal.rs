//! The horizontal pass, and back from light: one row of boxes becomes one row of the small picture.

use fearless_simd::i32x8;
use fearless_simd::prelude::*;

use super::kernel::{ONE, Weights};
use crate::light::{LIGHT, encode};
use crate::pixels::{Model, Small};
use crate::simd::{Kernel, Lanes, SimdLevel, WIDTH, padded};

pub(super) struct Horizontal {
    model: Model,
    weights: Weights,
    /// A row in planes, each long enough for whole vectors of weights from any box on.
    planes: Vec<i16>,
    stride: usize,
    /// One row of sums: light with premultiplied alpha, a plane a channel.
    sums: Vec<i32>,
    samples: Vec<u16>,
}

impl Horizontal {
    pub(super) fn new(model: Model, weights: Weights, height: usize) -> Self {
        let longest = (0..weights.len()).map(|out| weights.window(out).0 + weights.window(out).1.len()).max();
        let stride = padded(longest.unwrap_or(0).max(weights.reach.boxes));
        let channels = model.channels();
        Self {
            model,
            planes: vec![0; stride * channels],
            stride,
            sums: vec![0; weights.len() * channels],
            samples: Vec::with_capacity(weights.len() * height * channels),
            weights,
        }
    }

    /// Takes a row of boxes: interleaved, or planes padded to whole vectors.
    pub(super) fn row(&mut self, level: SimdLevel, line: &[i16], interleaved: bool) {
        let channels = self.model.channels();
        let boxes = self.weights.reach.boxes;
        for (channel, plane) in self.planes.chunks_exact_mut(self.stride).enumerate() {
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
        let planes = self.planes.chunks_exact(self.stride);
        for (plane, sums) in planes.zip(self.sums.chunks_exact_mut(self.weights.len())) {
            level.run(Sums { weights: &self.weights, plane, sums });
        }
        encode_row(self.model, self.weights.len(), &self.sums, &mut self.samples);
    }

    pub(super) fn finish(self, height: usize) -> Small {
        Small { width: self.weights.len(), height, model: self.model, samples: self.samples }
    }
}

/// Appends a row of sums, light with premultiplied alpha and plane by plane, as 16-bit sRGB with straight
/// alpha.
pub(super) fn encode_row(model: Model, width: usize, sums: &[i32], samples: &mut Vec<u16>) {
    let channels = model.channels();
    let from = samples.len();
    samples.resize(from + width * channels, 0);
    let row = &mut samples[from..];
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

struct Sums<'a> {
    weights: &'a Weights,
    plane: &'a [i16],
    sums: &'a mut [i32],
}

impl Kernel for Sums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        for (out, sum) in self.sums.iter_mut().enumerate() {
            let (first, weights) = self.weights.window(out);
            let boxes = &self.plane[first..first + weights.len()];
            let mut total = i32x8::splat(simd, 0);
            for (boxes, weights) in boxes.chunks_exact(WIDTH).zip(weights.chunks_exact(WIDTH)) {
                total += simd.pairwise_dot_product_i16x16(simd.load(boxes), simd.load(weights));
            }
            let (low, high) = total.split();
            *sum = ((low + high).reduce_sum() + ONE / 2) >> 14;
        }
    }
}
