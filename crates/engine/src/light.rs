//! Between the sRGB transfer curve (IEC 61966-2-1) and linear light, 16 bits a sample on both sides.

use std::sync::LazyLock;

use crate::pixels::{Model, Row};

/// sRGB byte to linear light.
static LINEAR_8: LazyLock<[u32; 256]> =
    LazyLock::new(|| std::array::from_fn(|code| to_linear(code as f64 / 255.0)));

/// 16-bit sRGB to linear light.
static LINEAR_16: LazyLock<Box<[u16]>> =
    LazyLock::new(|| (0..=u16::MAX).map(|code| to_linear(f64::from(code) / 65535.0) as u16).collect());

/// Linear light to 16-bit sRGB.
static ENCODED: LazyLock<Box<[u16]>> = LazyLock::new(|| {
    (0..=u16::MAX)
        .map(|light| {
            let light = f64::from(light) / 65535.0;
            let code =
                if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
            (code * 65535.0).round() as u16
        })
        .collect()
});

fn to_linear(code: f64) -> u32 {
    let light = if code <= 0.040_45 { code / 12.92 } else { ((code + 0.055) / 1.055).powf(2.4) };
    (light * 65535.0).round() as u32
}

/// Linear light of an sRGB byte.
pub(crate) fn linear_8(code: u8) -> u32 {
    LINEAR_8[usize::from(code)]
}

/// Linear light of a 16-bit sRGB sample.
pub(crate) fn linear_16(code: u16) -> u32 {
    LINEAR_16[usize::from(code)].into()
}

/// 16-bit sRGB of linear light.
pub(crate) fn encode(light: u16) -> u16 {
    ENCODED[usize::from(light)]
}

/// Adds the pixels of `row` from column `from` on to `sums`, as linear light with premultiplied alpha.
pub(crate) fn add_row(model: Model, row: Row<'_>, from: usize, sums: &mut [u32]) {
    let channels = model.channels();
    let range = from * channels..from * channels + sums.len();
    match row {
        Row::U8(samples) => {
            let Some(samples) = samples.get(range) else { return };
            let table = &*LINEAR_8;
            match model {
                Model::Gray | Model::Rgb => {
                    for (sum, &code) in sums.iter_mut().zip(samples) {
                        *sum += table[usize::from(code)];
                    }
                }
                Model::GrayAlpha => add_alpha_8::<2>(samples, sums, table),
                Model::Rgba => add_alpha_8::<4>(samples, sums, table),
            }
        }
        Row::U16(samples) => {
            let Some(samples) = samples.get(range) else { return };
            let table = &**LINEAR_16;
            match model {
                Model::Gray | Model::Rgb => {
                    for (sum, &code) in sums.iter_mut().zip(samples) {
                        *sum += u32::from(table[usize::from(code)]);
                    }
                }
                Model::GrayAlpha => add_alpha_16::<2>(samples, sums, table),
                Model::Rgba => add_alpha_16::<4>(samples, sums, table),
            }
        }
    }
}

fn add_alpha_8<const CHANNELS: usize>(samples: &[u8], sums: &mut [u32], table: &[u32; 256]) {
    let (pixels, _) = samples.as_chunks::<CHANNELS>();
    let (sums, _) = sums.as_chunks_mut::<CHANNELS>();
    for (sum, pixel) in sums.iter_mut().zip(pixels) {
        let alpha = u32::from(pixel[CHANNELS - 1]);
        for channel in 0..CHANNELS - 1 {
            sum[channel] += (table[usize::from(pixel[channel])] * alpha + 127) / 255;
        }
        sum[CHANNELS - 1] += alpha * 257;
    }
}

fn add_alpha_16<const CHANNELS: usize>(samples: &[u16], sums: &mut [u32], table: &[u16]) {
    let (pixels, _) = samples.as_chunks::<CHANNELS>();
    let (sums, _) = sums.as_chunks_mut::<CHANNELS>();
    for (sum, pixel) in sums.iter_mut().zip(pixels) {
        let alpha = u64::from(pixel[CHANNELS - 1]);
        for channel in 0..CHANNELS - 1 {
            let light = u64::from(table[usize::from(pixel[channel])]);
            sum[channel] += ((light * alpha + 32767) / 65535) as u32;
        }
        sum[CHANNELS - 1] += alpha as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_the_round_trip() {
        for code in 0..=255_u8 {
            let back = encode(linear_8(code) as u16);
            assert_eq!((u32::from(back) * 255 + 32767) / 65535, u32::from(code));
        }
    }

    #[test]
    fn premultiplies() {
        let mut sums = [0; 8];
        add_row(Model::Rgba, Row::U8(&[255, 255, 255, 0, 255, 0, 255, 128]), 0, &mut sums);
        assert_eq!(sums, [0, 0, 0, 0, 32896, 0, 32896, 32896]);
        let mut sums = [0; 2];
        add_row(Model::GrayAlpha, Row::U16(&[9, 9, 65535, 32768]), 1, &mut sums);
        assert_eq!(sums, [32768, 32768]);
    }
}
