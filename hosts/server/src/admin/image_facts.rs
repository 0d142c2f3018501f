//! What the header of a stored image says.

use serde::{Deserialize, Serialize};
use tintype_engine::Header;
use tintype_pipeline::Location;

use super::Admin;

/// Objects up to so many bytes are read whole for it; of larger ones the first bytes.
const MAX_READ: u64 = 16 << 20;

/// Properties of an image, from its header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// The file format by its content, such as `jpeg`.
    pub format: String,
    /// Width in pixels, once upright.
    pub width: u32,
    /// Height in pixels, once upright.
    pub height: u32,
    /// The colour model as stored, such as `rgb`.
    pub colour: String,
    /// Bits a sample.
    pub bits: u8,
    /// Whether there may be transparency.
    pub alpha: bool,
    /// The EXIF orientation, 1 to 8; 1 is upright as stored.
    pub orientation: u8,
    /// Whether there is more than one frame or page.
    pub animated: bool,
    /// Whether it is a progressive JPEG, or interlaced.
    pub progressive: bool,
    /// Whether it carries an ICC profile.
    pub profile: bool,
}

impl From<&Header> for ImageFacts {
    fn from(header: &Header) -> Self {
        let (width, height) = header.upright();
        Self {
            format: header.format.name().into(),
            width,
            height,
            colour: header.colour.name().into(),
            bits: header.bits,
            alpha: header.alpha,
            orientation: header.orientation.exif(),
            animated: header.animated,
            progressive: header.progressive,
            profile: header.profile,
        }
    }
}

impl Admin {
    /// The facts of a stored image; `None` if it is none, or cannot be read now.
    pub(super) fn image_facts(&self, at: &Location) -> Option<ImageFacts> {
        let object = self.parts.store.objects.open(at).ok()??;
        let bytes = match object.record.size {
            size if size <= MAX_READ => object.bytes().ok()?,
            size => object.read_chunk(0, size).ok()?,
        };
        tintype_engine::probe(&bytes).ok().as_ref().map(ImageFacts::from)
    }
}
