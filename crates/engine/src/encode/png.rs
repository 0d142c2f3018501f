//! PNG: 8 bits, in the channels the picture has.

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};

use crate::error::Error;
use crate::pixels::{Finished, Model};

pub(super) fn encode(picture: &Finished) -> Result<Vec<u8>, Error> {
    let internal = |error: EncodingError| Error::Internal(format!("PNG encoder: {error}"));
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, picture.width, picture.height);
    encoder.set_color(match picture.model {
        Model::Gray => ColorType::Grayscale,
        Model::GrayAlpha => ColorType::GrayscaleAlpha,
        Model::Rgb => ColorType::Rgb,
        Model::Rgba => ColorType::Rgba,
    });
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Balanced);
    encoder.set_filter(Filter::Adaptive);
    let mut writer = encoder.write_header().map_err(internal)?;
    writer.write_image_data(&picture.samples).map_err(internal)?;
    writer.finish().map_err(internal)?;
    Ok(bytes)
}
