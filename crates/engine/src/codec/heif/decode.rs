//! The rows of an image: tiles from the codec process side by side, converted to RGB, with alpha, cropped.

use super::image::{Image, Layer};
use super::properties::CodePoints;
use super::yuv::Converter;
use crate::codec::{Context, Decoded, corrupt};
use crate::colour::coded_profile;
use crate::error::Error;
use crate::foreign::{Job, Layout, Output, Samples};
use crate::header::Header;
use crate::pixels::{Grid, Model, Row, RowSink};

/// Bytes that the library and the buffers of a small image take.
pub(super) const FIXED: u64 = 12 << 20;
/// Work of a tile beyond its samples, in samples: it is a decoder of its own.
pub(super) const TILE_WORK: u64 = 100_000;

pub(super) fn decode(
    image: &Image<'_>,
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn RowSink,
) -> Result<Decoded, Error> {
    let share = image.tiles() as u32;
    let alpha = image.alpha.as_ref().map(|layer| Alpha::decode(layer, share, header, context)).transpose()?;
    let mut picture =
        Picture { image, rows, alpha, converter: None, code_points: None, y: 0, out: Out::default() };
    stripes(&image.colour, share, header, context, &mut picture)?;
    picture.finish()?;
    let points = picture.code_points;
    let profile = match image.profile {
        Some(profile) => Some(profile.to_vec()),
        None => points.and_then(|points| profile_of(points, image.colour.gray)),
    };
    Ok(Decoded { profile })
}

/// The profile of code points; `None` if they are, or are taken for, those of sRGB.
fn profile_of(points: CodePoints, gray: bool) -> Option<Vec<u8>> {
    const UNSPECIFIED: u8 = 2;
    let primaries = if points.primaries == UNSPECIFIED { 1 } else { points.primaries };
    // The curves of television are shown as that of sRGB, as browsers do.
    let transfer =
        if matches!(points.transfer, 1 | UNSPECIFIED | 6 | 14 | 15) { 13 } else { points.transfer };
    if (primaries, transfer) == (1, 13) {
        return None;
    }
    coded_profile(primaries, transfer, gray)
}

/// The colours of a layer: those of the file, else those of the coded image, else those of BT.601 as in JPEG.
fn code_points(file: Option<CodePoints>, coded: Option<[u8; 4]>) -> CodePoints {
    let coded = coded.map(|[primaries, transfer, matrix, range]| CodePoints {
        primaries,
        transfer,
        matrix,
        full_range: range != 0,
    });
    file.or(coded).unwrap_or(CodePoints { primaries: 2, transfer: 2, matrix: 2, full_range: false })
}

/// Receives a layer: its layout once, then each stripe of its whole width.
trait Stripes {
    fn begin(&mut self, layout: &Layout) -> Result<(), Error>;
    fn stripe(&mut self, stripe: &[u8]) -> Result<(), Error>;
}

/// Decodes every tile of a layer, and passes its stripes on; each tile is one of `share` that the image has.
fn stripes(
    layer: &Layer<'_>,
    share: u32,
    header: &Header,
    context: &Context<'_>,
    stripes: &mut dyn Stripes,
) -> Result<(), Error> {
    let mut band = Band {
        layer,
        header,
        stripes,
        layout: None,
        tile: None,
        column: 0,
        index: 0,
        left: 0,
        band: Vec::new(),
    };
    for row in layer.tiles.chunks(layer.columns) {
        for (column, data) in row.iter().enumerate() {
            context.stop.check("decoding")?;
            (band.column, band.index) = (column, 0);
            let job = Job {
                library: layer.library,
                width: layer.tile.0,
                height: layer.tile.1,
                configuration: layer.configuration,
                data,
                work: header.work / layer.tiles.len() as u64,
                share,
            };
            context.foreign.decode(&job, context.stop.0, &mut band)?;
        }
        band.flush()?;
    }
    Ok(())
}

/// Puts the tiles of a row side by side.
struct Band<'a, 'b> {
    layer: &'a Layer<'a>,
    header: &'a Header,
    stripes: &'b mut dyn Stripes,
    /// Of the whole layer.
    layout: Option<Layout>,
    /// Of a tile.
    tile: Option<Layout>,
    /// The tile that comes, and its next stripe.
    column: usize,
    index: usize,
    /// Stripes of the layer that were passed on.
    left: usize,
    band: Vec<u8>,
}

impl Output for Band<'_, '_> {
    fn begin(&mut self, layout: &Layout) -> Result<(), Error> {
        let layer = self.layer;
        if (layout.width, layout.height) != layer.tile {
            return Err(corrupt(
                self.header,
                format_args!(
                    "it is {}x{} where the file declares {}x{}",
                    layout.width, layout.height, layer.tile.0, layer.tile.1
                ),
            ));
        }
        if layout.bits != layer.bits || (layout.samples == Samples::Gray) != layer.gray {
            return Err(corrupt(self.header, "its samples are not those that the file declares"));
        }
        if let Some(tile) = &self.tile {
            if (tile.samples, tile.bits) != (layout.samples, layout.bits) {
                return Err(corrupt(self.header, "its tiles differ"));
            }
            return Ok(());
        }
        if layer.tiles.len() > 1 {
            let halved = !matches!(layout.samples, Samples::Gray | Samples::Planes444);
            if halved && layer.columns > 1 && layer.tile.0 % 2 == 1
                || layout.stripe_rows() == 2 && layer.tiles.len() > layer.columns && layer.tile.1 % 2 == 1
            {
                return Err(Error::Unsupported(format!("{}: tiles of an odd size", self.header.format)));
            }
        }
        let whole = Layout { width: layer.width, height: layer.height, ..layout.clone() };
        self.stripes.begin(&whole)?;
        if layer.tiles.len() > 1 {
            self.band = vec![0; whole.stripe_bytes() * layout.stripes() as usize];
        }
        self.left = whole.stripes() as usize;
        (self.layout, self.tile) = (Some(whole), Some(layout.clone()));
        Ok(())
    }

    fn stripe(&mut self, stripe: &[u8]) -> Result<(), Error> {
        if self.layer.tiles.len() == 1 {
            return self.stripes.stripe(stripe);
        }
        let (Some(whole), Some(tile)) = (&self.layout, &self.tile) else {
            return Err(Error::Internal("heif: a stripe before its layout".into()));
        };
        let bytes = whole.sample_bytes();
        let length = whole.stripe_bytes();
        let Some(target) = self.band.get_mut(self.index * length..(self.index + 1) * length) else {
            return Err(Error::Internal("heif: more stripes than the tile has".into()));
        };
        self.index += 1;
        let (mut from, mut to) = (0, 0);
        for (row, part) in whole.stripe().into_iter().zip(tile.stripe()) {
            let (row, part) = (row * bytes, part * bytes);
            // The last tiles may extend past the image.
            let left = self.column * part;
            let taken = part.min(row.saturating_sub(left));
            target[to + left.min(row)..][..taken].copy_from_slice(&stripe[from..from + taken]);
            (from, to) = (from + part, to + row);
        }
        Ok(())
    }
}

impl Band<'_, '_> {
    /// Passes on a row of tiles, as far as the image has rows.
    fn flush(&mut self) -> Result<(), Error> {
        if let Some(whole) = self.layout.as_ref().filter(|_| self.layer.tiles.len() > 1) {
            for stripe in self.band.chunks(whole.stripe_bytes()).take(self.left) {
                self.stripes.stripe(stripe)?;
            }
            self.left = self.left.saturating_sub(self.band.len() / whole.stripe_bytes());
        }
        Ok(())
    }
}

/// The alpha of an image, whole: colours come after it.
struct Alpha {
    width: usize,
    height: usize,
    /// 16 bits each.
    samples: Vec<u16>,
    /// Of the coded image, of which luma alone is used.
    rows: Option<(Layout, Converter)>,
}

impl Alpha {
    fn decode(layer: &Layer<'_>, share: u32, header: &Header, context: &Context<'_>) -> Result<Self, Error> {
        let (width, height) = (layer.width as usize, layer.height as usize);
        let mut alpha = Self { width, height, samples: Vec::with_capacity(width * height), rows: None };
        stripes(layer, share, header, context, &mut alpha)?;
        if alpha.samples.len() < width * height {
            return Err(corrupt(header, "its alpha ends too early"));
        }
        Ok(alpha)
    }

    /// The alpha of a row of an image of this size: of another size it is stretched.
    fn row(&self, y: usize, (width, height): (usize, usize)) -> impl Fn(usize) -> u16 {
        let y = if height == self.height { y } else { y * self.height / height };
        let row = &self.samples[y.min(self.height - 1) * self.width..][..self.width];
        let equal = width == self.width;
        move |x| if equal { row[x] } else { row[(x * row.len() / width).min(row.len() - 1)] }
    }
}

impl Stripes for Alpha {
    fn begin(&mut self, layout: &Layout) -> Result<(), Error> {
        let full_range = layout.code_points.is_none_or(|[.., range]| range != 0);
        let points = CodePoints { primaries: 1, transfer: 13, matrix: 1, full_range };
        let gray = Layout { samples: Samples::Gray, ..layout.clone() };
        self.rows = Some((layout.clone(), Converter::new(&gray, points)?));
        Ok(())
    }

    fn stripe(&mut self, stripe: &[u8]) -> Result<(), Error> {
        let Some((layout, converter)) = &mut self.rows else { return Ok(()) };
        let samples = &mut self.samples;
        let narrow = layout.bits == 8;
        let row_bytes = self.width * layout.sample_bytes();
        for row in stripe.chunks_exact(row_bytes).take(layout.stripe_rows() as usize) {
            converter.stripe(row, &mut |row| {
                samples.extend(row.iter().map(|&value| if narrow { value * 257 } else { value }));
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Colours, with alpha, to rows.
struct Picture<'a, 'b> {
    image: &'a Image<'a>,
    rows: &'b mut dyn RowSink,
    alpha: Option<Alpha>,
    converter: Option<Converter>,
    code_points: Option<CodePoints>,
    y: usize,
    out: Out,
}

/// Buffers of a finished row.
#[derive(Default)]
struct Out {
    wide: bool,
    channels: usize,
    u8: Vec<u8>,
    u16: Vec<u16>,
}

impl Stripes for Picture<'_, '_> {
    fn begin(&mut self, layout: &Layout) -> Result<(), Error> {
        let points = code_points(self.image.code_points, layout.code_points);
        let converter = Converter::new(layout, points)?;
        self.code_points = Some(points);
        let model = match (converter.channels(), self.alpha.is_some()) {
            (1, false) => Model::Gray,
            (1, true) => Model::GrayAlpha,
            (_, false) => Model::Rgb,
            (_, true) => Model::Rgba,
        };
        self.out = Out { wide: layout.bits > 8, channels: converter.channels(), ..Out::default() };
        self.converter = Some(converter);
        self.rows.begin(Grid::full_scale(model))
    }

    fn stripe(&mut self, stripe: &[u8]) -> Result<(), Error> {
        self.converted(|converter, each| converter.stripe(stripe, each))
    }
}

impl Picture<'_, '_> {
    fn finish(&mut self) -> Result<(), Error> {
        self.converted(|converter, each| converter.finish(each))
    }

    fn converted(
        &mut self,
        convert: impl FnOnce(&mut Converter, &mut dyn FnMut(&[u16]) -> Result<(), Error>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Self { image, rows, alpha, converter, y, out, .. } = self;
        let Some(converter) = converter else { return Ok(()) };
        convert(converter, &mut |row| {
            let crop = image.crop;
            let (top, left) = (crop.y as usize, crop.x as usize);
            if (top..top + crop.height as usize).contains(y) {
                let size = (image.colour.width as usize, image.colour.height as usize);
                let row = &row[left * out.channels..][..crop.width as usize * out.channels];
                let alpha = alpha.as_ref().map(|alpha| alpha.row(*y, size));
                let alpha = alpha.map(|alpha| move |x: usize| alpha(left + x));
                out.pass(row, alpha, image.premultiplied, *rows)?;
            }
            *y += 1;
            Ok(())
        })
    }
}

impl Out {
    /// Passes a row on, with alpha where there is some.
    fn pass(
        &mut self,
        row: &[u16],
        alpha: Option<impl Fn(usize) -> u16>,
        premultiplied: bool,
        rows: &mut dyn RowSink,
    ) -> Result<(), Error> {
        self.u8.clear();
        self.u16.clear();
        let most = if self.wide { 65535 } else { 255 };
        match alpha {
            None if self.wide => return rows.row(Row::U16(row)),
            None => {
                self.u8.extend(row.iter().map(|&value| value as u8));
                return rows.row(Row::U8(&self.u8));
            }
            Some(alpha) => {
                for (x, pixel) in row.chunks_exact(self.channels).enumerate() {
                    let alpha = alpha(x);
                    let straight = |value: u16| match alpha {
                        0 => 0,
                        _ => (u32::from(value) * 65535 / u32::from(alpha)).min(most) as u16,
                    };
                    let pixel =
                        pixel.iter().map(|&value| if premultiplied { straight(value) } else { value });
                    self.u16.extend(pixel);
                    self.u16.push(if self.wide { alpha } else { ((u32::from(alpha) + 128) / 257) as u16 });
                }
            }
        }
        if self.wide {
            return rows.row(Row::U16(&self.u16));
        }
        self.u8.extend(self.u16.iter().map(|&value| value as u8));
        rows.row(Row::U8(&self.u8))
    }
}
