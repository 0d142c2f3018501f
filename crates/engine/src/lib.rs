//! The imaging engine: image bytes in, thumbnail bytes out.
//!
//! It does no I/O, has no clock, reads no environment and writes no log, so it cannot fail for reasons
//! outside its bytes; the only way to interrupt it is the `stop` callback. The stages, in order, are
//! the modules below: `sniff` → [`header`] → [`limits`] → `plan` → `decode` → `light` and `resample`,
//! row by row → `orient` → `colour` → `canvas` → `encode`; [`render`] calls them in a straight line.

mod bytes;
mod canvas;
mod colour;
mod decode;
mod encode;
pub mod error;
mod estimate;
mod exif;
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
mod simd;
mod sniff;
pub mod spec;
mod stage;
mod stop;

pub use error::Error;
pub use header::{Format, Header, Orientation};
pub use limits::Limits;
pub use placeholder::Placeholder;
pub use simd::SimdLevel;
pub use spec::{Background, Effort, Filter, Fit, Gravity, OutputFormat, Size, Spec, Thumbnail};
pub use stage::Stage;

/// Version of the rendering: raised by hand whenever the pixels of a thumbnail change for the same bytes and
/// the same [`Spec`], so that stored thumbnails of an older version are recognised as stale.
pub const RECIPE: u32 = 4;

/// Buffers that one worker reuses between renders, so that a stream of images allocates little. Not shared
/// between threads; its contents do not influence results.
#[derive(Default)]
pub struct Scratch {
    level: SimdLevel,
    transforms: colour::TransformCache,
    tables: decode::TableCache,
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
    }
}

/// Reads a file's signature and header, without decoding pixels.
///
/// # Errors
/// [`Error::Unsupported`] for bytes of no supported image format, [`Error::Malformed`] for a corrupt
/// header.
pub fn probe(bytes: &[u8]) -> Result<Header, Error> {
    let format = sniff::sniff(bytes)?;
    Ok(header::read(bytes, format)?.header)
}

/// Upper bound on the bytes that [`render`] holds at once for this header and these specs, without the source
/// file: what a host reserves before it starts.
#[must_use]
pub fn estimate(header: &Header, specs: &[Spec]) -> u64 {
    estimate::estimate(header, specs)
}

/// Decodes the image once and renders one thumbnail per spec, in their order.
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
    render_marked(bytes, specs, limits, stop, &|_| {}, scratch)
}

/// As [`render`], and calls `mark` whenever a stage begins, for callers that measure durations.
///
/// # Errors
/// As for [`render`].
pub fn render_marked(
    bytes: &[u8],
    specs: &[Spec],
    limits: &Limits,
    stop: &dyn Fn() -> bool,
    mark: &dyn Fn(Stage),
    scratch: &mut Scratch,
) -> Result<Vec<Thumbnail>, Error> {
    mark(Stage::Decode);
    let stop = stop::Stop(stop);
    specs.iter().try_for_each(Spec::validate)?;
    limits.check_source(bytes)?;
    let format = sniff::sniff(bytes)?;
    let details = header::read(bytes, format)?;
    let header = &details.header;
    limits.check_header(&details, estimate(header, specs))?;
    let plans: Vec<_> = specs.iter().map(|spec| plan::plan(header, spec)).collect();
    stop.check("reading the header")?;

    let rows = resample::MultiResampler::new(header, &plans, scratch.level, stop);
    let mut resamplers = stage::StageMarker { rows, mark };
    let context = decode::Context { limits, scale: plan::scale(header, &plans), level: scratch.level, stop };
    let decoded = decode::decode(bytes, header, &context, &mut resamplers, scratch);
    scratch.trim();
    let profile = decoded?.profile;
    mark(Stage::Encode);

    let mut thumbnails = Vec::with_capacity(specs.len());
    for ((image, plan), spec) in resamplers.rows.finish()?.into_iter().zip(&plans).zip(specs) {
        stop.check("finishing thumbnails")?;
        let format = spec.format.resolve(format);
        let image = orient::upright(image, header.orientation);
        let image = colour::to_srgb(image, profile.as_deref(), &mut scratch.transforms, stop)?;
        let rendered = canvas::compose(&image, plan, spec.background, format);
        stop.check("encoding")?;
        let bytes = encode::encode(scratch.level, &rendered, format, spec.quality, spec.effort, stop)?;
        let placeholder = Placeholder::of(&rendered);
        let (width, height) = (rendered.width, rendered.height);
        thumbnails.push(Thumbnail { bytes, format, width, height, placeholder });
    }
    Ok(thumbnails)
}
