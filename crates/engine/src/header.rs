//! Headers: what is known of an image without decoding it.

use crate::error::Error;

/// A header, and what only the limits need.
pub(crate) struct Details {
    pub(crate) header: Header,
    /// What makes up most of the work, as in "in 882 scans".
    pub(crate) reason: String,
}

/// Work of any one row: what a row of few pixels costs, in samples.
const ROW: u64 = 32;
/// Work of a byte of compressed data.
const BYTE: u64 = 2;

/// The work of `samples`, in `rows` rows, from `bytes` bytes of compressed data.
pub(crate) fn work(samples: u64, rows: u64, bytes: usize) -> u64 {
    samples.saturating_add(rows.saturating_mul(ROW)).saturating_add(BYTE.saturating_mul(bytes as u64))
}

/// The work of LZW data that becomes `decoded` samples. Codes take at most 12 bits each; bytes beyond that can only
/// be codes that clear the table, which are slow.
pub(crate) fn lzw_work(bytes: u64, decoded: u64) -> u64 {
    let needed = bytes.min(decoded.saturating_mul(3) / 2);
    needed.saturating_mul(8).saturating_add((bytes - needed).saturating_mul(128))
}

/// The error for a file that ends too early.
pub(crate) fn truncated(format: &str, within: &str, at: usize) -> Error {
    Error::Malformed(format!("{format}: the file ends within {within}, at byte {at}; send it again"))
}

/// An image format, recognised by content, never by name.
#[non_exhaustive]
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
    /// AVIF (AV1 in HEIF, ISO/IEC 23000-22).
    Avif,
    /// HEIC (HEVC in HEIF, ISO/IEC 23008-12).
    Heic,
    /// JPEG XL (ISO/IEC 18181).
    Jxl,
    /// SVG (W3C SVG 1.1 and the static part of 2), as XML or compressed (SVGZ).
    Svg,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 10] = [
        Self::Jpeg,
        Self::Png,
        Self::WebP,
        Self::Gif,
        Self::Bmp,
        Self::Tiff,
        Self::Avif,
        Self::Heic,
        Self::Jxl,
        Self::Svg,
    ];

    /// Whether the image is a drawing without pixels of its own, which is rendered at the size that is needed.
    #[must_use]
    pub const fn is_vector(self) -> bool {
        matches!(self, Self::Svg)
    }

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
            Self::Avif => "avif",
            Self::Heic => "heic",
            Self::Jxl => "jxl",
            Self::Svg => "svg",
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
            Self::Avif => "image/avif",
            Self::Heic => "image/heic",
            Self::Jxl => "image/jxl",
            Self::Svg => "image/svg+xml",
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
            Self::Avif => "avif",
            Self::Heic => "heic",
            Self::Jxl => "jxl",
            Self::Svg => "svg",
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What of a format is read and written, in words, for documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coverage {
    /// Its name as its standard writes it.
    pub title: &'static str,
    /// Extensions of its files, in lower case, without the dot; the usual one first.
    pub extensions: &'static [&'static str],
    /// What is read of it.
    pub read: &'static str,
    /// What is written of it; empty: nothing.
    pub written: &'static str,
    /// What is refused of it as unsupported, and why; empty: nothing.
    pub refused: &'static str,
}

impl Coverage {
    pub(crate) const fn new(
        title: &'static str,
        extensions: &'static [&'static str],
        read: &'static str,
        written: &'static str,
        refused: &'static str,
    ) -> Self {
        Self { title, extensions, read, written, refused }
    }
}

/// The colour model of an image as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Colour {
    /// Luma alone.
    Gray,
    /// Red, green and blue.
    Rgb,
    /// Luma and two colour differences (ITU-T T.871).
    YCbCr,
    /// Indices into a table of colours.
    Palette,
    /// Inks.
    Cmyk,
    /// Inks, of which three are stored as YCbCr.
    Ycck,
    /// CIE L*a*b*.
    Lab,
    /// One that is not named here.
    Unknown,
}

impl Colour {
    /// Lower-case name, as in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gray => "gray",
            Self::Rgb => "rgb",
            Self::YCbCr => "ycbcr",
            Self::Palette => "palette",
            Self::Cmyk => "cmyk",
            Self::Ycck => "ycck",
            Self::Lab => "lab",
            Self::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for Colour {
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
#[non_exhaustive]
pub struct Header {
    /// The file format.
    pub format: Format,
    /// Width in pixels, as stored (before orientation).
    pub width: u32,
    /// Height in pixels, as stored (before orientation).
    pub height: u32,
    /// Rotation and mirroring that turn it upright.
    pub orientation: Orientation,
    /// Colour model as stored.
    pub colour: Colour,
    /// Bits a sample.
    pub bits: u8,
    /// Whether there may be transparency.
    pub alpha: bool,
    /// Progressive JPEG, interlaced PNG or GIF.
    pub progressive: bool,
    /// Whether the whole image is buffered before its first row: a JPEG in several scans.
    pub(crate) buffered: bool,
    /// Bytes that decoding takes, of formats whose header says more of it than the other fields hold.
    pub(crate) decoder_bytes: u64,
    /// Bytes from the first scan of a JPEG on; 0 for other formats.
    pub(crate) coded_bytes: u64,
    /// Whether it holds more than one frame or page; only the first is rendered.
    pub animated: bool,
    /// Whether it carries an ICC profile.
    pub profile: bool,
    /// Upper bound on the work of decoding it, in samples: those that are decoded, times the passes over them, and
    /// what rows, scans, tiles and bytes cost beyond that. A thousand million take seconds.
    pub work: u64,
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
