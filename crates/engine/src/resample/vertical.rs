//! The vertical pass: rows are buffered in interleaved pairs, so that one instruction multiplies both with their
//! weights and adds the products.

use std::collections::VecDeque;

use fearless_simd::prelude::*;
use fearless_simd::{i16x16, i32x8};

use super::weights::ONE;
use crate::simd::{Kernel, Lanes, SimdLevel, WIDTH};

pub(super) struct Vertical {
    /// Samples in a row; whole vectors.
    length: usize,
    /// The even row of an incomplete pair.
    even: Option<Vec<i16>>,
    /// The odd row of the pair, and buffers for reuse.
    odd: Vec<i16>,
    spare: Vec<Vec<i16>>,
    /// Buffered pairs; the first is pair `dropped`.
    pairs: VecDeque<Vec<i16>>,
    dropped: usize,
    ended: bool,
    line: Vec<i16>,
}

impl Vertical {
    /// For rows of `length` samples, which must be whole vectors.
    pub(super) fn new(length: usize) -> Self {
        Self {
            length,
            even: None,
            odd: vec![0; length],
            spare: Vec::new(),
            pairs: VecDeque::new(),
            dropped: 0,
            ended: false,
            line: vec![0; length],
        }
    }

    /// Takes the next row.
    pub(super) fn push(&mut self, level: SimdLevel, row: &[i16]) {
        self.push_with(level, |line| line.copy_from_slice(row));
    }

    /// Takes the next row, written by `write` into a buffer with stale contents.
    pub(super) fn push_with(&mut self, level: SimdLevel, write: impl FnOnce(&mut [i16])) {
        if self.even.is_some() {
            write(&mut self.odd);
            self.pair(level);
        } else {
            let mut row = self.spare.pop().unwrap_or_else(|| vec![0; self.length * 2]);
            write(&mut row[..self.length]);
            self.even = Some(row);
        }
    }

    /// Marks the end of the rows.
    pub(super) fn end(&mut self, level: SimdLevel) {
        if self.even.is_some() {
            self.odd.fill(0);
            self.pair(level);
        }
        self.ended = true;
    }

    fn pair(&mut self, level: SimdLevel) {
        let Some(even) = self.even.take() else { return };
        let mut pair = self.spare.pop().unwrap_or_else(|| vec![0; self.length * 2]);
        level.run(Interleave { even: &even[..self.length], odd: &self.odd, pair: &mut pair });
        self.spare.push(even);
        self.pairs.push_back(pair);
    }

    /// The weighted sum of rows from `first` on, which must be even and never decrease; `None` if a row
    /// is still missing.
    pub(super) fn combine(&mut self, level: SimdLevel, first: usize, weights: &[i16]) -> Option<&[i16]> {
        let (from, count) = (first / 2, weights.len() / 2);
        while self.dropped < from
            && let Some(pair) = self.pairs.pop_front()
        {
            self.spare.push(pair);
            self.dropped += 1;
        }
        let available = self.pairs.len();
        if (count > available && !self.ended) || self.dropped < from {
            return None;
        }
        // After the end only rows with a weight of zero are missing.
        let pairs = &self.pairs.make_contiguous()[..count.min(available)];
        level.run(Combine { pairs, weights, line: &mut self.line });
        Some(&self.line)
    }
}

struct Interleave<'a> {
    even: &'a [i16],
    odd: &'a [i16],
    pair: &'a mut [i16],
}

impl Kernel for Interleave<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let rows = self.even.chunks_exact(WIDTH).zip(self.odd.chunks_exact(WIDTH));
        for ((even, odd), pair) in rows.zip(self.pair.chunks_exact_mut(2 * WIDTH)) {
            let (low, high) = simd.interleave_i16x16(simd.load(even), simd.load(odd));
            low.store_slice(&mut pair[..WIDTH]);
            high.store_slice(&mut pair[WIDTH..]);
        }
    }
}

struct Combine<'a> {
    pairs: &'a [Vec<i16>],
    weights: &'a [i16],
    line: &'a mut [i16],
}

impl Kernel for Combine<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { pairs, weights, line } = self;
        // Several vectors at a time, so that a weight is broadcast once for all of them.
        let mut chunks = line.chunks_exact_mut(4 * WIDTH);
        let mut at = 0;
        for target in &mut chunks {
            combine::<S, 4>(simd, pairs, weights, at, target);
            at += 8 * WIDTH;
        }
        for target in chunks.into_remainder().chunks_exact_mut(WIDTH) {
            combine::<S, 1>(simd, pairs, weights, at, target);
            at += 2 * WIDTH;
        }
    }
}

/// The weighted sums of `N` vectors, which begin at `at` in the pairs.
#[inline(always)]
fn combine<S: Lanes, const N: usize>(
    simd: S,
    pairs: &[Vec<i16>],
    weights: &[i16],
    at: usize,
    target: &mut [i16],
) {
    let mut sums = [[i32x8::splat(simd, ONE / 2); 2]; N];
    for (pair, weights) in pairs.iter().zip(weights.as_chunks::<2>().0) {
        let [even, odd] = weights.map(|weight| weight as u16);
        let both = u32::from(even) | u32::from(odd) << 16;
        let weights: i16x16<S> = i32x8::splat(simd, both as i32).bitcast();
        let samples = &pair[at..at + 2 * WIDTH * N];
        for (sums, samples) in sums.iter_mut().zip(samples.chunks_exact(2 * WIDTH)) {
            sums[0] += simd.pairwise_dot_product_i16x16(simd.load(samples), weights);
            sums[1] += simd.pairwise_dot_product_i16x16(simd.load(&samples[WIDTH..]), weights);
        }
    }
    for ([low, high], target) in sums.into_iter().zip(target.chunks_exact_mut(WIDTH)) {
        simd.saturating_narrow_i32x8(low >> 14, high >> 14).store_slice(target);
    }
}
