//! Resampling: flat images stay flat, 1:1 is the identity, means are of light, results are close to Lanczos.

use super::*;
use crate::header::{Format, Orientation};
use crate::plan::Rect;
use crate::spec::{Filter, Scaling};

fn run(model: Model, width: u32, height: u32, out: (u32, u32), pixels: &[u8]) -> Vec<u16> {
    let header = Header {
        format: Format::Png,
        width,
        height,
        orientation: Orientation::UPRIGHT,
        colour: crate::header::Colour::Rgb,
        bits: 8,
        alpha: model.has_alpha(),
        progressive: false,
        buffered: false,
        decoder_bytes: 0,
        coded_bytes: 0,
        animated: false,
        profile: false,
        work: 0,
    };
    let source = Rect { x: 0.0, y: 0.0, width: width.into(), height: height.into() };
    let plan = Plan {
        source,
        stored: out,
        canvas: out,
        offset: (0, 0),
        filter: Filter::Lanczos3,
        scaling: Scaling::Sharp,
        crop: None,
    };
    let never = || false;
    let mut results = [SimdLevel::baseline(), SimdLevel::detect()].map(|level| {
        let (plans, mut cache) = ([plan], Buffers::default());
        let mut resampler = MultiResampler::new(&header, &plans, level, Stop(&never), &mut cache);
        resampler.begin(Grid::full_scale(model)).unwrap();
        for row in pixels.chunks(width as usize * model.channels()) {
            resampler.row(Row::U8(row)).unwrap();
        }
        resampler.finish().expect("all rows were passed").remove(0)
    });
    assert_eq!(results[0], results[1], "the levels differ");
    std::mem::take(&mut results[0].samples)
}

#[test]
fn a_flat_image_stays_flat_at_every_size() {
    for (width, height) in [(1, 1), (7, 5), (640, 33), (1000, 1000)] {
        let pixels = [200, 100, 3].repeat((width * height) as usize);
        for out in [(1, 1), (3, 4), (64, 64), (128, 9)] {
            for pixel in run(Model::Rgb, width, height, out, &pixels).chunks(3) {
                let bytes = [pixel[0], pixel[1], pixel[2]].map(|v| (u32::from(v) * 255 + 32767) / 65535);
                assert_eq!(bytes, [200, 100, 3], "{width}x{height} to {out:?}");
            }
        }
    }
}

#[test]
fn one_to_one_preserves_every_byte() {
    let pixels: Vec<u8> = (0..=255).collect();
    let samples = run(Model::Gray, 16, 16, (16, 16), &pixels);
    let bytes: Vec<u8> = samples.iter().map(|&v| ((u32::from(v) * 255 + 32767) / 65535) as u8).collect();
    assert_eq!(bytes, pixels);
}

#[test]
fn averages_light_and_not_code_values() {
    let pixels: Vec<u8> = (0..64 * 64).map(|i| if (i % 64 + i / 64) % 2 == 0 { 0 } else { 255 }).collect();
    for sample in run(Model::Gray, 64, 64, (4, 4), &pixels) {
        assert!((sample / 257).abs_diff(188) <= 2, "{}", sample / 257);
    }
}

#[test]
fn transparent_colour_does_not_bleed() {
    let row = [[255, 0, 0, 0].repeat(32), [0, 0, 255, 255].repeat(32)].concat();
    for pixel in run(Model::Rgba, 64, 64, (8, 8), &row.repeat(64)).chunks(4) {
        assert_eq!(pixel[0], 0, "{pixel:?}");
    }
}

/// Lanczos3 in floating point over all pixels, by definition.
fn reference(width: usize, height: usize, out: (usize, usize), light: &[f64]) -> Vec<f64> {
    let lanczos = |x: f64| {
        let sinc = |x: f64| {
            if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) }
        };
        if x.abs() < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 }
    };
    let weights = |length: usize, out: usize| -> Vec<Vec<f64>> {
        let ratio = length as f64 / out as f64;
        (0..out)
            .map(|index| {
                let centre = (index as f64 + 0.5) * ratio;
                let row: Vec<f64> =
                    (0..length).map(|at| lanczos((at as f64 + 0.5 - centre) / ratio.max(1.0))).collect();
                let sum: f64 = row.iter().sum();
                row.into_iter().map(|weight| weight / sum).collect()
            })
            .collect()
    };
    let (across, down) = (weights(width, out.0), weights(height, out.1));
    let dot =
        |a: &[f64], b: &mut dyn Iterator<Item = f64>| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let narrow: Vec<Vec<f64>> = light
        .chunks(width)
        .map(|row| across.iter().map(|weights| dot(weights, &mut row.iter().copied())).collect())
        .collect();
    let column = |x: usize| narrow.iter().map(move |row| row[x]);
    down.iter()
        .flat_map(|weights| (0..out.0).map(|x| dot(weights, &mut column(x))).collect::<Vec<_>>())
        .collect()
}

#[test]
fn close_to_lanczos_in_floating_point() {
    // Smooth shapes with edges, at ratios with and without boxes.
    for (width, height, out) in [(90, 70, (40, 31)), (200, 150, (31, 24)), (400, 300, (16, 12))] {
        let pixels: Vec<u8> = (0..width * height)
            .map(|index| {
                let (x, y) = ((index % width) as f64 / width as f64, (index / width) as f64 / height as f64);
                let disc = if (x - 0.4).hypot(y - 0.5) < 0.3 { 90.0 } else { 0.0 };
                (60.0 + 90.0 * x + disc + 10.0 * (y * 40.0).sin()) as u8
            })
            .collect();
        let light: Vec<f64> =
            pixels.iter().map(|&v| f64::from(crate::light::linear_8(v)) / 65535.0).collect();
        let expected = reference(width, height, out, &light);
        let actual = run(Model::Gray, width as u32, height as u32, (out.0 as u32, out.1 as u32), &pixels);
        let mut worst = 0.0_f64;
        let mut sum = 0.0;
        for (sample, expected) in actual.iter().zip(&expected) {
            let code = f64::from(crate::light::encoder()((expected * 16384.0).round() as i32));
            let error = (f64::from(*sample) - code).abs() / 257.0;
            worst = worst.max(error);
            sum += error * error;
        }
        let error = (sum / actual.len() as f64).sqrt();
        assert!(
            worst < 4.0 && error < 0.8,
            "{width}x{height} to {out:?}: at most {worst}, {error} on average"
        );
    }
}
