//! Thumbnails by the crates image and fast_image_resize, as a program without an engine of its own makes them: decode the
//! whole image, turn it upright, reduce it by Lanczos3, encode it.

use std::io::Cursor;

use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::{
    DynamicImage, ImageDecoder as _, ImageFormat, ImageReader,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
};

use crate::worker::{Rendered, Request, serve};

pub(crate) fn run() -> anyhow::Result<()> {
    let mut resizer = Resizer::new();
    serve("image 0.25, fast_image_resize 6", |request, source| render(request, source, &mut resizer))
}

fn render(request: &Request, source: &[u8], resizer: &mut Resizer) -> anyhow::Result<Rendered> {
    let mut decoder = ImageReader::new(Cursor::new(source)).with_guessed_format()?.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    let (width, height) = fitted(image.width(), image.height(), request.size);
    let mut small = DynamicImage::new(width, height, image.color());
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    resizer.resize(&image, &mut small, &options)?;
    let mut bytes = Vec::new();
    let format = ImageFormat::from_extension(&request.format)
        .ok_or_else(|| anyhow::anyhow!("no format {}", request.format))?;
    match format {
        ImageFormat::Jpeg => {
            small
                .into_rgb8()
                .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, request.quality))?;
        }
        ImageFormat::Png => small.write_with_encoder(PngEncoder::new(&mut bytes))?,
        other => anyhow::bail!("{other:?} is not written here"),
    }
    Ok(Rendered { bytes, width, height })
}

/// The size within a square; nothing is enlarged.
fn fitted(width: u32, height: u32, side: u32) -> (u32, u32) {
    let scale = (f64::from(side) / f64::from(width.max(height))).min(1.0);
    let fit = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    (fit(width), fit(height))
}
