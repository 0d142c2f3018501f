//! The weights along one axis: a box reduction by a whole factor, then Lanczos over its cells.

/// Lobes of the Lanczos window.
const LOBES: f64 = 3.0;
/// The ratio that the box reduction leaves for Lanczos, at least: enough that the box costs no
/// visible sharpness.
const LEFT: f64 = 3.0;
/// A box sums 16-bit samples in 32 bits.
const MAX_FACTOR: f64 = 32768.0;

/// How far an axis reaches into the source, and in which steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// First source pixel needed.
    pub(crate) start: usize,
    /// One past the last source pixel needed.
    pub(crate) end: usize,
    /// Source pixels in a cell.
    pub(crate) factor: usize,
    /// Number of cells; the last may be incomplete.
    pub(crate) cells: usize,
    /// Most cells that one output pixel is made of.
    pub(crate) taps: usize,
    /// Most output pixels that are under way at once.
    pub(crate) active: usize,
}

/// The part of one axis to resample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) from: f64,
    pub(crate) length: f64,
    /// Pixels of the source axis.
    pub(crate) limit: u32,
    /// Pixels to make.
    pub(crate) out: u32,
}

impl Axis {
    fn ratio(self) -> f64 {
        self.length / f64::from(self.out)
    }

    /// The half width of the window in source pixels; it never narrows below one-to-one.
    fn support(self) -> f64 {
        LOBES * self.ratio().max(1.0)
    }

    pub(crate) fn reach(self) -> Reach {
        let factor = (self.ratio() / LEFT).floor().clamp(1.0, MAX_FACTOR);
        let start = (self.from - self.support()).floor().max(0.0);
        let end = (self.from + self.length + self.support()).ceil().min(f64::from(self.limit));
        let cells = ((end - start) / factor).ceil().max(1.0);
        let taps = (2.0 * self.support() / factor).ceil() + 1.0;
        let active = (2.0 * self.support() / self.ratio()).ceil() + 2.0;
        Reach {
            start: start as usize,
            end: end as usize,
            factor: factor as usize,
            cells: cells as usize,
            taps: taps.min(cells) as usize,
            active: active.min(f64::from(self.out)) as usize,
        }
    }
}

/// For each output pixel, the cells it is made of and their weights, which add up to 1.
pub(crate) struct Kernel {
    pub(crate) reach: Reach,
    windows: Vec<(usize, usize)>,
    weights: Vec<f32>,
}

impl Kernel {
    pub(crate) fn new(axis: Axis) -> Self {
        let reach = axis.reach();
        let mut windows = Vec::with_capacity(axis.out as usize + 1);
        let mut weights = Vec::with_capacity(axis.out as usize * reach.taps);
        let mut exact = Vec::with_capacity(reach.taps);
        for out in 0..axis.out {
            let centre = axis.from + (f64::from(out) + 0.5) * axis.ratio();
            let first = window(axis, reach, centre, &mut exact);
            let sum: f64 = exact.iter().sum();
            windows.push((first, weights.len()));
            weights.extend(exact.iter().map(|weight| (weight / sum) as f32));
        }
        windows.push((reach.cells, weights.len()));
        Self { reach, windows, weights }
    }

    /// Output pixels.
    pub(crate) fn len(&self) -> usize {
        self.windows.len() - 1
    }

    /// The first cell and the weights of output pixel `out`.
    pub(crate) fn window(&self, out: usize) -> (usize, &[f32]) {
        let (first, from) = self.windows[out];
        (first, &self.weights[from..self.windows[out + 1].1])
    }
}

/// Fills `exact` with the weights of the cells around `centre`; returns the first cell.
fn window(axis: Axis, reach: Reach, centre: f64, exact: &mut Vec<f64>) -> usize {
    let (start, factor) = (reach.start as f64, reach.factor as f64);
    let cell = |at: f64| ((at - start) / factor).floor().clamp(0.0, reach.cells as f64 - 1.0) as usize;
    let (first, last) = (cell(centre - axis.support()), cell(centre + axis.support()));
    let scale = axis.ratio().max(1.0);
    exact.clear();
    exact.extend((first..=last).map(|index| {
        let left = start + index as f64 * factor;
        let width = factor.min(reach.end as f64 - left);
        lanczos((left + width / 2.0 - centre) / scale) * width
    }));
    // A window cannot be all zero, except by a centre outside the picture; the nearest cell then serves.
    if exact.iter().sum::<f64>().abs() < 1e-9 {
        exact.clear();
        exact.push(1.0);
        return cell(centre);
    }
    first
}

fn lanczos(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    if x.abs() >= LOBES {
        return 0.0;
    }
    let pi_x = std::f64::consts::PI * x;
    LOBES * sin_pi(x) * sin_pi(x / LOBES) / (pi_x * pi_x)
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

    #[test]
    fn sine_is_a_sine() {
        for step in -300..=300 {
            let x = f64::from(step) / 100.0;
            assert!((sin_pi(x) - (std::f64::consts::PI * x).sin()).abs() < 1e-12, "{x}");
        }
    }

    #[test]
    fn weights_add_up_and_stay_in_the_picture() {
        for (from, length, limit, out) in
            [(0.0, 1000.0, 1000, 128), (10.5, 3.25, 100, 7), (0.0, 1.0, 1, 50), (0.0, 65_500.0, 65_500, 1)]
        {
            let kernel = Kernel::new(Axis { from, length, limit, out });
            let mut before = 0;
            for pixel in 0..kernel.len() {
                let (first, weights) = kernel.window(pixel);
                assert!(first >= before && first + weights.len() <= kernel.reach.cells);
                assert!(weights.len() <= kernel.reach.taps, "{} taps", weights.len());
                assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-4);
                before = first;
            }
            assert!(kernel.reach.end <= limit as usize);
        }
    }

    #[test]
    fn one_to_one_is_the_identity() {
        let kernel = Kernel::new(Axis { from: 0.0, length: 9.0, limit: 9, out: 9 });
        for pixel in 0..9 {
            let (first, weights) = kernel.window(pixel);
            for (index, &weight) in weights.iter().enumerate() {
                let expected = if first + index == pixel { 1.0 } else { 0.0 };
                assert!((weight - expected).abs() < 1e-7);
            }
        }
    }
}
