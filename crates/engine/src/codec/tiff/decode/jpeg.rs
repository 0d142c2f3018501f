//! Strips and tiles that are JPEGs (TIFF technical note 2), by the decoder of JPEG.

use std::borrow::Cow;

use super::chunk::{Chunk, Shape};
use crate::Scratch;
use crate::codec::jpeg;
use crate::codec::tiff::page::{Page, Photometric};
use crate::codec::{Context, RowSink};
use crate::error::Error;
use crate::header::Colour;
use crate::pixels::{Grid, PassRow, Row};

const JPEG_TABLES: u16 = 347;

/// A strip or tile with the tables that all of them share.
pub(super) fn with_tables<'a>(page: &Page<'a>, strip: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
    let tables = page.ifd.entry(JPEG_TABLES).map_or(&[][..], |entry| entry.data());
    let Some(tables) = tables.strip_prefix(b"\xff\xd8") else { return strip };
    let tables = tables.strip_suffix(b"\xff\xd9").unwrap_or(tables);
    match strip.strip_prefix(b"\xff\xd8") {
        Some(rest) => Cow::Owned([b"\xff\xd8", tables, rest].concat()),
        None => strip,
    }
}

/// What an embedded JPEG is decoded with.
pub(super) struct Embedded<'a, 'p> {
    pub(super) page: &'a Page<'p>,
    pub(super) context: &'a Context<'a>,
    /// The work of all so far.
    pub(super) work: &'a mut u64,
}

impl Embedded<'_, '_> {
    /// Decodes a JPEG to pixels of the size of a strip or tile.
    pub(super) fn decode(
        &mut self,
        stream: &[u8],
        (width, height): (u32, u32),
        scratch: &mut Scratch,
    ) -> Result<Chunk<'static>, Error> {
        let colour = match self.page.photometric {
            _ if self.page.planar => Colour::Gray,
            Photometric::Gray { .. } | Photometric::Palette => Colour::Gray,
            Photometric::YCbCr => Colour::YCbCr,
            Photometric::Cmyk => Colour::Cmyk,
            Photometric::Rgb | Photometric::Lab(_) => Colour::Rgb,
        };
        let mut file = jpeg::Embedded::open(stream, colour, self.page.profile)?;
        let details = &file.details;
        *self.work = self.work.saturating_add(details.header.work);
        if *self.work > self.context.limits.work {
            return Err(Error::TooLarge(format!(
                "decoding a TIFF of JPEGs {} takes more than the {} megasamples of limits.work",
                details.reason,
                self.context.limits.work / 1_000_000
            )));
        }
        // The last strip may be declared as high as the others.
        let most = (width.saturating_add(16), self.page.chunk_height.max(height).saturating_add(16));
        if details.header.width > most.0 || details.header.height > most.1 {
            return Err(Error::Malformed(format!(
                "TIFF: a JPEG of {}x{} in a strip or tile of {width}x{height}; send it again",
                details.header.width, details.header.height
            )));
        }
        let samples = if colour == Colour::Gray { 1 } else { 3 };
        let (width, height) = (width as usize, height as usize);
        let shape = Shape { width, height, samples, bits: 8, shared: (1, 1) };
        let mut frame = Frame { bytes: vec![0; shape.bytes()], shape, y: 0 };
        file.decode(self.context, &mut frame, scratch)?;
        if frame.y < height {
            return Err(Error::Malformed(format!(
                "TIFF: a JPEG of {} rows in a strip or tile of {height}; send it again",
                frame.y
            )));
        }
        Ok(Chunk { bytes: Cow::Owned(frame.bytes), shape })
    }
}

/// Collects rows as 8-bit samples.
struct Frame {
    bytes: Vec<u8>,
    shape: Shape,
    y: usize,
}

impl RowSink for Frame {
    fn begin(&mut self, _: Grid) -> Result<(), Error> {
        Ok(())
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), Error> {
        let (samples, length) = (self.shape.samples, self.shape.row_bytes());
        let Some(target) = self.bytes.get_mut(self.y * length..(self.y + 1) * length) else { return Ok(()) };
        self.y += 1;
        match row {
            Row::U8(row) => {
                let length = length.min(row.len());
                target[..length].copy_from_slice(&row[..length]);
            }
            Row::Components(components) => {
                let [first, second, third] = components.planes;
                let byte = |sample: i16| ((sample + 8) >> 4).clamp(0, 255) as u8;
                if samples == 1 {
                    for (target, &sample) in target.iter_mut().zip(first) {
                        *target = byte(sample);
                    }
                    return Ok(());
                }
                let planes = first.iter().zip(second).zip(third);
                for (target, ((&a, &b), &c)) in target.as_chunks_mut::<3>().0.iter_mut().zip(planes) {
                    let pixel = [byte(a), byte(b), byte(c)];
                    *target = if components.ycc { rgb(pixel) } else { pixel };
                }
            }
            Row::U16(_) => return Err(Error::Internal("a JPEG of 16 bits".into())),
        }
        Ok(())
    }

    fn pass_row(&mut self, _: PassRow, _: Row<'_>) -> Result<(), Error> {
        Err(Error::Internal("a JPEG in passes".into()))
    }
}

/// ITU-T T.871, in 16-bit fixed point.
fn rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (luma, cb, cr) = ((i32::from(y) << 16) + (1 << 15), i32::from(cb) - 128, i32::from(cr) - 128);
    let clamp = |v: i32| (v >> 16).clamp(0, 255) as u8;
    [clamp(luma + 91_881 * cr), clamp(luma - 22_554 * cb - 46_802 * cr), clamp(luma + 116_130 * cb)]
}
