//! Sample images: smooth shapes with grain like photographs, different for each seed.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// A baseline 4:2:0 JPEG.
pub(crate) fn jpeg(width: u16, height: u16, seed: u32) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, 85);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(&rgb(width, height, seed), width, height, ColorType::Rgb)?;
    Ok(out)
}

/// The pixels of an image, three bytes each.
pub(crate) fn rgb(width: u16, height: u16, seed: u32) -> Vec<u8> {
    let mut noise = seed.wrapping_mul(2_654_435_761) | 1;
    let mut rgb = Vec::with_capacity(usize::from(width) * usize::from(height) * 3);
    for y in 0..u32::from(height) {
        for x in 0..u32::from(width) {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let wave = ((x * 3 + y * 2 + seed * 97) % 512).abs_diff(256) / 2;
            let shape = if (x / 64 + y / 48 + seed).is_multiple_of(3) { 60 } else { 0 };
            let grain = noise % 16;
            rgb.extend([
                (wave + shape + grain).min(255) as u8,
                (wave / 2 + 60 + grain).min(255) as u8,
                (200 - wave / 2 + grain).min(255) as u8,
            ]);
        }
    }
    rgb
}
