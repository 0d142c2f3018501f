//! Between the sRGB transfer curve (IEC 61966-2-1) and linear light.
//!
//! On the way in, light is 14 bits in an `i16`: 0 to 16384, which leaves the resampler room to overshoot
//! and is fine enough that all 256 codes differ by at least five steps. On the way out it becomes 16-bit
//! sRGB. All is integer arithmetic, the same at every SIMD level.

mod curve;
mod rows;

pub(crate) use curve::{LIGHT, encoder, linear_8, linear_16};
pub(crate) use rows::{LightRow, Lineariser};
