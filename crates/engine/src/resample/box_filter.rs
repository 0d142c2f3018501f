//! Box filter: the means of boxes of samples.

use super::weights::Span;
use crate::light::LightRow;
use crate::simd::{Kernel, Lanes, SimdLevel, padded};

/// Sums rows by column, then columns by box.
pub(super) struct BoxFilter {
    channels: usize,
    across: Span,
    /// Column sums, in the layout of the rows.
    sums: Vec<i32>,
    rows: usize,
    /// The row of boxes, in planes.
    line: Vec<i16>,
    /// The distance between planes of the sums, and between neighbours.
    layout: (usize, usize),
}

impl BoxFilter {
    pub(super) fn new(channels: usize, across: Span) -> Self {
        let sums = vec![0; (across.end - across.start) * channels];
        let line = vec![0; padded(across.boxes) * channels];
        Self { channels, across, sums, rows: 0, line, layout: (0, 1) }
    }

    /// Rows added since the last [`Self::take`].
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn add(&mut self, level: SimdLevel, row: LightRow<'_>, columns: &std::ops::Range<usize>) {
        self.rows += 1;
        if row.step == 1 {
            self.layout = (columns.len(), 1);
            for (channel, sums) in self.sums.chunks_exact_mut(columns.len()).enumerate() {
                let samples = &row.samples[channel * row.plane + columns.start..];
                level.run(Add { sums, samples });
            }
        } else {
            self.layout = (1, self.channels);
            level.run(Add { sums: &mut self.sums, samples: &row.samples[columns.start * self.channels..] });
        }
    }

    /// The row of boxes, in planes padded to whole vectors; the sums are reset.
    pub(super) fn take(&mut self) -> &[i16] {
        let (plane, step) = self.layout;
        let Span { factor, boxes, .. } = self.across;
        let columns = self.across.end - self.across.start;
        let stride = padded(boxes);
        let whole = Reciprocal::new(factor * self.rows);
        // The last box may hold fewer columns.
        let rest = columns - (boxes - 1) * factor;
        let partial = Reciprocal::new(rest * self.rows);
        for channel in 0..self.channels {
            let sums = &self.sums[channel * plane..];
            let line = &mut self.line[channel * stride..][..boxes];
            for (index, mean) in line.iter_mut().enumerate() {
                let from = index * factor * step;
                let (count, reciprocal) =
                    if index + 1 == boxes { (rest, &partial) } else { (factor, &whole) };
                let column = sums[from..].iter().step_by(step).take(count);
                *mean = reciprocal.divide(column.map(|&sum| i64::from(sum)).sum());
            }
        }
        self.sums.fill(0);
        self.rows = 0;
        &self.line
    }
}

/// Division by a count, rounded, as a multiplication.
struct Reciprocal(i64);

impl Reciprocal {
    /// Sums are below 2¹⁵ × count, so that the product stays below 2⁵⁷.
    const BITS: u32 = 42;

    fn new(count: usize) -> Self {
        Self((1_i64 << Self::BITS) / count as i64 + 1)
    }

    fn divide(&self, sum: i64) -> i16 {
        ((sum * self.0 + (1 << (Self::BITS - 1))) >> Self::BITS) as i16
    }
}

struct Add<'a> {
    sums: &'a mut [i32],
    samples: &'a [i16],
}

impl Kernel for Add<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        // Simple enough for the compiler to vectorise.
        for (sum, &sample) in self.sums.iter_mut().zip(self.samples) {
            *sum += i32::from(sample);
        }
    }
}
