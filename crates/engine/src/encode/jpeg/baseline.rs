//! The sequential picture: one scan of all components (T.81, annex F).

use fearless_simd::Simd;

use super::STAGE;
use super::bits::{Bits, Codes};
use super::dct;
use super::huffman::Table;
use super::layout::Layout;
use super::markers::{self, Process};
use super::quantise::{Levels, Quantiser, Steps};
use super::strip::Strip;
use super::tables;
use super::tokens::{CLASSES, Tokens};
use crate::error::Error;
use crate::pixels::Finished;
use crate::stop::Stop;

/// Encodes the picture with code tables made for it, or else with the standard's.
#[inline(always)]
pub(super) fn encode<S: Simd>(
    simd: S,
    picture: &Finished,
    layout: Layout,
    steps: &[Steps; 2],
    made_for_it: bool,
    stop: Stop<'_>,
) -> Result<Vec<u8>, Error> {
    let mut file = Vec::with_capacity(1024);
    markers::start(&mut file);
    markers::quantisation(&mut file, &steps[..layout.classes()]);
    markers::frame(&mut file, layout, Process::Baseline, layout.classes());

    let units = if made_for_it { layout.units_down() } else { 1 } * layout.units_across();
    let mut tokens = Tokens::new(units * layout.unit_blocks());
    let mut rows = Rows::new(layout, steps);
    let bits = if made_for_it {
        for index in 0..layout.units_down() {
            stop.check(STAGE)?;
            rows.tokenise(simd, picture, index, &mut tokens);
        }
        let tables = std::array::from_fn(|index| Table::optimal(tokens.counts(index)));
        let (mut bits, codes) = begin_scan(file, layout, &tables);
        for chunk in tokens.chunks() {
            stop.check(STAGE)?;
            bits.tokens(chunk, &codes);
        }
        bits
    } else {
        let (mut bits, codes) = begin_scan(file, layout, &tables::standard());
        for index in 0..layout.units_down() {
            stop.check(STAGE)?;
            rows.tokenise(simd, picture, index, &mut tokens);
            tokens.chunks().for_each(|chunk| bits.tokens(chunk, &codes));
            tokens.clear();
        }
        bits
    };
    let mut file = bits.finish();
    markers::end(&mut file);
    Ok(file)
}

/// Writes the code tables and the scan header.
fn begin_scan(mut file: Vec<u8>, layout: Layout, tables: &[Table; 4]) -> (Bits, Codes) {
    let named = [(0, 0), (1, 0), (0, 1), (1, 1)].into_iter().zip(tables);
    let used = named.map(|((class, id), table)| (class, id, table)).take(2 * layout.classes());
    markers::codes(&mut file, used);
    let components = [(0, 0, 0), (1, 1, 1), (2, 1, 1)];
    markers::scan(&mut file, &components[..layout.components()], (0, 63), (0, 0));
    (Bits::new(file), Codes::new(&tables.each_ref().map(Table::codes)))
}

/// Pixels to tokens, one row of units at a time.
struct Rows {
    layout: Layout,
    quantisers: [Quantiser; 2],
    strip: Strip,
    /// The levels of a row of units: for each component one row of blocks after the other.
    levels: [Vec<Levels>; 3],
    /// The DC level last coded of each component.
    before: [i16; 3],
}

impl Rows {
    fn new(layout: Layout, steps: &[Steps; 2]) -> Self {
        let strip = Strip::new(layout);
        let levels = std::array::from_fn(|index| {
            if index < layout.components() {
                vec![Levels::NONE; strip.planes[index].groups() * layout.factor(index)]
            } else {
                Vec::new()
            }
        });
        let quantisers = steps.each_ref().map(Quantiser::new);
        Self { layout, quantisers, strip, levels, before: [0; 3] }
    }

    #[inline(always)]
    fn tokenise<S: Simd>(&mut self, simd: S, picture: &Finished, index: usize, tokens: &mut Tokens) {
        let layout = self.layout;
        self.strip.fill(picture, index);
        for component in 0..layout.components() {
            let plane = &self.strip.planes[component];
            let quantiser = &self.quantisers[component.min(1)];
            let rows = self.levels[component].chunks_exact_mut(plane.groups());
            for (row, levels) in rows.enumerate() {
                for (group, levels) in levels.iter_mut().enumerate() {
                    quantiser.quantise(&dct::forward(simd, &plane.group(row, group)), levels);
                }
            }
        }
        for unit in 0..layout.units_across() {
            for component in 0..layout.components() {
                let class = CLASSES[component.min(1)];
                let factor = layout.factor(component);
                let groups = self.strip.planes[component].groups();
                for row in 0..factor {
                    for column in 0..factor {
                        let (x, y) = (unit * factor + column, index * factor + row);
                        if layout.holds(component, x, y) {
                            let levels = &self.levels[component][row * groups + x / 4];
                            tokens.block(levels, x % 4, class, &mut self.before[component]);
                        } else {
                            tokens.no_block(class);
                        }
                    }
                }
            }
        }
    }
}
