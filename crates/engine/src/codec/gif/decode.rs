//! GIF decoder: the indices of the first frame row by row, or of the whole frame if interlaced, placed on the canvas.

use weezl::{BitOrder, LzwStatus};

use super::header::Frame;
use crate::Scratch;
use crate::codec::{Context, Decoded, corrupt};
use crate::error::Error;
use crate::header::Header;
use crate::limits::Limits;
use crate::pixels::{Grid, Model, Row, RowSink};

pub(super) fn memory(header: &Header) -> (u64, u64) {
    (u64::from(header.progressive), 16)
}

pub(super) fn decode(
    frame: &Frame<'_>,
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn RowSink,
    scratch: &mut Scratch,
) -> Result<Decoded, Error> {
    let mut colours = [[0, 0, 0, 255]; 256];
    for (colour, rgb) in colours.iter_mut().zip(frame.palette.as_chunks::<3>().0) {
        colour[..3].copy_from_slice(rgb);
    }
    if let Some(index) = frame.transparent {
        colours[usize::from(index)] = [0; 4];
    }
    let mut indices = Indices::new(frame.data, context).map_err(|why| corrupt(header, why))?;
    let model = if header.alpha { Model::Rgba } else { Model::Rgb };
    let mut canvas = Canvas { header, frame, colours, model, rows, row: Vec::new() };
    canvas.rows.begin(Grid::full_scale(model))?;
    if frame.interlaced {
        interlaced(&mut indices, &mut canvas, context.limits, scratch)?;
    } else {
        streamed(&mut indices, &mut canvas, context.limits)?;
    }
    Ok(Decoded::default())
}

/// The decompressed indices of a frame: LZW in sub-blocks (GIF89a, appendix F).
struct Indices<'a> {
    decoder: weezl::decode::Decoder,
    /// The rest of the current sub-block, and those after it.
    block: &'a [u8],
    rest: &'a [u8],
    context: &'a Context<'a>,
}

impl<'a> Indices<'a> {
    fn new(data: &'a [u8], context: &'a Context<'a>) -> Result<Self, String> {
        match data {
            [size @ 1..=11, rest @ ..] => {
                let decoder = weezl::decode::Decoder::new(BitOrder::Lsb, *size);
                Ok(Self { decoder, block: &[], rest, context })
            }
            [size, ..] => Err(format!("codes of {size} bits")),
            [] => Err("there is no frame".into()),
        }
    }

    /// Fills `row`; returns why it cannot.
    fn read(&mut self, row: &mut [u8]) -> Result<(), String> {
        let mut at = 0;
        while at < row.len() {
            if self.block.is_empty() {
                self.context.stop.check("decoding").map_err(|error| error.to_string())?;
                match self.rest {
                    [length, rest @ ..] if *length > 0 => {
                        (self.block, self.rest) = rest.split_at(rest.len().min((*length).into()));
                    }
                    // What is left in the decoder's buffers comes without input.
                    _ => self.rest = &[],
                }
            }
            let result = self.decoder.decode_bytes(self.block, &mut row[at..]);
            at += result.consumed_out;
            self.block = &self.block[result.consumed_in..];
            let progressed = result.consumed_in > 0 || result.consumed_out > 0;
            match result.status {
                Ok(LzwStatus::Done) if at < row.len() => return Err("the data ends".into()),
                Ok(_) if !progressed && (self.rest.is_empty() || !self.block.is_empty()) => {
                    return Err("the data ends".into());
                }
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}

/// Turns indices into rows of the canvas.
struct Canvas<'a> {
    header: &'a Header,
    frame: &'a Frame<'a>,
    colours: [[u8; 4]; 256],
    model: Model,
    rows: &'a mut dyn RowSink,
    row: Vec<u8>,
}

impl Canvas<'_> {
    /// The row of the frame that canvas row `y` shows.
    fn line(&self, y: usize) -> Option<usize> {
        y.checked_sub(self.frame.top).filter(|&line| line < self.frame.height)
    }

    /// Passes on a row of the canvas; `indices` fill the part that the frame covers.
    fn emit(&mut self, indices: Option<&[u8]>) -> Result<(), Error> {
        let channels = self.model.channels();
        self.row.clear();
        self.row.resize(self.header.width as usize * channels, 0);
        let pixels = self.row.chunks_exact_mut(channels).skip(self.frame.left);
        for (pixel, &index) in pixels.zip(indices.unwrap_or_default()) {
            pixel.copy_from_slice(&self.colours[usize::from(index)][..channels]);
        }
        self.rows.row(Row::U8(&self.row))
    }
}

fn streamed(data: &mut Indices<'_>, canvas: &mut Canvas<'_>, limits: &Limits) -> Result<(), Error> {
    let height = canvas.header.height;
    let mut indices = vec![0; canvas.frame.width];
    let mut intact = true;
    for y in 0..height {
        if canvas.line(y as usize).is_none() {
            canvas.emit(None)?;
            continue;
        }
        if intact && let Err(why) = data.read(&mut indices) {
            if !limits.tolerates(y, height) {
                return Err(corrupt(canvas.header, format!("{why} at row {y} of {height}")));
            }
            intact = false;
        }
        canvas.emit(intact.then_some(&indices[..]))?;
    }
    Ok(())
}

/// First row and distance of the four passes (GIF89a, appendix E).
const PASSES: [(usize, usize); 4] = [(0, 8), (4, 8), (2, 4), (1, 2)];

fn interlaced(
    data: &mut Indices<'_>,
    canvas: &mut Canvas<'_>,
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let (width, height) = (canvas.frame.width, canvas.frame.height);
    let frame = scratch.frame(width * height);
    let rows = PASSES.iter().flat_map(|&(first, step)| (first..height).step_by(step));
    for (read, y) in rows.enumerate() {
        if let Err(why) = data.read(&mut frame[y * width..][..width]) {
            if !limits.tolerates(read as u32, height as u32) {
                return Err(corrupt(canvas.header, format!("{why} after {read} of {height} rows")));
            }
            break;
        }
    }
    for y in 0..canvas.header.height as usize {
        let line = canvas.line(y).and_then(|line| frame.get(line * width..(line + 1) * width));
        canvas.emit(line)?;
    }
    Ok(())
}
