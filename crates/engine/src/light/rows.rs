//! Whole rows to linear light with premultiplied alpha.

use fearless_simd::i16x16;
use fearless_simd::prelude::*;

use super::curve::{CODE, to_light};
use crate::pixels::{Components, Grid, Model, Row};
use crate::simd::{Kernel, Lanes, SimdLevel, WIDTH, padded};

/// A row of light. Channel `c` of sample `x` is at `c × plane + x × step`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LightRow<'a> {
    pub(crate) samples: &'a [i16],
    pub(crate) plane: usize,
    pub(crate) step: usize,
}

/// Converts the rows of an image to linear light.
pub(crate) struct Lineariser {
    level: SimdLevel,
    model: Model,
    width: usize,
    codes: Vec<i16>,
    light: Vec<i16>,
}

impl Lineariser {
    /// For a grid of `width` columns.
    pub(crate) fn new(level: SimdLevel, grid: Grid, width: usize) -> Self {
        let length = padded(width) * grid.model.channels();
        Self { level, model: grid.model, width, codes: vec![0; length], light: vec![0; length] }
    }

    /// Bytes of the buffers for rows of `width` samples with four channels.
    pub(crate) fn memory(width: u64) -> u64 {
        (width + WIDTH as u64) * 4 * 2 * 2
    }

    /// How the rows are laid out: the distance between planes and between neighbours.
    pub(crate) fn layout(&self, row: Row<'_>) -> (usize, usize) {
        match (row, self.model.has_alpha()) {
            (Row::Components(_), _) | (_, true) => (padded(self.width), 1),
            _ => (1, self.model.channels()),
        }
    }

    /// The row in linear light. A row that is too short leaves the remaining samples unchanged.
    pub(crate) fn row(&mut self, row: Row<'_>) -> LightRow<'_> {
        let (plane, step) = self.layout(row);
        let channels = self.model.channels();
        match row {
            Row::Components(components) => {
                self.level.run(FromComponents { components, plane, light: &mut self.light });
            }
            Row::U8(samples) => {
                let samples = &samples[..samples.len().min(self.width * channels)];
                if self.model.has_alpha() {
                    split_8(samples, channels, plane, &mut self.codes);
                } else {
                    for (code, &sample) in self.codes.iter_mut().zip(samples) {
                        *code = i16::from(sample) << 7;
                    }
                }
                self.finish(plane);
            }
            Row::U16(samples) => {
                let samples = &samples[..samples.len().min(self.width * channels)];
                for (index, &sample) in samples.iter().enumerate() {
                    let at = index % channels * plane + index / channels * step;
                    // To nearest of the codes 0 to 32640.
                    self.codes[at] = ((u32::from(sample) * 32640 + 32767) / 65535) as i16;
                }
                self.finish(plane);
            }
        }
        LightRow { samples: &self.light, plane, step }
    }

    fn finish(&mut self, plane: usize) {
        let Self { level, model, codes, light, .. } = self;
        match model {
            Model::Gray | Model::Rgb => level.run(Opaque { codes, light }),
            Model::GrayAlpha | Model::Rgba => {
                let colours = model.channels() - 1;
                level.run(Premultiplied { codes, light, plane, colours });
            }
        }
    }
}

/// Interleaved bytes to planes of codes.
fn split_8(samples: &[u8], channels: usize, plane: usize, codes: &mut [i16]) {
    fn split<const CHANNELS: usize>(samples: &[u8], plane: usize, codes: &mut [i16]) {
        let mut planes = codes.chunks_exact_mut(plane);
        let mut planes: [&mut [i16]; CHANNELS] = std::array::from_fn(|_| planes.next().unwrap_or_default());
        for (x, pixel) in samples.as_chunks::<CHANNELS>().0.iter().enumerate() {
            for (plane, &sample) in planes.iter_mut().zip(pixel) {
                plane[x] = i16::from(sample) << 7;
            }
        }
    }
    match channels {
        2 => split::<2>(samples, plane, codes),
        _ => split::<4>(samples, plane, codes),
    }
}

struct Opaque<'a> {
    codes: &'a [i16],
    light: &'a mut [i16],
}

impl Kernel for Opaque<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        for (light, codes) in self.light.chunks_exact_mut(WIDTH).zip(self.codes.chunks_exact(WIDTH)) {
            to_light(simd, simd.load(codes), None).store_slice(light);
        }
    }
}

/// Planes of codes, the last of them alpha.
struct Premultiplied<'a> {
    codes: &'a [i16],
    light: &'a mut [i16],
    plane: usize,
    colours: usize,
}

impl Kernel for Premultiplied<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { codes, light, plane, colours } = self;
        let whole = i16x16::splat(simd, CODE);
        for x in (0..plane).step_by(WIDTH) {
            let alpha = simd.load(&codes[colours * plane + x..]);
            // From codes, 0 to 32640, to 0 to 16384: × 16384 / 32640 × 2¹⁵ / 2¹⁵.
            let coverage = simd.mul_round(alpha, i16x16::splat(simd, 16448));
            coverage.store_slice(&mut light[colours * plane + x..][..WIDTH]);
            // Most vectors of product images are opaque throughout.
            let opaque = alpha.simd_eq(whole).all_true();
            for colour in 0..colours {
                let at = colour * plane + x;
                let value = to_light(simd, simd.load(&codes[at..]), None);
                // alpha / 32640 × 2¹⁵ / 2¹⁵, with alpha / 256 for the missing 1 / 255.
                let value = if opaque { value } else { simd.mul_round(value, alpha + (alpha >> 8)) };
                value.store_slice(&mut light[at..][..WIDTH]);
            }
        }
    }
}

struct FromComponents<'a> {
    components: Components<'a>,
    plane: usize,
    light: &'a mut [i16],
}

impl Kernel for FromComponents<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { components: Components { planes, ycc, whole_codes, variance }, plane, light } = self;
        let [first, second, third] = planes;
        for x in (0..plane).step_by(WIDTH) {
            let variance = (!variance.is_empty()).then(|| simd.load(&variance[x..]));
            let base = simd.load(&first[x..]);
            if second.is_empty() {
                sixteenths_to_light(simd, base, variance, whole_codes).store_slice(&mut light[x..][..WIDTH]);
                continue;
            }
            let (second, third) = (simd.load(&second[x..]), simd.load(&third[x..]));
            let (second, third) = (rounded(second, whole_codes), rounded(third, whole_codes));
            let rgb = if ycc { ycc_to_rgb(simd, base, second, third) } else { [base, second, third] };
            for (channel, value) in rgb.into_iter().enumerate() {
                sixteenths_to_light(simd, value, variance, whole_codes)
                    .store_slice(&mut light[channel * plane + x..][..WIDTH]);
            }
        }
    }
}

/// Sixteenths of a code to nearest, if `whole_codes`.
#[inline(always)]
fn rounded<S: Lanes>(value: i16x16<S>, whole_codes: bool) -> i16x16<S> {
    if whole_codes { ((value + 8) >> 4) << 4 } else { value }
}

/// The most by which samples exceed the range, in sixteenths of a code.
const OVERSHOOT: i16 = 1760;

/// Sixteenths of a code to light.
#[inline(always)]
fn sixteenths_to_light<S: Lanes>(
    simd: S,
    value: i16x16<S>,
    variance: Option<i16x16<S>>,
    whole_codes: bool,
) -> i16x16<S> {
    let brightest = i16x16::splat(simd, 4080);
    if whole_codes {
        let code = rounded(value, whole_codes).max(i16x16::splat(simd, 0)).min(brightest) << 3;
        return to_light(simd, code, variance);
    }
    // Overshoot belongs to edges that the scale cannot hold: clamped it would be missing from their light. The
    // curve goes on as a line: below black with the slope of its straight part, above white with 2.4 / 1.055, which
    // is 9.125 units of light for a sixteenth of a code.
    let value = value.max(i16x16::splat(simd, -OVERSHOOT)).min(i16x16::splat(simd, 4080 + OVERSHOOT));
    let code = value.min(brightest);
    let over = value - code;
    to_light(simd, code << 3, variance) + (over * 9 + (over >> 3))
}

/// ITU-T T.871, 7: R = Y + 1.402 Cr, G = Y − 0.344136 Cb − 0.714136 Cr, B = Y + 1.772 Cb, with Cb and Cr
/// about 128.
#[inline(always)]
fn ycc_to_rgb<S: Lanes>(simd: S, y: i16x16<S>, cb: i16x16<S>, cr: i16x16<S>) -> [i16x16<S>; 3] {
    // Doubled, to round at 1/32 of a code: 4080 × 2 × 1.772 still fits.
    let centre = i16x16::splat(simd, 128 * 16);
    let one = i16x16::splat(simd, 1);
    let (cb, cr) = ((cb - centre) << 1, (cr - centre) << 1);
    let red = cr + simd.mul_round(cr, i16x16::splat(simd, 13173));
    let green =
        simd.mul_round(cb, i16x16::splat(simd, 11277)) + simd.mul_round(cr, i16x16::splat(simd, 23401));
    let blue = cb + simd.mul_round(cb, i16x16::splat(simd, 25297));
    [y + ((red + one) >> 1), y - ((green + one) >> 1), y + ((blue + one) >> 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::light::LIGHT;

    fn light(grid: Model, row: Row<'_>, width: usize) -> (Vec<i16>, usize, usize) {
        let grid = Grid::full_scale(grid);
        let mut expected = None;
        for level in [SimdLevel::baseline(), SimdLevel::detect()] {
            let mut lineariser = Lineariser::new(level, grid, width);
            let LightRow { samples, plane, step } = lineariser.row(row);
            let actual = (samples.to_vec(), plane, step);
            assert_eq!(*expected.get_or_insert_with(|| actual.clone()), actual, "{level:?}");
        }
        expected.unwrap()
    }

    #[test]
    fn premultiplies() {
        let pixels = [255, 255, 255, 0, 255, 0, 255, 128, 255, 255, 0, 255];
        let (light, plane, step) = light(Model::Rgba, Row::U8(&pixels), 3);
        let pixel = |x: usize| -> [i16; 4] { std::array::from_fn(|c| light[c * plane + x * step]) };
        assert_eq!(pixel(0), [0; 4]);
        let half = 16384 * 128 / 255;
        for (channel, expected) in pixel(1).into_iter().zip([half, 0, half, half]) {
            assert!((i32::from(channel) - expected).abs() <= 2, "{channel} is not {expected}");
        }
        assert!(
            pixel(2).into_iter().zip([LIGHT, LIGHT, 0, LIGHT]).all(|(a, b)| (i32::from(a) - b).abs() <= 1)
        );
    }

    #[test]
    fn sixteen_bit_samples_match_eight_bit_ones() {
        let narrow: Vec<u8> = (0..=255).collect();
        let wide: Vec<u16> = narrow.iter().map(|&v| u16::from(v) * 257).collect();
        for model in [Model::Gray, Model::GrayAlpha, Model::Rgba] {
            let width = 256 / model.channels();
            assert_eq!(light(model, Row::U8(&narrow), width), light(model, Row::U16(&wide), width));
        }
    }

    #[test]
    fn components_are_converted_to_colours() {
        let row = |y: u8, cb: u8, cr: u8| [y, cb, cr].map(|v| vec![i16::from(v) * 16; WIDTH]);
        // Red, green and blue by T.871.
        for (ycc, rgb) in
            [((76, 85, 255), [254, 0, 0]), ((150, 44, 21), [0, 255, 1]), ((29, 255, 107), [0, 0, 254])]
        {
            let planes = row(ycc.0, ycc.1, ycc.2);
            let planes = [&planes[0][..], &planes[1], &planes[2]];
            let components = Components { planes, ycc: true, whole_codes: false, variance: &[] };
            let (light, plane, _) = light(Model::Rgb, Row::Components(components), 1);
            for (channel, expected) in rgb.into_iter().enumerate() {
                let code = u32::from(crate::light::encoder()(light[channel * plane].into())) / 257;
                assert!(code.abs_diff(expected) <= 1, "{ycc:?}: channel {channel} is {code}");
            }
        }
    }
}
