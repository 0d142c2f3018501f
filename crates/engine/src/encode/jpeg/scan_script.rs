//! Which scans a progressive picture has: those that make it smallest, by trying.

use super::grid::Grid;
use super::huffman::Table;
use super::layout::Layout;
use super::scan::{self, Band, Masks, Scan};
use crate::error::Error;
use crate::stop::Stop;

/// Where bands may begin, in zigzag order: behind whole diagonals.
const EDGES: [u8; 7] = [1, 3, 6, 10, 15, 28, 64];
/// Bits left for later scans, at most.
const MOST_LOW: u8 = 2;
/// Bits of a scan besides its tables and data: its header of one component.
const HEADER: u64 = 8 * 10;
/// Bits of a segment of tables besides these.
const SEGMENT: u64 = 8 * 4;

/// One scan of DC or, for each of some components, one scan of the same band.
pub(super) struct Part {
    pub(super) components: std::ops::Range<usize>,
    pub(super) band: Band,
    /// One table for each component, or for each class of components in a scan of DC; or one for all.
    pub(super) tables: Vec<Table>,
}

impl Part {
    /// Which of the tables belongs to the component or class that is number `index` here.
    pub(super) fn table(&self, index: usize) -> usize {
        index.min(self.tables.len() - 1)
    }
}

/// All scans of the picture with these levels, in an order that shows most early.
pub(super) fn smallest(layout: Layout, grids: &[Grid], stop: Stop<'_>) -> Result<Vec<Part>, Error> {
    let dc = scan::dc(Scan::measured(), layout, grids, stop)?;
    let counts: Vec<_> = (0..layout.classes()).map(|class| *dc.counts(class)).collect();
    let band = Band { from: 0, to: 0, low: 0, refines: false };
    let mut parts = vec![Part { components: 0..layout.components(), band, tables: tables(&counts).1 }];

    // Both components of chroma have the same bands, so that they can share tables.
    let mut rest = smallest_of(&grids[..1], 0..1, stop)?;
    if layout.components() > 1 {
        rest.extend(smallest_of(&grids[1..], 1..3, stop)?);
    }
    rest.sort_by_key(|part| (part.band.refines, part.band.from, u8::MAX - part.band.low));
    parts.append(&mut rest);
    Ok(parts)
}

/// Scans with their tables, and how many bits they take.
type Way = (u64, Vec<(Band, Vec<Table>)>);

/// The AC scans of one or two components, whose numbers are `components`.
fn smallest_of(
    grids: &[Grid],
    components: std::ops::Range<usize>,
    stop: Stop<'_>,
) -> Result<Vec<Part>, Error> {
    let mut least = u64::MAX;
    let mut best = Vec::new();
    // What adding bits from here down takes.
    let mut refinements: Way = (0, Vec::new());
    for low in 0..=MOST_LOW {
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
    Ok(best.into_iter().map(|(band, tables)| Part { components: components.clone(), band, tables }).collect())
}

/// The best way to split the first scans, which leave `low` bits, into bands.
fn split(masks: &[Masks<'_>], low: u8, stop: Stop<'_>) -> Result<Way, Error> {
    // The best way up to each edge goes on from the best way up to an edge before.
    let mut ways: Vec<Way> = vec![(0, Vec::new())];
    for (at, &end) in EDGES.iter().enumerate().skip(1) {
        let mut best = (u64::MAX, Vec::new());
        for (&from, (before, choices)) in EDGES[..at].iter().zip(&ways) {
            let band = Band { from, to: end - 1, low, refines: false };
            let (size, tables) = measured(masks, band, stop)?;
            if before + size < best.0 {
                let choices = choices.iter().cloned().chain([(band, tables)]).collect();
                best = (before + size, choices);
            }
        }
        ways.push(best);
    }
    Ok(ways.pop().expect("the last edge was reached"))
}

/// How many bits scans of a band take, and their tables.
fn measured(masks: &[Masks<'_>], band: Band, stop: Stop<'_>) -> Result<(u64, Vec<Table>), Error> {
    let scans: Vec<_> = masks
        .iter()
        .map(|masks| scan::ac(Scan::measured(), masks, band, stop))
        .collect::<Result<_, Error>>()?;
    let counts: Vec<_> = scans.iter().map(|scan| *scan.counts(0)).collect();
    let (size, tables) = tables(&counts);
    let plain: u64 = scans.iter().map(Scan::plain_bits).sum();
    Ok((size + plain + scans.len() as u64 * HEADER, tables))
}

/// One table for each of these, or one for all if that takes less, and how many bits they take.
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
impl Part {
    /// Scans as told: bands that begin at `edges` and leave `low` bits, then as many that add one.
    pub(super) fn forced(layout: Layout, grids: &[Grid], low: u8, edges: &[u8]) -> Vec<Self> {
        let stop = Stop(&|| false);
        let mut parts = smallest(layout, grids, stop).unwrap();
        parts.truncate(1);
        for (component, grid) in grids.iter().enumerate() {
            let ends = edges[1..].iter().chain([&64]);
            let first =
                edges.iter().zip(ends).map(|(&from, end)| Band { from, to: end - 1, low, refines: false });
            let more = (0..low).rev().map(|low| Band { from: 1, to: 63, low, refines: true });
            parts.extend(first.chain(more).map(|band| {
                let (_, tables) = measured(&[Masks::new(grid, band.low)], band, stop).unwrap();
                Self { components: component..component + 1, band, tables }
            }));
        }
        parts
    }
}
