//! Where the blocks of a picture lie: components, sampling and counts (T.81, A.1 and A.2).

/// Side of a block of coefficients.
pub(super) const BLOCK: usize = 8;

/// The components of a picture and how they share its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sampling {
    /// One component.
    Gray,
    /// Luma and chroma in full.
    Full,
    /// Chroma at half the width and half the height.
    Halved,
}

/// The grid of blocks of a whole picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) sampling: Sampling,
}

impl Layout {
    /// How many components there are.
    pub(super) const fn components(self) -> usize {
        if matches!(self.sampling, Sampling::Gray) { 1 } else { 3 }
    }

    /// How many sets of tables the components share: luma has one, chroma another.
    pub(super) const fn classes(self) -> usize {
        if matches!(self.sampling, Sampling::Gray) { 1 } else { 2 }
    }

    /// Blocks in an interleaved unit.
    pub(super) const fn unit_blocks(self) -> usize {
        self.factor(0) * self.factor(0) + self.components() - 1
    }

    /// Whether block (`x`, `y`) of component `index` holds something of the picture; the last units of
    /// an interleaved scan have some that do not.
    pub(super) const fn holds(self, index: usize, x: usize, y: usize) -> bool {
        x < self.blocks_across(index) && y < self.blocks_down(index)
    }

    /// Blocks of component `index` along each side of an interleaved unit.
    pub(super) const fn factor(self, index: usize) -> usize {
        if matches!(self.sampling, Sampling::Halved) && index == 0 { 2 } else { 1 }
    }

    /// Pixels along each side of an interleaved unit.
    pub(super) const fn unit(self) -> usize {
        self.factor(0) * BLOCK
    }

    /// Interleaved units from left to right.
    pub(super) const fn units_across(self) -> usize {
        self.width.div_ceil(self.unit())
    }

    /// Interleaved units from top to bottom.
    pub(super) const fn units_down(self) -> usize {
        self.height.div_ceil(self.unit())
    }

    /// Blocks of component `index` that hold something of the picture, from left to right. An
    /// interleaved scan may have more.
    pub(super) const fn blocks_across(self, index: usize) -> usize {
        self.side(self.width, index).div_ceil(BLOCK)
    }

    /// Blocks of component `index` that hold something of the picture, from top to bottom.
    pub(super) const fn blocks_down(self, index: usize) -> usize {
        self.side(self.height, index).div_ceil(BLOCK)
    }

    const fn side(self, pixels: usize, index: usize) -> usize {
        if matches!(self.sampling, Sampling::Halved) && index > 0 { pixels.div_ceil(2) } else { pixels }
    }
}
