//! Baseline JPEG: one scan of all components (T.81, annex F).

use fearless_simd::Simd;

use super::STAGE;
use super::bit_writer::{BitWriter, Codes};
use super::dct;
use super::huffman::Table;
use super::layout::Layout;
use super::markers::{self, Process};
use super::mcu_row::McuRow;
use super::quantisation::{Levels, Quantiser, Steps};
use super::tables;
use super::tokens::{TABLE_SETS, Tokens};
use crate::error::Error;
use crate::pixels::Image8;
use crate::stop::Stop;

/// Encodes the image with Huffman tables optimised for it, or with those of annex K.
#[inline(always)]
pub(super) fn encode<S: Simd>(
    simd: S,
    image: &Image8,
    layout: Layout,
    steps: &[Steps; 2],
    optimise: bool,
    stop: Stop<'_>,
) -> Result<Vec<u8>, Error> {
    let mut file = Vec::with_capacity(1024);
    markers::start(&mut file);
    markers::quantisation(&mut file, &steps[..layout.table_sets()]);
    markers::frame(&mut file, layout, Process::Baseline, layout.table_sets());

    let mcus = if optimise { layout.mcus_down() } else { 1 } * layout.mcus_across();
    let mut tokens = Tokens::new(mcus * layout.mcu_blocks());
    let mut tokeniser = Tokeniser::new(layout, steps);
    let writer = if optimise {
        for index in 0..layout.mcus_down() {
            stop.check(STAGE)?;
            tokeniser.tokenise(simd, image, index, &mut tokens);
        }
        let tables = std::array::from_fn(|index| Table::optimal(tokens.counts(index)));
        let (mut writer, codes) = begin_scan(file, layout, &tables);
        for chunk in tokens.chunks() {
            stop.check(STAGE)?;
            writer.tokens(chunk, &codes);
        }
        writer
    } else {
        let (mut writer, codes) = begin_scan(file, layout, &tables::standard());
        for index in 0..layout.mcus_down() {
            stop.check(STAGE)?;
            tokeniser.tokenise(simd, image, index, &mut tokens);
            tokens.chunks().for_each(|chunk| writer.tokens(chunk, &codes));
            tokens.clear();
        }
        writer
    };
    let mut file = writer.finish();
    markers::end(&mut file);
    Ok(file)
}

/// Writes the code tables and the scan header.
fn begin_scan(mut file: Vec<u8>, layout: Layout, tables: &[Table; 4]) -> (BitWriter, Codes) {
    let named = [(0, 0), (1, 0), (0, 1), (1, 1)].into_iter().zip(tables);
    let used = named.map(|((class, id), table)| (class, id, table)).take(2 * layout.table_sets());
    markers::codes(&mut file, used);
    let components = [(0, 0, 0), (1, 1, 1), (2, 1, 1)];
    markers::scan(&mut file, &components[..layout.components()], (0, 63), (0, 0));
    (BitWriter::new(file), Codes::new(&tables.each_ref().map(Table::codes)))
}

/// Converts pixels to tokens, one MCU row at a time.
struct Tokeniser {
    layout: Layout,
    quantisers: [Quantiser; 2],
    samples: McuRow,
    /// The levels of an MCU row: for each component one row of blocks after the other.
    levels: [Vec<Levels>; 3],
    /// The previous DC level of each component.
    before: [i16; 3],
}

impl Tokeniser {
    fn new(layout: Layout, steps: &[Steps; 2]) -> Self {
        let samples = McuRow::new(layout);
        let levels = std::array::from_fn(|index| {
            if index < layout.components() {
                vec![Levels::NONE; samples.planes[index].groups() * layout.factor(index)]
            } else {
                Vec::new()
            }
        });
        let quantisers = steps.each_ref().map(Quantiser::new);
        Self { layout, quantisers, samples, levels, before: [0; 3] }
    }

    #[inline(always)]
    fn tokenise<S: Simd>(&mut self, simd: S, image: &Image8, index: usize, tokens: &mut Tokens) {
        let layout = self.layout;
        self.samples.fill(image, index);
        for component in 0..layout.components() {
            let plane = &self.samples.planes[component];
            let quantiser = &self.quantisers[component.min(1)];
            let rows = self.levels[component].chunks_exact_mut(plane.groups());
            for (row, levels) in rows.enumerate() {
                for (group, levels) in levels.iter_mut().enumerate() {
                    quantiser.quantise(&dct::forward(simd, &plane.group(row, group)), levels);
                }
            }
        }
        for mcu in 0..layout.mcus_across() {
            for component in 0..layout.components() {
                let tables = TABLE_SETS[component.min(1)];
                let factor = layout.factor(component);
                let groups = self.samples.planes[component].groups();
                for row in 0..factor {
                    for column in 0..factor {
                        let (x, y) = (mcu * factor + column, index * factor + row);
                        if layout.has_block(component, x, y) {
                            let levels = &self.levels[component][row * groups + x / 4];
                            tokens.block(levels, x % 4, tables, &mut self.before[component]);
                        } else {
                            tokens.padding_block(tables);
                        }
                    }
                }
            }
        }
    }
}
