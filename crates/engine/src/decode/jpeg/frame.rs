//! Geometry: which blocks a component has, and how many cells are made of each at the chosen scale.

use crate::header::jpeg::{Sampled, Segments};

/// A component's share of the frame.
#[derive(Debug, Clone)]
pub(super) struct Component {
    pub(super) sampled: Sampled,
    /// Blocks in an MCU, across and down (ITU-T T.81, A.2.3).
    pub(super) factors: (usize, usize),
    /// Cells made of a block, across and down: 1, 2, 4 or 8.
    pub(super) cells: (usize, usize),
    /// How many cells of the grid one of the component's covers.
    pub(super) spread: (Spread, Spread),
    /// Blocks that hold picture: those of a scan of this component alone.
    pub(super) blocks: (usize, usize),
    /// Blocks with those that only fill up MCUs.
    pub(super) padded: (usize, usize),
    /// Cells that hold picture.
    pub(super) size: (usize, usize),
}

impl Component {
    /// The quantisation steps of coefficients that no cell is made of, 0 for the others.
    pub(super) fn others(&self, steps: &[u16; 64]) -> [u16; 64] {
        std::array::from_fn(|index| {
            let natural = usize::from(super::huffman::NATURAL[index]);
            let kept = natural % 8 < self.cells.0 && natural / 8 < self.cells.1;
            if kept { 0 } else { steps[index] }
        })
    }

    /// The last index of the zigzag sequence that its cells are made of.
    pub(super) fn last(&self) -> usize {
        let (across, down) = (self.cells.0 - 1, self.cells.1 - 1);
        let kept = |&natural: &u8| usize::from(natural) % 8 <= across && usize::from(natural) / 8 <= down;
        super::huffman::NATURAL.iter().rposition(kept).unwrap_or(0)
    }
}

/// A ratio of cells: `grid` of the grid's lie where `own` of the component's do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) grid: usize,
    pub(super) own: usize,
}

impl Spread {
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
    /// Rows of the grid that an MCU makes.
    pub(super) rows: usize,
}

impl Frame {
    /// `scale` cells, 1, 2, 4 or 8, are made of eight pixels.
    pub(super) fn new(segments: &Segments<'_>, scale: usize) -> Self {
        let (width, height) = (usize::from(segments.width), usize::from(segments.height));
        let mut components = segments.components.clone();
        if let [only] = components.as_mut_slice() {
            // Alone, a component has full resolution whatever its factors say.
            only.factors = (1, 1);
        }
        let most = |side: fn(&Sampled) -> u8| components.iter().map(side).max().map_or(1, usize::from);
        let (most_across, most_down) = (most(|c| c.factors.0), most(|c| c.factors.1));
        let mcus = (width.div_ceil(8 * most_across), height.div_ceil(8 * most_down));
        let components = components
            .into_iter()
            .map(|sampled| {
                let factors = (usize::from(sampled.factors.0), usize::from(sampled.factors.1));
                let (across, spread_across) = cells(scale, factors.0, most_across);
                let (down, spread_down) = cells(scale, factors.1, most_down);
                // T.81, A.1.1: the component's size, rounded up.
                let pixels =
                    ((width * factors.0).div_ceil(most_across), (height * factors.1).div_ceil(most_down));
                Component {
                    sampled,
                    factors,
                    cells: (across, down),
                    spread: (spread_across, spread_down),
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

/// How many cells to make of a block with so many samples out of the most, and how they then lie.
///
/// A subsampled component is decoded at a larger scale where there is one, so that its cells are the
/// grid's.
fn cells(scale: usize, factor: usize, most: usize) -> (usize, Spread) {
    let wanted = scale * most;
    if scale == 1 {
        // The means alone: nothing but DC coefficients has to be kept, and what is lost is colour's detail.
        return (1, Spread { grid: wanted, own: factor });
    }
    let made = [8, 4, 2].into_iter().find(|&made| made > scale && made * factor <= wanted).unwrap_or(scale);
    (made, Spread { grid: wanted, own: made * factor })
}
