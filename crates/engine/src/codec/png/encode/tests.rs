//! Images encoded, and decoded by the png crate.

use std::io::Cursor;

use super::*;

/// An image drawn by a function of x and y.
fn image(model: Model, width: u32, height: u32, sample: impl Fn(u32, u32, usize) -> u8) -> Image8 {
    let channels = model.channels();
    let pixel = |x, y| (0..channels).map(move |channel| (x, y, channel));
    let all = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y)));
    Image8 { width, height, model, samples: all.map(|(x, y, channel)| sample(x, y, channel)).collect() }
}

fn noise(x: u32, y: u32, channel: usize) -> u8 {
    let mixed = (x * 7919 + y * 104_729 + channel as u32 * 1_299_709 + 1).wrapping_mul(2_654_435_761);
    // Without this, rows would repeat.
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca6b);
    (mixed >> 24) as u8
}

fn as_rgba(model: Model, samples: &[u8]) -> Vec<u8> {
    let pixels = samples.chunks(model.channels());
    pixels
        .flat_map(|pixel| match *pixel {
            [v] => [v, v, v, 255],
            [v, a] => [v, v, v, a],
            [r, g, b] => [r, g, b, 255],
            [r, g, b, a] => [r, g, b, a],
            _ => unreachable!(),
        })
        .collect()
}

/// Checks the file and returns its colour type and depth.
fn check(image: &Image8) -> (png::ColorType, png::BitDepth) {
    let file = encode(image, Stop(&|| false)).unwrap();
    let mut decoder = png::Decoder::new(Cursor::new(&file));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut samples = vec![0; reader.output_buffer_size().unwrap()];
    let read = reader.next_frame(&mut samples).unwrap();
    reader.finish().unwrap();
    assert_eq!((read.width, read.height), (image.width, image.height));
    let model = match read.color_type {
        png::ColorType::Grayscale => Model::Gray,
        png::ColorType::GrayscaleAlpha => Model::GrayAlpha,
        png::ColorType::Rgb => Model::Rgb,
        _ => Model::Rgba,
    };
    assert!(as_rgba(model, &samples) == as_rgba(image.model, &image.samples), "{:?}", image.model);
    (reader.info().color_type, reader.info().bit_depth)
}

const MODELS: [Model; 4] = [Model::Gray, Model::GrayAlpha, Model::Rgb, Model::Rgba];

#[test]
fn every_model_and_size_round_trips() {
    for model in MODELS {
        for (width, height) in [(1, 1), (1, 9), (9, 1), (5, 5), (64, 3), (150, 130)] {
            check(&image(model, width, height, noise));
            check(&image(model, width, height, |x, y, channel| (x * 3 + y + channel as u32) as u8));
            check(&image(model, width, height, |x, y, channel| {
                (x * x / 50 + y * 2) as u8 ^ (noise(x, y, channel) & 3)
            }));
            check(&image(model, width, height, |_, _, channel| channel as u8 * 80));
        }
    }
}

#[test]
fn few_colours_give_a_palette() {
    for (colours, bits) in [(2, 1), (4, 2), (16, 4), (200, 8)] {
        let drawn = image(Model::Rgba, 131, 120, |x, y, channel| {
            let index = noise(x / 3, y / 3, 0) % colours;
            if channel == 3 && index != 1 { 255 } else { index.wrapping_mul(37 + channel as u8) }
        });
        let (kind, depth) = check(&drawn);
        assert_eq!((kind, depth as u8), (png::ColorType::Indexed, bits), "{colours} colours");
    }
}

#[test]
fn long_runs_and_distant_repetitions_round_trip() {
    let stripes = image(Model::Gray, 600, 500, |x, y, _| if y % 83 == 0 { noise(x, y % 7, 0) } else { 9 });
    check(&stripes);
    let tiles = image(Model::Rgb, 400, 300, |x, y, channel| noise(x % 100, y % 80, channel));
    check(&tiles);
}
