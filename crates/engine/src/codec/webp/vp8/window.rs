//! The rows of the frame that are still needed: those of two rows of macroblocks, reused in turn.

use super::predict::{LEFT, SECOND, STRIDE, Work};

/// Rows of one plane; a row's place is its number modulo their count, a power of two.
pub(super) struct Plane {
    pub(super) pixels: Vec<u8>,
    pub(super) stride: usize,
    rows: usize,
}

impl Plane {
    fn new(stride: usize, rows: usize) -> Self {
        Self { pixels: vec![0; stride * rows], stride, rows }
    }

    /// Where row `y` begins.
    #[inline(always)]
    pub(super) fn at(&self, y: usize) -> usize {
        (y & (self.rows - 1)) * self.stride
    }

    pub(super) fn row(&self, y: usize) -> &[u8] {
        &self.pixels[self.at(y)..][..self.stride]
    }
}

pub(super) struct Window {
    pub(super) luma: Plane,
    /// Cb and Cr, of half the resolution.
    pub(super) chroma: [Plane; 2],
}

impl Window {
    /// For rows of `macroblocks`.
    pub(super) fn new(macroblocks: usize) -> Self {
        let plane = || Plane::new(8 * macroblocks, 16);
        // Whole pairs of vectors, as rows are converted.
        Self { luma: Plane::new((16 * macroblocks).next_multiple_of(32), 32), chroma: [plane(), plane()] }
    }

    /// Stores macroblock (x, y).
    #[inline(always)]
    pub(super) fn store(&mut self, work: &Work, x: usize, y: usize) {
        for row in 0..16 {
            let at = self.luma.at(16 * y + row) + 16 * x;
            let source = &work.luma[(row + 1) * STRIDE + LEFT..][..16];
            self.luma.pixels[at..at + 16].copy_from_slice(source);
        }
        for row in 0..8 {
            for (plane, column) in self.chroma.iter_mut().zip([LEFT, SECOND]) {
                let at = plane.at(8 * y + row) + 8 * x;
                let source = &work.chroma[(row + 1) * STRIDE + column..][..8];
                plane.pixels[at..at + 8].copy_from_slice(source);
            }
        }
    }
}
