//! Estimate of a render's memory, from the header alone.

use crate::header::{Colour, Format, Header};
use crate::plan::{plans, reduction};
use crate::resample;
use crate::spec::Spec;

/// Fixed cost of a render: tables, codec windows, allocator slack.
const FIXED: u64 = 3 << 20;
/// Colour management on top: the profile, its curves and look-up tables.
const PROFILE: u64 = 16 << 20;
/// Bytes that encoding takes per pixel of the canvas: the image, the encoder's planes and its output.
const ENCODE: u64 = 40;
/// Those of AVIF, whose encoder holds what it tries beside what it chose.
const ENCODE_AVIF: u64 = 160;
/// How many times the file of an animation is held at once: its frames, the file of them, and that with metadata.
const FILES: u64 = 3;
/// Bytes per pixel of an image from which a part is chosen: turned upright, and in sRGB.
const CHOICE: u64 = 20;

/// See [`crate::estimate()`].
pub(crate) fn estimate(header: &Header, specs: &[Spec]) -> u64 {
    let (header, plans) = plans(header, specs);
    let header = &header;
    let scale = reduction(header, &plans).scale;
    let mut bytes = FIXED.saturating_add(crate::codec::memory(header, scale));
    if header.profile || matches!(header.colour, Colour::Cmyk | Colour::Ycck) {
        bytes = bytes.saturating_add(PROFILE);
    }
    let is_animated = header.animated && specs.iter().any(|spec| spec.animate);
    if is_animated {
        bytes = bytes.saturating_add(crate::animation::memory(header));
    }
    for (plan, spec) in plans.iter().zip(specs) {
        let canvas = u64::from(plan.canvas.0) * u64::from(plan.canvas.1);
        let encode = if spec.resolve(header.format) == Format::Avif { ENCODE_AVIF } else { ENCODE };
        bytes = bytes.saturating_add(canvas * encode).saturating_add(resample::memory(header, plan, scale));
        if plan.crop.is_some() {
            bytes = bytes.saturating_add(u64::from(plan.stored.0) * u64::from(plan.stored.1) * CHOICE);
        }
        if let Some(watermark) = &spec.watermark {
            bytes = bytes.saturating_add(watermark.memory()).saturating_add(canvas * 16);
        }
        if is_animated && spec.animate {
            bytes = bytes.saturating_add(crate::animation::largest(header, plan) * FILES + canvas * 16);
        }
    }
    bytes
}
