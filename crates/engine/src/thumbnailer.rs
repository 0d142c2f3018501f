//! The engine as an object, for programs that are not hosts: limits, and buffers that are reused.

use crate::error::Error;
use crate::foreign::{ForeignDecoder, InProcess};
use crate::limits::Limits;
use crate::pixels::Image8;
use crate::simd::SimdLevel;
use crate::spec::{Spec, Thumbnail};
use crate::{Host, Scratch, composed, render_on};
use std::sync::Arc;

/// Renders thumbnails, with limits and with buffers that are reused from one image to the next.
///
/// ```
/// use tintype_engine::{Limits, Spec, Thumbnailer};
///
/// # let bytes = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
/// let limits = Limits { pixels: 50_000_000, ..Limits::default() };
/// let mut thumbnailer = Thumbnailer::new().limits(limits);
/// let thumbnails = thumbnailer.render(bytes, &[Spec::default(), Spec { quality: 60, ..Spec::default() }])?;
/// assert_eq!((thumbnails.len(), thumbnails[0].width), (2, 1));
/// # Ok::<(), tintype_engine::Error>(())
/// ```
pub struct Thumbnailer {
    limits: Limits,
    scratch: Scratch,
    foreign: Arc<dyn ForeignDecoder>,
}

impl Default for Thumbnailer {
    fn default() -> Self {
        let foreign = Arc::new(InProcess::default());
        Self { limits: Limits::default(), scratch: Scratch::default(), foreign }
    }
}

/// The pixels of a thumbnail before it is encoded: sRGB, 8 bits a sample, straight alpha, row by row from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Samples a pixel: 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA.
    pub channels: usize,
    /// `width` × `height` × `channels` samples.
    pub samples: Vec<u8>,
}

impl Thumbnailer {
    /// With the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With these limits.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// With instructions that may be fewer than the machine's.
    #[must_use]
    pub fn simd_level(self, level: SimdLevel) -> Self {
        Self { scratch: Scratch::at(level), ..self }
    }

    /// With decoders of other projects elsewhere than on the calling thread.
    #[must_use]
    pub fn foreign_decoder(self, foreign: Arc<dyn ForeignDecoder>) -> Self {
        Self { foreign, ..self }
    }

    /// Decodes the image once and renders one thumbnail per spec, in their order.
    ///
    /// # Errors
    /// Grouped by who must act; see [`Error`].
    pub fn render(&mut self, bytes: &[u8], specs: &[Spec]) -> Result<Vec<Thumbnail>, Error> {
        let host = Host { stop: &|| false, mark: &|_| {}, foreign: &*self.foreign };
        render_on(host, bytes, specs, &self.limits, &mut self.scratch)
    }

    /// The pixels of a thumbnail, not encoded. A box at least as large as the image decodes it whole.
    ///
    /// ```
    /// use tintype_engine::{Spec, Thumbnailer};
    ///
    /// # let bytes = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    /// let pixels = Thumbnailer::new().pixels(bytes, &Spec::default())?;
    /// assert_eq!(pixels.samples.len(), pixels.channels);
    /// # Ok::<(), tintype_engine::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Self::render`].
    pub fn pixels(&mut self, bytes: &[u8], spec: &Spec) -> Result<Pixels, Error> {
        let specs = std::slice::from_ref(spec);
        let pixels = |image: Image8, _, _: &Spec| {
            let Image8 { width, height, model, samples } = image;
            Ok(Pixels { width, height, channels: model.channels(), samples })
        };
        let host = Host { stop: &|| false, mark: &|_| {}, foreign: &*self.foreign };
        let mut all = composed(host, bytes, specs, &self.limits, &mut self.scratch, pixels)?;
        all.pop().ok_or_else(|| Error::Internal("no image for a spec".into()))
    }
}
