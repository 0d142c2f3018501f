//! The seven passes of Adam7 interlacing (W3C PNG, third edition, section 8).

use crate::pixels::PassRow;

/// Every `step.0`th pixel of every `step.1`th row, from column `from.0` and row `from.1`.
pub(super) struct Pass {
    from: (u32, u32),
    step: (u32, u32),
    pub(super) width: u32,
    pub(super) height: u32,
}

const PASSES: [((u32, u32), (u32, u32)); 7] = [
    ((0, 0), (8, 8)),
    ((4, 0), (8, 8)),
    ((0, 4), (4, 8)),
    ((2, 0), (4, 4)),
    ((0, 2), (2, 4)),
    ((1, 0), (2, 2)),
    ((0, 1), (1, 2)),
];

/// The passes of an image of this size that hold pixels.
pub(super) fn passes(width: u32, height: u32) -> impl Iterator<Item = Pass> {
    let length = |all: u32, from: u32, step: u32| all.saturating_sub(from).div_ceil(step);
    PASSES
        .into_iter()
        .map(move |(from, step)| {
            let (width, height) = (length(width, from.0, step.0), length(height, from.1, step.1));
            Pass { from, step, width, height }
        })
        .filter(|pass| pass.width > 0 && pass.height > 0)
}

impl Pass {
    /// The position of row `y` of the pass in the image.
    pub(super) fn row_position(&self, y: u32) -> PassRow {
        PassRow { y: self.from.1 + y * self.step.1, from: self.from.0, step: self.step.0 }
    }
}
