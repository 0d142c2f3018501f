//! The blocks of a whole image, for encoding in several passes.

use fearless_simd::Simd;

use super::STAGE;
use super::dct;
use super::layout::{BLOCK, Layout};
use super::mcu_row::McuRow;
use super::quantisation::ZIGZAG;
use crate::error::Error;
use crate::pixels::Image8;
use crate::stop::Stop;

/// Blocks processed between polls of `stop`.
pub(super) const BLOCKS_PER_POLL: usize = 512;

/// The values of a block in zigzag order.
pub(super) type Block = [i16; 64];

/// The blocks of one component that hold image data, row by row.
#[derive(Debug, Clone, Default)]
pub(super) struct BlockGrid {
    pub(super) across: usize,
    pub(super) blocks: Vec<Block>,
}

/// The coefficients of each component, [`dct::UNIT`] to the unit.
#[inline(always)]
pub(super) fn coefficients<S: Simd>(
    simd: S,
    image: &Image8,
    layout: Layout,
    stop: Stop<'_>,
) -> Result<Vec<BlockGrid>, Error> {
    let mut grids: Vec<BlockGrid> = (0..layout.components())
        .map(|index| {
            let (across, down) = (layout.blocks_across(index), layout.blocks_down(index));
            BlockGrid { across, blocks: vec![[0; 64]; across * down] }
        })
        .collect();
    let mut samples = McuRow::new(layout);
    for index in 0..layout.mcus_down() {
        stop.check(STAGE)?;
        samples.fill(image, index);
        for (component, grid) in grids.iter_mut().enumerate() {
            let plane = &samples.planes[component];
            let factor = layout.factor(component);
            let rows = grid.blocks.chunks_exact_mut(grid.across).skip(index * factor).take(factor);
            for (row, blocks) in rows.enumerate() {
                for (group, blocks) in blocks.chunks_mut(dct::GROUP / BLOCK).enumerate() {
                    let coefficients = dct::forward(simd, &plane.group(row, group));
                    for (at, block) in blocks.iter_mut().enumerate() {
                        for (value, place) in block.iter_mut().zip(ZIGZAG.map(usize::from)) {
                            *value = coefficients[place % BLOCK][at * BLOCK + place / BLOCK];
                        }
                    }
                }
            }
        }
    }
    Ok(grids)
}
