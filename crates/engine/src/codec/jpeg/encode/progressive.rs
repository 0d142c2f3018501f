//! Progressive JPEG (T.81, annex G) with levels optimised for rate and distortion.

use fearless_simd::Simd;

use super::STAGE;
use super::bit_writer::{BitWriter, Codes};
use super::block_grid::{self, Block, BlockGrid};
use super::huffman::Table;
use super::layout::Layout;
use super::markers::{self, Process};
use super::quantisation::Steps;
use super::scan::{self, Band, Masks, Scan};
use super::scan_script::{self, ScriptEntry};
use super::tables;
use super::trellis::{Costs, Trellis};
use crate::error::Error;
use crate::pixels::Image8;
use crate::stop::Stop;

/// Rounds of choosing levels, each with the symbol costs of the one before.
const ROUNDS: usize = 2;

/// Encodes the image in the scans that give the smallest file.
#[inline(always)]
pub(super) fn encode<S: Simd>(
    simd: S,
    image: &Image8,
    layout: Layout,
    quality: u8,
    stop: Stop<'_>,
) -> Result<Vec<u8>, Error> {
    let steps = tables::flat_steps(quality, layout.sampling);
    let coefficients = block_grid::coefficients(simd, image, layout, stop)?;
    let levels = levels(&coefficients, &steps, stop)?;
    drop(coefficients);
    let script = scan_script::smallest(layout, &levels, stop)?;
    write(layout, &steps, &levels, &script, stop)
}

/// The levels of all components.
fn levels(coefficients: &[BlockGrid], steps: &[Steps; 2], stop: Stop<'_>) -> Result<Vec<BlockGrid>, Error> {
    let trellises = steps.each_ref().map(Trellis::new);
    let for_each_block = |choose: &dyn Fn(usize, &Block) -> Block| -> Result<Vec<BlockGrid>, Error> {
        let chosen = |component, grid: &BlockGrid| {
            let mut blocks = Vec::with_capacity(grid.blocks.len());
            for some in grid.blocks.chunks(block_grid::BLOCKS_PER_POLL) {
                stop.check(STAGE)?;
                blocks.extend(some.iter().map(|block| choose(component, block)));
            }
            Ok(BlockGrid { blocks, ..*grid })
        };
        coefficients.iter().enumerate().map(|(component, grid)| chosen(component, grid)).collect()
    };
    let mut levels = for_each_block(&|component, block| trellises[component.min(1)].nearest(block))?;
    for _ in 0..ROUNDS {
        let whole = Band { from: 1, to: 63, low: 0, refines: false };
        let costs = |grid| {
            let scan = scan::ac(Scan::measured(), &Masks::new(grid, 0), whole, stop)?;
            Ok(Costs::new(&Table::optimal(scan.counts(0))))
        };
        let costs: Vec<Costs> = levels.iter().map(costs).collect::<Result<_, Error>>()?;
        levels = for_each_block(&|component, block| {
            trellises[component.min(1)].rate_distortion_levels(block, &costs[component])
        })?;
    }
    Ok(levels)
}

/// Writes the file.
fn write(
    layout: Layout,
    steps: &[Steps; 2],
    levels: &[BlockGrid],
    script: &[ScriptEntry],
    stop: Stop<'_>,
) -> Result<Vec<u8>, Error> {
    let mut file = Vec::with_capacity(1024);
    markers::start(&mut file);
    let different = if steps[0] == steps[1] { 1 } else { layout.table_sets() };
    markers::quantisation(&mut file, &steps[..different]);
    markers::frame(&mut file, layout, Process::Progressive, different);
    for entry in script {
        file = if entry.band.from == 0 {
            write_dc(file, layout, levels, entry, stop)?
        } else {
            write_ac(file, levels, entry, stop)?
        };
    }
    markers::end(&mut file);
    Ok(file)
}

fn write_dc(
    mut file: Vec<u8>,
    layout: Layout,
    levels: &[BlockGrid],
    entry: &ScriptEntry,
    stop: Stop<'_>,
) -> Result<Vec<u8>, Error> {
    markers::codes(&mut file, (0..).zip(&entry.tables).map(|(id, table)| (0, id, table)));
    let components: Vec<_> = entry
        .components
        .clone()
        .map(|component| (component, entry.table(component.min(1)) as u8, 0))
        .collect();
    markers::scan(&mut file, &components, (0, 0), (0, 0));
    let scan = scan::dc(Scan::written(), layout, levels, stop)?;
    let tables: Vec<_> = (0..layout.table_sets()).map(|set| &entry.tables[entry.table(set)]).collect();
    write_data(file, &scan, &tables, stop)
}

fn write_ac(
    mut file: Vec<u8>,
    levels: &[BlockGrid],
    entry: &ScriptEntry,
    stop: Stop<'_>,
) -> Result<Vec<u8>, Error> {
    let band = entry.band;
    for (index, component) in entry.components.clone().enumerate() {
        // A shared table is written before the first of its scans.
        if let Some(table) = entry.tables.get(index) {
            markers::codes(&mut file, [(1, 0, table)]);
        }
        let high = if band.refines { band.low + 1 } else { 0 };
        markers::scan(&mut file, &[(component, 0, 0)], (band.from, band.to), (high, band.low));
        let scan = scan::ac(Scan::written(), &Masks::new(&levels[component], band.low), band, stop)?;
        file = write_data(file, &scan, &[&entry.tables[entry.table(index)]], stop)?;
    }
    Ok(file)
}

fn write_data(file: Vec<u8>, scan: &Scan, tables: &[&Table], stop: Stop<'_>) -> Result<Vec<u8>, Error> {
    let codes: Vec<_> = tables.iter().map(|table| table.codes()).collect();
    let (mut writer, codes) = (BitWriter::new(file), Codes::new(&codes));
    for tokens in scan.tokens().chunks(64 * block_grid::BLOCKS_PER_POLL) {
        stop.check(STAGE)?;
        writer.tokens(tokens, &codes);
    }
    Ok(writer.finish())
}

#[cfg(test)]
mod tests {
    use super::super::layout::Sampling;
    use super::*;

    const GO_ON: Stop<'_> = Stop(&|| false);

    #[test]
    fn every_scan_script_decodes_alike() {
        let mut state = 5_u32;
        let mut random = |bound: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % bound
        };
        for round in 0..24 {
            let sampling = [Sampling::Gray, Sampling::Full, Sampling::Halved][round % 3];
            let layout = Layout { width: 1 + random(80) as usize, height: 1 + random(80) as usize, sampling };
            // From nearly empty blocks, with long EOB runs, to full ones.
            let (density, largest) = (1 + random(64), 1 + random(12));
            let levels: Vec<BlockGrid> = (0..layout.components())
                .map(|component| {
                    let across = layout.blocks_across(component);
                    let mut block = || {
                        std::array::from_fn(|_| {
                            let level = random(2 * largest + 1) as i16 - largest as i16;
                            if random(64) < density { level } else { 0 }
                        })
                    };
                    let blocks = (0..across * layout.blocks_down(component)).map(|_| block()).collect();
                    BlockGrid { across, blocks }
                })
                .collect();
            let steps = [[3; 64], [4; 64]];
            let decoded = |script: &[ScriptEntry]| {
                let file = write(layout, &steps, &levels, script, GO_ON).unwrap();
                jpeg_decoder::Decoder::new(file.as_slice()).decode().expect("a JPEG")
            };
            let expected = decoded(&scan_script::smallest(layout, &levels, GO_ON).unwrap());
            for low in 0..4 {
                for edges in [&[1][..], &[1, 2], &[1, 6, 20, 63]] {
                    let actual = decoded(&ScriptEntry::forced(layout, &levels, low, edges));
                    assert!(
                        actual == expected,
                        "round {round}, {layout:?}: {low} bits left, edges {edges:?}"
                    );
                }
            }
        }
    }
}
