//! Lossy WebP, by libwebp's encoder. It receives pixels only, never bytes from outside.

use webp::{Encoder, PixelLayout};

use crate::error::Error;
use crate::pixels::{Image8, Model};

/// The format's limit on a side, in pixels.
const MAX_SIDE: u32 = 16_383;

pub(super) fn encode(image: &Image8, quality: u8) -> Result<Vec<u8>, Error> {
    if image.width > MAX_SIDE || image.height > MAX_SIDE {
        return Err(Error::TooLarge(format!(
            "a WebP of {}x{}; its sides are at most {MAX_SIDE} pixels: set a smaller size or another format",
            image.width, image.height
        )));
    }
    let widened: Vec<u8>;
    let (samples, layout) = match image.model {
        Model::Rgb => (&image.samples, PixelLayout::Rgb),
        Model::Rgba => (&image.samples, PixelLayout::Rgba),
        Model::Gray => {
            widened = image.samples.iter().flat_map(|&v| [v, v, v]).collect();
            (&widened, PixelLayout::Rgb)
        }
        Model::GrayAlpha => {
            let (pixels, _) = image.samples.as_chunks::<2>();
            widened = pixels.iter().flat_map(|&[v, a]| [v, v, v, a]).collect();
            (&widened, PixelLayout::Rgba)
        }
    };
    let encoder = Encoder::new(samples, layout, image.width, image.height);
    let memory = encoder
        .encode_simple(false, f32::from(quality))
        .map_err(|error| Error::Internal(format!("WebP encoder: {error:?}")))?;
    Ok(memory.to_vec())
}
