//! Resampling weights along one axis: the share of each sample in each output pixel.

use std::sync::{Arc, LazyLock};

use crate::spec::Filter;

/// Samples are first averaged in boxes that leave at least so many for an output pixel; the weights then
/// compensate the response of the box.
const MIN_BOXES_PER_PIXEL: f64 = 3.0;
/// An image has at most 65,535 pixels a side; a box never covers more.
const MAX_FACTOR: f64 = 32768.0;
/// Weights are in 2⁻¹⁴.
pub(crate) const ONE: i32 = 1 << 14;

/// The part of one axis to resample, in samples of the decoder's grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Axis {
    pub(crate) from: f64,
    pub(crate) length: f64,
    /// Where the image ends, perhaps within the last sample.
    pub(crate) limit: f64,
    /// Output pixels.
    pub(crate) out: u32,
    pub(crate) filter: Filter,
    /// Whether samples may be averaged before the weights are applied.
    pub(crate) boxes: bool,
}

/// The samples that are used, and how many are averaged before the weights are applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// The first sample used, and the one after the last.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Samples averaged into a box.
    pub(crate) factor: usize,
    /// Number of boxes; the last may cover fewer samples.
    pub(crate) boxes: usize,
    /// Most boxes in the window of an output pixel.
    pub(crate) taps: usize,
}

impl Axis {
    fn ratio(self) -> f64 {
        self.length / f64::from(self.out)
    }

    /// Samples to which the filter's unit is stretched; it never narrows below one box.
    fn stretch(self, factor: f64) -> f64 {
        self.ratio().max(factor)
    }

    pub(crate) fn span(self) -> Span {
        let limit = if self.boxes { MAX_FACTOR } else { 1.0 };
        let factor = (self.ratio() / MIN_BOXES_PER_PIXEL).floor().clamp(1.0, limit);
        // One more box on each side, to compensate the box's response.
        let support = self.filter.support() * self.stretch(factor) + factor;
        let start = (self.from - support).floor().max(0.0);
        let end = (self.from + self.length + support).ceil().min(self.limit.ceil());
        let boxes = ((end - start) / factor).ceil().max(1.0);
        let taps = (2.0 * support / factor).ceil() + 1.0;
        Span {
            start: start as usize,
            end: end as usize,
            factor: factor as usize,
            boxes: boxes as usize,
            taps: taps.min(boxes) as usize,
        }
    }
}

/// For each output pixel the window of boxes and their weights, whose sum is [`ONE`].
pub(crate) struct Weights {
    pub(crate) span: Span,
    /// For each output pixel its first box and where its weights begin.
    windows: Vec<(usize, usize)>,
    weights: Vec<i16>,
}

impl Weights {
    /// Windows begin at a multiple of `start` and hold a multiple of `length` boxes; boxes added for that have
    /// a weight of zero.
    pub(crate) fn new(axis: Axis, start: usize, length: usize) -> Self {
        let span = axis.span();
        let mut windows = Vec::with_capacity(axis.out as usize + 1);
        let mut weights =
            Vec::with_capacity(axis.out as usize * (span.taps + start).next_multiple_of(length));
        let mut exact = Vec::with_capacity(span.taps + 2);
        for out in 0..axis.out {
            let centre = axis.from + (f64::from(out) + 0.5) * axis.ratio();
            let first = window(axis, span, centre, &mut exact);
            let lead = first % start;
            windows.push((first - lead, weights.len()));
            let from = weights.len();
            weights.resize(from + lead, 0);
            quantise(&exact, &mut weights);
            let taps = (weights.len() - from).next_multiple_of(length);
            weights.resize(from + taps, 0);
        }
        windows.push((span.boxes, weights.len()));
        Self { span, windows, weights }
    }

    /// Upper bound on the bytes that the weights of `axis` take.
    pub(crate) fn memory(axis: Axis, length: u64) -> u64 {
        u64::from(axis.out) * ((axis.span().taps as u64 + length * 2) * 2 + 16)
    }

    /// Output pixels.
    pub(crate) fn len(&self) -> usize {
        self.windows.len() - 1
    }

    /// The first box and the weights of output pixel `out`.
    #[inline]
    pub(crate) fn window(&self, out: usize) -> (usize, &[i16]) {
        let (first, from) = self.windows[out];
        (first, &self.weights[from..self.windows[out + 1].1])
    }
}

/// Weights used last, for a stream of images of few sizes.
#[derive(Default)]
pub(crate) struct WeightsCache(Vec<((Axis, usize, usize), Arc<Weights>)>);

impl WeightsCache {
    /// Two axes of a few sizes.
    const CAPACITY: usize = 16;
    /// Larger ones are not cached.
    const MAX_WEIGHTS: usize = 16 << 10;

    /// As [`Weights::new`].
    pub(crate) fn weights(&mut self, axis: Axis, start: usize, length: usize) -> Arc<Weights> {
        let key = (axis, start, length);
        if let Some(at) = self.0.iter().position(|(cached, _)| *cached == key) {
            self.0[..=at].rotate_right(1);
            return Arc::clone(&self.0[0].1);
        }
        let weights = Arc::new(Weights::new(axis, start, length));
        if weights.weights.len() <= Self::MAX_WEIGHTS {
            self.0.truncate(Self::CAPACITY - 1);
            self.0.insert(0, (key, Arc::clone(&weights)));
        }
        weights
    }
}

/// Appends weights whose sum is [`ONE`]; the remainder of rounding goes to the largest.
fn quantise(exact: &[f64], weights: &mut Vec<i16>) {
    let sum: f64 = exact.iter().sum();
    let from = weights.len();
    weights.extend(exact.iter().map(|weight| nearest(weight / sum * f64::from(ONE))));
    let added = &mut weights[from..];
    let rest = ONE - added.iter().map(|&weight| i32::from(weight)).sum::<i32>();
    if let Some(largest) = added.iter_mut().max_by_key(|weight| **weight) {
        *largest = (i32::from(*largest) + rest) as i16;
    }
}

/// The nearest whole number of a small one; `f64::round` is a call where the baseline has no instruction.
fn nearest(value: f64) -> i16 {
    ((value + 32768.5) as i32 - 32768) as i16
}

/// Fills `exact` with the weights of the boxes around `centre`; returns the first box.
fn window(axis: Axis, span: Span, centre: f64, exact: &mut Vec<f64>) -> usize {
    let factor = span.factor as f64;
    let (start, unit, stretch) = (span.start as f64, factor, axis.stretch(factor));
    let limit = (span.end as f64).min(axis.limit);
    let support = axis.filter.support() * stretch + if compensates(axis, unit) { unit } else { 0.0 };
    let index = |at: f64| ((at - start) / unit).floor().clamp(0.0, span.boxes as f64 - 1.0) as usize;
    let (first, last) = (index(centre - support), index(centre + support));
    exact.clear();
    exact.extend((first..=last).map(|index| {
        // The last box may extend past the image: only the part inside counts.
        let left = start + index as f64 * unit;
        let right = (left + unit).min(limit);
        axis.filter.weight((left - centre) / stretch, (right - centre) / stretch) * (right - left)
    }));
    // All weights are zero only if the centre is outside the image; the nearest box is then used.
    if exact.iter().sum::<f64>().abs() < 1e-9 {
        exact.clear();
        exact.push(1.0);
        return index(centre);
    }
    if compensates(axis, unit) {
        compensate_box(exact, unit);
    }
    first
}

/// Whether the response of the boxes is compensated: not for the box filter.
fn compensates(axis: Axis, unit: f64) -> bool {
    unit > 1.0 && axis.filter != Filter::Box
}

/// Compensates, to second order, the response of a mean over `unit` samples at low frequencies: a three-tap
/// sharpening over the boxes, folded into their weights. At the ends the edge is repeated.
fn compensate_box(weights: &mut [f64], unit: f64) {
    let side = (1.0 - 1.0 / (unit * unit)) / 24.0;
    let mut before = weights[0];
    for index in 0..weights.len() {
        let here = weights[index];
        let after = weights.get(index + 1).copied().unwrap_or(here);
        weights[index] = here + side * (2.0 * here - before - after);
        before = here;
    }
}

impl Filter {
    /// Half the filter's width.
    pub(crate) const fn support(self) -> f64 {
        match self {
            Self::Lanczos3 => 3.0,
            Self::CatmullRom | Self::Mitchell => 2.0,
            Self::Box => 0.5,
        }
    }

    /// The filter's mean over a box from `left` to `right`, or for all but the box filter its value in
    /// the middle.
    fn weight(self, left: f64, right: f64) -> f64 {
        let x = f64::midpoint(left, right).abs();
        match self {
            Self::Lanczos3 => lanczos(x),
            Self::CatmullRom => cubic(x, 0.0, 0.5),
            Self::Mitchell => cubic(x, 1.0 / 3.0, 1.0 / 3.0),
            Self::Box => (right.min(0.5) - left.max(-0.5)).max(0.0) / (right - left),
        }
    }
}

/// The cubics of Mitchell and Netravali (1988), with their parameters B and C.
fn cubic(x: f64, b: f64, c: f64) -> f64 {
    let value = if x < 1.0 {
        ((12.0 - 9.0 * b - 6.0 * c) * x + (-18.0 + 12.0 * b + 6.0 * c)) * x * x + (6.0 - 2.0 * b)
    } else if x < 2.0 {
        (((-b - 6.0 * c) * x + (6.0 * b + 30.0 * c)) * x + (-12.0 * b - 48.0 * c)) * x + (8.0 * b + 24.0 * c)
    } else {
        0.0
    };
    value / 6.0
}

/// Steps of [`LANCZOS`] between whole numbers.
const STEPS: usize = 1024;

/// The Lanczos filter from 0 to 3. Interpolation between its steps is exact to 10⁻⁶.
static LANCZOS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    (0..=3 * STEPS + 1)
        .map(|step| {
            let x = step as f64 / STEPS as f64;
            let pi_x = std::f64::consts::PI * x;
            match step {
                0 => 1.0,
                _ if x >= 3.0 => 0.0,
                _ => 3.0 * sin_pi(x) * sin_pi(x / 3.0) / (pi_x * pi_x),
            }
        })
        .collect()
});

fn lanczos(x: f64) -> f64 {
    let at = x.min(3.0) * STEPS as f64;
    let (index, share) = (at as usize, at - (at as usize) as f64);
    LANCZOS[index] * (1.0 - share) + LANCZOS[index + 1] * share
}

/// sin(πx) by its Taylor series: only additions and multiplications, so the same on every machine.
fn sin_pi(x: f64) -> f64 {
    let turns = x.round();
    let angle = (x - turns) * std::f64::consts::PI;
    let square = angle * angle;
    let mut sum = 0.0;
    for n in (0..10).rev() {
        let n = f64::from(n);
        sum = 1.0 - sum * square / ((2.0 * n + 2.0) * (2.0 * n + 3.0));
    }
    let odd = turns.rem_euclid(2.0) != 0.0;
    if odd { -sum * angle } else { sum * angle }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Filter; 4] = [Filter::Lanczos3, Filter::CatmullRom, Filter::Mitchell, Filter::Box];

    #[test]
    fn sine_is_a_sine() {
        for step in -300..=300 {
            let x = f64::from(step) / 100.0;
            assert!((sin_pi(x) - (std::f64::consts::PI * x).sin()).abs() < 1e-12, "{x}");
        }
    }

    #[test]
    fn weights_sum_to_one_within_the_image() {
        for (from, length, limit, out) in [
            (0.0, 1000.0, 1000.0, 128),
            (10.5, 3.25, 100.0, 7),
            (0.0, 1.0, 1.0, 50),
            (0.0, 0.125, 0.125, 1),
            (0.0, 65_500.0, 65_500.0, 1),
            (0.0, 681.25, 681.25, 100),
            (0.0, 255.375, 255.375, 100),
        ] {
            for filter in ALL {
                for (start, multiple) in [(1, 16), (2, 2)] {
                    let axis = Axis { from, length, limit, out, filter, boxes: true };
                    let weights = Weights::new(axis, start, multiple);
                    let mut before = 0;
                    for pixel in 0..weights.len() {
                        let (first, window) = weights.window(pixel);
                        assert!(first >= before && first < weights.span.boxes && first.is_multiple_of(start));
                        assert!(window.len() <= (weights.span.taps + start).next_multiple_of(multiple));
                        assert_eq!(window.iter().map(|&weight| i32::from(weight)).sum::<i32>(), ONE);
                        let beyond = weights.span.boxes - first;
                        assert!(window.iter().skip(beyond).all(|&weight| weight == 0));
                        before = first;
                    }
                    assert!(weights.span.end <= limit.ceil() as usize);
                }
            }
        }
    }

    #[test]
    fn one_to_one_is_the_identity() {
        for filter in [Filter::Lanczos3, Filter::CatmullRom, Filter::Box] {
            let weights =
                Weights::new(Axis { from: 0.0, length: 9.0, limit: 9.0, out: 9, filter, boxes: true }, 1, 1);
            for pixel in 0..9 {
                let (first, window) = weights.window(pixel);
                for (index, &weight) in window.iter().enumerate() {
                    assert_eq!(i32::from(weight), if first + index == pixel { ONE } else { 0 }, "{filter}");
                }
            }
        }
    }

    #[test]
    fn box_weights_are_proportional_to_coverage() {
        // Five pixels into two: each takes two and a half.
        let weights = Weights::new(
            Axis { from: 0.0, length: 5.0, limit: 5.0, out: 2, filter: Filter::Box, boxes: true },
            1,
            1,
        );
        let (first, window) = weights.window(0);
        assert_eq!((first, &window[..3]), (0, &[6554, 6553, 3277][..]));
    }
}
