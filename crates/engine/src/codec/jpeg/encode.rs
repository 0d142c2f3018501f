//! JPEG encoder (ITU-T T.81).
//!
//! The stages, in order: `mcu_row` converts pixels to samples, `dct` samples to coefficients, `quantisation`
//! coefficients to levels, `tokens` levels to symbols; `huffman` computes codes for these and `bit_writer` writes
//! them. `baseline` runs them MCU row by MCU row.
//!
//! `progressive` collects the coefficients of the image in a `block_grid`, chooses levels with a `trellis` and the
//! scans with a `scan_script`, and writes them (`scan`).
//!
//! Arithmetic is in integers throughout, so that every machine gives the same bytes. It is vectorised by the
//! compiler, for the instructions that `fearless_simd` selects.

mod baseline;
mod bit_writer;
mod block_grid;
mod dct;
mod huffman;
mod layout;
mod markers;
mod mcu_row;
mod progressive;
mod quantisation;
mod scan;
mod scan_script;
mod tables;
#[cfg(test)]
mod tests;
mod tokens;
mod trellis;

use fearless_simd::dispatch;

use self::layout::{Layout, Sampling};
use crate::error::Error;
use crate::pixels::{Image8, Model};
use crate::simd::SimdLevel;
use crate::spec::Effort;
use crate::stop::Stop;

/// The stage in the error of a render that is stopped here.
const STAGE: &str = "encoding";

/// From this quality on chroma has full resolution.
const FULL_CHROMA: u8 = 90;

/// The codes of tables K.3 to K.6 of T.81, DC and AC of luma, then of chroma: the number of codes of
/// each length, and the symbols.
pub(crate) fn standard_codes() -> [([u8; 16], Vec<u8>); 4] {
    tables::standard().map(|table| (table.counts, table.symbols))
}

/// Encodes as JPEG. The bytes do not depend on the SIMD level.
pub(super) fn encode(
    level: SimdLevel,
    image: &Image8,
    quality: u8,
    effort: Effort,
    stop: Stop<'_>,
) -> Result<Vec<u8>, Error> {
    let sampling = match image.model {
        Model::Gray => Sampling::Gray,
        Model::Rgb if quality < FULL_CHROMA => Sampling::Halved,
        Model::Rgb => Sampling::Full,
        Model::GrayAlpha | Model::Rgba => {
            return Err(Error::Internal("JPEG cannot hold the alpha channel it was given".into()));
        }
    };
    if u16::try_from(image.width).is_err() || u16::try_from(image.height).is_err() {
        return Err(Error::TooLarge(format!(
            "a JPEG of {}x{}; its sides are at most 65535 pixels: set a smaller size",
            image.width, image.height
        )));
    }
    if image.width == 0 || image.height == 0 {
        return Err(Error::Internal("JPEG cannot hold an image without pixels".into()));
    }
    let layout = Layout { width: image.width as usize, height: image.height as usize, sampling };
    let steps = tables::steps(quality);
    dispatch!(level.dispatch_level(), simd => match effort {
        Effort::Fast => baseline::encode(simd, image, layout, &steps, false, stop),
        Effort::Balanced => baseline::encode(simd, image, layout, &steps, true, stop),
        Effort::Best => progressive::encode(simd, image, layout, quality, stop),
    })
}
