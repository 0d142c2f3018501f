//! Scan scripts of progressive images: the scans that give the smallest file, by trial.

use super::block_grid::BlockGrid;
use super::huffman::Table;
use super::layout::Layout;
use super::scan::{self, Band, Masks, Scan};
use crate::error::Error;
use crate::stop::Stop;

/// First coefficients of bands, in zigzag order: after whole diagonals.
const EDGES: [u8; 7] = [1, 3, 6, 10, 15, 28, 64];
/// Largest point transform of first scans.
const MAX_LOW: u8 = 2;
/// Bits of the scan header of one component.
const HEADER: u64 = 8 * 10;
/// Bits of a DHT segment without its tables.
const SEGMENT: u64 = 8 * 4;

/// A scan of DC coefficients, or scans of the same band for each of some components.
pub(super) struct ScriptEntry {
    pub(super) components: std::ops::Range<usize>,
    pub(super) band: Band,
    /// One table per component, per set of tables in a scan of DC, or one for all.
    pub(super) tables: Vec<Table>,
}

impl ScriptEntry {
    /// Index of the table of component, or set of tables, `index`.
    pub(super) fn table(&self, index: usize) -> usize {
        index.min(self.tables.len() - 1)
    }
}

/// All scans of the image with these levels, most significant first.
pub(super) fn smallest(
    layout: Layout,
    grids: &[BlockGrid],
    stop: Stop<'_>,
) -> Result<Vec<ScriptEntry>, Error> {
    let dc = scan::dc(Scan::measured(), layout, grids, stop)?;
    let counts: Vec<_> = (0..layout.table_sets()).map(|set| *dc.counts(set)).collect();
    let band = Band { from: 0, to: 0, low: 0, refines: false };
    let mut script =
        vec![ScriptEntry { components: 0..layout.components(), band, tables: tables(&counts).1 }];

    // Both chroma components have the same bands, so that they can share tables.
    let mut rest = smallest_ac(&grids[..1], 0..1, stop)?;
    if layout.components() > 1 {
        rest.extend(smallest_ac(&grids[1..], 1..3, stop)?);
    }
    rest.sort_by_key(|entry| (entry.band.refines, entry.band.from, u8::MAX - entry.band.low));
    script.append(&mut rest);
    Ok(script)
}

/// Size in bits of a sequence of scans, and the scans with their tables.
type ScanSequence = (u64, Vec<(Band, Vec<Table>)>);

/// The AC scans of one or two components, whose indices are `components`.
fn smallest_ac(
    grids: &[BlockGrid],
    components: std::ops::Range<usize>,
    stop: Stop<'_>,
) -> Result<Vec<ScriptEntry>, Error> {
    let mut least = u64::MAX;
    let mut best = Vec::new();
    // The refining scans from the current point transform down.
    let mut refinements: ScanSequence = (0, Vec::new());
    for low in 0..=MAX_LOW {
        let masks: Vec<_> = grids.iter().map(|grid| Masks::new(grid, low)).collect();
        let (size, mut choices) = split(&masks, low, stop)?;
        if size + refinements.0 < least {
            least = size + refinements.0;
            choices.extend(refinements.1.iter().cloned());
            best = choices;
        }
        let band = Band { from: 1, to: 63, low, refines: true };
        let (size, tables) = measured(&masks, band, stop)?;
        refinements.0 += size;
        refinements.1.insert(0, (band, tables));
    }
    Ok(best
        .into_iter()
        .map(|(band, tables)| ScriptEntry { components: components.clone(), band, tables })
        .collect())
}

/// The smallest split of first scans with point transform `low` into bands.
fn split(masks: &[Masks<'_>], low: u8, stop: Stop<'_>) -> Result<ScanSequence, Error> {
    // The best sequence up to each edge extends the best one up to an earlier edge.
    let mut sequences: Vec<ScanSequence> = vec![(0, Vec::new())];
    for (at, &end) in EDGES.iter().enumerate().skip(1) {
        let mut best = (u64::MAX, Vec::new());
        for (&from, (before, choices)) in EDGES[..at].iter().zip(&sequences) {
            let band = Band { from, to: end - 1, low, refines: false };
            let (size, tables) = measured(masks, band, stop)?;
            if before + size < best.0 {
                let choices = choices.iter().cloned().chain([(band, tables)]).collect();
                best = (before + size, choices);
            }
        }
        sequences.push(best);
    }
    Ok(sequences.pop().expect("the last edge was reached"))
}

/// Size in bits of scans of a band, and their tables.
fn measured(masks: &[Masks<'_>], band: Band, stop: Stop<'_>) -> Result<(u64, Vec<Table>), Error> {
    let scans: Vec<_> = masks
        .iter()
        .map(|masks| scan::ac(Scan::measured(), masks, band, stop))
        .collect::<Result<_, Error>>()?;
    let counts: Vec<_> = scans.iter().map(|scan| *scan.counts(0)).collect();
    let (size, tables) = tables(&counts);
    let raw: u64 = scans.iter().map(Scan::raw_bits).sum();
    Ok((size + raw + scans.len() as u64 * HEADER, tables))
}

/// Size in bits with one table each, or one for all if that is smaller, and the tables.
fn tables(counts: &[[u32; 256]]) -> (u64, Vec<Table>) {
    let size = |tables: &[Table]| -> u64 {
        tables.iter().zip(counts).map(|(table, counts)| scan::bits(table, counts)).sum()
    };
    let own: Vec<_> = counts.iter().map(Table::optimal).collect();
    let own_size = size(&own) + counts.len() as u64 * SEGMENT;
    let sum: [u32; 256] = std::array::from_fn(|symbol| counts.iter().map(|counts| counts[symbol]).sum());
    let shared = Table::optimal(&sum);
    let shared_size = scan::bits(&shared, &sum) + SEGMENT;
    if shared_size <= own_size { (shared_size, vec![shared]) } else { (own_size, own) }
}

#[cfg(test)]
impl ScriptEntry {
    /// A given script: bands that begin at `edges` with point transform `low`, then `low` refining scans.
    pub(super) fn forced(layout: Layout, grids: &[BlockGrid], low: u8, edges: &[u8]) -> Vec<Self> {
        let stop = Stop(&|| false);
        let mut script = smallest(layout, grids, stop).unwrap();
        script.truncate(1);
        for (component, grid) in grids.iter().enumerate() {
            let ends = edges[1..].iter().chain([&64]);
            let first =
                edges.iter().zip(ends).map(|(&from, end)| Band { from, to: end - 1, low, refines: false });
            let refining = (0..low).rev().map(|low| Band { from: 1, to: 63, low, refines: true });
            script.extend(first.chain(refining).map(|band| {
                let (_, tables) = measured(&[Masks::new(grid, band.low)], band, stop).unwrap();
                Self { components: component..component + 1, band, tables }
            }));
        }
        script
    }
}
