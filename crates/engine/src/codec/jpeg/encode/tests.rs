//! Images encoded, and decoded by jpeg-decoder.

use super::layout::Sampling;
use super::tables;
use crate::error::Error;
use crate::pixels::{Image8, Model};
use crate::simd::SimdLevel;
use crate::spec::Effort;
use crate::stop::Stop;

const EFFORTS: [Effort; 3] = [Effort::Fast, Effort::Balanced, Effort::Best];

fn encode(image: &Image8, quality: u8, effort: Effort) -> Result<Vec<u8>, Error> {
    super::encode(SimdLevel::detect(), image, quality, effort, Stop(&|| false))
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }
}

fn image(model: Model, width: usize, height: usize, mut at: impl FnMut(usize, usize) -> [u8; 3]) -> Image8 {
    let mut samples = Vec::new();
    for y in 0..height {
        for x in 0..width {
            samples.extend_from_slice(&at(x, y)[..model.channels()]);
        }
    }
    Image8 { width: width as u32, height: height as u32, model, samples }
}

/// A slow change of colour from corner to corner.
fn gradient(model: Model, width: usize, height: usize) -> Image8 {
    image(model, width, height, |x, y| {
        let (x, y) = (x * 200 / width.max(200), y * 200 / height.max(200));
        [(30 + x) as u8, (20 + y) as u8, (230 - (x + y) / 2) as u8]
    })
}

fn noise(model: Model, width: usize, height: usize, seed: u64) -> Image8 {
    let mut random = Random(seed);
    // Black and white give the largest coefficients.
    image(model, width, height, |_, _| std::array::from_fn(|_| (random.below(2) * 255) as u8))
}

fn decoded(bytes: &[u8], of: &Image8) -> Vec<u8> {
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    let samples = decoder.decode().expect("a JPEG");
    let info = decoder.info().expect("a header");
    assert_eq!((u32::from(info.width), u32::from(info.height)), (of.width, of.height));
    assert_eq!(info.pixel_format.pixel_bytes(), of.model.channels());
    samples
}

/// Root mean square difference, in code values.
fn difference(bytes: &[u8], of: &Image8) -> f64 {
    let samples = decoded(bytes, of);
    let sum: f64 = samples.iter().zip(&of.samples).map(|(&a, &b)| f64::from(a.abs_diff(b)).powi(2)).sum();
    (sum / samples.len() as f64).sqrt()
}

#[test]
fn images_of_all_sizes_round_trip() {
    for (width, height) in [
        (1, 1),
        (7, 9),
        (8, 8),
        (9, 7),
        (15, 17),
        (16, 16),
        (17, 15),
        (31, 33),
        (32, 8),
        (33, 40),
        (1, 300),
        (300, 1),
        (640, 3),
        (3, 640),
        (130, 70),
        (256, 192),
    ] {
        for model in [Model::Gray, Model::Rgb] {
            let image = gradient(model, width, height);
            for effort in EFFORTS {
                for (quality, most) in [(1, 40.0), (50, 5.0), (80, 3.5), (90, 2.5), (100, 1.2)] {
                    let bytes = encode(&image, quality, effort).unwrap();
                    let off = difference(&bytes, &image);
                    assert!(
                        off <= most,
                        "{model:?} {width}x{height} {effort} {quality}: {off:.2} code values off"
                    );
                }
            }
        }
    }
}

/// Rounding changes no coefficient by more than half a step. The transform preserves sums of squares, so that
/// bounds the error of any image.
#[test]
fn the_error_of_any_gray_image_is_bounded_by_its_steps() {
    let mut random = Random(77);
    for round in 0..120 {
        let (width, height) = (1 + random.below(70) as usize, 1 + random.below(70) as usize);
        let (fx, fy, contrast) =
            (random.below(9) as usize, random.below(9) as usize, random.below(256) as usize);
        let image = if round % 4 == 0 {
            noise(Model::Gray, width, height, random.next())
        } else {
            image(Model::Gray, width, height, |x, y| {
                [((x * fx + y * fy) * 16 % 256 * contrast / 255) as u8; 3]
            })
        };
        let quality = 1 + random.below(100) as u8;
        for effort in EFFORTS {
            let best = effort == Effort::Best;
            let steps =
                if best { tables::flat_steps(quality, Sampling::Gray) } else { tables::steps(quality) };
            let squares: f64 = steps[0].iter().map(|&step| (f64::from(step) / 2.0).powi(2)).sum();
            // Rate-distortion optimisation may change a level by one more.
            let further = if best { 2.0 } else { 1.0 };
            let most = further
                * (squares / 64.0).sqrt()
                * (width.next_multiple_of(8) * height.next_multiple_of(8)) as f64
                / (width * height) as f64
                + 1.0;
            let off = difference(&encode(&image, quality, effort).unwrap(), &image);
            assert!(
                off <= most,
                "round {round}, {effort} {quality}: {off:.2} code values off, {most:.2} allowed"
            );
        }
    }
}

#[test]
fn the_strongest_contrast_does_not_overflow() {
    for model in [Model::Gray, Model::Rgb] {
        for effort in EFFORTS {
            for seed in 1..6 {
                let image = noise(model, 40, 24, seed);
                let off = difference(&encode(&image, 100, effort).unwrap(), &image);
                assert!(off < 1.5, "{model:?} {effort}: {off:.2} code values off");
            }
            // The basis functions of the transform, of either sign.
            for frequency in 0..64 {
                for negative in [false, true] {
                    let wave = |x: usize, k: usize| {
                        ((2 * x + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos()
                    };
                    let image = image(model, 8, 8, |x, y| {
                        let high = wave(x, frequency % 8) * wave(y, frequency / 8) > 0.0;
                        [if high != negative { 255 } else { 0 }; 3]
                    });
                    let off = difference(&encode(&image, 100, effort).unwrap(), &image);
                    assert!(off < 1.0, "{model:?} {effort} {frequency}: {off:.2} code values off");
                }
            }
        }
    }
}

#[test]
fn every_simd_level_gives_the_same_bytes() {
    let images = [
        gradient(Model::Rgb, 130, 70),
        noise(Model::Rgb, 75, 41, 5),
        noise(Model::Gray, 41, 75, 6),
        gradient(Model::Gray, 33, 40),
    ];
    for image in &images {
        for (effort, quality) in EFFORTS.into_iter().flat_map(|effort| [(effort, 80), (effort, 95)]) {
            let expected = encode(image, quality, effort).unwrap();
            assert_eq!(encode(image, quality, effort).unwrap(), expected);
            assert_eq!(
                super::encode(SimdLevel::baseline(), image, quality, effort, Stop(&|| false)).unwrap(),
                expected
            );
        }
    }
}

#[test]
fn more_effort_gives_smaller_files() {
    let mut random = Random(3);
    let image = image(Model::Rgb, 200, 150, |x, y| {
        let grain = random.below(30) as usize;
        [(x + grain) as u8, ((x * y / 99) % 256) as u8, (y + 2 * grain) as u8]
    });
    for quality in [40, 80, 95] {
        let sizes = EFFORTS.map(|effort| encode(&image, quality, effort).unwrap().len());
        assert!(sizes.is_sorted_by(|a, b| a > b), "quality {quality}: {sizes:?}");
    }
}

#[test]
fn more_quality_gives_larger_and_better_files() {
    let image = noise(Model::Gray, 64, 64, 9);
    for effort in EFFORTS {
        let files: Vec<_> =
            [1, 20, 50, 80, 95, 100].map(|quality| encode(&image, quality, effort).unwrap()).into();
        assert!(files.is_sorted_by_key(Vec::len), "{effort}");
        assert!(files.is_sorted_by(|a, b| difference(a, &image) >= difference(b, &image)), "{effort}");
    }
}

/// The sampling factors in the frame header (T.81, B.2.2).
fn factors(bytes: &[u8]) -> Vec<u8> {
    let at = bytes.windows(2).position(|two| matches!(two, [0xff, 0xc0 | 0xc2])).expect("a frame");
    bytes[at + 10..][..usize::from(bytes[at + 9]) * 3].chunks(3).map(|component| component[1]).collect()
}

#[test]
fn chroma_is_subsampled_below_quality_90_and_gray_has_one_component() {
    for effort in EFFORTS {
        let rgb = gradient(Model::Rgb, 40, 40);
        assert_eq!(factors(&encode(&rgb, 89, effort).unwrap()), [0x22, 0x11, 0x11]);
        assert_eq!(factors(&encode(&rgb, 90, effort).unwrap()), [0x11, 0x11, 0x11]);
        assert_eq!(factors(&encode(&gradient(Model::Gray, 40, 40), 50, effort).unwrap()), [0x11]);
    }
}

#[test]
fn colours_are_exact_at_full_resolution_and_on_average_at_half() {
    for effort in EFFORTS {
        // Red and blue columns: at half resolution each pair mixes.
        let stripes =
            image(Model::Rgb, 64, 64, |x, _| if x % 2 == 0 { [200, 40, 60] } else { [60, 40, 200] });
        assert!(difference(&encode(&stripes, 100, effort).unwrap(), &stripes) < 1.5);
        let halved = decoded(&encode(&stripes, 85, effort).unwrap(), &stripes);
        let mean = |channel: usize| {
            let pixels = halved.chunks(3).map(|pixel| f64::from(pixel[channel]));
            pixels.sum::<f64>() / (64.0 * 64.0)
        };
        assert!((mean(0) - 130.0).abs() < 4.0 && (mean(2) - 130.0).abs() < 4.0, "{} {}", mean(0), mean(2));
    }
}

#[test]
fn flat_images_stay_flat_and_small() {
    for effort in EFFORTS {
        for value in [0, 1, 100, 128, 254, 255] {
            let image = image(Model::Gray, 100, 100, |_, _| [value; 3]);
            let bytes = encode(&image, 100, effort).unwrap();
            assert!(decoded(&bytes, &image).iter().all(|&v| v == value), "{effort} {value}");
            assert!(bytes.len() < 700, "{effort}: {} bytes", bytes.len());
        }
    }
}

#[test]
fn unsupported_sizes_and_models_are_refused() {
    for (width, height) in [(65_536, 1), (1, 70_000)] {
        let image = gradient(Model::Gray, width, height);
        let error = encode(&image, 80, Effort::Balanced).unwrap_err();
        assert!(matches!(&error, Error::TooLarge(text) if text.contains("65535")), "{error:?}");
    }
    let image = gradient(Model::Gray, 65_535, 2);
    assert!(difference(&encode(&image, 80, Effort::Balanced).unwrap(), &image) < 3.0);
    let alpha = Image8 { width: 1, height: 1, model: Model::Rgba, samples: vec![0; 4] };
    assert!(matches!(encode(&alpha, 80, Effort::Balanced), Err(Error::Internal(_))));
}
