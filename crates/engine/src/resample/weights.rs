//! Weights: how much of each cell goes into each output pixel, along one axis.

use std::sync::LazyLock;

use crate::spec::Filter;

/// Boxes of several cells are averaged first, as long as so many are left for an output pixel; the
/// response of the box is then undone with the weights.
const LEFT: f64 = 3.0;
/// A picture has at most 65,535 pixels a side; more than that is never one cell.
const MAX_FACTOR: f64 = 32768.0;
/// Weights are in 2⁻¹⁴.
pub(crate) const ONE: i32 = 1 << 14;

/// The part of one axis to resample, in pixels of the picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) from: f64,
    pub(crate) length: f64,
    /// Pixels of the picture's axis.
    pub(crate) limit: u32,
    /// Pixels in a cell of the decoder's grid.
    pub(crate) cell: u32,
    /// Pixels to make.
    pub(crate) out: u32,
    pub(crate) filter: Filter,
    /// Whether cells may be averaged before the weights are applied.
    pub(crate) boxes: bool,
}

/// Which cells matter, and how many are averaged before the weights are applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    /// The first cell needed, and the one after the last.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Cells averaged into one.
    pub(crate) factor: usize,
    /// Number of such averages; the last may be of fewer.
    pub(crate) boxes: usize,
    /// Most boxes that one output pixel is made of.
    pub(crate) taps: usize,
}

impl Axis {
    fn ratio(self) -> f64 {
        self.length / f64::from(self.out)
    }

    /// Pixels in a box of `factor` cells.
    fn unit(self, factor: f64) -> f64 {
        f64::from(self.cell) * factor
    }

    /// Pixels to which the filter's unit is stretched; it never narrows below one box.
    fn stretch(self, factor: f64) -> f64 {
        self.ratio().max(self.unit(factor))
    }

    pub(crate) fn reach(self) -> Reach {
        let cell = f64::from(self.cell);
        let most = if self.boxes { MAX_FACTOR } else { 1.0 };
        let factor = (self.ratio() / (LEFT * cell)).floor().clamp(1.0, most);
        // One box more on each side, for undoing the box's response.
        let support = self.filter.support() * self.stretch(factor) + self.unit(factor);
        let start = ((self.from - support) / cell).floor().max(0.0);
        let last = (f64::from(self.limit) / cell).ceil();
        let end = ((self.from + self.length + support) / cell).ceil().min(last);
        let boxes = ((end - start) / factor).ceil().max(1.0);
        let taps = (2.0 * support / self.unit(factor)).ceil() + 1.0;
        Reach {
            start: start as usize,
            end: end as usize,
            factor: factor as usize,
            boxes: boxes as usize,
            taps: taps.min(boxes) as usize,
        }
    }
}

/// For each output pixel the boxes it is made of and their weights, which add up to [`ONE`].
pub(crate) struct Weights {
    pub(crate) reach: Reach,
    /// For each output pixel its first box and where its weights begin.
    windows: Vec<(usize, usize)>,
    weights: Vec<i16>,
}

impl Weights {
    /// Windows begin at a multiple of `start` and hold a multiple of `length` boxes; the weights of what
    /// is added are zero.
    pub(crate) fn new(axis: Axis, start: usize, length: usize) -> Self {
        let reach = axis.reach();
        let mut windows = Vec::with_capacity(axis.out as usize + 1);
        let mut weights =
            Vec::with_capacity(axis.out as usize * (reach.taps + start).next_multiple_of(length));
        let mut exact = Vec::with_capacity(reach.taps + 2);
        for out in 0..axis.out {
            let centre = axis.from + (f64::from(out) + 0.5) * axis.ratio();
            let first = window(axis, reach, centre, &mut exact);
            let lead = first % start;
            windows.push((first - lead, weights.len()));
            let from = weights.len();
            weights.resize(from + lead, 0);
            quantize(&exact, &mut weights);
            let taps = (weights.len() - from).next_multiple_of(length);
            weights.resize(from + taps, 0);
        }
        windows.push((reach.boxes, weights.len()));
        Self { reach, windows, weights }
    }

    /// The most bytes that the weights of `axis` take.
    pub(crate) fn memory(axis: Axis, length: u64) -> u64 {
        u64::from(axis.out) * ((axis.reach().taps as u64 + length * 2) * 2 + 16)
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

/// Appends weights that add up to [`ONE`]; what rounding leaves goes to the largest.
fn quantize(exact: &[f64], weights: &mut Vec<i16>) {
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
fn window(axis: Axis, reach: Reach, centre: f64, exact: &mut Vec<f64>) -> usize {
    let factor = reach.factor as f64;
    let (start, unit, stretch) = (axis.unit(reach.start as f64), axis.unit(factor), axis.stretch(factor));
    let limit = axis.unit(reach.end as f64).min(f64::from(axis.limit));
    let support = axis.filter.support() * stretch + if sharpens(axis, unit) { unit } else { 0.0 };
    let index = |at: f64| ((at - start) / unit).floor().clamp(0.0, reach.boxes as f64 - 1.0) as usize;
    let (first, last) = (index(centre - support), index(centre + support));
    exact.clear();
    exact.extend((first..=last).map(|index| {
        // The last box may reach past the picture: only what is inside counts.
        let left = start + index as f64 * unit;
        let right = (left + unit).min(limit);
        axis.filter.weight((left - centre) / stretch, (right - centre) / stretch) * (right - left)
    }));
    // A window cannot be all zero, except by a centre outside the picture; the nearest box then serves.
    if exact.iter().sum::<f64>().abs() < 1e-9 {
        exact.clear();
        exact.push(1.0);
        return index(centre);
    }
    if sharpens(axis, unit) {
        undo_box(exact, unit);
    }
    first
}

/// Whether the response of the boxes is to be undone: not where boxes are what was asked for.
fn sharpens(axis: Axis, unit: f64) -> bool {
    unit > 1.0 && axis.filter != Filter::Box
}

/// Undoes, to second order, what averaging over `unit` pixels does to low frequencies: a three-tap
/// sharpening over the boxes, folded into their weights. At the ends the edge is repeated.
fn undo_box(weights: &mut [f64], unit: f64) {
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

/// The Lanczos filter from 0 to 3. Interpolating between its steps is exact to 10⁻⁶, and much faster than
/// sines.
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
    fn weights_add_up_and_stay_in_the_picture() {
        for (from, length, limit, out) in [
            (0.0, 1000.0, 1000, 128),
            (10.5, 3.25, 100, 7),
            (0.0, 1.0, 1, 50),
            (0.0, 65_500.0, 65_500, 1),
            (0.0, 681.25, 682, 100),
        ] {
            for (filter, cell) in ALL.into_iter().flat_map(|filter| [1, 2, 4, 8].map(|cell| (filter, cell))) {
                for (start, multiple) in [(1, 16), (2, 2)] {
                    let axis = Axis { from, length, limit, cell, out, filter, boxes: true };
                    let weights = Weights::new(axis, start, multiple);
                    let mut before = 0;
                    for pixel in 0..weights.len() {
                        let (first, window) = weights.window(pixel);
                        assert!(
                            first >= before && first < weights.reach.boxes && first.is_multiple_of(start)
                        );
                        assert!(window.len() <= (weights.reach.taps + start).next_multiple_of(multiple));
                        assert_eq!(window.iter().map(|&weight| i32::from(weight)).sum::<i32>(), ONE);
                        let beyond = weights.reach.boxes - first;
                        assert!(window.iter().skip(beyond).all(|&weight| weight == 0));
                        before = first;
                    }
                    assert!(weights.reach.end <= limit.div_ceil(cell) as usize);
                }
            }
        }
    }

    #[test]
    fn one_to_one_is_the_identity() {
        for filter in [Filter::Lanczos3, Filter::CatmullRom, Filter::Box] {
            let weights = Weights::new(
                Axis { from: 0.0, length: 9.0, limit: 9, cell: 1, out: 9, filter, boxes: true },
                1,
                1,
            );
            for pixel in 0..9 {
                let (first, window) = weights.window(pixel);
                for (index, &weight) in window.iter().enumerate() {
                    assert_eq!(i32::from(weight), if first + index == pixel { ONE } else { 0 }, "{filter}");
                }
            }
        }
    }

    #[test]
    fn boxes_weigh_by_what_they_cover() {
        // Five pixels into two: each takes two and a half.
        let weights = Weights::new(
            Axis { from: 0.0, length: 5.0, limit: 5, cell: 1, out: 2, filter: Filter::Box, boxes: true },
            1,
            1,
        );
        let (first, window) = weights.window(0);
        assert_eq!((first, &window[..3]), (0, &[6554, 6553, 3277][..]));
    }
}
