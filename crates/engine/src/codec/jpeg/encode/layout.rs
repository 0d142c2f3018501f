//! Layout of an image's blocks: components, sampling factors and MCUs (T.81, A.1 and A.2).

/// Side of a block of coefficients.
pub(super) const BLOCK: usize = 8;

/// The components of an image and their sampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sampling {
    /// One component.
    Gray,
    /// Luma and chroma at full resolution (4:4:4).
    Full,
    /// Chroma at half the width and half the height (4:2:0).
    Halved,
}

/// The grid of blocks of a whole image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) sampling: Sampling,
}

impl Layout {
    /// Number of components.
    pub(super) const fn components(self) -> usize {
        if matches!(self.sampling, Sampling::Gray) { 1 } else { 3 }
    }

    /// Number of sets of tables: one for luma, one for chroma.
    pub(super) const fn table_sets(self) -> usize {
        if matches!(self.sampling, Sampling::Gray) { 1 } else { 2 }
    }

    /// Blocks in an MCU of an interleaved scan.
    pub(super) const fn mcu_blocks(self) -> usize {
        self.factor(0) * self.factor(0) + self.components() - 1
    }

    /// Whether block (`x`, `y`) of component `index` holds image data; the last MCUs of an interleaved scan have
    /// some that do not.
    pub(super) const fn has_block(self, index: usize, x: usize, y: usize) -> bool {
        x < self.blocks_across(index) && y < self.blocks_down(index)
    }

    /// Sampling factor of component `index`: its blocks along each side of an MCU.
    pub(super) const fn factor(self, index: usize) -> usize {
        if matches!(self.sampling, Sampling::Halved) && index == 0 { 2 } else { 1 }
    }

    /// Pixels along each side of an MCU.
    pub(super) const fn mcu_size(self) -> usize {
        self.factor(0) * BLOCK
    }

    /// MCUs from left to right.
    pub(super) const fn mcus_across(self) -> usize {
        self.width.div_ceil(self.mcu_size())
    }

    /// MCUs from top to bottom.
    pub(super) const fn mcus_down(self) -> usize {
        self.height.div_ceil(self.mcu_size())
    }

    /// Blocks of component `index` that hold image data, from left to right. An interleaved scan may have more.
    pub(super) const fn blocks_across(self, index: usize) -> usize {
        self.side(self.width, index).div_ceil(BLOCK)
    }

    /// Blocks of component `index` that hold image data, from top to bottom.
    pub(super) const fn blocks_down(self, index: usize) -> usize {
        self.side(self.height, index).div_ceil(BLOCK)
    }

    const fn side(self, pixels: usize, index: usize) -> usize {
        if matches!(self.sampling, Sampling::Halved) && index > 0 { pixels.div_ceil(2) } else { pixels }
    }
}
