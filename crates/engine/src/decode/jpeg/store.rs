//! Coefficients of a picture whose data comes in several scans: of each block those that its cells are made
//! of, not yet multiplied with their quantisation steps, and which ones are not zero.

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
    /// Cells made of a block, across and down; so many coefficients of it are kept, row by row.
    pub(super) cells: (usize, usize),
    /// For each index of the zigzag sequence the place among those kept; [`NOWHERE`] if it is not.
    places: [u8; 64],
    coefficients: Vec<i16>,
    /// For each block a bit for each index at which an earlier scan left a value; empty if no scan will ask.
    pub(super) history: Vec<u64>,
}

/// Beyond all places.
const NOWHERE: u8 = 64;

impl Store {
    /// `energy`: whether it is wanted; `refined`: whether scans that refine AC coefficients are going to be
    /// read.
    pub(super) fn new(frame: &Frame, energy: bool, refined: bool) -> Self {
        let planes: Vec<_> = frame
            .components
            .iter()
            .map(|component| {
                let count = component.padded.0 * component.padded.1;
                let (across, down) = component.cells;
                StoredPlane {
                    blocks: component.padded,
                    cells: component.cells,
                    places: NATURAL.map(|natural| {
                        let (u, v) = (usize::from(natural) % 8, usize::from(natural) / 8);
                        if u < across && v < down { (v * across + u) as u8 } else { NOWHERE }
                    }),
                    coefficients: vec![0; count * across * down],
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

    /// Takes a whole block, eight coefficients a row.
    pub(super) fn put(&mut self, plane: usize, (x, y): (usize, usize), block: &[i16; 64]) {
        let plane = &mut self.planes[plane];
        let at = y * plane.blocks.0 + x;
        match plane.cells.0 {
            1 => keep::<1>(block, plane.block_mut(at)),
            2 => keep::<2>(block, plane.block_mut(at)),
            4 => keep::<4>(block, plane.block_mut(at)),
            _ => keep::<8>(block, plane.block_mut(at)),
        }
    }
}

/// Keeps the first `N` coefficients of each row of a block.
#[inline(always)]
fn keep<const N: usize>(block: &[i16; 64], kept: &mut [i16]) {
    for (kept, row) in kept.as_chunks_mut::<N>().0.iter_mut().zip(block.as_chunks::<8>().0) {
        kept.copy_from_slice(&row[..N]);
    }
}

impl StoredPlane {
    /// Coefficients kept of a block.
    pub(super) const fn kept(&self) -> usize {
        self.cells.0 * self.cells.1
    }

    /// The coefficients of block `at`, row by row.
    #[inline(always)]
    pub(super) fn block(&self, at: usize) -> &[i16] {
        &self.coefficients[at * self.kept()..(at + 1) * self.kept()]
    }

    #[inline(always)]
    pub(super) fn block_mut(&mut self, at: usize) -> &mut [i16] {
        let kept = self.kept();
        &mut self.coefficients[at * kept..(at + 1) * kept]
    }

    /// For each place of a block's coefficients what an array in zigzag order has for it.
    pub(super) fn placed<T: Copy + Default>(&self, sequence: impl Fn(usize) -> T) -> [T; 64] {
        let mut placed = [T::default(); 64];
        for (index, &place) in self.places.iter().enumerate().filter(|(_, place)| **place != NOWHERE) {
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

impl StoredPlane {
    /// Block `at`, and what is known of its history.
    #[inline(always)]
    pub(super) fn entry(&mut self, at: usize) -> (Block<'_>, Option<&mut u64>) {
        let kept = self.kept();
        let coefficients = &mut self.coefficients[at * kept..(at + 1) * kept];
        (Block { coefficients, places: &self.places }, self.history.get_mut(at))
    }
}

impl Block<'_> {
    /// The coefficient at `index`, if it is kept.
    #[inline(always)]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut i16> {
        self.coefficients.get_mut(usize::from(self.places[index & 63]))
    }
}
