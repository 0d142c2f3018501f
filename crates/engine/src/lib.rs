#![doc = include_str!("../README.md")]
//!
//! # Inside
//!
//! It does no I/O, has no clock, reads no environment and writes no log, so it cannot fail for reasons
//! outside its bytes; the only way to interrupt it is the `stop` callback. The stages, in order, are
//! the modules below: `sniff` → [`header`] → [`limits`] → `plan` → `codec` (decoding) → `light` and `resample`,
//! row by row → `finish` (`orient`, `colour`, `attention`, `sharpen`, `canvas`, `watermark`) → `codec` (encoding);
//! [`render`] calls them in a straight line. Of an animation `animation` does so for each frame.

mod animation;
mod attention;
mod bytes;
mod canvas;
mod codec;
mod colour;
pub mod error;
mod estimate;
mod exif;
mod finish;
pub mod foreign;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod header;
mod ifd;
mod light;
pub mod limits;
mod orient;
mod pixels;
mod placeholder;
mod plan;
mod resample;
mod rights;
mod sharpen;
mod simd;
mod sniff;
pub mod spec;
mod stage;
mod stop;
mod thumbnailer;
mod watermark;

pub use error::Error;
pub use foreign::ForeignDecoder;
pub use header::{Colour, Coverage, Format, Header, Orientation};
pub use limits::Limits;
pub use placeholder::Placeholder;
pub use simd::SimdLevel;
pub use spec::{
    Background, Effort, Filter, Fit, Focal, Gravity, Metadata, OutputFormat, Scaling, Size, Spec, Thumbnail,
};
pub use stage::Stage;
pub use thumbnailer::{Pixels, Thumbnailer};
pub use watermark::Watermark;

use pixels::Image8;
use rights::Rights;

/// Version of the rendering: raised by hand whenever the pixels of a thumbnail change for the same bytes and
/// the same [`Spec`], so that stored thumbnails of an older version are recognised as stale.
pub const RECIPE: u32 = 5;

/// Buffers that one worker reuses between renders, so that a stream of images allocates little. Not shared
/// between threads; its contents do not influence results.
#[derive(Default)]
pub struct Scratch {
    level: SimdLevel,
    transforms: colour::TransformCache,
    tables: codec::jpeg::TableCache,
    resampling: resample::Buffers,
    /// The decoded frame of formats that do not stream.
    frame: Vec<u8>,
}

impl Scratch {
    /// A larger frame is freed after the render.
    const MAX_RETAINED_FRAME: usize = 16 << 20;

    /// Buffers for renders at a SIMD level that may be lower than the machine's.
    #[must_use]
    pub fn at(level: SimdLevel) -> Self {
        Self { level, ..Self::default() }
    }

    /// A zeroed frame of `length` bytes.
    pub(crate) fn frame(&mut self, length: usize) -> &mut [u8] {
        if self.frame.capacity() < length {
            // New memory of the system is already zero; growing would copy.
            self.frame = vec![0; length];
        } else {
            self.frame.clear();
            self.frame.resize(length, 0);
        }
        &mut self.frame
    }

    fn trim(&mut self) {
        if self.frame.capacity() > Self::MAX_RETAINED_FRAME {
            self.frame = Vec::new();
        }
        self.transforms.trim();
    }
}

/// The formats that this build reads, and what of each is read, written and refused.
pub fn formats() -> impl Iterator<Item = (Format, Coverage)> {
    codec::formats()
}

/// Reads a file's signature and header, without decoding pixels.
///
/// # Errors
/// [`Error::Unsupported`] for bytes of no supported image format, [`Error::Malformed`] for a corrupt
/// header.
pub fn probe(bytes: &[u8]) -> Result<Header, Error> {
    Ok(sniff::sniff(bytes)?.open(bytes)?.details.header)
}

/// Upper bound on the bytes that [`render`] holds at once for this header and these specs, without the source
/// file: what a host reserves before it starts.
#[must_use]
pub fn estimate(header: &Header, specs: &[Spec]) -> u64 {
    estimate::estimate(header, specs)
}

/// What a program supplies to a render beyond the image.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// Polled between stages and rows; once it returns `true`, the render ends with [`Error::Stopped`].
    pub stop: &'a dyn Fn() -> bool,
    /// Called whenever a stage begins, for those who measure durations.
    pub mark: &'a dyn Fn(Stage),
    /// Where the decoders of other projects run.
    pub foreign: &'a dyn ForeignDecoder,
}

/// Decodes the image once and renders one thumbnail per spec, in their order. Decoders of other projects run on this
/// thread; [`render_on`] is for programs that have them run elsewhere.
///
/// `stop` is polled between stages and rows; once it returns `true`, the render ends with
/// [`Error::Stopped`].
///
/// # Errors
/// Grouped by who must act; see [`Error`].
pub fn render(
    bytes: &[u8],
    specs: &[Spec],
    limits: &Limits,
    stop: &dyn Fn() -> bool,
    scratch: &mut Scratch,
) -> Result<Vec<Thumbnail>, Error> {
    let foreign = foreign::InProcess::default();
    render_on(Host { stop, mark: &|_| {}, foreign: &foreign }, bytes, specs, limits, scratch)
}

/// As [`render`], with what `host` supplies.
///
/// # Errors
/// As for [`render`].
pub fn render_on(
    host: Host<'_>,
    bytes: &[u8],
    specs: &[Spec],
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<Vec<Thumbnail>, Error> {
    let is_wanted = specs.iter().any(|spec| spec.metadata == Metadata::Copyright);
    let rights = if is_wanted { Rights::of(bytes) } else { Rights::default() };
    let encoder = finish::Encoder { level: scratch.level, rights, stop: host.stop };
    if specs.iter().any(|spec| spec.animate) {
        return animation::render(host, bytes, specs, limits, scratch, &encoder);
    }
    composed(host, bytes, specs, limits, scratch, |image, format, spec| {
        encoder.thumbnail(&image, format, spec)
    })
}

/// Decodes the image once, and passes the finished image of each spec on with its output format.
fn composed<T>(
    Host { stop, mark, foreign }: Host<'_>,
    bytes: &[u8],
    specs: &[Spec],
    limits: &Limits,
    scratch: &mut Scratch,
    mut each: impl FnMut(Image8, Format, &Spec) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    mark(Stage::Decode);
    let stop = stop::Stop(stop);
    specs.iter().try_for_each(Spec::validate)?;
    limits.check_source(bytes)?;
    let mut file = sniff::sniff(bytes)?.open(bytes)?;
    let needed = estimate(&file.details.header, specs);
    let (header, plans) = plan::plans(&file.details.header, specs);
    file.details.header = header;
    limits.check_header(&file.details, needed)?;
    let header = &file.details.header;
    let of_avif = specs.iter().zip(&plans).filter(|(spec, _)| spec.resolve(header.format) == Format::Avif);
    limits.check_avif(of_avif.map(|(spec, plan)| (plan.canvas, spec.effort)))?;
    stop.check("reading the header")?;

    let mut buffers = std::mem::take(&mut scratch.resampling);
    let rows = resample::MultiResampler::new(header, &plans, scratch.level, stop, &mut buffers);
    let mut resamplers = stage::StageMarker { rows, mark, batch: false };
    let reduction = plan::reduction(header, &plans);
    let context = codec::Context { limits, reduction, level: scratch.level, stop, foreign };
    let decoded = file.decode(&context, &mut resamplers, scratch);
    scratch.trim();
    let profile = decoded?.profile;
    mark(Stage::Encode);

    let mut finished = Vec::with_capacity(specs.len());
    let images = resamplers.rows.finish()?;
    let mut finish = finish::Finish {
        orientation: header.orientation,
        profile: profile.as_deref(),
        level: scratch.level,
        stop,
        transforms: &mut scratch.transforms,
        buffers: &mut buffers,
    };
    for ((image, plan), spec) in images.into_iter().zip(&plans).zip(specs) {
        let format = spec.resolve(header.format);
        let image = finish.image(image, plan, spec, format, &mut finish::Shared::default())?;
        finished.push(each(image, format, spec)?);
    }
    scratch.resampling = buffers;
    scratch.transforms.trim();
    Ok(finished)
}
