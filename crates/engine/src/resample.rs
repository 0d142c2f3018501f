//! Resampling in linear light with premultiplied alpha: rows stream in, working memory goes by width.
//!
//! Each source row is added up into columns; every `factor` rows make one row of box cells. A row of
//! cells is added, weighted, to each output row under way; a finished one is reduced across. Sums run
//! in one fixed order and without fused operations, so every machine makes the same bytes.

pub(crate) mod kernel;

use std::collections::VecDeque;

use crate::error::Error;
use crate::header::Header;
use crate::light;
use crate::pixels::{Model, Order, PassRow, Row, Rows, Small};
use crate::plan::Plan;
use crate::stop::Stop;
use kernel::{Axis, Kernel};

/// Gives each row of the source to the resampler of each rendition.
pub(crate) struct Fan<'a> {
    header: &'a Header,
    plans: &'a [Plan],
    stop: Stop<'a>,
    rows: u32,
    resamplers: Vec<Resampler>,
    passes: Option<Passes>,
}

/// An interlaced picture, until its last row is there.
struct Passes {
    channels: usize,
    left: u64,
    wide: bool,
    frame: Vec<u16>,
}

impl<'a> Fan<'a> {
    pub(crate) fn new(header: &'a Header, plans: &'a [Plan], stop: Stop<'a>) -> Self {
        Self { header, plans, stop, rows: 0, resamplers: Vec::new(), passes: None }
    }

    /// The small pictures, in the order of the plans.
    pub(crate) fn finish(self) -> Result<Vec<Small>, Error> {
        let missing =
            || Error::Internal(format!("the decoder gave {} rows of {}", self.rows, self.header.height));
        self.resamplers.into_iter().map(|resampler| resampler.finish().ok_or_else(missing)).collect()
    }
}

impl Rows for Fan<'_> {
    fn begin(&mut self, model: Model, order: Order) -> Result<(), Error> {
        self.stop.check("decoding")?;
        if order == Order::Passes {
            let (channels, left) = (model.channels(), self.header.pixels());
            let frame = vec![0; left as usize * channels];
            self.passes = Some(Passes { channels, left, wide: false, frame });
        }
        self.resamplers = self.plans.iter().map(|plan| Resampler::new(self.header, plan, model)).collect();
        Ok(())
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), Error> {
        if self.rows.is_multiple_of(16) {
            self.stop.check("resampling")?;
        }
        self.rows += 1;
        for resampler in &mut self.resamplers {
            resampler.row(row);
        }
        Ok(())
    }

    fn pass_row(&mut self, place: PassRow, row: Row<'_>) -> Result<(), Error> {
        let width = self.header.width as usize;
        let Some(passes) = &mut self.passes else { return Ok(()) };
        let channels = passes.channels;
        let line = &mut passes.frame[place.y as usize * width * channels..][..width * channels];
        let pixels = line.chunks_exact_mut(channels).skip(place.from as usize).step_by(place.step as usize);
        match row {
            Row::U8(samples) => {
                for (pixel, samples) in pixels.zip(samples.chunks_exact(channels)) {
                    pixel.iter_mut().zip(samples).for_each(|(to, &from)| *to = from.into());
                    passes.left -= 1;
                }
            }
            Row::U16(samples) => {
                passes.wide = true;
                for (pixel, samples) in pixels.zip(samples.chunks_exact(channels)) {
                    pixel.copy_from_slice(samples);
                    passes.left -= 1;
                }
            }
        }
        if passes.left > 0 {
            return Ok(());
        }
        let Some(passes) = self.passes.take() else { return Ok(()) };
        passes.frame.chunks_exact(width * channels).try_for_each(|row| {
            if passes.wide {
                return self.row(Row::U16(row));
            }
            let bytes: Vec<u8> = row.iter().map(|&sample| sample as u8).collect();
            self.row(Row::U8(&bytes))
        })
    }
}

/// Resamples one rendition.
pub(crate) struct Resampler {
    model: Model,
    across: Kernel,
    down: Kernel,
    /// Source rows seen so far.
    seen: usize,
    /// Rows added up in `sums`, and cells rows made.
    pending: usize,
    cell_row: usize,
    sums: Vec<u32>,
    cells: Vec<f32>,
    /// Output rows under way, the first of them being row `done`.
    active: VecDeque<Vec<f32>>,
    spare: Vec<Vec<f32>>,
    done: usize,
    samples: Vec<u16>,
}

fn axes(header: &Header, plan: &Plan) -> (Axis, Axis) {
    let source = plan.source;
    (
        Axis { from: source.x, length: source.width, limit: header.width, out: plan.stored.0 },
        Axis { from: source.y, length: source.height, limit: header.height, out: plan.stored.1 },
    )
}

/// The most bytes a resampler holds.
pub(crate) fn memory(header: &Header, plan: &Plan) -> u64 {
    let (across, down) = axes(header, plan);
    let (across, down) = (across.reach(), down.reach());
    let (width, height) = (u64::from(plan.stored.0), u64::from(plan.stored.1));
    let row = across.cells as u64 * 4 * 4;
    let sums = (across.end - across.start) as u64 * 4 * 4;
    let weights = |out: u64, taps: usize| out * (taps as u64 * 4 + 16);
    sums + row * (down.active as u64 + 2)
        + weights(width, across.taps)
        + weights(height, down.taps)
        + width * height * 4 * 2
}

impl Resampler {
    pub(crate) fn new(header: &Header, plan: &Plan, model: Model) -> Self {
        let (across, down) = axes(header, plan);
        let (across, down) = (Kernel::new(across), Kernel::new(down));
        let channels = model.channels();
        Self {
            model,
            seen: 0,
            pending: 0,
            cell_row: 0,
            sums: vec![0; (across.reach.end - across.reach.start) * channels],
            cells: vec![0.0; across.reach.cells * channels],
            active: VecDeque::new(),
            spare: Vec::new(),
            done: 0,
            samples: Vec::with_capacity(across.len() * down.len() * channels),
            across,
            down,
        }
    }

    /// Takes the next row of the source.
    pub(crate) fn row(&mut self, row: Row<'_>) {
        let reach = self.down.reach;
        let y = self.seen;
        self.seen += 1;
        if y < reach.start || y >= reach.end {
            return;
        }
        light::add_row(self.model, row, self.across.reach.start, &mut self.sums);
        self.pending += 1;
        if self.pending == reach.factor || y + 1 == reach.end {
            self.reduce();
            self.spread();
        }
    }

    /// The finished picture, if every row was given.
    pub(crate) fn finish(self) -> Option<Small> {
        let (width, height) = (self.across.len(), self.down.len());
        (self.done == height).then_some(Small { width, height, model: self.model, samples: self.samples })
    }

    /// Turns the column sums into a row of cells.
    fn reduce(&mut self) {
        let channels = self.model.channels();
        let factor = self.across.reach.factor;
        if factor == 1 {
            let scale = 1.0 / self.pending as f32;
            for (cell, sum) in self.cells.iter_mut().zip(&self.sums) {
                *cell = *sum as f32 * scale;
            }
        } else {
            let groups = self.sums.chunks(factor * channels);
            for (cell, group) in self.cells.chunks_exact_mut(channels).zip(groups) {
                let scale = 1.0 / (group.len() / channels * self.pending) as f64;
                let mut totals = [0_u64; 4];
                for pixel in group.chunks_exact(channels) {
                    for (total, &sum) in totals.iter_mut().zip(pixel) {
                        *total += u64::from(sum);
                    }
                }
                for (value, total) in cell.iter_mut().zip(totals) {
                    *value = (total as f64 * scale) as f32;
                }
            }
        }
        self.sums.fill(0);
        self.pending = 0;
    }

    /// Adds the row of cells to the output rows it belongs to, and completes those that end with it.
    fn spread(&mut self) {
        let index = self.cell_row;
        self.cell_row += 1;
        loop {
            let next = self.done + self.active.len();
            if next == self.down.len() || self.down.window(next).0 > index {
                break;
            }
            let mut fresh = self.spare.pop().unwrap_or_default();
            fresh.clear();
            fresh.resize(self.cells.len(), 0.0);
            self.active.push_back(fresh);
        }
        for (offset, sums) in self.active.iter_mut().enumerate() {
            let (first, weights) = self.down.window(self.done + offset);
            let Some(&weight) = weights.get(index - first) else { continue };
            for (sum, cell) in sums.iter_mut().zip(&self.cells) {
                *sum += weight * cell;
            }
        }
        while !self.active.is_empty() {
            let (first, weights) = self.down.window(self.done);
            if first + weights.len() > index + 1 {
                break;
            }
            if let Some(sums) = self.active.pop_front() {
                match self.model {
                    Model::Gray => across::<1>(&self.across, &sums, false, &mut self.samples),
                    Model::GrayAlpha => across::<2>(&self.across, &sums, true, &mut self.samples),
                    Model::Rgb => across::<3>(&self.across, &sums, false, &mut self.samples),
                    Model::Rgba => across::<4>(&self.across, &sums, true, &mut self.samples),
                }
                self.spare.push(sums);
                self.done += 1;
            }
        }
    }
}

/// Reduces one row of cells across and encodes it.
fn across<const CHANNELS: usize>(kernel: &Kernel, row: &[f32], alpha: bool, samples: &mut Vec<u16>) {
    let (cells, _) = row.as_chunks::<CHANNELS>();
    for out in 0..kernel.len() {
        let (first, weights) = kernel.window(out);
        let mut sum = [0.0_f32; CHANNELS];
        for (weight, cell) in weights.iter().zip(&cells[first..]) {
            for channel in 0..CHANNELS {
                sum[channel] += weight * cell[channel];
            }
        }
        samples.extend_from_slice(&encode(sum, alpha));
    }
}

/// Linear light with premultiplied alpha to encoded samples with straight alpha.
fn encode<const CHANNELS: usize>(light: [f32; CHANNELS], alpha: bool) -> [u16; CHANNELS] {
    let round = |value: f32| (value.clamp(0.0, 65535.0) + 0.5) as u16;
    if !alpha {
        return light.map(|value| light::encode(round(value)));
    }
    let opacity = round(light[CHANNELS - 1]);
    let mut samples = [0; CHANNELS];
    if opacity > 0 {
        let scale = 65535.0 / light[CHANNELS - 1].clamp(1.0, 65535.0);
        for (sample, value) in samples.iter_mut().zip(light) {
            *sample = light::encode(round(value * scale));
        }
    }
    samples[CHANNELS - 1] = opacity;
    samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{Format, Orientation};
    use crate::plan::Rect;

    fn run(model: Model, width: u32, height: u32, out: (u32, u32), pixels: &[u8]) -> Vec<u16> {
        let header = Header {
            format: Format::Png,
            width,
            height,
            orientation: Orientation::UPRIGHT,
            colour: "rgb",
            bits: 8,
            alpha: model.has_alpha(),
            progressive: false,
            animated: false,
            profile: false,
        };
        let source = Rect { x: 0.0, y: 0.0, width: width.into(), height: height.into() };
        let plan = Plan { source, stored: out, canvas: out, offset: (0, 0) };
        let mut resampler = Resampler::new(&header, &plan, model);
        for row in pixels.chunks(width as usize * model.channels()) {
            resampler.row(Row::U8(row));
        }
        resampler.finish().expect("all rows were given").samples
    }

    #[test]
    fn a_flat_picture_stays_flat_at_every_size() {
        for (width, height) in [(1, 1), (7, 5), (640, 33), (1000, 1000)] {
            let pixels = [200, 100, 3].repeat((width * height) as usize);
            for out in [(1, 1), (3, 4), (64, 64), (128, 9)] {
                let expected: Vec<u16> = [200, 100, 3].map(|v| v * 257).to_vec();
                for pixel in run(Model::Rgb, width, height, out, &pixels).chunks(3) {
                    for (a, b) in pixel.iter().zip(&expected) {
                        assert!(a.abs_diff(*b) <= 16, "{width}x{height} to {out:?}: {pixel:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_to_one_keeps_every_byte() {
        let pixels: Vec<u8> = (0..=255).collect();
        let samples = run(Model::Gray, 16, 16, (16, 16), &pixels);
        let bytes: Vec<u8> = samples.iter().map(|&v| ((u32::from(v) * 255 + 32767) / 65535) as u8).collect();
        assert_eq!(bytes, pixels);
    }

    #[test]
    fn averages_light_and_not_code_values() {
        let pixels: Vec<u8> =
            (0..64 * 64).map(|i| if (i % 64 + i / 64) % 2 == 0 { 0 } else { 255 }).collect();
        for sample in run(Model::Gray, 64, 64, (4, 4), &pixels) {
            assert!((sample / 257).abs_diff(188) <= 2, "{}", sample / 257);
        }
    }

    #[test]
    fn transparent_colour_does_not_bleed() {
        let row = [[255, 0, 0, 0].repeat(32), [0, 0, 255, 255].repeat(32)].concat();
        for pixel in run(Model::Rgba, 64, 64, (8, 8), &row.repeat(64)).chunks(4) {
            assert_eq!(pixel[0], 0, "{pixel:?}");
        }
    }
}
