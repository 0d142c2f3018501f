//! JPEG (ITU-T T.81), written by an encoder of our own.
//!
//! The stages, in order: `strip` turns pixels into samples, `dct` samples into coefficients, `quantise`
//! coefficients into levels, `tokens` levels into symbols, `huffman` makes codes for these and `bits` writes
//! them. `baseline` calls them row by row.
//!
//! `best` gathers the coefficients of the whole picture in a `grid`, chooses levels by a `trellis`, has
//! `script` decide which of the scans that `scan` can make there are, and writes these.
//!
//! Arithmetic is in integers throughout, so that every machine makes the same bytes. It is written for the
//! compiler to vectorise; `fearless_simd` has it do so for the instructions that the machine has.

mod baseline;
mod best;
mod bits;
mod dct;
mod grid;
mod huffman;
mod layout;
mod markers;
mod quantise;
mod scan;
mod script;
mod strip;
mod tables;
#[cfg(test)]
mod tests;
mod tokens;
mod trellis;

use fearless_simd::dispatch;

use self::layout::{Layout, Sampling};
use crate::error::Error;
use crate::pixels::{Finished, Model};
use crate::simd::SimdLevel;
use crate::spec::Effort;
use crate::stop::Stop;

/// What is told of a render that was stopped here.
const STAGE: &str = "encoding";

/// From this quality on colour keeps its full resolution.
const FULL_CHROMA: u8 = 90;

/// The bytes do not depend on the level of instructions; only the time does.
pub(super) fn encode(
    level: SimdLevel,
    picture: &Finished,
    quality: u8,
    effort: Effort,
    stop: Stop<'_>,
) -> Result<Vec<u8>, Error> {
    let sampling = match picture.model {
        Model::Gray => Sampling::Gray,
        Model::Rgb if quality < FULL_CHROMA => Sampling::Halved,
        Model::Rgb => Sampling::Full,
        Model::GrayAlpha | Model::Rgba => {
            return Err(Error::Internal("JPEG cannot hold the alpha channel it was given".into()));
        }
    };
    if u16::try_from(picture.width).is_err() || u16::try_from(picture.height).is_err() {
        return Err(Error::TooLarge(format!(
            "a JPEG of {}x{}; its sides are at most 65535 pixels: set a smaller size",
            picture.width, picture.height
        )));
    }
    if picture.width == 0 || picture.height == 0 {
        return Err(Error::Internal("JPEG cannot hold a picture without pixels".into()));
    }
    let layout = Layout { width: picture.width as usize, height: picture.height as usize, sampling };
    let steps = tables::steps(quality);
    dispatch!(level.library(), simd => match effort {
        Effort::Fast => baseline::encode(simd, picture, layout, &steps, false, stop),
        Effort::Balanced => baseline::encode(simd, picture, layout, &steps, true, stop),
        Effort::Best => best::encode(simd, picture, layout, quality, stop),
    })
}
