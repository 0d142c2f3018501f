//! WebP: lossy, by libwebp's encoder. It only ever sees pixels made here, never bytes from outside.

use webp::{Encoder, PixelLayout};

use crate::error::Error;
use crate::pixels::{Finished, Model};

/// The format's own limit on a side.
const MAX_SIDE: u32 = 16_383;

pub(super) fn encode(picture: &Finished, quality: u8) -> Result<Vec<u8>, Error> {
    if picture.width > MAX_SIDE || picture.height > MAX_SIDE {
        return Err(Error::TooLarge(format!(
            "a WebP of {}x{}; its sides are at most {MAX_SIDE} pixels: set a smaller size or another format",
            picture.width, picture.height
        )));
    }
    let widened: Vec<u8>;
    let (samples, layout) = match picture.model {
        Model::Rgb => (&picture.samples, PixelLayout::Rgb),
        Model::Rgba => (&picture.samples, PixelLayout::Rgba),
        Model::Gray => {
            widened = picture.samples.iter().flat_map(|&v| [v, v, v]).collect();
            (&widened, PixelLayout::Rgb)
        }
        Model::GrayAlpha => {
            let (pixels, _) = picture.samples.as_chunks::<2>();
            widened = pixels.iter().flat_map(|&[v, a]| [v, v, v, a]).collect();
            (&widened, PixelLayout::Rgba)
        }
    };
    let encoder = Encoder::new(samples, layout, picture.width, picture.height);
    let memory = encoder
        .encode_simple(false, f32::from(quality))
        .map_err(|error| Error::Internal(format!("WebP encoder: {error:?}")))?;
    Ok(memory.to_vec())
}
