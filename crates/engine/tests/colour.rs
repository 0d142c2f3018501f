//! Colours of profiles against a reference in floating point: delta E 2000 below 1.

mod support;

use jpeg_encoder::ColorType as JpegColour;
use png::{BitDepth, ColorType};
use support::icc::{self, ADOBE_RGB, DISPLAY_P3, MatrixProfile, Press};
use support::*;
use tintype_engine::{Format, OutputFormat, Spec, probe};

fn as_png() -> Spec {
    Spec { size: "200x200".parse().unwrap(), format: OutputFormat::Png, ..Spec::default() }
}

/// CIEDE2000 between a thumbnail's colour and the expected one, in codes of sRGB.
fn difference(rendered: [u8; 4], expected: [f64; 3]) -> f64 {
    let [r, g, b, _] = rendered.map(f64::from);
    icc::delta_e(icc::srgb_lab([r, g, b]), icc::srgb_lab(expected))
}

#[test]
fn ciede2000_matches_published_pairs() {
    // Pairs 1, 10, 17 and 25 of Sharma, Wu and Dalal, table 1.
    for (one, other, expected) in [
        ([50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485], 2.0425),
        ([50.0, 2.4900, -0.0010], [50.0, -2.4900, 0.0011], 7.2195),
        ([50.0, 2.5000, 0.0], [73.0, 25.0, -18.0], 27.1492),
        ([60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644),
    ] {
        let rendered = icc::delta_e(one, other);
        assert!((rendered - expected).abs() < 0.0001, "{rendered} is not {expected}");
    }
}

/// Colours of the whole cube, one a pixel.
fn cube() -> Vec<[u8; 3]> {
    let steps: Vec<u8> = (0..=16).map(|step| (step * 255 / 16) as u8).collect();
    let mut cube = Vec::new();
    for &r in &steps {
        for &g in &steps {
            cube.extend(steps.iter().map(|&b| [r, g, b]));
        }
    }
    cube
}

fn check_rgb(name: &str, profile: &MatrixProfile) {
    let colours = cube();
    let (width, height) = (17, 17 * 17);
    let set = |info: &mut png::Info<'_>| info.icc_profile = Some(profile.file().into());
    let bytes = png_with(&colours.concat(), width, height, ColorType::Rgb, BitDepth::Eight, set);
    let rendered =
        Pixels::of(&thumbnail(&bytes, &Spec { size: "x289".parse().unwrap(), ..as_png() }).unwrap());
    assert_eq!((rendered.width, rendered.height), (width, height));
    let mut worst = (0.0, [0; 3]);
    let mut changed = 0;
    for (at, &colour) in colours.iter().enumerate() {
        let pixel = rendered.at(at % width, at / width);
        changed += usize::from(pixel[..3] != colour);
        let difference = difference(pixel, icc::to_srgb(profile.xyz(colour)));
        if difference > worst.0 {
            worst = (difference, colour);
        }
    }
    assert!(worst.0 < 1.0, "{name}: {:?} is off by {}", worst.1, worst.0);
    assert!(changed > colours.len() / 2, "{name}: only {changed} colours were converted");
}

#[test]
fn display_p3_and_adobe_rgb_are_true_in_png() {
    check_rgb("Display P3", &DISPLAY_P3);
    check_rgb("Adobe RGB", &ADOBE_RGB);
}

#[test]
fn display_p3_and_adobe_rgb_are_true_in_jpeg() {
    for (name, profile) in [("Display P3", DISPLAY_P3), ("Adobe RGB", ADOBE_RGB)] {
        for progressive in [false, true] {
            for colour in [[200, 120, 80], [30, 160, 90], [90, 90, 220], [128, 128, 128], [240, 230, 60]] {
                let bytes = jpeg_with(&colour.repeat(64 * 64), 64, 64, JpegColour::Rgb, |encoder| {
                    encoder.set_progressive(progressive);
                    encoder.add_icc_profile(&profile.file()).unwrap();
                });
                let stored = jpeg_decoder::Decoder::new(&bytes[..]).decode().unwrap();
                let stored = *stored.first_chunk().unwrap();
                let rendered = Pixels::of(&thumbnail(&bytes, &as_png()).unwrap()).at(20, 20);
                let difference = difference(rendered, icc::to_srgb(profile.xyz(stored)));
                assert!(difference < 1.0, "{name}: {colour:?} is {rendered:?}, off by {difference}");
            }
        }
    }
}

#[test]
fn cmyk_and_ycck_are_true_with_and_without_a_profile() {
    for (name, colour) in [("cmyk", JpegColour::Cmyk), ("ycck", JpegColour::CmykAsYcck)] {
        for inks in [[0, 0, 0, 0], [255, 0, 0, 0], [0, 200, 40, 0], [30, 20, 180, 60], [10, 120, 90, 130]] {
            for with_profile in [false, true] {
                let bytes = jpeg_with(&inks.repeat(64 * 64), 64, 64, colour, |encoder| {
                    if with_profile {
                        encoder.add_icc_profile(&Press::file()).unwrap();
                    }
                });
                let header = probe(&bytes).unwrap();
                assert_eq!((header.format, header.colour.name()), (Format::Jpeg, name));
                assert_eq!(header.profile, with_profile);
                let shares = inks.map(|ink| f64::from(ink) / 255.0);
                let expected = if with_profile {
                    icc::to_srgb(icc::lab_xyz(Press::lab(shares)))
                } else {
                    [0, 1, 2].map(|at| (1.0 - shares[at]) * (1.0 - shares[3]) * 255.0)
                };
                let rendered = Pixels::of(&thumbnail(&bytes, &as_png()).unwrap()).at(20, 20);
                let difference = difference(rendered, expected);
                assert!(
                    difference < 1.5,
                    "{name} {inks:?}, profile {with_profile}: {rendered:?}, off by {difference}"
                );
            }
        }
    }
}
