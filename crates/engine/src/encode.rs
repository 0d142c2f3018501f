//! Encoders, one file a format. Metadata is never written.

mod jpeg;
pub(crate) mod png;
mod webp;

use crate::error::Error;
use crate::header::Format;
use crate::pixels::Finished;
use crate::simd::SimdLevel;
use crate::spec::Effort;

/// Encodes as JPEG, PNG or WebP.
pub(crate) fn encode(
    level: SimdLevel,
    picture: &Finished,
    format: Format,
    quality: u8,
    effort: Effort,
) -> Result<Vec<u8>, Error> {
    match format {
        Format::Jpeg => jpeg::encode(level, picture, quality, effort),
        Format::WebP => webp::encode(picture, quality),
        Format::Png | Format::Gif | Format::Bmp | Format::Tiff => png::encode(picture),
    }
}
