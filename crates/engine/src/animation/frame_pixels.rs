//! A frame's pixels in RGBA, whatever its decoder passes on.

use super::Frame;
use crate::Scratch;
use crate::codec::{Context, Decoded};
use crate::error::Error;
use crate::pixels::{Grid, Model, PassRow, Row, RowSink};

/// A decoded frame.
pub(super) struct Pixels {
    pub(super) rgba: Vec<u8>,
    /// Whether red, green and blue are the same of every pixel, and the profile may be one of gray.
    pub(super) is_gray: bool,
    pub(super) profile: Option<Vec<u8>>,
}

/// Decodes a frame, which must not be larger than the canvas: it is the canvas that limits are checked for.
pub(super) fn decode(
    frame: &Frame<'_>,
    canvas: (usize, usize),
    context: &Context<'_>,
    scratch: &mut Scratch,
) -> Result<Pixels, Error> {
    if frame.width > canvas.0 || frame.height > canvas.1 {
        return Err(Error::Malformed(format!(
            "a frame of {}x{} on a canvas of {}x{}",
            frame.width, frame.height, canvas.0, canvas.1
        )));
    }
    let mut pixels = FramePixels {
        width: frame.width,
        model: Model::Rgba,
        pixels: vec![0; frame.width * frame.height * 4],
        y: 0,
    };
    let Decoded { profile } = (frame.decode)(context, &mut pixels, scratch)?;
    Ok(Pixels { is_gray: pixels.model.is_gray(), rgba: pixels.pixels, profile })
}

struct FramePixels {
    width: usize,
    model: Model,
    pixels: Vec<u8>,
    /// The next row.
    y: usize,
}

impl FramePixels {
    /// Places a row's pixels at columns `from`, `from + step`, ….
    fn place(&mut self, y: usize, (from, step): (usize, usize), row: Row<'_>) -> Result<(), Error> {
        let start = y * self.width * 4;
        let Some(line) = self.pixels.get_mut(start..start + self.width * 4) else { return Ok(()) };
        let targets = line.as_chunks_mut::<4>().0.iter_mut().skip(from).step_by(step);
        let channels = self.model.channels();
        match row {
            Row::U8(samples) => {
                for (target, pixel) in targets.zip(samples.chunks_exact(channels)) {
                    *target = rgba(pixel, |sample| sample, 255);
                }
            }
            Row::U16(samples) => {
                for (target, pixel) in targets.zip(samples.chunks_exact(channels)) {
                    *target = rgba(pixel, crate::canvas::byte, u16::MAX);
                }
            }
            Row::Components(_) => return Err(Error::Internal("components in a frame".into())),
        }
        Ok(())
    }
}

fn rgba<T: Copy>(pixel: &[T], byte: impl Fn(T) -> u8, opaque: T) -> [u8; 4] {
    match *pixel {
        [v] => [v, v, v, opaque],
        [v, a] => [v, v, v, a],
        [r, g, b] => [r, g, b, opaque],
        [r, g, b, a] => [r, g, b, a],
        _ => [opaque; 4],
    }
    .map(byte)
}

impl RowSink for FramePixels {
    fn begin(&mut self, grid: Grid) -> Result<(), Error> {
        self.model = grid.model;
        Ok(())
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), Error> {
        let y = self.y;
        self.y += 1;
        self.place(y, (0, 1), row)
    }

    fn pass_row(&mut self, place: PassRow, row: Row<'_>) -> Result<(), Error> {
        self.place(place.y as usize, (place.from as usize, place.step as usize), row)
    }
}
