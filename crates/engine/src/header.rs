//! Headers: what is known of an image without decoding it; one reader per format in the modules below.

mod bmp;
mod gif;
pub(crate) mod jpeg;
pub(crate) mod png;
mod tiff;
mod webp;

use crate::error::Error;

/// A header, and what only the limits need.
pub(crate) struct Details {
    pub(crate) header: Header,
    /// Frames of an animation; 1 for a still image.
    pub(crate) frames: u32,
}

/// Reads the header of a file known to be of `format`, without decoding pixels.
pub(crate) fn read(bytes: &[u8], format: Format) -> Result<Details, Error> {
    match format {
        Format::Jpeg => jpeg::read(bytes),
        Format::Png => png::read(bytes),
        Format::WebP => webp::read(bytes),
        Format::Gif => gif::read(bytes),
        Format::Bmp => bmp::read(bytes),
        Format::Tiff => tiff::read(bytes),
    }
}

/// The error for a file that ends too early.
fn truncated(format: &str, within: &str, at: usize) -> Error {
    Error::Malformed(format!("{format}: the file ends within {within}, at byte {at}; send it again"))
}

/// An image format, recognised by content, never by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG (ITU-T T.81).
    Jpeg,
    /// PNG (RFC 2083, W3C PNG third edition).
    Png,
    /// WebP (RFC 9649).
    WebP,
    /// GIF 87a and 89a.
    Gif,
    /// Windows bitmap.
    Bmp,
    /// TIFF 6.0.
    Tiff,
}

impl Format {
    /// Every format read here.
    pub const ALL: [Self; 6] = [Self::Jpeg, Self::Png, Self::WebP, Self::Gif, Self::Bmp, Self::Tiff];

    /// Lower-case name, as in settings and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
        }
    }

    /// IANA media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
        }
    }

    /// The usual file extension, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How the stored rows must be turned for upright display: EXIF tag 0x0112, values 1 to 8 (CIPA DC-008).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orientation(u8);

impl Orientation {
    /// Upright as stored.
    pub const UPRIGHT: Self = Self(1);

    /// From the tag's value; anything but 1 to 8 counts as upright, as viewers do.
    #[must_use]
    pub const fn from_exif(value: u32) -> Self {
        if value >= 1 && value <= 8 { Self(value as u8) } else { Self::UPRIGHT }
    }

    /// The tag's value, 1 to 8.
    #[must_use]
    pub const fn exif(self) -> u8 {
        self.0
    }

    /// Whether width and height are swapped.
    #[must_use]
    pub const fn swaps_sides(self) -> bool {
        self.0 >= 5
    }
}

/// Properties of an image, from its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The file format.
    pub format: Format,
    /// Width in pixels, as stored (before orientation).
    pub width: u32,
    /// Height in pixels, as stored (before orientation).
    pub height: u32,
    /// Rotation and mirroring that turn it upright.
    pub orientation: Orientation,
    /// Colour model as stored, for display: `gray`, `ycbcr`, `rgb`, `cmyk`, `ycck`, `palette`, …
    pub colour: &'static str,
    /// Bits a sample.
    pub bits: u8,
    /// Whether there may be transparency.
    pub alpha: bool,
    /// Progressive JPEG, interlaced PNG or GIF.
    pub progressive: bool,
    /// Whether it holds more than one frame or page; only the first is rendered.
    pub animated: bool,
    /// Whether it carries an ICC profile.
    pub profile: bool,
}

impl Header {
    /// Width and height once upright.
    #[must_use]
    pub const fn upright(&self) -> (u32, u32) {
        if self.orientation.swaps_sides() { (self.height, self.width) } else { (self.width, self.height) }
    }

    /// Pixels of the canvas.
    #[must_use]
    pub const fn pixels(&self) -> u64 {
        self.width as u64 * self.height as u64
    }
}
