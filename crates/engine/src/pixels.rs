//! The currency of the stages: rows of samples on the way in, a small picture on the way out.

use crate::error::Error;

/// The channels of a pixel, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    Gray,
    GrayAlpha,
    Rgb,
    Rgba,
}

impl Model {
    pub(crate) const fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }

    pub(crate) const fn has_alpha(self) -> bool {
        matches!(self, Self::GrayAlpha | Self::Rgba)
    }

    pub(crate) const fn is_gray(self) -> bool {
        matches!(self, Self::Gray | Self::GrayAlpha)
    }
}

/// One row of interleaved samples with straight alpha, in the transfer curve of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Row<'a> {
    U8(&'a [u8]),
    U16(&'a [u16]),
}

/// Where decoders put their rows: `begin` once, then every row of the canvas from the top.
pub(crate) trait Rows {
    fn begin(&mut self, model: Model) -> Result<(), Error>;
    fn row(&mut self, row: Row<'_>) -> Result<(), Error>;
}

/// A picture of thumbnail size: 16-bit samples, straight alpha, gamma-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Small {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) model: Model,
    pub(crate) samples: Vec<u16>,
}

/// A picture ready to be encoded: 8-bit sRGB, straight alpha.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) model: Model,
    pub(crate) samples: Vec<u8>,
}
