//! TIFF decoder: one band of strips or tiles at a time, decompressed, and converted row by row.

mod chunk;
mod fax;
mod jpeg;
mod old_jpeg;
mod predictor;
mod rows;
mod samples;

use std::borrow::Cow;

use crate::Scratch;
use crate::codec::tiff::page::{Compression, Page};
use crate::codec::{Context, Decoded, corrupt};
use crate::error::Error;
use crate::header::{Colour, Header};
use crate::pixels::{Grid, RowSink};
use chunk::Chunk;
use rows::RowConverter;
use samples::Range;

pub(super) fn memory(header: &Header) -> (u64, u64) {
    let sample = u64::from(header.bits.div_ceil(8)).max(1);
    let samples = match header.colour {
        Colour::Gray | Colour::Palette => 1 + u64::from(header.alpha),
        Colour::Rgb | Colour::YCbCr | Colour::Lab => 3 + u64::from(header.alpha),
        // CMYK and one of alpha.
        _ => 5,
    };
    // A single strip may hold the whole image: its bytes in the right order, decompressed, and a decoder's window.
    // The coefficients of a JPEG in several scans take two bytes each, and a little more.
    (3 * samples * sample + if header.buffered { 9 } else { 0 }, 128)
}

/// Bands of small images may exceed the estimate by this: tiles are larger than they.
const SLACK: u64 = 1 << 20;

pub(super) fn decode(
    page: &Page<'_>,
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn RowSink,
    scratch: &mut Scratch,
) -> Result<Decoded, Error> {
    let mut bands = Bands::new(page, header, context, scratch)?;
    let range = if page.needs_range() { Some(bands.range()?) } else { None };
    let mut converter = RowConverter::new(page, range);
    rows.begin(Grid::full_scale(converter.model()))?;
    for band in 0..bands.down {
        let (top, height) = bands.rows(band);
        let chunks = match bands.read(band) {
            Ok(chunks) => chunks,
            Err(error @ Error::Stopped(_)) => return Err(error),
            Err(_) if context.limits.tolerates(top, header.height) => {
                (top..header.height).try_for_each(|_| rows.row(converter.blank()))?;
                break;
            }
            Err(error) => return Err(error),
        };
        for y in 0..height {
            context.stop.check("decoding")?;
            rows.row(converter.row(&chunks, y as usize))?;
        }
    }
    Ok(Decoded { profile: converter.profile() })
}

/// The rows of strips, or of tiles side by side.
struct Bands<'a, 'p> {
    page: &'a Page<'p>,
    header: &'a Header,
    context: &'a Context<'a>,
    scratch: &'a mut Scratch,
    /// An old-style JPEG of the whole image.
    whole: Option<Vec<u8>>,
    /// Chunks across, and bands.
    across: u32,
    down: u32,
    /// Work of embedded JPEGs so far, which the header does not include.
    work: u64,
}

impl<'a, 'p> Bands<'a, 'p> {
    fn new(
        page: &'a Page<'p>,
        header: &'a Header,
        context: &'a Context<'a>,
        scratch: &'a mut Scratch,
    ) -> Result<Self, Error> {
        let whole = match page.compression {
            Compression::OldJpeg => old_jpeg::stream(page).map_err(|why| corrupt(header, why))?,
            _ => None,
        };
        let (across, down) = if whole.is_some() { (1, 1) } else { page.grid() };
        Ok(Self { page, header, context, scratch, whole, across, down, work: 0 })
    }

    /// The first row of a band, and how many it has.
    fn rows(&self, band: u32) -> (u32, u32) {
        if self.whole.is_some() {
            return (0, self.page.height);
        }
        let top = band * self.page.chunk_height;
        (top, self.page.chunk_height.min(self.page.height - top))
    }

    /// The strips or tiles of a band: those of each plane from the left.
    fn read(&mut self, band: u32) -> Result<Vec<Chunk<'p>>, Error> {
        let (_, height) = self.rows(band);
        let planes = if self.whole.is_some() { 1 } else { self.page.planes() };
        // No band is larger than what the estimate allows for the whole image.
        let bytes = chunk::Shape::new(self.page, 0, height).bytes();
        let needed = (bytes as u64).saturating_mul(u64::from(self.across)).saturating_mul(planes as u64);
        if needed > crate::codec::memory(self.header, 8).saturating_add(SLACK) {
            return Err(Error::Unsupported(format!(
                "TIFF whose strips or tiles of {}x{} are much larger than its image; convert it",
                self.page.chunk_width, self.page.chunk_height
            )));
        }
        let mut chunks = Vec::with_capacity(self.across as usize * planes);
        for plane in 0..planes {
            for column in 0..self.across {
                self.context.stop.check("decoding")?;
                let index =
                    (plane * self.down as usize + band as usize) * self.across as usize + column as usize;
                chunks.push(self.chunk(index, plane, height)?);
            }
        }
        Ok(chunks)
    }

    fn chunk(&mut self, index: usize, plane: usize, height: u32) -> Result<Chunk<'p>, Error> {
        let jpeg = matches!(self.page.compression, Compression::Jpeg | Compression::OldJpeg);
        if !jpeg {
            let shape = chunk::Shape::new(self.page, plane, height);
            return chunk::read(self.page, index, shape, self.context)
                .map_err(|why| corrupt(self.header, format!("{why}, in strip or tile {index}")));
        }
        let (width, stream) = if let Some(stream) = &self.whole {
            (self.page.width, Cow::Borrowed(&stream[..]))
        } else {
            let strip = self.page.chunk(index, 0).map_err(|why| corrupt(self.header, why))?;
            (self.page.chunk_width, jpeg::with_tables(self.page, strip))
        };
        let mut embedded = jpeg::Embedded { page: self.page, context: self.context, work: &mut self.work };
        embedded.decode(&stream, (width, height), self.scratch)
    }

    /// The range of the values of all samples but alpha.
    fn range(&mut self) -> Result<Range, Error> {
        let mut range = Range::default();
        for band in 0..self.down {
            let (_, height) = self.rows(band);
            let chunks = self.read(band)?;
            for (at, chunk) in chunks.iter().enumerate() {
                let (plane, column) = (at / self.across as usize, at % self.across as usize);
                let left = column * chunk.shape.width;
                let visible = chunk.shape.width.min(self.page.width as usize - left);
                for y in 0..height as usize {
                    self.context.stop.check("decoding")?;
                    range.add(self.page, chunk, (plane, y), visible);
                }
            }
        }
        Ok(range)
    }
}
