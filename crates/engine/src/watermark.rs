//! An image blended over thumbnails.

use std::sync::Arc;

use crate::error::Error;
use crate::header::{Colour, Format, Header, Orientation};
use crate::light;
use crate::limits::Limits;
use crate::pixels::{Grid, Image8, Image16, Model, Row, RowSink};
use crate::resample::{Buffers, MultiResampler};
use crate::simd::SimdLevel;
use crate::spec::{Background, Fit, Gravity, OutputFormat, Size, Spec};
use crate::stop::Stop;
use crate::thumbnailer::Thumbnailer;
use crate::{canvas, plan};

/// A watermark: an image, and how it is placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    image: Arc<Mark>,
    /// Where it is placed; `smart` counts as the middle.
    pub position: Gravity,
    /// How much it covers what is below, in percent.
    pub opacity: u8,
    /// The box that it fills, in percent of the thumbnail's width and height. It is not enlarged.
    pub scale: u8,
}

/// The pixels of a watermark: RGBA in sRGB.
#[derive(PartialEq, Eq)]
struct Mark {
    width: u32,
    height: u32,
    samples: Vec<u8>,
    digest: u64,
}

impl std::fmt::Debug for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{} {:016x}", self.width, self.height, self.digest)
    }
}

/// The distance to the thumbnail's edge is this part of its shorter side.
const MARGIN: u32 = 32;

impl Watermark {
    /// The largest file, in bytes.
    pub const MAX_BYTES: u64 = 4 << 20;
    /// The most pixels.
    pub const MAX_PIXELS: u64 = 4 << 20;

    /// Of a PNG file: in the lower right corner, at half its opacity, in a quarter of the thumbnail's sides.
    ///
    /// # Errors
    /// It is no PNG, is corrupt, or too large.
    pub fn new(png: &[u8]) -> Result<Self, Error> {
        let limits = Limits { source_bytes: Self::MAX_BYTES, pixels: Self::MAX_PIXELS, ..Limits::default() };
        let header = crate::probe(png)?;
        if header.format != Format::Png {
            return Err(Error::Unsupported(format!("a watermark is a PNG, and this is {}", header.format)));
        }
        let whole = Size { width: Some(Size::MAX), height: Some(Size::MAX) };
        let spec = Spec {
            size: whole,
            format: OutputFormat::Png,
            background: Background([0; 4]),
            ..Spec::default()
        };
        let pixels = Thumbnailer::new().limits(limits).pixels(png, &spec)?;
        let widen = |pixel: &[u8]| match *pixel {
            [v] => [v, v, v, 255],
            [v, a] => [v, v, v, a],
            [r, g, b] => [r, g, b, 255],
            [r, g, b, a] => [r, g, b, a],
            _ => [0; 4],
        };
        let samples: Vec<u8> = pixels.samples.chunks_exact(pixels.channels).flat_map(widen).collect();
        let sides = [pixels.width.to_le_bytes(), pixels.height.to_le_bytes()].concat();
        let digest = fnv(sides.iter().chain(&samples));
        let image = Arc::new(Mark { width: pixels.width, height: pixels.height, samples, digest });
        Ok(Self { image, position: Gravity::SouthEast, opacity: 50, scale: 25 })
    }

    /// A number that differs between images, for fingerprints.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.image.digest
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// [`Error::Unsupported`], naming the field.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        for (name, percent) in [("opacity", self.opacity), ("scale", self.scale)] {
            if !(1..=100).contains(&percent) {
                return Err(Error::Unsupported(format!(
                    "watermark {name} {percent} is not between 1 and 100"
                )));
            }
        }
        Ok(())
    }

    /// Upper bound on the bytes that applying it takes, besides the thumbnail.
    pub(crate) fn memory(&self) -> u64 {
        u64::from(self.image.width) * u64::from(self.image.height) * 16 + (1 << 20)
    }

    /// It as it is for thumbnails of this size.
    pub(crate) fn placed(
        &self,
        canvas: (u32, u32),
        level: SimdLevel,
        stop: Stop<'_>,
        buffers: &mut Buffers,
    ) -> Result<PlacedMark, Error> {
        Ok(PlacedMark { canvas, image: self.resampled(canvas, level, stop, buffers)? })
    }

    /// Blends it over a thumbnail, in linear light. `mark` is it for this size.
    pub(crate) fn over(&self, thumbnail: &Image8, mark: &PlacedMark) -> Image8 {
        let PlacedMark { canvas, image: mark } = mark;
        let canvas = *canvas;
        let (across, down) = plan::gravity(self.position);
        let margin = canvas.0.min(canvas.1) / MARGIN;
        let place = |side: u32, length: usize, share: f64| {
            let free = side as usize - length;
            let margin = (margin as usize).min(free / 2);
            margin + ((free - 2 * margin) as f64 * share) as usize
        };
        let (left, top) = (place(canvas.0, mark.width, across), place(canvas.1, mark.height, down));
        let mut samples = canvas::widened(thumbnail);
        let rows = samples.chunks_exact_mut(canvas.0 as usize * 4).skip(top);
        for (target, source) in rows.zip(mark.samples.chunks_exact(mark.width * 4)) {
            let pixels = target.as_chunks_mut::<4>().0.iter_mut().skip(left);
            for (under, &[r, g, b, a]) in pixels.zip(source.as_chunks::<4>().0) {
                let alpha = (u32::from(a) * u32::from(self.opacity) / 100) as u16;
                *under = blended(*under, [r, g, b], alpha);
            }
        }
        canvas::narrowed(canvas, samples)
    }

    /// The image in the size that it has on a thumbnail of this size.
    fn resampled(
        &self,
        canvas: (u32, u32),
        level: SimdLevel,
        stop: Stop<'_>,
        buffers: &mut Buffers,
    ) -> Result<Image16, Error> {
        let side = |side: u32| Some((u64::from(side) * u64::from(self.scale) / 100).max(1) as u32);
        let spec = Spec {
            size: Size { width: side(canvas.0), height: side(canvas.1) },
            fit: Fit::Inside,
            ..Spec::default()
        };
        let header = self.image.header();
        let plans = [plan::plan(&header, &spec)];
        let mut rows = MultiResampler::new(&header, &plans, level, stop, buffers);
        rows.begin(Grid::full_scale(Model::Rgba))?;
        for row in self.image.samples.chunks_exact(self.image.width as usize * 4) {
            rows.row(Row::U8(row))?;
        }
        let image = rows.finish()?.pop();
        image.ok_or_else(|| Error::Internal("no image for a plan".into()))
    }
}

/// A watermark in the size that it has on thumbnails of one size.
pub(crate) struct PlacedMark {
    canvas: (u32, u32),
    image: Image16,
}

impl PlacedMark {
    /// Whether it is for thumbnails of this size.
    pub(crate) fn is_for(&self, canvas: (u32, u32)) -> bool {
        self.canvas == canvas
    }
}

impl Mark {
    fn header(&self) -> Header {
        Header {
            format: Format::Png,
            width: self.width,
            height: self.height,
            orientation: Orientation::UPRIGHT,
            colour: Colour::Rgb,
            bits: 8,
            alpha: true,
            progressive: false,
            buffered: false,
            decoder_bytes: 0,
            coded_bytes: 0,
            animated: false,
            profile: false,
            work: 0,
        }
    }
}

/// A colour of so much alpha over a pixel with straight alpha.
fn blended(under: [u8; 4], over: [u16; 3], alpha: u16) -> [u8; 4] {
    if alpha == 0 {
        return under;
    }
    let [r, g, b, below] = under;
    let (alpha, below) = (u64::from(alpha), u64::from(below) * 257);
    // Shares of the two colours, in 65535ths of the pixel.
    let rest = below * (65535 - alpha) / 65535;
    let whole = alpha + rest;
    let mixed = |over: u16, under: u8| {
        let (over, under) = (u64::from(light::linear_16(over)), u64::from(light::linear_8(under)));
        let light = (over * alpha + under * rest + whole / 2) / whole;
        canvas::byte(light::encoder()((light * light::LIGHT as u64 / 65535) as i32))
    };
    [mixed(over[0], r), mixed(over[1], g), mixed(over[2], b), canvas::byte(whole as u16)]
}

/// FNV-1a of 64 bits.
fn fnv<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effort;
    use crate::codec::{self, EncodeOptions};

    fn png(width: u32, height: u32, pixel: [u8; 4]) -> Vec<u8> {
        let samples = pixel.repeat((width * height) as usize);
        let image = Image8 { width, height, model: Model::Rgba, samples };
        let stop = Stop(&|| false);
        let none = crate::rights::Rights::default();
        let options = EncodeOptions {
            level: SimdLevel::detect(),
            quality: 80,
            effort: Effort::Fast,
            stop,
            rights: &none,
        };
        codec::encode(&image, Format::Png, &options).unwrap()
    }

    fn over(watermark: &Watermark, thumbnail: &Image8) -> Image8 {
        let mut buffers = Buffers::default();
        let canvas = (thumbnail.width, thumbnail.height);
        let mark = watermark.placed(canvas, SimdLevel::detect(), Stop(&|| false), &mut buffers).unwrap();
        watermark.over(thumbnail, &mark)
    }

    fn plain(model: Model, pixel: &[u8]) -> Image8 {
        Image8 { width: 64, height: 32, model, samples: pixel.repeat(64 * 32) }
    }

    #[test]
    fn it_covers_its_place_and_nothing_else() {
        let mut watermark = Watermark::new(&png(40, 40, [255, 0, 0, 255])).unwrap();
        watermark.opacity = 100;
        let image = over(&watermark, &plain(Model::Gray, &[100]));
        assert_eq!((image.model, image.width, image.height), (Model::Rgb, 64, 32));
        let at = |x: usize, y: usize| <[u8; 3]>::try_from(&image.samples[(y * 64 + x) * 3..][..3]).unwrap();
        // A quarter of 64x32 holds 8x8, one pixel from the edges.
        assert_eq!((at(62, 30), at(55, 23)), ([255, 0, 0], [255, 0, 0]));
        for (x, y) in [(63, 31), (63, 30), (54, 23), (55, 22), (0, 0)] {
            assert_eq!(at(x, y), [100; 3], "{x}, {y}");
        }
        watermark.position = Gravity::NorthWest;
        watermark.scale = 100;
        let image = over(&watermark, &plain(Model::Gray, &[100]));
        assert_eq!(image.samples[(16 * 64 + 16) * 3..][..3], [255, 0, 0]);
    }

    #[test]
    fn opacity_mixes_in_light() {
        let mut watermark = Watermark::new(&png(40, 40, [255, 255, 255, 255])).unwrap();
        watermark.position = Gravity::Centre;
        watermark.opacity = 50;
        let image = over(&watermark, &plain(Model::Gray, &[0]));
        // Half of the light is code 188.
        assert!(image.samples.iter().any(|sample| (187..=189).contains(sample)));
        assert_eq!(image.model, Model::Gray);
    }

    #[test]
    fn transparent_thumbnails_stay_so_elsewhere() {
        let watermark = Watermark::new(&png(4, 4, [0, 0, 255, 255])).unwrap();
        let image = over(&watermark, &plain(Model::Rgba, &[9, 9, 9, 0]));
        assert_eq!(image.model, Model::Rgba);
        let alphas: Vec<u8> = image.samples.iter().skip(3).step_by(4).copied().collect();
        // It is not enlarged.
        assert_eq!(alphas.iter().filter(|alpha| **alpha > 0).count(), 16);
        assert_eq!(alphas.iter().max(), Some(&127));
    }

    #[test]
    fn images_differ_in_their_digest_and_other_formats_are_refused() {
        let (one, two) = (png(2, 3, [1, 2, 3, 255]), png(3, 2, [1, 2, 3, 255]));
        let digest = |png: &[u8]| Watermark::new(png).unwrap().digest();
        assert_eq!(digest(&one), digest(&one));
        assert_ne!(digest(&one), digest(&two));
        let bmp = b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        assert!(Watermark::new(bmp).is_err() && Watermark::new(&one[..40]).is_err());
        let wrong = Watermark { opacity: 0, ..Watermark::new(&one).unwrap() };
        assert!(wrong.validate().unwrap_err().to_string().contains("opacity"));
    }
}
