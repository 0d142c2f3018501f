//! All blocks of a picture at once, for what looks at them more than once.

use fearless_simd::Simd;

use super::STAGE;
use super::dct;
use super::layout::{BLOCK, Layout};
use super::quantise::ZIGZAG;
use super::strip::Strip;
use crate::error::Error;
use crate::pixels::Finished;
use crate::stop::Stop;

/// How many blocks are looked at between two questions whether to stop.
pub(super) const AT_ONCE: usize = 512;

/// The values of a block in zigzag order.
pub(super) type Block = [i16; 64];

/// The blocks of one component that hold something of the picture, row by row.
#[derive(Debug, Clone, Default)]
pub(super) struct Grid {
    pub(super) across: usize,
    pub(super) blocks: Vec<Block>,
}

/// The coefficients of each component, [`dct::UNIT`] to the unit.
#[inline(always)]
pub(super) fn coefficients<S: Simd>(
    simd: S,
    picture: &Finished,
    layout: Layout,
    stop: Stop<'_>,
) -> Result<Vec<Grid>, Error> {
    let mut grids: Vec<Grid> = (0..layout.components())
        .map(|index| {
            let (across, down) = (layout.blocks_across(index), layout.blocks_down(index));
            Grid { across, blocks: vec![[0; 64]; across * down] }
        })
        .collect();
    let mut strip = Strip::new(layout);
    for index in 0..layout.units_down() {
        stop.check(STAGE)?;
        strip.fill(picture, index);
        for (component, grid) in grids.iter_mut().enumerate() {
            let plane = &strip.planes[component];
            let factor = layout.factor(component);
            let rows = grid.blocks.chunks_exact_mut(grid.across).skip(index * factor).take(factor);
            for (row, blocks) in rows.enumerate() {
                for (group, blocks) in blocks.chunks_mut(dct::GROUP / BLOCK).enumerate() {
                    let made = dct::forward(simd, &plane.group(row, group));
                    for (at, block) in blocks.iter_mut().enumerate() {
                        for (value, place) in block.iter_mut().zip(ZIGZAG.map(usize::from)) {
                            *value = made[place % BLOCK][at * BLOCK + place / BLOCK];
                        }
                    }
                }
            }
        }
    }
    Ok(grids)
}
