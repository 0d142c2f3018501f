//! JPEG: baseline, with Huffman tables made for the picture.

use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};

use crate::error::Error;
use crate::pixels::{Finished, Model};

/// From this quality on colour keeps its full resolution.
const FULL_CHROMA: u8 = 90;

pub(super) fn encode(picture: &Finished, quality: u8) -> Result<Vec<u8>, Error> {
    let colour = match picture.model {
        Model::Gray => ColorType::Luma,
        Model::Rgb => ColorType::Rgb,
        Model::GrayAlpha | Model::Rgba => {
            return Err(Error::Internal("JPEG cannot hold the alpha channel it was given".into()));
        }
    };
    let (Ok(width), Ok(height)) = (u16::try_from(picture.width), u16::try_from(picture.height)) else {
        return Err(Error::TooLarge(format!(
            "a JPEG of {}x{}; its sides are at most 65535 pixels: set a smaller size",
            picture.width, picture.height
        )));
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_optimized_huffman_tables(true);
    let sampling = if quality < FULL_CHROMA { SamplingFactor::R_4_2_0 } else { SamplingFactor::R_4_4_4 };
    encoder.set_sampling_factor(sampling);
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    encoder
        .encode(&picture.samples, width, height, colour)
        .map_err(|error| Error::Internal(format!("JPEG encoder: {error}")))?;
    Ok(bytes)
}
