//! Resampling in linear light with premultiplied alpha: rows stream in, memory is proportional to the width.
//!
//! For each rendition, large reductions begin with the means of boxes of samples (`box_filter`). Rows of boxes
//! are buffered, in pairs, as long as an output row needs them (`vertical`); each combined row is reduced across
//! (`horizontal`). Values are 16-bit integers with 32-bit sums, so that every SIMD level gives the same result.

mod box_filter;
mod buffers;
mod horizontal;
mod interlaced;
mod vertical;
pub(crate) mod weights;

use crate::error::Error;
use crate::header::{Format, Header};
use crate::light::{LightRow, Lineariser};
use crate::pixels::{Grid, Image16, Model, Order, PassRow, Row, RowSink};
use crate::plan::Plan;
use crate::simd::{SimdLevel, padded};
use crate::stop::Stop;
use box_filter::BoxFilter;
use horizontal::Horizontal;
use interlaced::InterlacedResampler;
use std::sync::Arc;
use vertical::Vertical;

pub(crate) use buffers::Buffers;
use weights::{Axis, Weights};

/// Converts each row of the image to light once, for the resamplers of all renditions.
pub(crate) struct MultiResampler<'a> {
    header: &'a Header,
    plans: &'a [Plan],
    level: SimdLevel,
    stop: Stop<'a>,
    rows: u32,
    buffers: &'a mut Buffers,
    running: Option<(Lineariser, Resamplers)>,
}

/// The resamplers, by the order of the rows.
enum Resamplers {
    TopDown(Vec<Resampler>),
    Passes(Vec<InterlacedResampler>),
}

impl<'a> MultiResampler<'a> {
    pub(crate) fn new(
        header: &'a Header,
        plans: &'a [Plan],
        level: SimdLevel,
        stop: Stop<'a>,
        buffers: &'a mut Buffers,
    ) -> Self {
        Self { header, plans, level, stop, rows: 0, buffers, running: None }
    }

    /// The resampled images, in the order of the plans.
    pub(crate) fn finish(self) -> Result<Vec<Image16>, Error> {
        let missing =
            || Error::Internal(format!("the decoder returned {} rows of {}", self.rows, self.header.height));
        match self.running.ok_or_else(missing)?.1 {
            Resamplers::TopDown(all) => {
                all.into_iter().map(|resampler| resampler.finish().ok_or_else(missing)).collect()
            }
            Resamplers::Passes(all) => Ok(all.into_iter().map(InterlacedResampler::finish).collect()),
        }
    }

    /// Counts a row, and polls `stop` every eight.
    fn count(&mut self) -> Result<(), Error> {
        if self.rows.is_multiple_of(8) {
            self.stop.check("resampling")?;
        }
        self.rows += 1;
        Ok(())
    }
}

impl RowSink for MultiResampler<'_> {
    fn begin(&mut self, grid: Grid) -> Result<(), Error> {
        self.stop.check("decoding")?;
        let width = samples(self.header.width, grid.scale) as usize;
        let lineariser = Lineariser::new(self.level, grid, width);
        let renditions = match grid.order {
            Order::TopDown => {
                let resampler = |plan| Resampler::new(self.header, plan, grid, self.level, self.buffers);
                Resamplers::TopDown(self.plans.iter().map(resampler).collect())
            }
            Order::Passes => {
                let resampler =
                    |plan| InterlacedResampler::new(axes(self.header, plan, grid.scale, false), grid.model);
                Resamplers::Passes(self.plans.iter().map(resampler).collect())
            }
        };
        self.running = Some((lineariser, renditions));
        Ok(())
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), Error> {
        self.count()?;
        if let Some((lineariser, Resamplers::TopDown(resamplers))) = &mut self.running {
            let row = lineariser.row(row);
            for resampler in resamplers {
                resampler.row(row);
            }
        }
        Ok(())
    }

    fn pass_row(&mut self, place: PassRow, row: Row<'_>) -> Result<(), Error> {
        self.count()?;
        if let Some((lineariser, Resamplers::Passes(resamplers))) = &mut self.running {
            let row = lineariser.row(row);
            for resampler in resamplers {
                resampler.row(place, row);
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
    down: Arc<Weights>,
    /// Rows received so far.
    received: usize,
    boxes: Option<BoxFilter>,
    vertical: Option<Vertical>,
    horizontal: Horizontal,
    /// Output rows finished.
    done: usize,
}

/// Samples of `pixels` along one side, where eight became `scale`.
pub(crate) fn samples(pixels: u32, scale: u32) -> u64 {
    (u64::from(pixels) * u64::from(scale)).div_ceil(8)
}

fn axes(header: &Header, plan: &Plan, scale: u32, boxes: bool) -> (Axis, Axis) {
    let Plan { source, stored, filter, .. } = *plan;
    // Exact in multiples of an eighth.
    let scaled = |pixels: f64| pixels * f64::from(scale) / 8.0;
    let axis = |from, length, limit: u32, out| {
        let (from, length, limit) = (scaled(from), scaled(length), scaled(limit.into()));
        Axis { from, length, limit, out, filter, boxes }
    };
    (
        axis(source.x, source.width, header.width, stored.0),
        axis(source.y, source.height, header.height, stored.1),
    )
}

/// Upper bound on the bytes that resampling one rendition takes, at a scale of `scale` samples for eight pixels.
pub(crate) fn memory(header: &Header, plan: &Plan, scale: u32) -> u64 {
    let interlaced = header.format == Format::Png && header.progressive;
    let (across, down) = axes(header, plan, scale, !interlaced);
    let (columns, rows) = (across.span(), down.span());
    let (width, height) = (u64::from(plan.stored.0), u64::from(plan.stored.1));
    let row = (columns.boxes as u64 + 64) * 4 * 2;
    let sums = (columns.end - columns.start) as u64 * 4 * 4;
    sums + row * (rows.taps as u64 + 8)
        + Weights::memory(across, 16)
        + Weights::memory(down, 2)
        + width * height * 4 * if interlaced { 6 } else { 2 }
        + Lineariser::memory(samples(header.width, scale))
}

impl Resampler {
    fn new(header: &Header, plan: &Plan, grid: Grid, level: SimdLevel, buffers: &mut Buffers) -> Self {
        let (across, down) = axes(header, plan, grid.scale, true);
        let Buffers { weights, .. } = buffers;
        let (across, down) = (weights.weights(across, 1, crate::simd::WIDTH), weights.weights(down, 2, 2));
        let samples = buffers.samples(across.len() * down.len() * grid.model.channels());
        let (columns, rows) = (across.span, down.span);
        let boxes =
            (columns.factor > 1 || rows.factor > 1).then(|| BoxFilter::new(grid.model.channels(), columns));
        Self {
            level,
            model: grid.model,
            columns: columns.start..columns.end,
            received: 0,
            boxes,
            vertical: None,
            horizontal: Horizontal::new(grid.model, across, samples),
            down,
            done: 0,
        }
    }

    /// Takes the next row of the grid.
    fn row(&mut self, row: LightRow<'_>) {
        let span = self.down.span;
        let y = self.received;
        self.received += 1;
        if y < span.start || y >= span.end {
            return;
        }
        let last = y + 1 == span.end;
        let channels = self.model.channels();
        let count = self.columns.len();
        if let Some(boxes) = &mut self.boxes {
            boxes.add(self.level, row, &self.columns);
            if boxes.rows() < span.factor && !last {
                return;
            }
            let line = boxes.take();
            let vertical = self.vertical.get_or_insert_with(|| Vertical::new(line.len()));
            vertical.push(self.level, line);
        } else if row.step == 1 {
            let plane = self.horizontal.stride();
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
        let interleaved = row.step > 1;
        while self.done < self.down.len() {
            let (first, weights) = self.down.window(self.done);
            let Some(line) = vertical.combine(self.level, first, weights) else { break };
            if self.boxes.is_some() || interleaved {
                self.horizontal.row(self.level, line, self.boxes.is_none());
            } else {
                self.horizontal.planes(self.level, line);
            }
            self.done += 1;
        }
    }

    /// The resampled image, if all rows were received.
    fn finish(self) -> Option<Image16> {
        let height = self.down.len();
        (self.done == height).then(|| self.horizontal.finish(height))
    }
}

#[cfg(test)]
mod tests;
