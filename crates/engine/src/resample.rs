//! Resampling in linear light with premultiplied alpha: rows stream in, working memory goes by width.
//!
//! For each rendition, large reductions begin with the means of boxes of cells (`boxes`). Rows of boxes
//! are kept, two by two, as long as an output row needs them (`vertical`); each finished row is reduced
//! across (`horizontal`). All is in 16-bit integers with 32-bit sums, so that every SIMD level makes the
//! same bytes.

mod boxes;
mod horizontal;
pub(crate) mod kernel;
mod passes;
mod vertical;

use crate::error::Error;
use crate::header::{Format, Header};
use crate::light::{LightRow, Lighting};
use crate::pixels::{Grid, Model, Order, PassRow, Row, Rows, Small};
use crate::plan::Plan;
use crate::simd::{SimdLevel, padded};
use crate::stop::Stop;
use boxes::Boxes;
use horizontal::Horizontal;
use kernel::{Axis, Weights};
use passes::Passes;
use vertical::Vertical;

/// Turns each row of the picture to light, once, and gives it to the resampler of each rendition.
pub(crate) struct Fan<'a> {
    header: &'a Header,
    plans: &'a [Plan],
    level: SimdLevel,
    stop: Stop<'a>,
    rows: u32,
    running: Option<(Lighting, Renditions)>,
}

/// The resamplers, by the order in which rows come.
enum Renditions {
    TopDown(Vec<Resampler>),
    Passes(Vec<Passes>),
}

impl<'a> Fan<'a> {
    pub(crate) fn new(header: &'a Header, plans: &'a [Plan], level: SimdLevel, stop: Stop<'a>) -> Self {
        Self { header, plans, level, stop, rows: 0, running: None }
    }

    /// The small pictures, in the order of the plans.
    pub(crate) fn finish(self) -> Result<Vec<Small>, Error> {
        let missing =
            || Error::Internal(format!("the decoder gave {} rows of {}", self.rows, self.header.height));
        match self.running.ok_or_else(missing)?.1 {
            Renditions::TopDown(all) => {
                all.into_iter().map(|resampler| resampler.finish().ok_or_else(missing)).collect()
            }
            Renditions::Passes(all) => Ok(all.into_iter().map(Passes::finish).collect()),
        }
    }

    /// Asks whether to stop, now and then.
    fn count(&mut self) -> Result<(), Error> {
        if self.rows.is_multiple_of(8) {
            self.stop.check("resampling")?;
        }
        self.rows += 1;
        Ok(())
    }
}

impl Rows for Fan<'_> {
    fn begin(&mut self, grid: Grid) -> Result<(), Error> {
        self.stop.check("decoding")?;
        let width = self.header.width.div_ceil(grid.cell.0) as usize;
        let lighting = Lighting::new(self.level, grid, width);
        let renditions = match grid.order {
            Order::TopDown => {
                let resampler = |plan| Resampler::new(self.header, plan, grid, self.level);
                Renditions::TopDown(self.plans.iter().map(resampler).collect())
            }
            Order::Passes => {
                let passes = |plan| Passes::new(axes(self.header, plan, grid.cell, false), grid.model);
                Renditions::Passes(self.plans.iter().map(passes).collect())
            }
        };
        self.running = Some((lighting, renditions));
        Ok(())
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), Error> {
        self.count()?;
        if let Some((lighting, Renditions::TopDown(resamplers))) = &mut self.running {
            let row = lighting.row(row);
            for resampler in resamplers {
                resampler.row(row);
            }
        }
        Ok(())
    }

    fn pass_row(&mut self, place: PassRow, row: Row<'_>) -> Result<(), Error> {
        self.count()?;
        if let Some((lighting, Renditions::Passes(renditions))) = &mut self.running {
            let row = lighting.row(row);
            for passes in renditions {
                passes.row(place, row);
            }
        }
        Ok(())
    }
}

/// Resamples one rendition.
struct Resampler {
    level: SimdLevel,
    model: Model,
    columns: std::ops::Range<usize>,
    down: Weights,
    /// Rows seen so far.
    seen: usize,
    boxes: Option<Boxes>,
    vertical: Option<Vertical>,
    horizontal: Horizontal,
    /// Output rows made.
    done: usize,
}

fn axes(header: &Header, plan: &Plan, cell: (u32, u32), boxes: bool) -> (Axis, Axis) {
    let Plan { source, stored, filter, .. } = *plan;
    let axis = |from, length, limit, cell, out| Axis { from, length, limit, cell, out, filter, boxes };
    (
        axis(source.x, source.width, header.width, cell.0, stored.0),
        axis(source.y, source.height, header.height, cell.1, stored.1),
    )
}

/// The most bytes that resampling one rendition takes, for a grid of these cells.
pub(crate) fn memory(header: &Header, plan: &Plan, cell: (u32, u32)) -> u64 {
    let interlaced = header.format == Format::Png && header.progressive;
    let (across, down) = axes(header, plan, cell, !interlaced);
    let (columns, rows) = (across.reach(), down.reach());
    let (width, height) = (u64::from(plan.stored.0), u64::from(plan.stored.1));
    let row = (columns.boxes as u64 + 64) * 4 * 2;
    let sums = (columns.end - columns.start) as u64 * 4 * 4;
    sums + row * (rows.taps as u64 + 8)
        + Weights::memory(across, 16)
        + Weights::memory(down, 2)
        + width * height * 4 * if interlaced { 6 } else { 2 }
        + Lighting::memory(u64::from(header.width / cell.0))
}

impl Resampler {
    fn new(header: &Header, plan: &Plan, grid: Grid, level: SimdLevel) -> Self {
        let (across, down) = axes(header, plan, grid.cell, true);
        let (across, down) = (Weights::new(across, 1, crate::simd::WIDTH), Weights::new(down, 2, 2));
        let (columns, rows) = (across.reach, down.reach);
        let boxes =
            (columns.factor > 1 || rows.factor > 1).then(|| Boxes::new(grid.model.channels(), columns));
        Self {
            level,
            model: grid.model,
            columns: columns.start..columns.end,
            seen: 0,
            boxes,
            vertical: None,
            horizontal: Horizontal::new(grid.model, across, down.len()),
            down,
            done: 0,
        }
    }

    /// Takes the next row of the grid.
    fn row(&mut self, row: LightRow<'_>) {
        let reach = self.down.reach;
        let y = self.seen;
        self.seen += 1;
        if y < reach.start || y >= reach.end {
            return;
        }
        let last = y + 1 == reach.end;
        let channels = self.model.channels();
        let count = self.columns.len();
        if let Some(boxes) = &mut self.boxes {
            boxes.add(self.level, row, &self.columns);
            if boxes.rows() < reach.factor && !last {
                return;
            }
            let line = boxes.take();
            let vertical = self.vertical.get_or_insert_with(|| Vertical::new(line.len()));
            vertical.push(self.level, line);
        } else if row.step == 1 {
            let plane = padded(count);
            let vertical = self.vertical.get_or_insert_with(|| Vertical::new(plane * channels));
            vertical.push_with(self.level, |line| {
                for (c, target) in line.chunks_exact_mut(plane).enumerate() {
                    target[..count]
                        .copy_from_slice(&row.samples[c * row.plane + self.columns.start..][..count]);
                }
            });
        } else {
            let length = count * channels;
            let vertical = self.vertical.get_or_insert_with(|| Vertical::new(padded(length)));
            let samples = &row.samples[self.columns.start * channels..][..length];
            vertical.push_with(self.level, |line| line[..length].copy_from_slice(samples));
        }
        let Some(vertical) = &mut self.vertical else { return };
        if last {
            vertical.end(self.level);
        }
        let interleaved = self.boxes.is_none() && row.step > 1;
        while self.done < self.down.len() {
            let (first, weights) = self.down.window(self.done);
            let Some(line) = vertical.combine(self.level, first, weights) else { break };
            self.horizontal.row(self.level, line, interleaved);
            self.done += 1;
        }
    }

    /// The finished picture, if every row was given.
    fn finish(self) -> Option<Small> {
        let height = self.down.len();
        (self.done == height).then(|| self.horizontal.finish(height))
    }
}

#[cfg(test)]
mod tests;
