//! Rows of a TIFF, from its samples to a colour model.

use super::chunk::Chunk;
use super::samples::{Line, Range, SampleReader};
use crate::codec::tiff::page::{Alpha, Compression, Lab, Page, Photometric};
use crate::colour::{Cmyk, lab_to_srgb, scale_to_gray_profile};
use crate::pixels::{Model, Row};

/// How the samples of a pixel are converted to the channels of the model.
enum Kind {
    /// They are its channels, of so many bits if fewer than 8.
    Direct {
        inverted: bool,
        bits: usize,
    },
    Palette(Vec<[u8; 3]>),
    YCbCr(YCbCr),
    Cmyk(Cmyk),
    Lab(Lab),
}

/// Converts the rows of a page.
pub(super) struct RowConverter<'a, 'p> {
    page: &'a Page<'p>,
    reader: SampleReader,
    kind: Kind,
    model: Model,
    /// Samples of a pixel.
    samples: usize,
    alpha: Option<Alpha>,
    line: Line,
    inks: Vec<u8>,
    narrow: Vec<u8>,
    wide: Vec<u16>,
}

impl<'a, 'p> RowConverter<'a, 'p> {
    pub(super) fn new(page: &'a Page<'p>, range: Option<Range>) -> Self {
        let jpeg = matches!(page.compression, Compression::Jpeg | Compression::OldJpeg);
        // The components of a JPEG are converted by its decoder.
        let is_rgb = jpeg && !page.planar && !matches!(page.photometric, Photometric::Lab(_));
        let bits = page.bits;
        let direct = Kind::Direct { inverted: false, bits };
        let (colours, kind) = match page.photometric {
            Photometric::Gray { inverted } => (Model::Gray, Kind::Direct { inverted, bits }),
            Photometric::Palette => (Model::Rgb, Kind::Palette(palette(page))),
            Photometric::Rgb => (Model::Rgb, direct),
            Photometric::YCbCr | Photometric::Cmyk if is_rgb => (Model::Rgb, direct),
            Photometric::YCbCr => (Model::Rgb, Kind::YCbCr(YCbCr::new(page))),
            Photometric::Cmyk => (Model::Rgb, Kind::Cmyk(Cmyk::new(page.profile))),
            Photometric::Lab(lab) => (Model::Rgb, Kind::Lab(lab)),
        };
        // JPEG of several components has no alpha.
        let alpha = page.alpha.filter(|_| !jpeg || page.planar);
        let model = match (alpha, colours) {
            (None, model) => model,
            (Some(_), Model::Gray) => Model::GrayAlpha,
            (Some(_), _) => Model::Rgba,
        };
        let samples = match page.photometric {
            Photometric::Cmyk | Photometric::YCbCr | Photometric::Rgb | Photometric::Lab(_)
                if jpeg && !page.planar =>
            {
                3
            }
            _ => page.samples,
        };
        Self {
            page,
            reader: SampleReader::new(page, samples, range),
            kind,
            model,
            samples,
            alpha,
            line: Line::default(),
            inks: Vec::new(),
            narrow: vec![0; page.width as usize * model.channels()],
            wide: vec![0; page.width as usize * model.channels()],
        }
    }

    pub(super) const fn model(&self) -> Model {
        self.model
    }

    /// The profile that the rows are still in.
    pub(super) fn profile(&self) -> Option<Vec<u8>> {
        // Scans of paper in black and white.
        if self.page.bits == 1 && self.model == Model::Gray {
            return scale_to_gray_profile();
        }
        let device = matches!(
            self.page.photometric,
            Photometric::Gray { .. } | Photometric::Rgb | Photometric::Palette | Photometric::YCbCr
        );
        self.page.profile.filter(|_| device).map(<[u8]>::to_vec)
    }

    /// A black or transparent row.
    pub(super) fn blank(&mut self) -> Row<'_> {
        self.narrow.fill(0);
        Row::U8(&self.narrow)
    }

    /// Row `y` of a band.
    pub(super) fn row(&mut self, chunks: &[Chunk<'_>], y: usize) -> Row<'_> {
        self.reader.read(self.page, chunks, y, &mut self.line);
        let wide_direct = self.reader.is_wide && matches!(self.kind, Kind::Direct { .. });
        if matches!(self.kind, Kind::Lab(_)) {
            self.lab();
            return Row::U16(&self.wide);
        }
        if wide_direct {
            self.direct_16();
            return Row::U16(&self.wide);
        }
        if self.reader.is_wide && !matches!(self.kind, Kind::Palette(_)) {
            self.line.narrow.clear();
            self.line.narrow.extend(self.line.wide.iter().map(|sample| (sample >> 8) as u8));
        }
        self.row_8();
        Row::U8(&self.narrow)
    }

    fn row_8(&mut self) {
        let Self { page, reader, kind, model, samples, alpha, line, inks, narrow, .. } = self;
        let channels = model.channels();
        let has_alpha = model.has_alpha();
        let pixels = line.narrow.chunks_exact(*samples);
        match kind {
            Kind::Palette(colours) => {
                let most = if reader.is_wide { 65535 } else { (1 << page.bits) - 1 };
                for (x, out) in narrow.chunks_exact_mut(channels).enumerate() {
                    let at = x * *samples;
                    let sample = |at: usize| -> usize {
                        if reader.is_wide { line.wide[at].into() } else { line.narrow[at].into() }
                    };
                    let colour = colours.get(sample(at)).copied().unwrap_or_default();
                    out[..3].copy_from_slice(&colour);
                    if has_alpha {
                        out[3] = (sample(at + 1) * 255 / most) as u8;
                    }
                }
            }
            Kind::YCbCr(matrix) => {
                for (out, pixel) in narrow.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                    *out = matrix.rgb([pixel[0], pixel[1], pixel[2]]);
                }
            }
            Kind::Cmyk(cmyk) => {
                inks.clear();
                let most = if page.bits < 8 { (1 << page.bits) - 1 } else { 255 };
                let scaled = |ink: &u8| (u16::from(*ink) * 255 / most) as u8;
                inks.extend(pixels.flat_map(|pixel| pixel.iter().take(4)).map(scaled));
                cmyk.convert(inks, narrow);
            }
            Kind::Direct { inverted, bits } => {
                let most = if *bits < 8 { (1_u16 << *bits) - 1 } else { 255 };
                let invert = if *inverted { 255 } else { 0 };
                let colours = channels - usize::from(has_alpha);
                for (out, pixel) in narrow.chunks_exact_mut(channels).zip(pixels) {
                    out.copy_from_slice(&pixel[..channels]);
                    if most < 255 {
                        out.iter_mut().for_each(|value| *value = (u16::from(*value) * 255 / most) as u8);
                    }
                    out[..colours].iter_mut().for_each(|value| *value ^= invert);
                }
            }
            // By the caller.
            Kind::Lab(_) => {}
        }
        if *alpha == Some(Alpha::Premultiplied) {
            for pixel in narrow.chunks_exact_mut(channels) {
                let (alpha, colours) =
                    pixel.split_last_mut().map_or((1, &mut [][..]), |(a, c)| (u32::from(*a).max(1), c));
                for value in colours {
                    *value = (u32::from(*value) * 255 / alpha).min(255) as u8;
                }
            }
        }
    }

    fn direct_16(&mut self) {
        let channels = self.model.channels();
        let colours = channels - usize::from(self.model.has_alpha());
        let invert = if matches!(self.kind, Kind::Direct { inverted: true, .. }) { u16::MAX } else { 0 };
        for (out, pixel) in
            self.wide.chunks_exact_mut(channels).zip(self.line.wide.chunks_exact(self.samples))
        {
            out.copy_from_slice(&pixel[..channels]);
            out[..colours].iter_mut().for_each(|value| *value ^= invert);
            if self.alpha == Some(Alpha::Premultiplied) {
                let alpha = u32::from(pixel[channels - 1]).max(1);
                for value in &mut out[..channels - 1] {
                    *value = (u32::from(*value) * 65535 / alpha).min(65535) as u16;
                }
            }
        }
    }

    fn lab(&mut self) {
        let Self { reader, kind: Kind::Lab(lab), samples, line, wide, .. } = self else { return };
        for (x, out) in wide.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let at = x * *samples;
            let colour = if reader.is_wide {
                let sample = |channel: usize| line.wide[at + channel];
                lab_16(*lab, [sample(0), sample(1), sample(2)])
            } else {
                let sample = |channel: usize| line.narrow[at + channel];
                lab_8(*lab, [sample(0), sample(1), sample(2)])
            };
            *out = lab_to_srgb(colour);
        }
    }
}

fn lab_8(lab: Lab, [lightness, a, b]: [u8; 3]) -> [f32; 3] {
    let share = f32::from(lightness) / 2.55;
    match lab {
        Lab::Cie => [share, f32::from(a as i8), f32::from(b as i8)],
        Lab::Icc => [share, f32::from(a) - 128.0, f32::from(b) - 128.0],
        Lab::Itu => [share, (f32::from(a) - 128.0) * 170.0 / 255.0, (f32::from(b) - 96.0) * 200.0 / 255.0],
    }
}

fn lab_16(lab: Lab, [lightness, a, b]: [u16; 3]) -> [f32; 3] {
    let share = f32::from(lightness);
    match lab {
        Lab::Cie => [share / 655.35, f32::from(a as i16) / 256.0, f32::from(b as i16) / 256.0],
        Lab::Icc => [share / 652.8, f32::from(a) / 256.0 - 128.0, f32::from(b) / 256.0 - 128.0],
        Lab::Itu => {
            let centred =
                |value: u16, offset: f32, range: f32| (f32::from(value) / 257.0 - offset) * range / 255.0;
            [share / 655.35, centred(a, 128.0, 170.0), centred(b, 96.0, 200.0)]
        }
    }
}

/// The colour map holds all reds, then all greens, then all blues, 16 bits each; some writers store 8.
fn palette(page: &Page<'_>) -> Vec<[u8; 3]> {
    let Some(map) = page.ifd.entry(320) else { return Vec::new() };
    let third = map.len() / 3;
    let value = |index: usize| map.uint(index).unwrap_or(0);
    let shift = if (0..map.len()).all(|index| value(index) < 256) { 0 } else { 8 };
    (0..third)
        .map(|index| [0, 1, 2].map(|channel| (value(index + channel * third) >> shift).min(255) as u8))
        .collect()
}

/// Y'CbCr by the coefficients and the reference black and white of the file (TIFF 6.0, sections 20 and 21), in 16-bit
/// fixed point.
struct YCbCr {
    /// What Y, and Cb and Cr, are scaled by and offset with: the latter in the same units as the result.
    luma: (i32, i32),
    blue: (i32, i32),
    red: (i32, i32),
    /// Share of Cb and Cr in green, of what they add to blue and red.
    green: (f32, f32),
}

impl YCbCr {
    fn new(page: &Page<'_>) -> Self {
        let number = |tag: u16, index: usize, default: f64| {
            let value = page.ifd.entry(tag).and_then(|entry| entry.number(index));
            value.filter(|value| value.is_finite()).unwrap_or(default)
        };
        let [red, green, blue] =
            [(0, 0.299), (1, 0.587), (2, 0.114)].map(|(at, share)| number(529, at, share));
        let green = if green.abs() < 0.01 { 0.587 } else { green };
        let range = |at: usize, (black, white): (f64, f64)| {
            let (black, white) = (number(532, at, black), number(532, at + 1, white));
            if (white - black).abs() < 1.0 { (0.0, 255.0) } else { (black, white) }
        };
        let fixed = |value: f64| (value * 65536.0).round() as i32;
        let (black, white) = range(0, (0.0, 255.0));
        let luma = 255.0 / (white - black);
        let chroma = |at: usize, share: f64| {
            let (middle, most) = range(at, (128.0, 255.0));
            let scale = 127.0 / (most - middle) * (2.0 - 2.0 * share);
            (fixed(scale), fixed(-middle * scale))
        };
        Self {
            luma: (fixed(luma), fixed(-black * luma)),
            blue: chroma(2, blue),
            red: chroma(4, red),
            green: ((blue / green) as f32, (red / green) as f32),
        }
    }

    fn rgb(&self, [y, cb, cr]: [u8; 3]) -> [u8; 3] {
        let part =
            |(scale, offset): (i32, i32), value: u8| i64::from(scale) * i64::from(value) + i64::from(offset);
        let (y, b, r) = (part(self.luma, y), part(self.blue, cb), part(self.red, cr));
        let clamp = |v: i64| ((v + (1 << 15)) >> 16).clamp(0, 255) as u8;
        let green = y - (b as f32 * self.green.0) as i64 - (r as f32 * self.green.1) as i64;
        [clamp(y + r), clamp(green), clamp(y + b)]
    }
}
