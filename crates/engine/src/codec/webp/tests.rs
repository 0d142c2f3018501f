//! Against image-webp, whose pixels are those of libwebp.

use std::io::Cursor;

use image_webp::WebPDecoder;
use webp::{Encoder, PixelLayout, WebPConfig};

use super::WebP;
use crate::Scratch;
use crate::codec::{Codec, Context};
use crate::error::Error;
use crate::limits::Limits;
use crate::pixels::{Components, Grid, Model, PassRow, Row, RowSink};
use crate::plan::Reduction;
use crate::simd::SimdLevel;
use crate::stop::Stop;

/// Gathers interleaved samples.
#[derive(Default)]
struct Pixels {
    width: usize,
    model: Option<Model>,
    samples: Vec<u8>,
}

impl RowSink for Pixels {
    fn begin(&mut self, grid: Grid) -> Result<(), Error> {
        self.model = Some(grid.model);
        Ok(())
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), Error> {
        match row {
            Row::U8(samples) => self.samples.extend_from_slice(samples),
            Row::Components(Components { planes, .. }) => {
                for x in 0..self.width {
                    self.samples.extend(planes.map(|plane| (plane[x] / 16) as u8));
                }
            }
            Row::U16(_) => panic!("16 bits"),
        }
        Ok(())
    }

    fn pass_row(&mut self, _: PassRow, _: Row<'_>) -> Result<(), Error> {
        panic!("not in passes")
    }
}

fn decoded(file: &[u8], level: SimdLevel) -> Result<(Model, Vec<u8>), Error> {
    let open = WebP.open(file)?;
    let limits = Limits::default();
    let context = Context {
        limits: &limits,
        reduction: Reduction::NONE,
        level,
        stop: Stop(&|| false),
        foreign: &crate::foreign::InProcess::default(),
    };
    let mut pixels = Pixels { width: open.details.header.width as usize, ..Pixels::default() };
    open.decode(&context, &mut pixels, &mut Scratch::default())?;
    Ok((pixels.model.unwrap(), pixels.samples))
}

/// Model and pixels by image-webp.
fn expected(file: &[u8]) -> (Model, Vec<u8>) {
    let mut decoder = WebPDecoder::new(Cursor::new(file)).unwrap();
    let mut samples = vec![0; decoder.output_buffer_size().unwrap()];
    decoder.read_image(&mut samples).unwrap();
    (if decoder.has_alpha() { Model::Rgba } else { Model::Rgb }, samples)
}

#[track_caller]
fn assert_equal(file: &[u8], what: &str) {
    let expected = expected(file);
    for level in [SimdLevel::baseline(), SimdLevel::detect()] {
        let actual = decoded(file, level).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(actual.0, expected.0, "{what}");
        assert_eq!(actual.1.len(), expected.1.len(), "{what}");
        let differs = actual.1.iter().zip(&expected.1).position(|(a, b)| a != b);
        if let Some(at) = differs {
            let count = actual.1.iter().zip(&expected.1).filter(|(a, b)| a != b).count();
            panic!("{what}, {level:?}: {count} samples differ, the first at {at} of {}", actual.1.len());
        }
    }
}

/// Shapes, gradients and, by `noise`, some texture.
fn scene(width: u32, height: u32, seed: u32, noise: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let disc = (x as i32 - 20).pow(2) + (y as i32 - 17).pow(2) < 150;
            let stripe = (x + 2 * y + seed) % 23 < 3;
            let base = match (disc, stripe) {
                (true, _) => [230, 40, 20],
                (_, true) => [10, 20, 90],
                _ => [(x * 3 + seed) as u8, (y * 4) as u8, (x + y) as u8],
            };
            rgb.extend(base.map(|value: u8| {
                let by = if noise == 0 { 0 } else { random() % noise };
                value.saturating_add(by as u8)
            }));
        }
    }
    rgb
}

fn with_alpha(rgb: &[u8], alpha: impl Fn(usize) -> u8) -> Vec<u8> {
    let pixels = rgb.as_chunks::<3>().0.iter().enumerate();
    pixels.flat_map(|(at, &[r, g, b])| [r, g, b, alpha(at)]).collect()
}

fn encoded(
    samples: &[u8],
    size: (u32, u32),
    layout: PixelLayout,
    set: impl FnOnce(&mut WebPConfig),
) -> Vec<u8> {
    let mut config = WebPConfig::new().unwrap();
    set(&mut config);
    Encoder::new(samples, layout, size.0, size.1).encode_advanced(&config).unwrap().to_vec()
}

#[test]
fn lossy_images_of_every_size_are_those_of_another_decoder() {
    for side in 1..=70 {
        for (size, seed) in [((side, 71 - side), 1), ((side, side), 2), ((17, side), 3), ((side, 33), 4)] {
            let rgb = scene(size.0, size.1, side * 5 + seed, 60 * (side % 3));
            let quality = [0.0, 30.0, 75.0, 95.0, 100.0][(side + seed) as usize % 5];
            let file = encoded(&rgb, size, PixelLayout::Rgb, |config| config.quality = quality);
            assert_equal(&file, &format!("{size:?} at {quality}"));
        }
    }
}

#[test]
fn lossy_images_of_every_setting_are_those_of_another_decoder() {
    let size = (115, 83);
    for case in 0..240_u32 {
        let rgb = scene(size.0, size.1, case, 120 * (case % 3));
        let file = encoded(&rgb, size, PixelLayout::Rgb, |config| {
            config.quality = [2.0, 20.0, 50.0, 80.0, 99.0][case as usize % 5];
            config.method = (case % 7) as i32;
            config.segments = 1 + (case / 2 % 4) as i32;
            config.partitions = (case / 3 % 4) as i32;
            config.filter_type = (case / 5 % 2) as i32;
            config.filter_strength = [0, 10, 35, 60, 100][case as usize / 4 % 5];
            config.filter_sharpness = (case / 7 % 8) as i32;
            config.autofilter = (case / 11 % 2) as i32;
            config.sns_strength = (case * 13 % 101) as i32;
        });
        assert_equal(&file, &format!("case {case}"));
    }
}

#[test]
fn lossless_images_are_those_of_another_decoder() {
    for case in 0..280_u32 {
        let size = (1 + case * 7 % 70, 1 + case * 11 % 70);
        let mut rgb = scene(size.0, size.1, case, [0, 5, 0, 200][case as usize % 4]);
        // Few colours are packed, several in a pixel.
        let levels = [256, 2, 3, 4, 16, 120][case as usize / 4 % 6];
        for sample in &mut rgb {
            *sample = if levels == 256 {
                *sample
            } else {
                (u32::from(*sample) * levels / 256 * 255 / levels) as u8
            };
        }
        if levels == 2 {
            rgb.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| *pixel = [pixel[0]; 3]);
        }
        let alpha = |at: usize| if case % 3 == 0 { u8::MAX } else { (at * 5 % 256) as u8 & 0xf0 };
        let rgba = with_alpha(&rgb, alpha);
        let file = encoded(&rgba, size, PixelLayout::Rgba, |config| {
            config.lossless = 1;
            config.exact = 1;
            config.method = (case % 7) as i32;
            config.quality = [0.0, 50.0, 80.0, 100.0][case as usize / 7 % 4];
            config.near_lossless = if case % 5 == 0 { 40 } else { 100 };
        });
        assert_equal(&file, &format!("case {case}, {size:?}"));
    }
}

#[test]
fn large_lossless_images_are_those_of_another_decoder() {
    // More pixels than are retained.
    for (size, method) in [((1700, 1500), 0), ((16_383, 170), 1), ((500, 1000), 4)] {
        let rgb = scene(size.0, size.1, 3, 3);
        let file = encoded(&rgb, size, PixelLayout::Rgb, |config| {
            config.lossless = 1;
            config.method = method;
            config.quality = 30.0;
        });
        assert_equal(&file, &format!("{size:?}"));
    }
}

#[test]
fn alpha_of_every_setting_is_that_of_another_decoder() {
    for case in 0..96_u32 {
        let size = (1 + case * 13 % 60, 1 + case * 17 % 60);
        let rgb = scene(size.0, size.1, case, 10);
        let rgba = with_alpha(&rgb, |at| {
            let (x, y) = (at as u32 % size.0, at as u32 / size.0);
            [(x * 5) as u8, (y * 9) as u8, (x * y) as u8, ((x / 4 + y / 4) % 2 * 255) as u8]
                [case as usize % 4]
        });
        let file = encoded(&rgba, size, PixelLayout::Rgba, |config| {
            config.alpha_compression = (case / 2 % 2) as i32;
            config.alpha_filtering = (case / 4 % 3) as i32;
            config.alpha_quality = [100, 60, 10][case as usize / 3 % 3];
            config.quality = 60.0;
        });
        if WebPDecoder::new(Cursor::new(&file)).unwrap().has_alpha() {
            assert_equal(&file, &format!("case {case}"));
        }
        // Every filter, on the same bytes.
        let Some(at) = file.windows(4).position(|name| name == b"ALPH") else { continue };
        for filter in 0..4 {
            let mut file = file.clone();
            file[at + 8] = file[at + 8] & !12 | filter << 2;
            assert_equal(&file, &format!("case {case} with filter {filter}"));
        }
    }
}

fn chunk(name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut chunk = [name, &(data.len() as u32).to_le_bytes(), data].concat();
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}

/// An animation of one frame, with the chunks of a still, at (6, 10) on a canvas of 90 x 80.
fn animated(still: &[u8], size: (u32, u32), alpha: bool) -> Vec<u8> {
    let u24 = |value: u32| value.to_le_bytes()[..3].to_vec();
    let image = if &still[12..16] == b"VP8X" { &still[30..] } else { &still[12..] };
    // The pixels of the frame replace those of the canvas.
    let place = [u24(3), u24(5), u24(size.0 - 1), u24(size.1 - 1), u24(100), vec![2]].concat();
    let header = [vec![if alpha { 0x12 } else { 0x02 }, 0, 0, 0], u24(89), u24(79)].concat();
    let chunks =
        [chunk(b"VP8X", &header), chunk(b"ANIM", &[0; 6]), chunk(b"ANMF", &[&place, image].concat())];
    chunk(b"RIFF", &[b"WEBP".to_vec(), chunks.concat()].concat())
}

#[test]
fn the_first_frame_is_placed_on_its_canvas() {
    let size = (41, 37);
    let rgb = scene(size.0, size.1, 5, 9);
    let rgba = with_alpha(&rgb, |at| (at * 7) as u8);
    for (what, samples, layout, lossless) in [
        ("lossy", &rgb, PixelLayout::Rgb, 0),
        ("lossy with alpha", &rgba, PixelLayout::Rgba, 0),
        ("lossless", &rgb, PixelLayout::Rgb, 1),
        ("lossless with alpha", &rgba, PixelLayout::Rgba, 1),
    ] {
        let still = encoded(samples, size, layout, |config| config.lossless = lossless);
        for alpha in [false, true] {
            assert_equal(&animated(&still, size, alpha), &format!("{what}, {alpha}"));
        }
    }
}

#[test]
fn a_flag_for_alpha_that_is_missing_is_ignored() {
    let size = (41, 37);
    let rgb = scene(size.0, size.1, 5, 9);
    let still = encoded(&rgb, size, PixelLayout::Rgb, |_| {});
    let header = [0x10, 0, 0, 0, 40, 0, 0, 36, 0, 0];
    let body = [b"WEBP".to_vec(), chunk(b"VP8X", &header), still[12..].to_vec()].concat();
    let actual = decoded(&chunk(b"RIFF", &body), SimdLevel::detect()).unwrap();
    assert!(actual == expected(&still));
}

#[test]
fn damaged_images_are_malformed_or_alike_at_every_level() {
    let size = (50, 45);
    let rgb = scene(size.0, size.1, 8, 30);
    let rgba = with_alpha(&rgb, |at| (at / 3) as u8);
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    for lossless in [0, 1] {
        let whole = encoded(&rgba, size, PixelLayout::Rgba, |config| config.lossless = lossless);
        for _ in 0..600 {
            let mut file = whole.clone();
            for _ in 0..=random() % 3 {
                let at = 20 + random() % (file.len() - 20);
                file[at] = random() as u8;
            }
            let results = [SimdLevel::baseline(), SimdLevel::detect()].map(|level| decoded(&file, level));
            assert!(matches!(results[0], Ok(_) | Err(Error::Malformed(_))), "{:?}", results[0]);
            assert!(results[0] == results[1]);
        }
    }
}
