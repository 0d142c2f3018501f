//! The JPEG decoder compared with another decoder at full scale and with full decoding at reduced scales, and on
//! files with minor faults.

mod support;

use jpeg_encoder::{ColorType, SamplingFactor};
use support::*;
use tintype_engine::{Error, Limits, OutputFormat, Scaling, Scratch, SimdLevel, Spec, probe, render};

/// An image with edges, slopes and grain in all three colours.
fn scene(width: usize, height: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let grain = (state >> 28) as i32;
            let (dx, dy) = (x as f64 / width as f64 - 0.4, y as f64 / height as f64 - 0.5);
            let disc = if dx.hypot(dy) < 0.3 { 70 } else { 0 };
            let slope = (x * 120 / width) as i32;
            for value in [60 + disc + grain, 40 + slope + grain, 150 - slope + disc / 2 + grain] {
                rgb.push(value.clamp(0, 255) as u8);
            }
        }
    }
    rgb
}

/// Every kind of file that the encoder writes.
fn kinds(rgb: &[u8], width: usize, height: usize) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for sampling in
        [SamplingFactor::R_4_4_4, SamplingFactor::R_4_2_2, SamplingFactor::R_4_4_0, SamplingFactor::R_4_2_0]
    {
        for progressive in [false, true] {
            for restart in [0, 3] {
                let bytes = jpeg_with(rgb, width, height, ColorType::Rgb, |encoder| {
                    encoder.set_sampling_factor(sampling);
                    encoder.set_progressive(progressive);
                    encoder.set_restart_interval(restart);
                });
                files.push((format!("{sampling:?} progressive={progressive} restart={restart}"), bytes));
            }
        }
    }
    let gray: Vec<u8> = rgb.chunks(3).map(|p| p[0]).collect();
    files.push(("gray".into(), jpeg_with(&gray, width, height, ColorType::Luma, |_| {})));
    files
}

fn full(size: &str) -> Spec {
    Spec { size: size.parse().unwrap(), format: OutputFormat::Png, ..Spec::default() }
}

fn reference(bytes: &[u8]) -> Vec<u8> {
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    let pixels = decoder.decode().unwrap();
    match decoder.info().unwrap().pixel_format {
        jpeg_decoder::PixelFormat::L8 => pixels.iter().flat_map(|&v| [v, v, v]).collect(),
        _ => pixels,
    }
}

/// Root of the mean square error, and the largest difference, over colours.
fn difference(image: &Pixels, rgb: &[u8]) -> (f64, u8) {
    let rendered = image.rgba.chunks(4).flat_map(|p| &p[..3]);
    assert_eq!(image.rgba.len() / 4 * 3, rgb.len());
    let differences: Vec<u8> = rendered.zip(rgb).map(|(a, b)| a.abs_diff(*b)).collect();
    let squares: f64 = differences.iter().map(|&d| f64::from(d).powi(2)).sum();
    ((squares / rgb.len() as f64).sqrt(), differences.into_iter().max().unwrap_or(0))
}

#[test]
fn full_scale_matches_another_decoder() {
    for (width, height) in [(83, 61), (16, 16), (1, 9)] {
        let rgb = scene(width, height);
        for (name, bytes) in kinds(&rgb, width, height) {
            let rendered = Pixels::of(&thumbnail(&bytes, &full("200x200")).unwrap());
            let (error, most) = difference(&rendered, &reference(&bytes));
            // Upsampling of chroma differs between decoders; the transform is exact to a code value.
            let (bound, limit) = if name.contains("4_4_4") || name == "gray" { (0.8, 3) } else { (2.5, 60) };
            assert!(error < bound && most <= limit, "{width}x{height} {name}: {error}, at most {most}");
        }
    }
}

#[test]
fn reduced_scales_are_close_to_full_decoding() {
    let (width, height) = (503, 379);
    let rgb = scene(width, height);
    for (name, bytes) in kinds(&rgb, width, height) {
        let whole = rgb_png(&reference(&bytes), width, height);
        // From ratios that need every pixel to those that need one sample of eight by eight.
        for size in ["300x300", "95x95", "45x45", "22x22", "10x10"] {
            let expected = Pixels::of(&thumbnail(&whole, &full(size)).unwrap());
            let expected: Vec<u8> = expected.rgba.chunks(4).flat_map(|p| p[..3].to_vec()).collect();
            let rendered = Pixels::of(&thumbnail(&bytes, &full(size)).unwrap());
            let (error, most) = difference(&rendered, &expected);
            assert!(error < 2.2 && most < 30, "{name} to {size}: {error}, at most {most}");
        }
    }
}

/// Where every pixel is black or white, most light of a reduced sample is in coefficients that it does not use.
#[test]
fn dithered_pages_preserve_their_light() {
    const SIDE: usize = 700;
    let mut state = 1_u32;
    let gray: Vec<u8> = (0..SIDE * SIDE)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 16 < 39_000 { 255 } else { 0 }
        })
        .collect();
    let bytes = jpeg_with(&gray, SIDE, SIDE, ColorType::Luma, |_| {});
    let whole = rgb_png(&reference(&bytes), SIDE, SIDE);
    // At 1/2, 1/4 and 1/8. A sample that overflows would be black or at full brightness.
    for (size, bound, limit) in [("128x128", 9.0, 40), ("60x60", 5.0, 16), ("30x30", 7.0, 12)] {
        let expected = Pixels::of(&thumbnail(&whole, &full(size)).unwrap());
        let expected: Vec<u8> = expected.rgba.chunks(4).flat_map(|p| p[..3].to_vec()).collect();
        let (error, most) = difference(&Pixels::of(&thumbnail(&bytes, &full(size)).unwrap()), &expected);
        assert!(error < bound && most <= limit, "{size}: {error}, at most {most}");
    }
}

#[test]
fn every_simd_level_gives_the_same_bytes() {
    let rgb = scene(333, 257);
    for (name, bytes) in kinds(&rgb, 333, 257).into_iter().chain([("png".into(), rgb_png(&rgb, 333, 257))]) {
        for size in ["400", "128", "60", "20"] {
            let specs = [Spec { size: size.parse().unwrap(), ..Spec::default() }];
            let run = |level| {
                render(&bytes, &specs, &Limits::default(), &|| false, &mut Scratch::at(level)).unwrap()
            };
            assert_eq!(run(SimdLevel::baseline()), run(SimdLevel::detect()), "{name} to {size}");
        }
    }
}

#[test]
fn both_profiles_are_close_to_full_decoding_and_sharp_ones_closer() {
    let (width, height) = (503, 379);
    let rgb = scene(width, height);
    let bytes = jpeg_with(&rgb, width, height, ColorType::Rgb, |encoder| {
        encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
    });
    let whole = rgb_png(&reference(&bytes), width, height);
    for size in ["150x150", "60x60", "30x30"] {
        let expected = Pixels::of(&thumbnail(&whole, &full(size)).unwrap());
        let expected: Vec<u8> = expected.rgba.chunks(4).flat_map(|p| p[..3].to_vec()).collect();
        let error = |scaling| {
            let spec = Spec { scaling, ..full(size) };
            difference(&Pixels::of(&thumbnail(&bytes, &spec).unwrap()), &expected).0
        };
        let (sharp, fast) = (error(Scaling::Sharp), error(Scaling::Fast));
        assert!(sharp <= fast && fast < 4.0, "{size}: {sharp} and {fast}");
    }
}

/// The thumbnail that an Exif segment holds ends in FF D9, too: that is no end of the image.
#[test]
fn a_truncated_progressive_file_is_detected_by_its_structure() {
    let rgb = scene(300, 200);
    let whole = jpeg_with(&rgb, 300, 200, ColorType::Rgb, |encoder| encoder.set_progressive(true));
    let exif = [b"Exif\0\0", &jpeg(&scene(16, 16), 16, 16)[..]].concat();
    let segment = [&[0xff, 0xe1][..], &(exif.len() as u16 + 2).to_be_bytes(), &exif].concat();
    let whole = [&whole[..2], &segment, &whole[2..]].concat();
    let spec = full("40x40");
    assert!(thumbnail(&whole, &spec).is_ok());
    for share in [3, 5, 7, 9] {
        let truncated = &whole[..whole.len() * share / 10];
        assert!(matches!(thumbnail(truncated, &spec), Err(Error::Malformed(_))), "{share} tenths");
    }
}

#[test]
fn harmless_faults_are_ignored() {
    let rgb = scene(200, 150);
    for (name, bytes) in kinds(&rgb, 200, 150) {
        let spec = full("64x64");
        let expected = thumbnail(&bytes, &spec).unwrap();
        let trailing = [&bytes[..], b"something else after the image"].concat();
        assert_eq!(thumbnail(&trailing, &spec).unwrap(), expected, "{name} with trailing bytes");
        // Without EOI all scans of a progressive file are read, which is more exact.
        let rendered = Pixels::of(&thumbnail(&bytes[..bytes.len() - 2], &spec).unwrap());
        let expected = Pixels::of(&expected);
        let rgb: Vec<u8> = expected.rgba.chunks(4).flat_map(|p| p[..3].to_vec()).collect();
        assert!(difference(&rendered, &rgb).0 < 2.0, "{name} without EOI");
        let mut renumbered = bytes.clone();
        for at in 0..renumbered.len() - 1 {
            if renumbered[at] == 0xff && (0xd0..=0xd7).contains(&renumbered[at + 1]) {
                renumbered[at + 1] = 0xd3;
            }
        }
        let rendered = Pixels::of(&thumbnail(&renumbered, &spec).unwrap());
        assert_eq!(rendered.rgba, expected.rgba, "{name} with wrong restart numbers");
    }
}

#[test]
fn the_height_may_follow_the_scan() {
    let rgb = scene(64, 40);
    let mut bytes = jpeg(&rgb, 64, 40);
    let expected = thumbnail(&bytes, &full("64")).unwrap();
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    assert_eq!(bytes[frame + 5..frame + 7], [0, 40]);
    bytes[frame + 6] = 0;
    assert!(matches!(probe(&bytes), Err(Error::Malformed(_))));
    let end = bytes.len() - 2;
    bytes.splice(end..end, [0xff, 0xdc, 0, 4, 0, 40]);
    assert_eq!(probe(&bytes).unwrap().height, 40);
    assert_eq!(thumbnail(&bytes, &full("64")).unwrap(), expected);
}

#[test]
fn a_repeated_scan_is_refused() {
    let rgb = scene(64, 40);
    let bytes = jpeg_with(&rgb, 64, 40, ColorType::Rgb, |encoder| encoder.set_progressive(true));
    let scans: Vec<usize> = (0..bytes.len() - 1).filter(|&at| bytes[at..at + 2] == [0xff, 0xda]).collect();
    assert!(scans.len() > 2);
    let repeated = [&bytes[..scans[1]], &bytes[scans[0]..]].concat();
    for size in ["64", "8"] {
        assert!(thumbnail(&bytes, &full(size)).is_ok());
        let refused = thumbnail(&repeated, &full(size));
        assert!(
            matches!(&refused, Err(Error::Malformed(why)) if why.contains("a second time")),
            "{refused:?}"
        );
    }
}

#[test]
fn truncated_data_is_an_error_unless_enough_rows_are_tolerated() {
    let rgb = scene(400, 400);
    let bytes = jpeg(&rgb, 400, 400);
    let truncated = &bytes[..bytes.len() * 3 / 4];
    assert!(
        matches!(thumbnail(truncated, &Spec::default()), Err(Error::Malformed(why)) if why.contains("rows"))
    );
    let limits = |share| Limits { tolerant: true, tolerant_share: share, ..Limits::default() };
    let run =
        |share| render(truncated, &[Spec::default()], &limits(share), &|| false, &mut Scratch::default());
    assert!(run(0.5).is_ok());
    assert!(matches!(run(0.95), Err(Error::Malformed(_))));
}

#[test]
fn unsupported_processes_are_named() {
    let bytes = jpeg(&scene(16, 16), 16, 16);
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    for (marker, name) in [(0xc3, "lossless"), (0xc9, "arithmetic"), (0xc5, "hierarchical")] {
        let mut changed = bytes.clone();
        changed[frame + 1] = marker;
        assert!(matches!(probe(&changed), Err(Error::Unsupported(why)) if why.contains(name)));
    }
    let mut deep = bytes.clone();
    deep[frame + 4] = 12;
    assert!(matches!(probe(&deep), Err(Error::Unsupported(why)) if why.contains("12 bits")));
}
