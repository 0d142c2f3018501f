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

/// Raised by hand whenever the pixels of a thumbnail change for the same bytes and the same [`Spec`],
/// so that stored thumbnails made by an older recipe are recognised as stale.
pub const RECIPE: u32 = 4;

/// Buffers kept between renders by one worker, so that a steady stream of pictures allocates little.
/// Never shared between threads; what it holds never influences a result.
#[derive(Default)]
pub struct Scratch {
    level: SimdLevel,
    transforms: colour::Transforms,
    lookups: decode::Lookups,
    /// The decoded frame of formats that do not stream.
    frame: Vec<u8>,
}

impl Scratch {
    /// A larger frame is given back after the render rather than kept.
    const KEPT: usize = 16 << 20;

    /// Buffers for renders at a SIMD level that may be lower than the machine's.
    #[must_use]
    pub fn at(level: SimdLevel) -> Self {
        Self { level, ..Self::default() }
    }

    /// A zeroed frame of `length` bytes.
    pub(crate) fn frame(&mut self, length: usize) -> &mut [u8] {
        if self.frame.capacity() < length {
            // Fresh zeroed memory comes from the system for nothing; growing would copy.
            self.frame = vec![0; length];
        } else {
            self.frame.clear();
            self.frame.resize(length, 0);
        }
        &mut self.frame
    }

    fn trim(&mut self) {
        if self.frame.capacity() > Self::KEPT {
            self.frame = Vec::new();
        }
    }
}

/// Reads what a file is from its first bytes and header, without decoding pixels.
///
/// # Errors
/// [`Error::Unsupported`] for bytes that are no picture format read here, [`Error::Malformed`] for a
/// damaged header.
pub fn probe(bytes: &[u8]) -> Result<Header, Error> {
    let format = sniff::sniff(bytes)?;
    Ok(header::read(bytes, format)?.header)
}

/// The most bytes [`render`] will hold at once for a picture with this header and these specs, the
/// source's own bytes not counted: what a host reserves before it starts.
#[must_use]
pub fn estimate(header: &Header, specs: &[Spec]) -> u64 {
    estimate::estimate(header, specs)
}

/// Decodes the picture once and makes one thumbnail for each spec, in their order.
///
/// `stop` is asked between stages and rows; once it answers `true` the render ends with
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

/// As [`render`], and calls `mark` whenever a stage begins, for a caller that takes the time.
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

    let rows = resample::Fan::new(header, &plans, scratch.level, stop);
    let mut resamplers = stage::Marked { rows, mark };
    let context = decode::Context { limits, scale: plan::scale(header, &plans), level: scratch.level, stop };
    let decoded = decode::decode(bytes, header, &context, &mut resamplers, scratch);
    scratch.trim();
    let profile = decoded?.profile;
    mark(Stage::Encode);

    let mut thumbnails = Vec::with_capacity(specs.len());
    for ((small, plan), spec) in resamplers.rows.finish()?.into_iter().zip(&plans).zip(specs) {
        stop.check("finishing thumbnails")?;
        let format = spec.format.resolve(format);
        let small = orient::upright(small, header.orientation);
        let small = colour::to_srgb(small, profile.as_deref(), &mut scratch.transforms, stop)?;
        let finished = canvas::finish(&small, plan, spec.background, format);
        stop.check("encoding")?;
        let bytes = encode::encode(scratch.level, &finished, format, spec.quality, spec.effort, stop)?;
        let placeholder = placeholder::of(&finished);
        let (width, height) = (finished.width, finished.height);
        thumbnails.push(Thumbnail { bytes, format, width, height, placeholder });
    }
    Ok(thumbnails)
}
