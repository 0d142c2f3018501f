//! Resampling of interlaced images, whose rows arrive in passes over the whole image.
//!
//! Resampling is linear, so every row is reduced across and added, weighted, to each output row that it has a
//! share in. Memory is that of the output, whatever the size of the source.

use super::horizontal::encode_row;
use super::weights::{Axis, Weights};
use crate::light::LightRow;
use crate::pixels::{Image16, Model, PassRow};

/// Bits of the sums below full light, 2¹⁴: many small shares are summed.
const FINE: u32 = 6;

pub(super) struct InterlacedResampler {
    model: Model,
    across: Weights,
    down: Weights,
    /// A row, reduced across, plane by plane.
    line: Vec<i32>,
    /// The output, row by row, of each row plane by plane.
    sums: Vec<i32>,
}

impl InterlacedResampler {
    pub(super) fn new((across, down): (Axis, Axis), model: Model) -> Self {
        let (across, down) = (Weights::new(across, 1, 1), Weights::new(down, 1, 1));
        let length = across.len() * model.channels();
        Self { model, line: vec![0; length], sums: vec![0; length * down.len()], across, down }
    }

    /// Takes a row of a pass.
    pub(super) fn row(&mut self, place: PassRow, row: LightRow<'_>) {
        let span = self.down.span;
        let Some(y) = (place.y as usize).checked_sub(span.start).filter(|&y| y < span.boxes) else {
            return;
        };
        self.reduce(place, row);
        // Windows begin and end in order.
        let begins = |out: usize| self.down.window(out).0;
        let ends = |out: usize| begins(out) + self.down.window(out).1.len();
        let mut out = partition(self.down.len(), |out| ends(out) <= y);
        while out < self.down.len() && begins(out) <= y {
            let (first, weights) = self.down.window(out);
            let weight = i64::from(weights[y - first]);
            let sums = &mut self.sums[out * self.line.len()..][..self.line.len()];
            for (sum, &value) in sums.iter_mut().zip(&self.line) {
                *sum += ((i64::from(value) * weight + (1 << 13)) >> 14) as i32;
            }
            out += 1;
        }
    }

    /// Reduces a row across.
    fn reduce(&mut self, place: PassRow, row: LightRow<'_>) {
        let (from, step) = (place.from as usize, place.step as usize);
        let width = self.across.len();
        for (channel, line) in self.line.chunks_exact_mut(width).enumerate() {
            for (out, value) in line.iter_mut().enumerate() {
                let (first, weights) = self.across.window(out);
                // The first pixel of the row at or after the window's first column.
                let column = self.across.span.start + first;
                let index = column.saturating_sub(from).div_ceil(step);
                let lead = from + index * step - column;
                let samples = row.samples[channel * row.plane..].iter().step_by(row.step).skip(index);
                let weights = weights.iter().skip(lead).step_by(step);
                let sum: i32 = weights
                    .zip(samples)
                    .map(|(&weight, &sample)| i32::from(weight) * i32::from(sample))
                    .sum();
                *value = sum >> (14 - FINE);
            }
        }
    }

    /// The resampled image.
    pub(super) fn finish(self) -> Image16 {
        let (width, height) = (self.across.len(), self.down.len());
        let mut samples = Vec::with_capacity(self.sums.len());
        let mut row = Vec::with_capacity(self.line.len());
        for sums in self.sums.chunks_exact(self.line.len()) {
            row.clear();
            row.extend(sums.iter().map(|sum| (sum + (1 << (FINE - 1))) >> FINE));
            encode_row(self.model, width, &row, &mut samples);
        }
        Image16 { width, height, model: self.model, samples }
    }
}

/// The first of `0..count` for which `before` is false.
fn partition(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
