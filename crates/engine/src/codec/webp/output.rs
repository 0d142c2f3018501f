//! Rows of the first frame, placed on the canvas.

use super::header::Frame;
use crate::error::Error;
use crate::header::Header;
use crate::pixels::{Components, Grid, Model, Row, RowSink};

pub(super) struct Output<'a> {
    rows: &'a mut dyn RowSink,
    model: Model,
    frame: Frame,
    /// Rows of the canvas.
    height: usize,
    /// One row of the canvas, if pixels are interleaved.
    line: Vec<u8>,
    /// Whether the frame covers the canvas.
    whole: bool,
    done: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(header: &Header, frame: Frame, rows: &'a mut dyn RowSink) -> Result<Self, Error> {
        let model = if header.alpha { Model::Rgba } else { Model::Rgb };
        let canvas = (header.width as usize, header.height as usize);
        rows.begin(Grid::full_scale(model))?;
        let line = vec![0; canvas.0 * model.channels()];
        let whole = (frame.width, frame.height) == canvas;
        let mut output = Self { rows, model, frame, height: canvas.1, line, whole, done: 0 };
        output.blank(frame.y)?;
        Ok(output)
    }

    /// Passes rows outside the frame on, up to row `end`.
    fn blank(&mut self, end: usize) -> Result<(), Error> {
        if self.done < end {
            let blank = vec![0; self.line.len()];
            for _ in self.done..end {
                self.rows.row(Row::U8(&blank))?;
            }
            self.done = end;
        }
        Ok(())
    }

    /// Passes a row of planes on, in sixteenths of a code, with its alpha if it is not opaque.
    pub(super) fn planes(&mut self, planes: [&[i16]; 3], alpha: Option<&[u8]>) -> Result<(), Error> {
        if self.whole && self.model == Model::Rgb {
            self.done += 1;
            return self.rows.row(Row::Components(Components {
                planes,
                ycc: false,
                whole_codes: true,
                variance: &[],
            }));
        }
        let Frame { x, width, .. } = self.frame;
        let channels = self.model.channels();
        let target = &mut self.line[x * channels..][..width * channels];
        let byte = |sample: i16| (sample >> 4) as u8;
        let [red, green, blue] = planes.map(|plane| &plane[..width]);
        let samples = red.iter().zip(green).zip(blue);
        if self.model == Model::Rgb {
            for (pixel, ((&red, &green), &blue)) in target.as_chunks_mut::<3>().0.iter_mut().zip(samples) {
                *pixel = [byte(red), byte(green), byte(blue)];
            }
        } else {
            let pixels = target.as_chunks_mut::<4>().0.iter_mut();
            for (pixel, ((&red, &green), &blue)) in pixels.zip(samples) {
                *pixel = [byte(red), byte(green), byte(blue), u8::MAX];
            }
            for (pixel, &alpha) in target.as_chunks_mut::<4>().0.iter_mut().zip(alpha.unwrap_or_default()) {
                pixel[3] = alpha;
            }
        }
        self.line()
    }

    /// Passes a row of ARGB on.
    pub(super) fn argb(&mut self, pixels: &[u32]) -> Result<(), Error> {
        let channels = self.model.channels();
        let target = &mut self.line[self.frame.x * channels..][..self.frame.width * channels];
        if self.model == Model::Rgb {
            for (target, pixel) in target.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                let [blue, green, red, _] = pixel.to_le_bytes();
                *target = [red, green, blue];
            }
        } else {
            for (target, pixel) in target.as_chunks_mut::<4>().0.iter_mut().zip(pixels) {
                let [blue, green, red, alpha] = pixel.to_le_bytes();
                *target = [red, green, blue, alpha];
            }
        }
        self.line()
    }

    fn line(&mut self) -> Result<(), Error> {
        self.done += 1;
        self.rows.row(Row::U8(&self.line))
    }

    /// Ends the canvas.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.blank(self.height)
    }
}
