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

/// The cells that a decoder makes of a picture: its pixels, or, at a reduced scale, the means of several.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Grid {
    pub(crate) model: Model,
    /// Pixels of the picture that a cell covers, across and down; the last ones may reach past its edge.
    pub(crate) cell: (u32, u32),
    pub(crate) order: Order,
}

impl Grid {
    /// Pixels as they are, from the top.
    pub(crate) const fn whole(model: Model) -> Self {
        Self { model, cell: (1, 1), order: Order::TopDown }
    }
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

/// One row of cells.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Row<'a> {
    /// Interleaved samples with straight alpha, in the transfer curve of the file.
    U8(&'a [u8]),
    /// The same with 16 bits.
    U16(&'a [u16]),
    /// The components of a JPEG.
    Components(Components<'a>),
}

/// Planes of JPEG components at one resolution, in sixteenths of a code value: 0 to 4080.
///
/// Each is padded to whole vectors ([`crate::simd::padded`]).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Components<'a> {
    /// One plane, or three of them.
    pub(crate) planes: [&'a [i16]; 3],
    /// Whether they are Y, Cb and Cr (ITU-T T.871) rather than R, G and B.
    pub(crate) ycc: bool,
    /// Whether colours are rounded to whole codes: those of pixels, which decoders of whole pictures give in
    /// 8 bits. Means of several pixels are not.
    pub(crate) whole: bool,
    /// The variance within each cell, of the first component, in 2⁻¹⁵ of the full range's square; empty
    /// at full scale.
    pub(crate) variance: &'a [i16],
}

/// Where decoders put their rows: `begin` once, then every row of the grid in the order said there.
pub(crate) trait Rows {
    fn begin(&mut self, grid: Grid) -> Result<(), Error>;
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
