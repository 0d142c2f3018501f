//! Geometry of a frame: the blocks of each component, and the samples that a block is decoded to at a scale.

use crate::codec::jpeg::header::{ComponentSpec, Segments};
use crate::plan::Reduction;

/// A component's share of the frame.
#[derive(Debug, Clone)]
pub(super) struct Component {
    pub(super) spec: ComponentSpec,
    /// Blocks in an MCU, across and down (ITU-T T.81, A.2.3).
    pub(super) factors: (usize, usize),
    /// Samples that a block is decoded to, across and down: 1 to 6, or 8.
    pub(super) block_samples: (usize, usize),
    /// The grid's resolution to the component's, across and down.
    pub(super) ratio: (SamplingRatio, SamplingRatio),
    /// Blocks that hold image data: those of a non-interleaved scan (ITU-T T.81, A.2.2).
    pub(super) blocks: (usize, usize),
    /// Blocks including those that complete MCUs (ITU-T T.81, A.2.4).
    pub(super) padded: (usize, usize),
    /// Samples that hold image data.
    pub(super) size: (usize, usize),
}

impl Component {
    /// The quantisation steps of coefficients that its reduced samples do not use, 0 for the others.
    pub(super) fn unused_steps(&self, steps: &[u16; 64]) -> [u16; 64] {
        std::array::from_fn(|index| {
            let natural = usize::from(super::huffman::NATURAL[index]);
            let used = natural % 8 < self.block_samples.0 && natural / 8 < self.block_samples.1;
            if used { 0 } else { steps[index] }
        })
    }

    /// The last index of the zigzag sequence that its samples use.
    pub(super) fn last(&self) -> usize {
        let (across, down) = (self.block_samples.0 - 1, self.block_samples.1 - 1);
        let used = |&natural: &u8| usize::from(natural) % 8 <= across && usize::from(natural) / 8 <= down;
        super::huffman::NATURAL.iter().rposition(used).unwrap_or(0)
    }
}

/// `grid` samples of the grid cover the same pixels as `own` samples of the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SamplingRatio {
    pub(super) grid: usize,
    pub(super) own: usize,
}

impl SamplingRatio {
    pub(super) const fn is_one(self) -> bool {
        self.grid == self.own
    }

    pub(super) const fn is_two(self) -> bool {
        self.grid == 2 * self.own
    }
}

/// The frame at a scale.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) components: Vec<Component>,
    /// MCUs across and down.
    pub(super) mcus: (usize, usize),
    /// Rows and columns of the grid.
    pub(super) size: (usize, usize),
    /// Rows of the grid in an MCU.
    pub(super) rows: usize,
}

impl Frame {
    pub(super) fn new(segments: &Segments<'_>, reduction: Reduction) -> Self {
        let scale = reduction.scale as usize;
        let (width, height) = (usize::from(segments.width), usize::from(segments.height));
        let mut components = segments.components.clone();
        if let [only] = components.as_mut_slice() {
            // A single component has full resolution whatever its sampling factors.
            only.factors = (1, 1);
        }
        let most = |side: fn(&ComponentSpec) -> u8| components.iter().map(side).max().map_or(1, usize::from);
        let (most_across, most_down) = (most(|c| c.factors.0), most(|c| c.factors.1));
        let mcus = (width.div_ceil(8 * most_across), height.div_ceil(8 * most_down));
        let components = components
            .into_iter()
            .map(|spec| {
                let factors = (usize::from(spec.factors.0), usize::from(spec.factors.1));
                let (across, ratio_across) = block_samples(reduction, factors.0, most_across);
                let (down, ratio_down) = block_samples(reduction, factors.1, most_down);
                // T.81, A.1.1: the component's size, rounded up.
                let pixels =
                    ((width * factors.0).div_ceil(most_across), (height * factors.1).div_ceil(most_down));
                Component {
                    spec,
                    factors,
                    block_samples: (across, down),
                    ratio: (ratio_across, ratio_down),
                    blocks: (pixels.0.div_ceil(8), pixels.1.div_ceil(8)),
                    padded: (mcus.0 * factors.0, mcus.1 * factors.1),
                    size: ((pixels.0 * across).div_ceil(8), (pixels.1 * down).div_ceil(8)),
                }
            })
            .collect();
        let size = ((width * scale).div_ceil(8), (height * scale).div_ceil(8));
        Self { components, mcus, size, rows: scale * most_down }
    }
}

/// Samples of a block along one side for a sampling factor of at most `most`, and their ratio to the grid's.
///
/// A subsampled component is decoded at a larger scale where that gives it the resolution of the grid.
fn block_samples(reduction: Reduction, factor: usize, most: usize) -> (usize, SamplingRatio) {
    let scale = reduction.scale as usize;
    let grid = scale * most;
    // The finest of which the grid is a multiple, so that samples are repeated or doubled and not blended.
    let divides = |&side: &usize| side >= scale && grid.is_multiple_of(side * factor);
    let finer = [8, 6, 5, 4, 3, 2].into_iter().find(divides).filter(|_| !reduction.approximate);
    let side = finer.unwrap_or(scale);
    (side, SamplingRatio { grid, own: side * factor })
}
