//! Description of one rendition, parsed from settings and queries.

use crate::error::Error;
use crate::watermark::Watermark;

/// A box in pixels; a side left open follows from the image's aspect ratio. At least one side is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Width of the box in pixels, if bounded.
    pub width: Option<u32>,
    /// Height of the box in pixels, if bounded.
    pub height: Option<u32>,
}

impl Size {
    /// The longest side of a thumbnail, in pixels, which a JPEG can still hold.
    pub const MAX: u32 = 65_500;
}

impl std::str::FromStr for Size {
    type Err = String;

    /// `"256"` bounds the width, `"x200"` the height, `"400x300"` both.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "size \"{text}\" is not a box: write a width (\"256\"), a height (\"x200\") or both (\"400x300\"), each from 1 to {}",
                Self::MAX
            )
        };
        let side = |text: &str| match text.parse::<u32>() {
            Ok(pixels) if (1..=Self::MAX).contains(&pixels) && !text.starts_with('+') => Ok(pixels),
            _ => Err(wrong()),
        };
        let (width, height) = match text.split_once(['x', 'X']) {
            None => (Some(side(text)?), None),
            Some(("", height)) => (None, Some(side(height)?)),
            Some((width, "")) => (Some(side(width)?), None),
            Some((width, height)) => (Some(side(width)?), Some(side(height)?)),
        };
        Ok(Self { width, height })
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.width, self.height) {
            (Some(width), Some(height)) => write!(f, "{width}x{height}"),
            (Some(width), None) => write!(f, "{width}"),
            (None, Some(height)) => write!(f, "x{height}"),
            (None, None) => write!(f, "any"),
        }
    }
}

/// Declares an enum whose values have one written name each.
macro_rules! named {
    ($(#[$doc:meta])* $kind:ident, $what:literal { $($(#[$value_doc:meta])* $value:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub enum $kind { $($(#[$value_doc])* $value),+ }

        impl $kind {
            /// The names in settings and queries, in the order of the values.
            pub const NAMES: &[&str] = &[$($name),+];
        }

        impl std::str::FromStr for $kind {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($name => Ok(Self::$value),)+
                    _ => Err(format!("{} \"{text}\" is not one of {}", $what, Self::NAMES.join(", "))),
                }
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$value => $name),+ })
            }
        }
    };
}

named! {
    /// How the image meets the box.
    Fit, "fit" {
        /// As large as fits inside the box, aspect ratio preserved.
        #[default]
        Inside = "inside",
        /// Fills the box, aspect ratio preserved, the overhang cropped by [`Gravity`].
        Cover = "cover",
        /// As `inside`, then padded to exactly the box with [`Background`].
        Contain = "contain",
        /// Exactly the box, aspect ratio not preserved.
        Fill = "fill",
    }
}

named! {
    /// Which part of the image `cover` retains, and where `contain` places it.
    Gravity, "gravity" {
        /// The middle.
        #[default]
        Centre = "center",
        /// The top edge.
        North = "north",
        /// The top right corner.
        NorthEast = "northeast",
        /// The right edge.
        East = "east",
        /// The bottom right corner.
        SouthEast = "southeast",
        /// The bottom edge.
        South = "south",
        /// The bottom left corner.
        SouthWest = "southwest",
        /// The left edge.
        West = "west",
        /// The top left corner.
        NorthWest = "northwest",
        /// Where the image draws attention: edges, skin and saturated colours. Of `contain` the middle.
        Smart = "smart",
    }
}

named! {
    /// What of the source's metadata is written into the thumbnail. Positions (GPS) never are.
    Metadata, "metadata" {
        /// Nothing.
        #[default]
        None = "none",
        /// Author, copyright and terms of use.
        Copyright = "copyright",
    }
}

named! {
    /// The resampling filter.
    Filter, "filter" {
        /// Lanczos with three lobes: sharp, with slight ringing.
        #[default]
        Lanczos3 = "lanczos3",
        /// Catmull-Rom: a little softer, less ringing.
        CatmullRom = "catmull-rom",
        /// Mitchell-Netravali: soft, hardly any ringing.
        Mitchell = "mitchell",
        /// The plain mean of the pixels covered.
        Box = "box",
    }
}

named! {
    /// The format to write.
    OutputFormat, "format" {
        /// JPEG for JPEG; PNG for PNG, GIF, BMP, TIFF and SVG; WebP for WebP, AVIF, HEIC and JPEG XL. [`Spec::avif`] and
        /// [`Spec::animate`] change that.
        #[default]
        Same = "same",
        /// JPEG; transparency is blended over [`Background`].
        Jpeg = "jpeg",
        /// PNG.
        Png = "png",
        /// WebP.
        WebP = "webp",
        /// AVIF.
        Avif = "avif",
        /// GIF, of at most 256 colours.
        Gif = "gif",
    }
}

named! {
    /// How much work the encoder may do: more gives smaller files of the same `quality`.
    Effort, "effort" {
        /// The least work: JPEG with the Huffman tables of T.81, annex K, some percent larger.
        Fast = "fast",
        /// JPEG with Huffman tables optimised for the image.
        #[default]
        Balanced = "balanced",
        /// The smallest file, for many times the work: progressive JPEG with coefficients optimised for rate
        /// and distortion.
        Best = "best",
    }
}

named! {
    /// How large JPEGs are reduced while they are decoded.
    Scaling, "scaling" {
        /// As sharp as a full decode.
        #[default]
        Sharp = "sharp",
        /// Less time, a little less sharp: for sizes that are seen briefly.
        Fast = "fast",
    }
}

impl OutputFormat {
    /// The one that writes a format, if it can be written.
    #[must_use]
    pub const fn of(format: crate::Format) -> Option<Self> {
        use crate::Format;
        match format {
            Format::Jpeg => Some(Self::Jpeg),
            Format::Png => Some(Self::Png),
            Format::WebP => Some(Self::WebP),
            Format::Avif => Some(Self::Avif),
            Format::Gif => Some(Self::Gif),
            _ => None,
        }
    }

    /// Whether this build writes it.
    #[must_use]
    pub const fn is_written(self) -> bool {
        match self {
            Self::Avif => cfg!(feature = "avif-out"),
            Self::Gif => cfg!(feature = "gif"),
            Self::WebP => cfg!(feature = "webp"),
            Self::Same | Self::Jpeg | Self::Png => true,
        }
    }
}

/// The point of an image that a crop must show: shares of the upright image's width and height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Focal {
    /// Ten-thousandths from the left.
    x: u16,
    /// Ten-thousandths from the top.
    y: u16,
}

impl Focal {
    /// What [`Self::x`] and [`Self::y`] are counted in.
    const WHOLE: f64 = 10_000.0;

    /// The share of the width that is to its left.
    #[must_use]
    pub fn x(self) -> f64 {
        f64::from(self.x) / Self::WHOLE
    }

    /// The share of the height that is above it.
    #[must_use]
    pub fn y(self) -> f64 {
        f64::from(self.y) / Self::WHOLE
    }
}

impl std::str::FromStr for Focal {
    type Err = String;

    /// `"0.4,0.3"`: from the left and from the top, each from 0 to 1.
    fn from_str(text: &str) -> Result<Self, String> {
        let share = |text: &str| {
            let share: f64 = text.trim().parse().ok()?;
            (0.0..=1.0).contains(&share).then(|| (share * Self::WHOLE).round() as u16)
        };
        let parts = text.split_once(',').and_then(|(x, y)| Some((share(x)?, share(y)?)));
        let (x, y) = parts.ok_or_else(|| {
            format!("focal point \"{text}\" is not two shares from 0 to 1, such as \"0.4,0.3\": from the left and from the top")
        })?;
        Ok(Self { x, y })
    }
}

impl std::fmt::Display for Focal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{}", self.x(), self.y())
    }
}

/// The colour under transparency and around `contain`: sRGB with straight alpha. Where the output
/// cannot hold transparency, it is blended over white.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Background(pub [u8; 4]);

impl Default for Background {
    fn default() -> Self {
        Self([255, 255, 255, 255])
    }
}

impl std::str::FromStr for Background {
    type Err = String;

    /// `"ffffff"`, `"#ffffff"`, `"ffffff80"` (with alpha) or `"transparent"`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "background \"{text}\" is not a colour: write \"ffffff\", \"ffffff80\" or \"transparent\""
            )
        };
        if text == "transparent" {
            return Ok(Self([0, 0, 0, 0]));
        }
        let digits = text.strip_prefix('#').unwrap_or(text);
        if !matches!(digits.len(), 6 | 8) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut colour = [255; 4];
        for (channel, pair) in colour.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *channel = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(colour))
    }
}

impl std::fmt::Display for Background {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [r, g, b, a] = self.0;
        write!(f, "{r:02x}{g:02x}{b:02x}{a:02x}")
    }
}

/// One rendition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The box, which applies to the upright image.
    pub size: Size,
    /// How the image meets the box.
    pub fit: Fit,
    /// Whether a smaller image is enlarged to the box.
    pub enlarge: bool,
    /// The format to write.
    pub format: OutputFormat,
    /// JPEG and WebP quality, 1 to 100.
    pub quality: u8,
    /// How much work the encoder may do.
    pub effort: Effort,
    /// Which part `cover` retains.
    pub gravity: Gravity,
    /// The colour under transparency and around `contain`.
    pub background: Background,
    /// The resampling filter.
    pub filter: Filter,
    /// How large JPEGs are reduced while they are decoded.
    pub scaling: Scaling,
    /// How much edges are sharpened after the reduction, 0 (not at all) to 100.
    pub sharpen: u8,
    /// What of the source's metadata is written into the thumbnail.
    pub metadata: Metadata,
    /// An image blended over the thumbnail.
    pub watermark: Option<Watermark>,
    /// Whether an animated source gives an animated thumbnail, in WebP or GIF.
    pub animate: bool,
    /// Whether AVIF is written where [`OutputFormat::Same`] would write WebP.
    pub avif: bool,
    /// The point that `cover` shows, instead of what `gravity` says: of one image, not of a recipe.
    pub focal: Option<Focal>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            size: Size { width: Some(128), height: Some(128) },
            fit: Fit::Inside,
            enlarge: false,
            format: OutputFormat::Same,
            quality: 80,
            effort: Effort::Balanced,
            gravity: Gravity::Centre,
            background: Background::default(),
            filter: Filter::Lanczos3,
            scaling: Scaling::Sharp,
            sharpen: 0,
            metadata: Metadata::None,
            watermark: None,
            animate: false,
            avif: false,
            focal: None,
        }
    }
}

impl Spec {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// [`Error::Unsupported`], naming the field.
    pub fn validate(&self) -> Result<(), Error> {
        if self.size.width.is_none() && self.size.height.is_none() {
            return Err(Error::Unsupported("size has neither width nor height: set at least one".into()));
        }
        if !(1..=100).contains(&self.quality) {
            return Err(Error::Unsupported(format!("quality {} is not between 1 and 100", self.quality)));
        }
        if self.sharpen > 100 {
            return Err(Error::Unsupported(format!("sharpen {} is not between 0 and 100", self.sharpen)));
        }
        if self.animate && matches!(self.format, OutputFormat::Jpeg | OutputFormat::Png | OutputFormat::Avif)
        {
            return Err(Error::Unsupported(format!(
                "animations are written as webp and gif, not as {}: set another format, or animate = false",
                self.format
            )));
        }
        if self.avif && !matches!(self.format, OutputFormat::Same | OutputFormat::Avif) {
            return Err(Error::Unsupported(format!(
                "avif = true changes what same returns, and the format is {}: set format = \"same\" or avif = false",
                self.format
            )));
        }
        if let Some(watermark) = &self.watermark {
            watermark.validate()?;
        }
        let format = if self.avif { OutputFormat::Avif } else { self.format };
        for format in [format, self.format] {
            if !format.is_written() {
                return Err(Error::Unsupported(format!(
                    "this build does not write {format}: set another format"
                )));
            }
        }
        Ok(())
    }

    /// The format written for a source of format `source`.
    #[must_use]
    pub const fn resolve(&self, source: crate::Format) -> crate::Format {
        use crate::Format;
        match (self.format, source) {
            (OutputFormat::Jpeg, _) | (OutputFormat::Same, Format::Jpeg) => Format::Jpeg,
            (OutputFormat::Png, _) => Format::Png,
            (OutputFormat::WebP, _) => Format::WebP,
            (OutputFormat::Avif, _) => Format::Avif,
            (OutputFormat::Gif, _) => Format::Gif,
            // By the format alone: a thumbnail's name must follow before the frames are read.
            (OutputFormat::Same, Format::Gif) if self.animate => Format::Gif,
            (OutputFormat::Same, Format::WebP) if self.animate => Format::WebP,
            (OutputFormat::Same, Format::WebP | Format::Avif | Format::Heic | Format::Jxl) => {
                if self.avif {
                    Format::Avif
                } else {
                    Format::WebP
                }
            }
            (OutputFormat::Same, Format::Png | Format::Gif | Format::Bmp | Format::Tiff | Format::Svg) => {
                Format::Png
            }
        }
    }
}

/// A rendered thumbnail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// The encoded file.
    pub bytes: Vec<u8>,
    /// The format of the file.
    pub format: crate::Format,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The placeholder until it is loaded.
    pub placeholder: crate::Placeholder,
    /// What could not be done as asked: an animation of which the first frame alone was rendered.
    pub note: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    #[test]
    fn focal_points() {
        let focal: Focal = "0.4, 0.3".parse().unwrap();
        assert_eq!((focal.x(), focal.y(), focal.to_string()), (0.4, 0.3, "0.4,0.3".to_owned()));
        assert_eq!("1,0".parse::<Focal>().unwrap().to_string(), "1,0");
        for wrong in ["", "0.4", "0.4,", "1.1,0", "-0.1,0", "NaN,0", "0.4,0.3,0.1", "left,top"] {
            assert!(wrong.parse::<Focal>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn same_depends_on_the_source_and_the_options() {
        let spec = Spec::default();
        let of = |spec: &Spec| Format::ALL.map(|format| spec.resolve(format).name());
        // jpeg png webp gif bmp tiff avif heic jxl svg
        assert_eq!(of(&spec), ["jpeg", "png", "webp", "png", "png", "png", "webp", "webp", "webp", "png"]);
        assert_eq!(
            of(&Spec { avif: true, ..spec.clone() }),
            ["jpeg", "png", "avif", "png", "png", "png", "avif", "avif", "avif", "png"]
        );
        assert_eq!(
            of(&Spec { animate: true, avif: true, ..spec.clone() }),
            ["jpeg", "png", "webp", "gif", "png", "png", "avif", "avif", "avif", "png"]
        );
        assert_eq!(of(&Spec { format: OutputFormat::Gif, ..spec }), ["gif"; 10]);
    }

    #[test]
    fn contradictions_are_refused() {
        let error = |spec: Spec| spec.validate().map_err(|error| error.to_string()).err().unwrap_or_default();
        assert!(error(Spec { sharpen: 101, ..Spec::default() }).contains("sharpen"));
        for format in [OutputFormat::Jpeg, OutputFormat::Png, OutputFormat::Avif] {
            assert!(error(Spec { animate: true, format, ..Spec::default() }).contains("animate = false"));
        }
        assert_eq!(error(Spec { animate: true, ..Spec::default() }), "");
        for format in [OutputFormat::Jpeg, OutputFormat::Png, OutputFormat::WebP, OutputFormat::Gif] {
            assert!(error(Spec { avif: true, format, ..Spec::default() }).contains("avif = false"));
        }
        let avif = error(Spec { avif: true, ..Spec::default() });
        assert_eq!(avif.is_empty(), cfg!(feature = "avif-out"), "{avif}");
    }
}
