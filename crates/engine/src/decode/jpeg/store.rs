//! Coefficients of a picture whose data comes in several scans: of each block those that the scale needs,
//! not yet multiplied with their quantisation steps, and which ones are not zero.

use super::frame::Frame;
use super::huffman::NATURAL;

pub(super) struct Store {
    pub(super) planes: Vec<StoredPlane>,
    /// For each block of the first component the energy of the coefficients that its cells are not made of:
    /// the sum of their squares, a 64th of it.
    energy: Vec<u32>,
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
    /// `energy`: whether it is wanted; `refined`: whether scans that refine AC coefficients are going to be
    /// read.
    pub(super) fn new(frame: &Frame, energy: bool, refined: bool) -> Self {
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
        let energy = vec![0; if energy { planes[0].blocks.0 * planes[0].blocks.1 } else { 0 }];
        Self { planes, energy }
    }

    /// Whether energy is wanted.
    pub(super) fn wants_energy(&self) -> bool {
        !self.energy.is_empty()
    }

    /// Adds to the energy of block `at` of the first component.
    #[inline(always)]
    pub(super) fn add_energy(&mut self, at: usize, energy: u64) {
        if let Some(sum) = self.energy.get_mut(at) {
            *sum = sum.saturating_add(u32::try_from(energy >> 6).unwrap_or(u32::MAX));
        }
    }

    /// The energy of block `at` of the first component; 0 where it is not known.
    #[inline(always)]
    pub(super) fn energy(&self, at: usize) -> u64 {
        self.energy.get(at).map_or(0, |&energy| u64::from(energy) << 6)
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
