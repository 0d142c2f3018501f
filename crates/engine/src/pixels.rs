//! Data passed between the stages: rows of samples from decoders, images of thumbnail size after resampling.

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

/// The samples that a decoder produces of an image: its pixels or, at a reduced scale, fewer (reduced samples).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Grid {
    pub(crate) model: Model,
    /// Samples that eight pixels became, across and down; the last may extend past the image's edge.
    pub(crate) scale: u32,
    pub(crate) order: Order,
}

impl Grid {
    /// Full scale, from the top.
    pub(crate) const fn full_scale(model: Model) -> Self {
        Self { model, scale: 8, order: Order::TopDown }
    }
}

/// The order in which the rows of an image are passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// From the top, each row whole: by [`RowSink::row`].
    TopDown,
    /// In the seven passes of an interlaced PNG: by [`RowSink::pass_row`].
    Passes,
}

/// Position of a row of a pass: its samples are at columns `from`, `from + step`, … of the image's row `y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PassRow {
    pub(crate) y: u32,
    pub(crate) from: u32,
    pub(crate) step: u32,
}

/// One row of samples.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Row<'a> {
    /// Interleaved samples with straight alpha, in the transfer curve of the file.
    U8(&'a [u8]),
    /// The same with 16 bits.
    U16(&'a [u16]),
    /// The components of a JPEG.
    Components(Components<'a>),
}

/// Planes of JPEG components at one resolution, in sixteenths of a code value: 0 to 4080, and somewhat beyond in
/// the first at a reduced scale.
///
/// Each is padded to whole vectors ([`crate::simd::padded`]).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Components<'a> {
    /// One plane, or three of them.
    pub(crate) planes: [&'a [i16]; 3],
    /// Whether they are Y, Cb and Cr (ITU-T T.871) rather than R, G and B.
    pub(crate) ycc: bool,
    /// Whether colours are rounded to whole code values, as by decoders of whole images: at full scale.
    /// Reduced samples are not.
    pub(crate) whole_codes: bool,
    /// The variance within each reduced sample, of the first component, in 2⁻¹⁵ of the full range's square;
    /// empty at full scale.
    pub(crate) variance: &'a [i16],
}

/// Receives the rows of a decoder: `begin` once, then every row of the grid in its order.
pub(crate) trait RowSink {
    fn begin(&mut self, grid: Grid) -> Result<(), Error>;
    fn row(&mut self, row: Row<'_>) -> Result<(), Error>;
    /// Called before and after several rows that are passed in one go, so that what is measured is measured once.
    fn batch(&mut self, _begins: bool) {}
    /// Takes a row of a pass. Passes are in order, without empty ones; together they hold each pixel once.
    fn pass_row(&mut self, place: PassRow, row: Row<'_>) -> Result<(), Error>;
}

/// An image of thumbnail size: 16-bit samples, straight alpha, gamma-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image16 {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) model: Model,
    pub(crate) samples: Vec<u16>,
}

/// An image ready to be encoded: 8-bit sRGB, straight alpha.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image8 {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) model: Model,
    pub(crate) samples: Vec<u8>,
}
