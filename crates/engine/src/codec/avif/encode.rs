//! AVIF encoder: maroontree, which receives pixels only, never bytes from outside.

use std::panic::{AssertUnwindSafe, catch_unwind};

use maroontree::{BitDepth, ChromaFormat, Cicp, EncodeConfig, EncodeError, PlanarImage, Speed};

use crate::canvas;
use crate::codec::EncodeOptions;
use crate::error::Error;
use crate::pixels::{Image8, Model};
use crate::spec::Effort;

/// From this quality on colours have the resolution of the luma.
const FULL_COLOUR: u8 = 90;

pub(super) fn encode(image: &Image8, options: &EncodeOptions<'_>) -> Result<Vec<u8>, Error> {
    options.stop.check("encoding")?;
    let colours = if options.quality >= FULL_COLOUR { ChromaFormat::Yuv444 } else { ChromaFormat::Yuv420 };
    let mut config = EncodeConfig::new()
        .with_quality(options.quality)
        .with_chroma(if image.model == Model::Gray { ChromaFormat::Monochrome } else { colours })
        .with_cicp(Cicp::srgb_ycbcr())
        .with_threads(1)
        .with_speed(if options.effort == Effort::Best { Speed::Slow } else { Speed::Fast });
    if let Some(exif) = options.rights.exif() {
        config = config.with_exif(exif);
    }
    let (width, height) = (image.width as usize, image.height as usize);
    let eight = BitDepth::Eight;
    let file = || -> Result<Vec<u8>, EncodeError> {
        match image.model {
            Model::Gray => {
                let planes = PlanarImage::from_luma(width, height, eight, &image.samples)?;
                maroontree::encode_gray8(&planes, &config)
            }
            Model::Rgb => {
                let planes = PlanarImage::from_interleaved_rgb(width, height, eight, &image.samples)?;
                maroontree::encode_rgb8(&planes, &config)
            }
            Model::GrayAlpha | Model::Rgba => {
                let planes =
                    PlanarImage::from_interleaved_rgba(width, height, eight, &canvas::widened(image))?;
                maroontree::encode_rgba8_with_alpha(&planes, &config)
            }
        }
    };
    // A young library: what it panics on fails this image alone.
    match catch_unwind(AssertUnwindSafe(file)) {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(EncodeError::InvalidDimensions { .. } | EncodeError::DimensionTooLarge { .. })) => {
            Err(Error::TooLarge(format!("an AVIF of {width}x{height}: set another size or another format")))
        }
        Ok(Err(error)) => Err(Error::Internal(format!("AVIF encoder: {error}"))),
        Err(_) => Err(Error::Internal(format!("AVIF encoder: it panicked on an image of {width}x{height}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::Rights;
    use crate::stop::Stop;
    use crate::{SimdLevel, Spec, Thumbnailer};

    fn image(width: u32, height: u32, model: Model) -> Image8 {
        let channels = model.channels();
        let sample = |at: usize| {
            let (pixel, c) = (at / channels, at % channels);
            let (x, y) = (pixel % width as usize, pixel / width as usize);
            if model.has_alpha() && c == channels - 1 {
                return if x < width as usize / 2 { 255 } else { 0 };
            }
            match c {
                0 => (x * 200 / width as usize + 20) as u8,
                1 => (y * 200 / height as usize + 20) as u8,
                _ => 90,
            }
        };
        let samples = (0..width as usize * height as usize * channels).map(sample).collect();
        Image8 { width, height, model, samples }
    }

    /// What our decoder sees in what was written.
    fn read(file: &[u8]) -> crate::Pixels {
        let spec = Spec {
            size: "4096x4096".parse().unwrap(),
            format: crate::OutputFormat::Png,
            background: "transparent".parse().unwrap(),
            ..Spec::default()
        };
        Thumbnailer::new().pixels(file, &spec).unwrap()
    }

    #[test]
    fn files_are_read_again() {
        let rights = Rights::default();
        for (width, height) in [(64, 48), (33, 17), (1, 1), (5, 200)] {
            for model in [Model::Gray, Model::GrayAlpha, Model::Rgb, Model::Rgba] {
                for quality in [80, 95] {
                    let image = image(width, height, model);
                    let stop = Stop(&|| false);
                    let (level, effort) = (SimdLevel::detect(), Effort::Fast);
                    let options = EncodeOptions { level, quality, effort, stop, rights: &rights };
                    let file = match encode(&image, &options) {
                        Ok(file) => file,
                        // The library has a least size.
                        Err(Error::TooLarge(_)) if width.min(height) < 16 => continue,
                        Err(error) => panic!("{width}x{height} {model:?}: {error}"),
                    };
                    let header = crate::probe(&file).unwrap();
                    assert_eq!((header.width, header.height), (width, height));
                    let pixels = read(&file);
                    assert_eq!((pixels.width, pixels.height), (width, height), "{model:?}");
                    let (expected, found) = (canvas::widened(&image), widened(&pixels));
                    let mut total = 0_u64;
                    for (expected, found) in expected.as_chunks::<4>().0.iter().zip(found.as_chunks::<4>().0)
                    {
                        assert_eq!(expected[3], found[3], "alpha is exact");
                        if expected[3] > 0 {
                            total += (0..3).map(|c| u64::from(expected[c].abs_diff(found[c]))).sum::<u64>();
                        }
                    }
                    let mean = total as f64 / f64::from(width * height * 3);
                    assert!(mean < 6.0, "{width}x{height} {model:?} at {quality}: off by {mean}");
                }
            }
        }
    }

    fn widened(pixels: &crate::Pixels) -> Vec<u8> {
        let model = match pixels.channels {
            1 => Model::Gray,
            2 => Model::GrayAlpha,
            3 => Model::Rgb,
            _ => Model::Rgba,
        };
        let (width, height, samples) = (pixels.width, pixels.height, pixels.samples.clone());
        canvas::widened(&Image8 { width, height, model, samples })
    }
}
