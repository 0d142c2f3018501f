//! Decoders of other projects that cannot be stopped: what they are asked for, and what they return.
//!
//! The engine reads the files itself, as far as the header, the container and the colours go, and passes the coded image on as
//! a [`Job`] through the port [`ForeignDecoder`]. A host runs [`decode`] in a process that it can kill; without a host,
//! [`InProcess`] runs it here.

use crate::Format;
#[cfg(feature = "svg")]
pub use crate::codec::svg::Fonts;
use crate::error::Error;

/// The library that a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// AV1, of one frame.
    Av1,
    /// HEVC, of one frame.
    Hevc,
    /// JPEG XL.
    JpegXl,
    /// SVG.
    Svg,
}

/// One coded image.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// Which library decodes it.
    pub library: Library,
    /// Width that is expected, in pixels; of a drawing, the width to render.
    pub width: u32,
    /// Height that is expected, in pixels; of a drawing, the height to render.
    pub height: u32,
    /// What precedes the data: the configuration record of HEVC (`hvcC`).
    pub configuration: &'a [u8],
    /// The coded image.
    pub data: &'a [u8],
    /// The work of decoding it, as in [`crate::Header::work`]: how long it may take follows from it.
    pub work: u64,
    /// How many jobs the image takes, at least 1: they share the time that any image may take besides its work.
    pub share: u32,
}

/// How samples are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Samples {
    /// One plane.
    Gray,
    /// Three planes, the last two of half the width and height.
    Planes420,
    /// Three planes, the last two of half the width.
    Planes422,
    /// Three planes.
    Planes444,
    /// So many channels, interleaved.
    Interleaved(u8),
}

/// What a decoded image is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The arrangement of samples.
    pub samples: Samples,
    /// Bits a sample, 8 to 16. Up to 8 take a byte, more take two in little-endian order.
    pub bits: u8,
    /// Primaries, transfer and matrix (ITU-T H.273), and whether the range is full (1) or limited (0), as the coded image
    /// declares them.
    pub code_points: Option<[u8; 4]>,
    /// The ICC profile of the samples; empty if there is none.
    pub profile: Vec<u8>,
}

impl Layout {
    /// The longest side.
    pub const MAX_SIDE: u32 = 1 << 20;

    /// Whether its numbers can be right: for those who read it from another process.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let side = |side| (1..=Self::MAX_SIDE).contains(&side);
        let channels =
            !matches!(self.samples, Samples::Interleaved(channels) if !(1..=4).contains(&channels));
        side(self.width) && side(self.height) && (8..=16).contains(&self.bits) && channels
    }

    /// Rows of the image in a stripe: as many as share a row of chroma. Of an odd height, the last row is repeated.
    #[must_use]
    pub const fn stripe_rows(&self) -> u32 {
        if matches!(self.samples, Samples::Planes420) { 2 } else { 1 }
    }

    /// Stripes of the image.
    #[must_use]
    pub const fn stripes(&self) -> u32 {
        self.height.div_ceil(self.stripe_rows())
    }

    /// Bytes of a sample.
    #[must_use]
    pub const fn sample_bytes(&self) -> usize {
        if self.bits > 8 { 2 } else { 1 }
    }

    /// The rows of samples that make up a stripe, in order: for each, its samples.
    #[must_use]
    pub fn stripe(&self) -> Vec<usize> {
        let width = self.width as usize;
        match self.samples {
            Samples::Gray => vec![width],
            Samples::Planes420 => vec![width, width, width.div_ceil(2), width.div_ceil(2)],
            Samples::Planes422 => vec![width, width.div_ceil(2), width.div_ceil(2)],
            Samples::Planes444 => vec![width; 3],
            Samples::Interleaved(channels) => vec![width * usize::from(channels)],
        }
    }

    /// Bytes of a stripe.
    #[must_use]
    pub fn stripe_bytes(&self) -> usize {
        self.stripe().iter().sum::<usize>() * self.sample_bytes()
    }
}

/// Receives a decoded image: `begin` once, then each stripe from the top.
pub trait Output {
    /// The layout of what follows.
    ///
    /// # Errors
    /// The image is not what the file declared.
    fn begin(&mut self, layout: &Layout) -> Result<(), Error>;

    /// The next stripe, of [`Layout::stripe_bytes`].
    ///
    /// # Errors
    /// The receiver was stopped.
    fn stripe(&mut self, stripe: &[u8]) -> Result<(), Error>;
}

/// The port: decodes a job wherever the host does that.
pub trait ForeignDecoder: std::fmt::Debug + Send + Sync {
    /// Decodes `job` into `output`; polls `stop` and then ends with [`Error::Stopped`].
    ///
    /// # Errors
    /// Grouped by who must act; see [`Error`].
    fn decode(&self, job: &Job<'_>, stop: &dyn Fn() -> bool, output: &mut dyn Output) -> Result<(), Error>;

    /// Bytes that decoding a file of `source_bytes` takes beyond [`crate::estimate`]: another process, and its copy of the file.
    fn overhead(&self, source_bytes: u64) -> u64 {
        let _ = source_bytes;
        0
    }
}

/// Whether files of a format are decoded by a [`ForeignDecoder`].
#[must_use]
pub fn decodes(format: Format) -> bool {
    crate::codec::is_foreign(format)
}

/// What the libraries use besides a job.
#[derive(Debug, Default, Clone)]
pub struct Resources {
    /// The fonts of drawings.
    #[cfg(feature = "svg")]
    pub fonts: Fonts,
}

/// Runs the libraries in this process and on this thread: for tests, fuzzing and programs that trust their files. `stop` is
/// polled only once a library has returned.
#[derive(Debug, Default, Clone)]
pub struct InProcess {
    /// What the libraries use.
    pub resources: Resources,
}

impl ForeignDecoder for InProcess {
    fn decode(&self, job: &Job<'_>, stop: &dyn Fn() -> bool, output: &mut dyn Output) -> Result<(), Error> {
        let stop = crate::stop::Stop(stop);
        stop.check("decoding")?;
        decode(job, &self.resources, output)?;
        stop.check("decoding")
    }
}

/// Appends the stripe of this number to a buffer.
#[cfg_attr(not(any(feature = "avif", feature = "heic", feature = "jxl", feature = "svg")), allow(dead_code))]
type AppendStripe = dyn Fn(u32, &mut Vec<u8>);

/// A decoded image: its layout, and a function that appends a stripe to a buffer.
#[cfg_attr(not(any(feature = "avif", feature = "heic", feature = "jxl", feature = "svg")), allow(dead_code))]
pub(crate) struct Picture {
    pub(crate) layout: Layout,
    pub(crate) stripe: Box<AppendStripe>,
}

/// Runs the library of a job on this thread, to its end.
///
/// # Errors
/// [`Error::Malformed`] if the library rejects the data, or panics on it; [`Error::Unsupported`] if the engine was built
/// without the library; those of `output`.
pub fn decode(job: &Job<'_>, resources: &Resources, output: &mut dyn Output) -> Result<(), Error> {
    let library = || -> Result<Picture, Error> {
        match job.library {
            #[cfg(feature = "avif")]
            Library::Av1 => crate::codec::avif::library::decode(job),
            #[cfg(feature = "heic")]
            Library::Hevc => crate::codec::heic::library::decode(job),
            #[cfg(feature = "jxl")]
            Library::JpegXl => crate::codec::jxl::library::decode(job),
            #[cfg(feature = "svg")]
            Library::Svg => crate::codec::svg::library::render(job, &resources.fonts),
            #[allow(unreachable_patterns, reason = "with every feature all are listed")]
            other => {
                let _ = resources;
                Err(Error::Unsupported(format!("{other:?}: the engine was built without its decoder")))
            }
        }
    };
    // These libraries panic on some corrupt files. What they leave behind is dropped.
    let picture = std::panic::catch_unwind(std::panic::AssertUnwindSafe(library))
        .unwrap_or_else(|_| Err(Error::Malformed("the image data is corrupt; send it again".into())))?;
    let layout = &picture.layout;
    output.begin(layout)?;
    let mut buffer = Vec::with_capacity(layout.stripe_bytes());
    for index in 0..layout.stripes() {
        buffer.clear();
        (picture.stripe)(index, &mut buffer);
        buffer.resize(layout.stripe_bytes(), 0);
        output.stripe(&buffer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stripe_holds_the_rows_that_share_chroma() {
        let layout = |samples, bits| Layout {
            width: 5,
            height: 3,
            samples,
            bits,
            code_points: None,
            profile: Vec::new(),
        };
        assert_eq!(layout(Samples::Planes420, 8).stripe(), [5, 5, 3, 3]);
        assert_eq!(layout(Samples::Planes420, 10).stripe_bytes(), 32);
        assert_eq!(layout(Samples::Planes420, 8).stripes(), 2);
        assert_eq!(layout(Samples::Planes422, 8).stripe(), [5, 3, 3]);
        assert_eq!(layout(Samples::Interleaved(4), 8).stripe_bytes(), 20);
        assert!(layout(Samples::Gray, 8).is_valid());
        assert!(!layout(Samples::Interleaved(5), 8).is_valid());
        assert!(!layout(Samples::Gray, 7).is_valid());
        assert!(!Layout { width: 0, ..layout(Samples::Gray, 8) }.is_valid());
    }
}
