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

/// The order in which the rows of a picture come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// From the top, each row whole: by [`Rows::row`].
    TopDown,
    /// In the seven passes of an interlaced PNG: by [`Rows::pass_row`].
    Passes,
}

/// Where the samples of a row of a pass stand: at columns `from`, `from + step`, … of the picture's row `y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PassRow {
    pub(crate) y: u32,
    pub(crate) from: u32,
    pub(crate) step: u32,
}

/// Where decoders put their rows: `begin` once, then every row of the canvas in the order said there.
pub(crate) trait Rows {
    fn begin(&mut self, model: Model, order: Order) -> Result<(), Error>;
    fn row(&mut self, row: Row<'_>) -> Result<(), Error>;
    /// Takes a row of a pass. Passes come in their order, without those that hold no pixels, and each pixel
    /// of the picture is in one of them.
    fn pass_row(&mut self, place: PassRow, row: Row<'_>) -> Result<(), Error>;
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
