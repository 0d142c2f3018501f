//! Bands of a TIFF: the samples of its strips or tiles, converted to rows of a colour model.

use tiff::ColorType;

use crate::colour::Cmyk;
use crate::error::Error;
use crate::header::Header;
use crate::pixels::{Model, Row, RowSink};

/// Collects the strips or tiles of a band, then passes on its rows.
pub(super) struct Band {
    width: usize,
    bits: u8,
    /// Samples a pixel in the file.
    samples: usize,
    model: Model,
    kind: Kind,
    /// Whether colours are premultiplied with alpha.
    associated: bool,
    /// Rows in the band.
    height: usize,
    /// The band with its samples interleaved, 8 or 16 bits each; only one of the two is used.
    band_8: Vec<u8>,
    band_16: Vec<u16>,
}

/// How the samples of a pixel are converted to the channels of the model.
enum Kind {
    Direct,
    /// Gray of fewer than 8 bits, by its largest value.
    Scaled(usize),
    Palette(Vec<[u8; 3]>),
    YCbCr,
    Cmyk(Cmyk),
}

impl Band {
    pub(super) fn new(
        header: &Header,
        colour: ColorType,
        palette: Option<Vec<u16>>,
        profile: Option<&[u8]>,
        extra: Option<u16>,
    ) -> Result<Self, Error> {
        use ColorType::{CMYK, CMYKA, Gray, GrayA, Multiband, RGB, RGBA, YCbCr};
        let (model, kind) = match (colour, palette) {
            (Gray(1 | 2 | 4 | 8), Some(map)) => (Model::Rgb, Kind::Palette(colours(&map))),
            (Gray(bits @ (1 | 2 | 4)), None) => (Model::Gray, Kind::Scaled((1 << bits) - 1)),
            (Gray(8 | 16), None) => (Model::Gray, Kind::Direct),
            (GrayA(8 | 16), _) => (Model::GrayAlpha, Kind::Direct),
            (RGB(8 | 16), _) => (Model::Rgb, Kind::Direct),
            (RGBA(8 | 16), _) => (Model::Rgba, Kind::Direct),
            (YCbCr(8), _) => (Model::Rgb, Kind::YCbCr),
            (CMYK(8 | 16) | CMYKA(8 | 16), _) => (Model::Rgb, Kind::Cmyk(Cmyk::new(profile))),
            // The crate returns this type where there are extra samples.
            (Multiband { bit_depth: 8 | 16, num_samples: 2.. }, None) if header.colour == "gray" => {
                (if header.alpha { Model::GrayAlpha } else { Model::Gray }, Kind::Direct)
            }
            (Multiband { bit_depth: 8 | 16, num_samples: 4.. }, _) if header.colour == "rgb" => {
                (if header.alpha { Model::Rgba } else { Model::Rgb }, Kind::Direct)
            }
            _ => {
                return Err(Error::Unsupported(format!("TIFF with pixels of type {colour:?}; convert it")));
            }
        };
        Ok(Self {
            width: header.width as usize,
            bits: colour.bit_depth(),
            samples: colour.num_samples().into(),
            model,
            kind,
            associated: extra == Some(1) && model.has_alpha(),
            height: 0,
            band_8: Vec::new(),
            band_16: Vec::new(),
        })
    }

    pub(super) fn model(&self) -> Model {
        self.model
    }

    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    pub(super) fn begin(&mut self, height: usize) {
        self.height = height;
        self.band_8.clear();
        self.band_16.clear();
    }

    /// Places a chunk whose rows have `width` pixels at column `left`.
    pub(super) fn place_8(&mut self, chunk: &[u8], left: usize, width: usize, plane: Option<usize>) {
        let shape = Shape { samples: self.samples, width: self.width, height: self.height };
        self.band_8.resize(shape.width * shape.samples * shape.height, 0);
        if self.bits == 8 {
            return shape.place(&mut self.band_8, chunk, left, width, plane);
        }
        // Fewer bits: one byte a sample from here on.
        let stride = (width * shape.samples * usize::from(self.bits)).div_ceil(8);
        let spread = |row: &[u8]| -> Vec<u8> {
            (0..width * shape.samples).map(|x| packed(row, x, self.bits) as u8).collect()
        };
        let chunk: Vec<u8> = chunk.chunks_exact(stride.max(1)).flat_map(spread).collect();
        shape.place(&mut self.band_8, &chunk, left, width, plane);
    }

    /// As [`Self::place_8`], for samples of 16 bits.
    pub(super) fn place_16(&mut self, chunk: &[u16], left: usize, width: usize, plane: Option<usize>) {
        let shape = Shape { samples: self.samples, width: self.width, height: self.height };
        self.band_16.resize(shape.width * shape.samples * shape.height, 0);
        shape.place(&mut self.band_16, chunk, left, width, plane);
    }

    /// Passes on the rows of the band.
    pub(super) fn emit(&mut self, rows: &mut dyn RowSink) -> Result<(), Error> {
        let stride = self.width * self.samples;
        let mut out = vec![0; self.width * self.model.channels()];
        if self.band_16.is_empty() {
            for line in self.band_8.chunks_exact(stride) {
                self.convert_8(line, &mut out);
                rows.row(Row::U8(&out))?;
            }
            return Ok(());
        }
        let mut bytes = Vec::new();
        let mut wide = vec![0; out.len()];
        for line in self.band_16.chunks_exact(stride) {
            if matches!(self.kind, Kind::Cmyk(_)) {
                bytes.clear();
                bytes.extend(line.iter().map(|v| (v >> 8) as u8));
                self.convert_8(&bytes, &mut out);
                rows.row(Row::U8(&out))?;
            } else {
                self.convert_16(line, &mut wide);
                rows.row(Row::U16(&wide))?;
            }
        }
        Ok(())
    }

    fn convert_8(&self, line: &[u8], out: &mut [u8]) {
        let pixels = line.chunks_exact(self.samples);
        match &self.kind {
            Kind::Palette(colours) => {
                for (out, &index) in out.as_chunks_mut::<3>().0.iter_mut().zip(line) {
                    *out = colours.get(usize::from(index)).copied().unwrap_or_default();
                }
            }
            Kind::Scaled(full) => {
                for (out, &value) in out.iter_mut().zip(line) {
                    *out = (usize::from(value) * 255 / full) as u8;
                }
            }
            Kind::YCbCr => {
                for (out, pixel) in out.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                    *out = ycbcr(pixel);
                }
            }
            Kind::Cmyk(cmyk) => {
                let inks: Vec<u8> = pixels.flat_map(|pixel| pixel.iter().take(4)).copied().collect();
                cmyk.convert(&inks, out);
            }
            Kind::Direct => {
                let channels = self.model.channels();
                for (out, pixel) in out.chunks_exact_mut(channels).zip(pixels) {
                    out.copy_from_slice(&pixel[..channels]);
                    if self.associated {
                        let alpha = u32::from(pixel[channels - 1]).max(1);
                        for value in &mut out[..channels - 1] {
                            *value = (u32::from(*value) * 255 / alpha).min(255) as u8;
                        }
                    }
                }
            }
        }
    }

    fn convert_16(&self, line: &[u16], out: &mut [u16]) {
        let channels = self.model.channels();
        for (out, pixel) in out.chunks_exact_mut(channels).zip(line.chunks_exact(self.samples)) {
            out.copy_from_slice(&pixel[..channels]);
            if self.associated {
                let alpha = u32::from(pixel[channels - 1]).max(1);
                for value in &mut out[..channels - 1] {
                    *value = (u32::from(*value) * 65535 / alpha).min(65535) as u16;
                }
            }
        }
    }
}

/// The shape of a band.
#[derive(Clone, Copy)]
struct Shape {
    samples: usize,
    width: usize,
    height: usize,
}

impl Shape {
    /// Copies a chunk into the band; a chunk of one plane fills that sample of each pixel.
    fn place<T: Copy>(self, band: &mut [T], chunk: &[T], left: usize, width: usize, plane: Option<usize>) {
        if width == 0 || left >= self.width {
            return;
        }
        let visible = width.min(self.width - left);
        let rows = band.chunks_exact_mut(self.width * self.samples).take(self.height);
        match plane {
            None => {
                for (row, source) in rows.zip(chunk.chunks_exact(width * self.samples)) {
                    let visible = visible * self.samples;
                    row[left * self.samples..][..visible].copy_from_slice(&source[..visible]);
                }
            }
            Some(plane) => {
                for (row, source) in rows.zip(chunk.chunks_exact(width)) {
                    let pixels = row.chunks_exact_mut(self.samples).skip(left);
                    for (pixel, &value) in pixels.zip(&source[..visible]) {
                        pixel[plane] = value;
                    }
                }
            }
        }
    }
}

/// The colour map holds all reds, then all greens, then all blues, 16 bits each.
fn colours(map: &[u16]) -> Vec<[u8; 3]> {
    let third = map.len() / 3;
    (0..third).map(|index| [0, 1, 2].map(|channel| (map[index + channel * third] >> 8) as u8)).collect()
}

/// The sample at `x` in a row of fewer than 8 bits a sample.
fn packed(line: &[u8], x: usize, bits: u8) -> usize {
    let bit = x * usize::from(bits);
    let byte = line.get(bit / 8).copied().unwrap_or(0);
    usize::from(byte >> (8 - usize::from(bits) - bit % 8)) & ((1 << bits) - 1)
}

/// ITU-R BT.601 at full range, in 16-bit fixed point.
fn ycbcr(pixel: &[u8]) -> [u8; 3] {
    let &[y, cb, cr, ..] = pixel else { return [0; 3] };
    let (luma, cb, cr) = ((i32::from(y) << 16) + (1 << 15), i32::from(cb) - 128, i32::from(cr) - 128);
    let clamp = |v: i32| (v >> 16).clamp(0, 255) as u8;
    [clamp(luma + 91_881 * cr), clamp(luma - 22_554 * cb - 46_802 * cr), clamp(luma + 116_130 * cb)]
}
