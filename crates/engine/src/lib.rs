//! The imaging engine: image bytes in, thumbnail bytes out.
//!
//! It does no I/O, has no clock, reads no environment and writes no log, so it cannot fail for reasons
//! outside its bytes; the only way to interrupt it is the `stop` callback. The stages, in order, are
//! the modules below: [`sniff`] → [`header`] → [`limits`] → [`plan`] → [`decode`] → [`orient`] →
//! [`colour`] → [`light`] → [`resample`] → [`encode`]; [`render`] calls them in a straight line.

pub mod error;
pub mod header;
pub mod limits;
pub mod spec;

pub use error::Error;
pub use header::{Format, Header, Orientation};
pub use limits::Limits;
pub use spec::{Background, Fit, Gravity, OutputFormat, Size, Spec, Thumbnail};

/// Raised by hand whenever the pixels of a thumbnail change for the same bytes and the same [`Spec`],
/// so that stored thumbnails made by an older recipe are recognised as stale.
pub const RECIPE: u32 = 1;

/// Buffers kept between renders by one worker, so that a steady stream of pictures allocates little.
/// Never shared between threads; what it holds never influences a result.
#[derive(Default)]
pub struct Scratch {}

/// Reads what a file is from its first bytes and header, without decoding pixels.
///
/// # Errors
/// [`Error::Unsupported`] for bytes that are no picture format read here, [`Error::Malformed`] for a
/// damaged header.
pub fn probe(_bytes: &[u8]) -> Result<Header, Error> {
    Err(Error::Unsupported("not built yet".into()))
}

/// The most bytes [`render`] will hold at once for a picture with this header and these specs, the
/// source's own bytes not counted: what a host reserves before it starts.
#[must_use]
pub fn estimate(_header: &Header, _specs: &[Spec]) -> u64 {
    0
}

/// Decodes the picture once and makes one thumbnail for each spec, in their order.
///
/// `stop` is asked between stages and rows; once it answers `true` the render ends with
/// [`Error::Stopped`].
///
/// # Errors
/// Grouped by who must act; see [`Error`].
pub fn render(
    _bytes: &[u8],
    _specs: &[Spec],
    _limits: &Limits,
    _stop: &dyn Fn() -> bool,
    _scratch: &mut Scratch,
) -> Result<Vec<Thumbnail>, Error> {
    Err(Error::Unsupported("not built yet".into()))
}
