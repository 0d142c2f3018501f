//! The sRGB transfer curve: a polynomial for vectors, tables for single samples.

use std::sync::LazyLock;

use fearless_simd::i16x16;
use fearless_simd::prelude::*;

use crate::simd::Lanes;

/// Full light.
pub(crate) const LIGHT: i32 = 16384;

/// Full code as [`to_light`] takes it: 255 × 128.
pub(crate) const CODE: i16 = 32640;

/// Codes up to here are on the curve's straight part: 0.04045 × [`CODE`].
const STRAIGHT: i16 = 1320;

/// The slope of the straight part, 1 / 12.92, from codes to light by [`Lanes::mul_round`].
const SLOPE: i16 = 1273;

/// ((x + 0.055) / 1.055)^2.4 from 0.04045 to 1 as a polynomial, highest power first: a least-squares fit
/// weighted towards the largest error, which is 1.7 of [`LIGHT`].
const POWER: [i16; 6] = [1005, -4033, 10156, 8888, 499, 16];

/// Half the second derivative of the same part, to within 5 %, which suffices for a correction.
const BEND: [i16; 3] = [-9363, 24486, 9288];

/// The variance of codes of which half are 0 and half are full, in 2⁻¹⁵ of the full range's square.
const MAX_VARIANCE: i16 = 8192;

/// sRGB codes (up to [`CODE`]; below 0 the curve goes on straight) to light, for reduced samples within which the code has `variance` (2⁻¹⁵ of
/// the full range's square).
///
/// The mean light of a reduced sample is not the light of its mean code m: to second order it is f(m) +
/// f″(m) / 2 × variance.
#[inline(always)]
pub(crate) fn to_light<S: Lanes>(simd: S, code: i16x16<S>, variance: Option<i16x16<S>>) -> i16x16<S> {
    let straight = simd.mul_round(code, i16x16::splat(simd, SLOPE));
    let mut power = polynomial(simd, code, POWER);
    if let Some(variance) = variance {
        // The variance of codes between 0 and 1 is at most a quarter of the range's square, and light at most
        // full; corrupt data may exceed both.
        let variance = variance.min(i16x16::splat(simd, MAX_VARIANCE));
        power += simd.mul_round(polynomial(simd, code, BEND), variance);
        power = power.min(i16x16::splat(simd, LIGHT as i16));
    }
    code.simd_le(i16x16::splat(simd, STRAIGHT)).select(straight, power)
}

/// Horner's scheme.
#[inline(always)]
fn polynomial<S: Lanes, const N: usize>(simd: S, at: i16x16<S>, terms: [i16; N]) -> i16x16<S> {
    let mut sum = i16x16::splat(simd, terms[0]);
    for term in terms.into_iter().skip(1) {
        sum = simd.mul_round(sum, at) + i16x16::splat(simd, term);
    }
    sum
}

/// 16-bit sRGB to 16-bit light.
static LINEAR_16: LazyLock<Box<[u16]>> = LazyLock::new(|| {
    (0..=u16::MAX)
        .map(|code| {
            let code = f64::from(code) / 65535.0;
            let light = if code <= 0.040_45 { code / 12.92 } else { ((code + 0.055) / 1.055).powf(2.4) };
            (light * 65535.0).round() as u16
        })
        .collect()
});

/// Light to 16-bit sRGB. An array, so that clamped light needs no other check.
static ENCODED: LazyLock<Box<[u16; LIGHT as usize + 1]>> = LazyLock::new(|| {
    let mut encoded = Box::new([0; LIGHT as usize + 1]);
    for (light, code) in (0_u32..).zip(encoded.iter_mut()) {
        let light = f64::from(light) / f64::from(LIGHT);
        let exact = if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
        *code = (exact * 65535.0).round() as u16;
    }
    encoded
});

/// 16-bit light of an sRGB byte.
pub(crate) fn linear_8(code: u8) -> u32 {
    linear_16(u16::from(code) * 257)
}

/// 16-bit light of a 16-bit sRGB sample.
pub(crate) fn linear_16(code: u16) -> u32 {
    LINEAR_16[usize::from(code)].into()
}

/// A function from light, clamped to 0 to [`LIGHT`], to 16-bit sRGB.
pub(crate) fn encoder() -> impl Fn(i32) -> u16 + Copy {
    let encoded: &[u16; LIGHT as usize + 1] = &ENCODED;
    |light| encoded[light.clamp(0, LIGHT) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, SimdLevel, WIDTH};

    struct Curve<'a>(&'a [i16], Option<i16>, &'a mut Vec<i16>);

    impl Kernel for Curve<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Lanes>(self, simd: S) {
            for chunk in self.0.chunks_exact(WIDTH) {
                let variance = self.1.map(|variance| i16x16::splat(simd, variance));
                self.2.extend_from_slice(to_light(simd, simd.load(chunk), variance).as_slice());
            }
        }
    }

    fn run(level: SimdLevel, codes: &[i16], variance: Option<i16>) -> Vec<i16> {
        let mut light = Vec::new();
        level.run(Curve(codes, variance, &mut light));
        light
    }

    #[test]
    fn the_polynomial_follows_the_curve() {
        let codes: Vec<i16> = (0..4080).map(|code| code * 8).collect();
        let light = run(SimdLevel::detect(), &codes, None);
        assert_eq!(light, run(SimdLevel::baseline(), &codes, None));
        for (&code, &light) in codes.iter().zip(&light) {
            let x = f64::from(code) / f64::from(CODE);
            let exact = if x <= 0.040_45 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) };
            assert!((f64::from(light) - exact * f64::from(LIGHT)).abs() < 1.8, "code {code}: {light}");
        }
    }

    #[test]
    fn no_variance_gives_light_out_of_range() {
        let codes: Vec<i16> = (0..4080).map(|code| code * 8).collect();
        let mut before = run(SimdLevel::detect(), &codes, Some(0));
        for variance in [1, 600, 8191, 8192, 20_000, 32_767] {
            let light = run(SimdLevel::detect(), &codes, Some(variance));
            for ((&code, &light), before) in codes.iter().zip(&light).zip(&mut before) {
                assert!((0..=LIGHT).contains(&light.into()), "code {code}, variance {variance}: {light}");
                assert!(
                    light + 3 >= (*before).min(LIGHT as i16),
                    "code {code}, variance {variance}: {light}"
                );
                *before = light;
            }
        }
    }

    #[test]
    fn every_byte_is_unchanged_by_a_round_trip() {
        let codes: Vec<i16> = (0..=255).map(|code: i16| code * 128).collect();
        for (code, light) in run(SimdLevel::detect(), &codes, None).into_iter().enumerate() {
            let back = encoder()(light.into());
            assert_eq!((u32::from(back) * 255 + 32767) / 65535, code as u32);
        }
    }

    #[test]
    fn variance_gives_the_mean_light_of_two_codes() {
        for (low, high) in [(100.0_f64, 140.0), (60.0, 200.0), (220.0, 255.0)] {
            let exact = |x: f64| ((x / 255.0 + 0.055) / 1.055).powf(2.4);
            let mean = ((low + high) / 2.0 * 128.0) as i16;
            let variance = ((high - low) / 2.0 / 255.0).powi(2) * 32768.0;
            let light = run(SimdLevel::detect(), &[mean; WIDTH], Some(variance as i16))[0];
            let expected = f64::midpoint(exact(low), exact(high)) * f64::from(LIGHT);
            assert!((f64::from(light) - expected).abs() < 0.006 * f64::from(LIGHT), "{light} {expected}");
        }
    }
}
