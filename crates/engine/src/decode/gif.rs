//! GIF, by the gif crate: indices row by row, or a whole frame if interlaced, placed on the canvas.

use gif::{ColorOutput, DecodeOptions, Decoder, MemoryLimit};

use super::polling_reader::PollingReader;
use super::{Context, Decoded, corrupt};
use crate::Scratch;
use crate::error::Error;
use crate::header::Header;
use crate::limits::Limits;
use crate::pixels::{Grid, Model, Row, RowSink};

pub(super) fn memory(header: &Header) -> (u64, u64) {
    (u64::from(header.progressive), 16)
}

pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn RowSink,
    scratch: &mut Scratch,
) -> Result<Decoded, Error> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(std::num::NonZeroU64::MIN.saturating_add(1 << 20)));
    let mut decoder =
        options.read_info(PollingReader::new(bytes, context.stop)).map_err(|error| corrupt(header, error))?;
    let frame = match decoder.next_frame_info() {
        Ok(Some(frame)) => frame.clone(),
        Ok(None) => return Err(corrupt(header, "there is no frame")),
        Err(error) => return Err(corrupt(header, error)),
    };
    let palette = decoder.palette().map_err(|error| corrupt(header, error))?;
    let mut colours = [[0, 0, 0, 255]; 256];
    for (colour, rgb) in colours.iter_mut().zip(palette.as_chunks::<3>().0) {
        colour[..3].copy_from_slice(rgb);
    }
    if let Some(index) = frame.transparent {
        colours[usize::from(index)] = [0; 4];
    }

    let model = if header.alpha { Model::Rgba } else { Model::Rgb };
    let place = FrameRect {
        left: frame.left.into(),
        top: frame.top.into(),
        width: frame.width.into(),
        height: frame.height.into(),
    };
    let mut canvas = Canvas { header, place, colours, model, rows, row: Vec::new() };
    canvas.rows.begin(Grid::full_scale(model))?;
    if frame.interlaced {
        interlaced(&mut decoder, &mut canvas, scratch)?;
    } else {
        streamed(&mut decoder, &mut canvas, context.limits)?;
    }
    Ok(Decoded::default())
}

/// Position and size of the frame on the canvas.
#[derive(Clone, Copy)]
struct FrameRect {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

/// Turns indices into rows of the canvas.
struct Canvas<'a> {
    header: &'a Header,
    place: FrameRect,
    colours: [[u8; 4]; 256],
    model: Model,
    rows: &'a mut dyn RowSink,
    row: Vec<u8>,
}

impl Canvas<'_> {
    /// The row of the frame that canvas row `y` shows.
    fn line(&self, y: usize) -> Option<usize> {
        y.checked_sub(self.place.top).filter(|&line| line < self.place.height)
    }

    /// Passes on a row of the canvas; `indices` fill the part that the frame covers.
    fn emit(&mut self, indices: Option<&[u8]>) -> Result<(), Error> {
        let channels = self.model.channels();
        self.row.clear();
        self.row.resize(self.header.width as usize * channels, 0);
        let pixels = self.row.chunks_exact_mut(channels).skip(self.place.left);
        for (pixel, &index) in pixels.zip(indices.unwrap_or_default()) {
            pixel.copy_from_slice(&self.colours[usize::from(index)][..channels]);
        }
        self.rows.row(Row::U8(&self.row))
    }
}

type GifDecoder<'a> = Decoder<PollingReader<'a>>;

fn streamed(decoder: &mut GifDecoder<'_>, canvas: &mut Canvas<'_>, limits: &Limits) -> Result<(), Error> {
    let height = canvas.header.height;
    let mut indices = vec![0; canvas.place.width];
    let mut intact = true;
    for y in 0..height {
        if canvas.line(y as usize).is_none() {
            canvas.emit(None)?;
            continue;
        }
        if intact && !indices.is_empty() {
            intact = match decoder.fill_buffer(&mut indices) {
                Ok(true) => true,
                _ if limits.tolerates(y, height) => false,
                Ok(false) => {
                    return Err(corrupt(canvas.header, format!("the data ends at row {y} of {height}")));
                }
                Err(error) => return Err(corrupt(canvas.header, format!("{error} at row {y} of {height}"))),
            };
        }
        canvas.emit(intact.then_some(&indices[..]))?;
    }
    Ok(())
}

fn interlaced(
    decoder: &mut GifDecoder<'_>,
    canvas: &mut Canvas<'_>,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let FrameRect { width, height, .. } = canvas.place;
    let length = width * height;
    if length as u64 > canvas.header.pixels() {
        return Err(corrupt(canvas.header, "the first frame is larger than the canvas"));
    }
    let frame = scratch.frame(length);
    decoder.read_into_buffer(frame).map_err(|error| corrupt(canvas.header, error))?;
    for y in 0..canvas.header.height as usize {
        let line = canvas.line(y).and_then(|line| frame.get(line * width..(line + 1) * width));
        canvas.emit(line)?;
    }
    Ok(())
}
