//! Coefficients of a picture whose data comes in several scans: of each block those that the scale needs,
//! not yet multiplied with their quantisation steps, and which ones are not zero.

use super::frame::Frame;
use super::huffman::NATURAL;

pub(super) struct Store {
    pub(super) planes: Vec<StoredPlane>,
    /// For each block of the first component the variance within its cells, where known.
    variance: Vec<i16>,
}

pub(super) struct StoredPlane {
    /// Blocks across and down.
    pub(super) blocks: (usize, usize),
    /// Coefficients kept of a block: from index 0 of the zigzag sequence on.
    pub(super) kept: usize,
    coefficients: Vec<i16>,
    /// For each block a bit for each index at which an earlier scan left a value; empty if no scan will ask.
    pub(super) history: Vec<u64>,
}

impl Store {
    /// `refined`: whether scans that refine AC coefficients are going to be read.
    pub(super) fn new(frame: &Frame, variance: bool, refined: bool) -> Self {
        let planes: Vec<_> = frame
            .components
            .iter()
            .map(|component| {
                let count = component.padded.0 * component.padded.1;
                let kept = component.last() + 1;
                StoredPlane {
                    blocks: component.padded,
                    kept,
                    coefficients: vec![0; count * kept],
                    history: vec![0; if refined { count } else { 0 }],
                }
            })
            .collect();
        let variance = vec![0; if variance { planes[0].blocks.0 * planes[0].blocks.1 } else { 0 }];
        Self { planes, variance }
    }

    /// The bytes that [`Self::new`] takes at most.
    pub(super) fn memory(frame: &Frame) -> u64 {
        let plane = |component: &super::frame::Component| {
            let count = component.padded.0 as u64 * component.padded.1 as u64;
            count * (2 * (component.last() as u64 + 1) + 10)
        };
        frame.components.iter().map(plane).sum()
    }

    pub(super) fn put_variance(&mut self, x: usize, y: usize, variance: i16) {
        let across = self.planes[0].blocks.0;
        if let Some(place) = self.variance.get_mut(y * across + x) {
            *place = variance;
        }
    }

    pub(super) fn variance(&self, x: usize, y: usize) -> i16 {
        self.variance.get(y * self.planes[0].blocks.0 + x).copied().unwrap_or(0)
    }

    /// Takes a whole block in natural order.
    pub(super) fn put(&mut self, plane: usize, (x, y): (usize, usize), block: &[i16; 64]) {
        let plane = &mut self.planes[plane];
        let at = y * plane.blocks.0 + x;
        for (coefficient, &natural) in plane.coefficients_mut(at).iter_mut().zip(&NATURAL) {
            *coefficient = block[usize::from(natural)];
        }
    }
}

impl StoredPlane {
    /// The coefficients kept of block `at`, in zigzag order.
    #[inline(always)]
    pub(super) fn coefficients(&self, at: usize) -> &[i16] {
        &self.coefficients[at * self.kept..(at + 1) * self.kept]
    }

    #[inline(always)]
    pub(super) fn coefficients_mut(&mut self, at: usize) -> &mut [i16] {
        &mut self.coefficients[at * self.kept..(at + 1) * self.kept]
    }
}
