//! Properties that hold for any image and any spec.

mod support;

use png::{BitDepth, ColorType};
use proptest::prelude::*;
use support::*;
use tintype_engine::{
    Error, Filter, Fit, Gravity, Limits, OutputFormat, Scratch, SimdLevel, Size, Spec, estimate, probe,
    render,
};

fn any_named<T: std::str::FromStr<Err = String> + std::fmt::Debug + Clone>(
    names: &'static [&'static str],
) -> impl Strategy<Value = T> {
    proptest::sample::select(names).prop_map(|name| name.parse().unwrap())
}

prop_compose! {
    fn any_spec()(
        width in proptest::option::of(1_u32..90),
        height in 1_u32..90,
        fit in any_named::<Fit>(Fit::NAMES),
        gravity in any_named::<Gravity>(Gravity::NAMES),
        filter in any_named::<Filter>(Filter::NAMES),
        enlarge in any::<bool>(),
    ) -> Spec {
        let size = Size { width, height: Some(height) };
        Spec { size, fit, gravity, filter, enlarge, format: OutputFormat::Png, ..Spec::default() }
    }
}

/// Noise from a seed.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_thumbnail_meets_its_box(
        width in 1_usize..200, height in 1_usize..200, orientation in 1_u8..=8, spec in any_spec(),
    ) {
        let bytes = with_orientation(&jpeg(&texture(width, height), width, height), orientation);
        let (upright_width, upright_height) = probe(&bytes).unwrap().upright();
        let rendered = thumbnail(&bytes, &spec).unwrap();
        let (rendered_width, rendered_height) = (rendered.width, rendered.height);
        let most_width = spec.size.width.unwrap_or(u32::MAX);
        let most_height = spec.size.height.unwrap();
        prop_assert!(rendered_width >= 1 && rendered_height >= 1);
        prop_assert!(rendered_width <= most_width && rendered_height <= most_height, "outside the box");
        if !spec.enlarge && spec.fit != Fit::Contain {
            prop_assert!(rendered_width <= upright_width && rendered_height <= upright_height, "enlarged");
        }
        if spec.fit == Fit::Inside && (spec.enlarge || upright_height > most_height || upright_width > most_width) {
            prop_assert!(rendered_width == most_width || rendered_height == most_height, "smaller than necessary");
        }
        let image = Pixels::of(&rendered);
        prop_assert_eq!((image.width as u32, image.height as u32), (rendered_width, rendered_height));
    }

    #[test]
    fn one_colour_stays_that_colour(
        width in 1_usize..120, height in 1_usize..120, colour in any::<[u8; 3]>(), spec in any_spec(),
    ) {
        let bytes = rgb_png(&colour.repeat(width * height), width, height);
        let spec = Spec { fit: if spec.fit == Fit::Contain { Fit::Fill } else { spec.fit }, ..spec };
        let rendered = Pixels::of(&thumbnail(&bytes, &spec).unwrap());
        let [r, g, b] = colour;
        prop_assert!(rendered.rgba.as_chunks::<4>().0.iter().all(|pixel| *pixel == [r, g, b, 255]));
    }

    #[test]
    fn at_its_own_size_an_image_is_unchanged(
        width in 1_usize..80, height in 1_usize..80, seed in any::<u32>(), colours in 1_u8..=255,
    ) {
        let pixels: Vec<u8> = noise(width * height * 3, seed).iter().map(|value| value % colours).collect();
        let spec = Spec { size: "80x80".parse().unwrap(), ..Spec::default() };
        let rendered = Pixels::of(&thumbnail(&rgb_png(&pixels, width, height), &spec).unwrap());
        let rgb: Vec<u8> = rendered.rgba.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
        prop_assert!(rgb == pixels);
    }

    #[test]
    fn every_simd_level_gives_the_same_bytes(
        width in 1_usize..150, height in 1_usize..150, seed in any::<u32>(), spec in any_spec(), kind in 0..4,
    ) {
        let bytes = match kind {
            0 => jpeg(&noise(width * height * 3, seed), width, height),
            1 => jpeg_with(&texture(width, height), width, height, jpeg_encoder::ColorType::Rgb, |encoder| {
                encoder.set_progressive(true);
                encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2);
            }),
            2 => rgba_png(&noise(width * height * 4, seed), width, height),
            _ => png(&noise(width * height * 2, seed), width, height, ColorType::Grayscale, BitDepth::Sixteen),
        };
        let at = |level| {
            render(&bytes, std::slice::from_ref(&spec), &Limits::default(), &|| false, &mut Scratch::at(level))
        };
        prop_assert_eq!(at(SimdLevel::detect()), at(SimdLevel::baseline()));
    }

    #[test]
    fn any_bytes_after_a_signature_give_a_result(
        signature in proptest::sample::select(vec![
            &b"\xff\xd8\xff"[..], b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", b"RIFF\x30\0\0\0WEBPVP8 ", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"",
        ]),
        rest in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let bytes = [signature, &rest[..]].concat();
        let limits = Limits { pixels: 1 << 20, memory_bytes: 32 << 20, ..Limits::default() };
        if let Ok(header) = probe(&bytes) {
            prop_assert!(header.width > 0 && header.height > 0 && estimate(&header, &[Spec::default()]) > 0);
        }
        let rendered = render(&bytes, &[Spec::default()], &limits, &|| false, &mut Scratch::default());
        prop_assert!(!matches!(rendered, Err(Error::Internal(_) | Error::Stopped(_))), "{rendered:?}");
    }
}
