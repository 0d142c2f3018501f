//! Quantised coefficients of an image in several scans: of each block those that its samples use, and which
//! coefficients are not zero.

use super::frame::Frame;
use super::huffman::NATURAL;

pub(super) struct CoefficientBuffer {
    pub(super) planes: Vec<CoefficientPlane>,
    /// For each block of the first component a 64th of the energy of the coefficients that its samples do not
    /// use: the sum of their squares.
    energy: Vec<u32>,
}

pub(super) struct CoefficientPlane {
    /// Blocks across and down.
    pub(super) blocks: (usize, usize),
    /// Samples that a block is decoded to, across and down; as many coefficients of it are stored, row by row.
    pub(super) block_samples: (usize, usize),
    /// For each index of the zigzag sequence the position among those stored, or [`NOT_STORED`].
    places: [u8; 64],
    coefficients: Vec<i16>,
    /// For each block a bit per index whose coefficient is nonzero after earlier scans; empty if no refining scan
    /// is read.
    pub(super) history: Vec<u64>,
}

/// Beyond all positions.
const NOT_STORED: u8 = 64;

impl CoefficientBuffer {
    /// `energy`: whether it is recorded; `refined`: whether scans that refine AC coefficients will be read.
    pub(super) fn new(frame: &Frame, energy: bool, refined: bool) -> Self {
        let planes: Vec<_> = frame
            .components
            .iter()
            .map(|component| {
                let count = component.padded.0 * component.padded.1;
                let (across, down) = component.block_samples;
                CoefficientPlane {
                    blocks: component.padded,
                    block_samples: component.block_samples,
                    places: NATURAL.map(|natural| {
                        let (u, v) = (usize::from(natural) % 8, usize::from(natural) / 8);
                        if u < across && v < down { (v * across + u) as u8 } else { NOT_STORED }
                    }),
                    coefficients: vec![0; count * across * down],
                    history: vec![0; if refined { count } else { 0 }],
                }
            })
            .collect();
        let energy = vec![0; if energy { planes[0].blocks.0 * planes[0].blocks.1 } else { 0 }];
        Self { planes, energy }
    }

    /// Whether energy is recorded.
    pub(super) fn records_energy(&self) -> bool {
        !self.energy.is_empty()
    }

    /// Adds to the energy of block `at` of the first component.
    #[inline(always)]
    pub(super) fn add_energy(&mut self, at: usize, energy: u64) {
        if let Some(sum) = self.energy.get_mut(at) {
            *sum = sum.saturating_add(u32::try_from(energy >> 6).unwrap_or(u32::MAX));
        }
    }

    /// The energy of block `at` of the first component; 0 if it is not recorded.
    #[inline(always)]
    pub(super) fn energy(&self, at: usize) -> u64 {
        self.energy.get(at).map_or(0, |&energy| u64::from(energy) << 6)
    }

    /// Stores a whole block, eight coefficients a row.
    pub(super) fn store(&mut self, plane: usize, (x, y): (usize, usize), block: &[i16; 64]) {
        let plane = &mut self.planes[plane];
        let at = y * plane.blocks.0 + x;
        match plane.block_samples.0 {
            1 => store_rows::<1>(block, plane.block_mut(at)),
            2 => store_rows::<2>(block, plane.block_mut(at)),
            3 => store_rows::<3>(block, plane.block_mut(at)),
            4 => store_rows::<4>(block, plane.block_mut(at)),
            5 => store_rows::<5>(block, plane.block_mut(at)),
            6 => store_rows::<6>(block, plane.block_mut(at)),
            _ => store_rows::<8>(block, plane.block_mut(at)),
        }
    }
}

/// Stores the first `N` coefficients of each row of a block.
#[inline(always)]
fn store_rows<const N: usize>(block: &[i16; 64], stored: &mut [i16]) {
    for (stored, row) in stored.as_chunks_mut::<N>().0.iter_mut().zip(block.as_chunks::<8>().0) {
        stored.copy_from_slice(&row[..N]);
    }
}

impl CoefficientPlane {
    /// Coefficients stored of a block.
    pub(super) const fn coefficients_per_block(&self) -> usize {
        self.block_samples.0 * self.block_samples.1
    }

    /// The coefficients of block `at`, row by row.
    #[inline(always)]
    pub(super) fn block(&self, at: usize) -> &[i16] {
        let count = self.coefficients_per_block();
        &self.coefficients[at * count..(at + 1) * count]
    }

    #[inline(always)]
    pub(super) fn block_mut(&mut self, at: usize) -> &mut [i16] {
        let count = self.coefficients_per_block();
        &mut self.coefficients[at * count..(at + 1) * count]
    }

    /// Values by index of the zigzag sequence, in the order of a block's stored coefficients.
    pub(super) fn placed<T: Copy + Default>(&self, sequence: impl Fn(usize) -> T) -> [T; 64] {
        let mut placed = [T::default(); 64];
        for (index, &place) in self.places.iter().enumerate().filter(|(_, place)| **place != NOT_STORED) {
            placed[usize::from(place)] = sequence(index);
        }
        placed
    }
}

/// The coefficients of one block, by their index in the zigzag sequence.
pub(super) struct Block<'a> {
    coefficients: &'a mut [i16],
    places: &'a [u8; 64],
}

impl CoefficientPlane {
    /// Block `at`, and its history if it is recorded.
    #[inline(always)]
    pub(super) fn entry(&mut self, at: usize) -> (Block<'_>, Option<&mut u64>) {
        let count = self.coefficients_per_block();
        let coefficients = &mut self.coefficients[at * count..(at + 1) * count];
        (Block { coefficients, places: &self.places }, self.history.get_mut(at))
    }
}

impl Block<'_> {
    /// The coefficient at `index`, if it is stored.
    #[inline(always)]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut i16> {
        self.coefficients.get_mut(usize::from(self.places[index & 63]))
    }
}
