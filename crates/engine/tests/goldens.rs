//! Thumbnails against those stored beside their sources in `goldens/`: pixels for PNG, bytes for JPEG and WebP.
//!
//! For an intended change, raise `RECIPE`, run `TINTYPE_GOLDENS=renew cargo test -p tintype-engine --test goldens`
//! and review the changes in git. Missing sources are generated. On failure, expected, difference and actual are
//! written side by side into one image, whose path is in the message.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use jpeg_encoder::{ColorType as JpegColour, SamplingFactor};
use png::{BitDepth, ColorType};
use support::icc::{DISPLAY_P3, Press};
use support::*;
use tintype_engine::{Effort, OutputFormat, Scaling, Spec};

const WIDTH: usize = 96;
const HEIGHT: usize = 72;

/// Flat parts, edges, fine lines and a gradient.
fn scene(width: usize, height: usize) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (x * 96 / width, y * 72 / height);
            let disc = u.abs_diff(30).pow(2) + v.abs_diff(36).pow(2) < 400;
            rgb.extend(match (disc, u > 60) {
                (true, _) => [230, 80, 40],
                (_, true) if (x + y) % 4 < 2 => [20, 30, 60],
                (_, true) => [240, 240, 220],
                _ => [(u * 2) as u8, (v * 3) as u8, 180],
            });
        }
    }
    rgb
}

/// Every source by its name, generated.
fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let rgb = scene(WIDTH, HEIGHT);
    let rgba: Vec<u8> = rgb
        .chunks(3)
        .enumerate()
        .flat_map(|(at, p)| [p[0], p[1], p[2], (at % WIDTH * 255 / 95) as u8])
        .collect();
    let gray: Vec<u8> = rgb.chunks(3).map(|p| p[1]).collect();
    let gray16: Vec<u8> = gray.iter().flat_map(|&v| [v, 255 - v]).collect();
    let inks: Vec<u8> = rgb.chunks(3).flat_map(|p| [255 - p[0], 255 - p[1], 255 - p[2], p[2] / 4]).collect();
    let jpeg = |pixels: &[u8], colour, set: &dyn Fn(&mut jpeg_encoder::Encoder<&mut Vec<u8>>)| {
        jpeg_with(pixels, WIDTH, HEIGHT, colour, |encoder| set(encoder))
    };
    let png = |pixels: &[u8], colour, depth| png(pixels, WIDTH, HEIGHT, colour, depth);
    let palette = png_with(
        &gray.iter().map(|v| v / 16).collect::<Vec<u8>>(),
        WIDTH,
        HEIGHT,
        ColorType::Indexed,
        BitDepth::Eight,
        |info| {
            info.palette = Some((0..16 * 3).map(|v: u8| v.wrapping_mul(37)).collect::<Vec<u8>>().into());
            info.trns = Some(vec![0, 90, 180].into());
        },
    );
    vec![
        ("baseline.jpg", jpeg(&rgb, JpegColour::Rgb, &|_| {})),
        ("halved.jpg", jpeg(&rgb, JpegColour::Rgb, &|e| e.set_sampling_factor(SamplingFactor::F_2_2))),
        ("progressive.jpg", jpeg(&rgb, JpegColour::Rgb, &|e| e.set_progressive(true))),
        ("gray.jpg", jpeg(&gray, JpegColour::Luma, &|_| {})),
        ("cmyk.jpg", jpeg(&inks, JpegColour::Cmyk, &|_| {})),
        (
            "ycck-press.jpg",
            jpeg(&inks, JpegColour::CmykAsYcck, &|e| e.add_icc_profile(&Press::file()).unwrap()),
        ),
        ("turned.jpg", with_orientation(&jpeg(&rgb, JpegColour::Rgb, &|_| {}), 6)),
        (
            "large.jpg",
            jpeg_with(&scene(320, 240), 320, 240, JpegColour::Rgb, |e| {
                e.set_sampling_factor(SamplingFactor::F_2_2);
            }),
        ),
        (
            "large-progressive.jpg",
            jpeg_with(&scene(320, 240), 320, 240, JpegColour::Rgb, |e| {
                e.set_progressive(true);
                e.set_sampling_factor(SamplingFactor::F_2_2);
            }),
        ),
        ("interlaced.png", interlaced_png(&scene(48, 36), 48, 36)),
        ("rgb.png", png(&rgb, ColorType::Rgb, BitDepth::Eight)),
        ("rgba.png", png(&rgba, ColorType::Rgba, BitDepth::Eight)),
        ("gray16.png", png(&gray16, ColorType::Grayscale, BitDepth::Sixteen)),
        ("palette.png", palette),
        (
            "p3.png",
            png_with(&rgb, WIDTH, HEIGHT, ColorType::Rgb, BitDepth::Eight, |info| {
                info.icc_profile = Some(DISPLAY_P3.file().into());
            }),
        ),
        ("lossy.webp", webp(&rgb, WIDTH, HEIGHT)),
        ("lossless.webp", webp_lossless(&rgba, WIDTH, HEIGHT)),
        ("frame.gif", gif(&rgb, WIDTH, HEIGHT, 1)),
        ("rows.bmp", bmp(&scene(48, 36), 48, 36)),
        ("strips.tif", tiff::<tiff::encoder::colortype::RGB8>(&scene(48, 36), 48, 36)),
    ]
}

/// The renditions of every source, and further ones of some.
fn cases(input: &str) -> Vec<(&'static str, Spec)> {
    let png = |size: &str| Spec { size: size.parse().unwrap(), format: OutputFormat::Png, ..Spec::default() };
    let mut cases = vec![("inside.png", png("40x40"))];
    if input == "rgba.png" || input == "baseline.jpg" {
        cases.extend([
            ("same-size.png", png("96x72")),
            ("fill.png", Spec { fit: "fill".parse().unwrap(), ..png("30x50") }),
            (
                "cover.png",
                Spec { fit: "cover".parse().unwrap(), gravity: "east".parse().unwrap(), ..png("32x32") },
            ),
            (
                "contain.png",
                Spec {
                    fit: "contain".parse().unwrap(),
                    background: "336699".parse().unwrap(),
                    ..png("40x40")
                },
            ),
            ("enlarged.png", Spec { enlarge: true, ..png("110") }),
            ("box.png", Spec { filter: "box".parse().unwrap(), ..png("40x40") }),
            ("catmull-rom.png", Spec { filter: "catmull-rom".parse().unwrap(), ..png("40x40") }),
            ("mitchell.png", Spec { filter: "mitchell".parse().unwrap(), ..png("40x40") }),
        ]);
    }
    if input.starts_with("large") {
        // From one sample of a block to all of them.
        cases.extend([
            ("4.png", png("4x4")),
            ("8.png", png("8x8")),
            ("16.png", png("16x16")),
            ("24.png", png("24x24")),
            ("32.png", png("32x32")),
            ("48.png", png("48x48")),
            ("56.png", png("56x56")),
            ("72.png", png("72x72")),
            ("fast-12.png", Spec { scaling: Scaling::Fast, ..png("12x12") }),
            ("fast-32.png", Spec { scaling: Scaling::Fast, ..png("32x32") }),
            ("fast-72.png", Spec { scaling: Scaling::Fast, ..png("72x72") }),
        ]);
    }
    if input == "rgba.png" || input == "rgb.png" {
        cases.push(("inside.webp", Spec { format: OutputFormat::WebP, ..png("40x40") }));
    }
    if input == "rgba.png" || input == "gray16.png" {
        cases.push(("large-reduction.png", png("3x3")));
    }
    if input == "rgb.png" || input == "gray.jpg" {
        let jpeg = |effort| Spec { format: OutputFormat::Jpeg, effort, ..png("40x40") };
        cases.extend([
            ("fast.jpg", jpeg(Effort::Fast)),
            ("balanced.jpg", jpeg(Effort::Balanced)),
            ("best.jpg", jpeg(Effort::Best)),
        ]);
    }
    cases
}

#[test]
fn thumbnails_match_the_goldens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let renew = std::env::var("TINTYPE_GOLDENS").is_ok_and(|value| value == "renew");
    let mut wrong = Vec::new();
    for (input, generated) in inputs() {
        let source = folder.join(input);
        if renew && !source.exists() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&source, generated).unwrap();
        }
        let bytes = fs::read(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        for (case, spec) in cases(input) {
            let golden = folder.join(format!("{input}.{case}"));
            let actual = thumbnail(&bytes, &spec).unwrap_or_else(|error| panic!("{input}, {case}: {error}"));
            if renew {
                fs::write(&golden, &actual.bytes).unwrap();
                continue;
            }
            let expected = fs::read(&golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
            if spec.format != OutputFormat::Png {
                if actual.bytes != expected {
                    wrong.push(format!("{input}, {case}: the bytes differ"));
                }
                continue;
            }
            let (expected, actual) = (Pixels::of_png(&expected), Pixels::of(&actual));
            if (actual.width, actual.height) != (expected.width, expected.height)
                || actual.rgba != expected.rgba
            {
                let comparison = side_by_side(&format!("{input}.{case}"), &expected, &actual);
                wrong.push(format!("{input}, {case}: {}", comparison.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "thumbnails differ from the goldens:\n{}", wrong.join("\n"));
    let sizes = fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    assert!(sizes.sum::<u64>() <= 300 << 10);
}

/// Writes expected, difference (four times as strong, on gray) and actual into one image.
fn side_by_side(name: &str, expected: &Pixels, actual: &Pixels) -> PathBuf {
    let (width, height) = (expected.width.max(actual.width), expected.height.max(actual.height));
    let at = |image: &Pixels, x: usize, y: usize| {
        if x < image.width && y < image.height { image.at(x, y) } else { [0; 4] }
    };
    let difference = |x, y| {
        let (a, b) = (at(expected, x, y), at(actual, x, y));
        let of = |c: usize| 128 + 4 * (i32::from(b[c]) - i32::from(a[c]) + i32::from(b[3]) - i32::from(a[3]));
        [of(0), of(1), of(2), 255].map(|value| value.clamp(0, 255) as u8)
    };
    let mut rgba = Vec::new();
    for y in 0..height {
        (0..width).for_each(|x| rgba.extend(at(expected, x, y)));
        (0..width).for_each(|x| rgba.extend(difference(x, y)));
        (0..width).for_each(|x| rgba.extend(at(actual, x, y)));
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, rgba_png(&rgba, 3 * width, height)).unwrap();
    path
}
