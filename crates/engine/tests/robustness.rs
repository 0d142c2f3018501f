//! Limits, corrupt files, stopping and determinism.

mod support;

use std::cell::Cell;

use support::*;
use tintype_engine::{Error, Limits, OutputFormat, Scratch, Size, Spec, estimate, probe, render};

fn as_png() -> Spec {
    Spec { format: OutputFormat::Png, ..Spec::default() }
}

fn with_limits(bytes: &[u8], limits: Limits) -> Result<(), Error> {
    render(bytes, &[Spec::default()], &limits, &|| false, &mut Scratch::default()).map(drop)
}

#[track_caller]
fn assert_too_large(result: Result<(), Error>, setting: &str) {
    match result {
        Err(Error::TooLarge(why)) => assert!(why.contains(setting), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// A PNG header that declares a size, with hardly any data after it.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = rgb_png(&[0; 3], 1, 1);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    bytes
}

#[test]
fn bombs_are_refused_by_their_header() {
    assert_too_large(with_limits(&bomb(60_000, 60_000), Limits::default()), "limits.pixels");
    let unbounded = Limits { pixels: u64::MAX, ..Limits::default() };
    assert_too_large(with_limits(&bomb(0x7fff_ffff, 0x7fff_ffff), unbounded), "function.memory_mb");
}

#[test]
fn each_limit_names_its_setting() {
    let png = rgb_png(&texture(50, 50), 50, 50);
    assert_too_large(
        with_limits(&png, Limits { source_bytes: 10, ..Limits::default() }),
        "limits.source_bytes",
    );
    assert_too_large(with_limits(&png, Limits { pixels: 2499, ..Limits::default() }), "limits.pixels");
    assert_too_large(
        with_limits(&png, Limits { memory_bytes: 1000, ..Limits::default() }),
        "function.memory_mb",
    );
    // Where the first frame alone is read, it does not matter how many follow.
    let webp = webp_of_frames(&texture(20, 20), 20, 20, 5);
    assert_eq!(with_limits(&webp, Limits { frames: 4, pixels: 400, ..Limits::default() }), Ok(()));
    let gif = gif(&texture(20, 20), 20, 20, 5);
    assert_eq!(with_limits(&gif, Limits { frames: 4, pixels: 400, ..Limits::default() }), Ok(()));
}

#[test]
fn the_largest_size_of_a_header_is_estimated_and_refused() {
    let side = i32::MAX.to_le_bytes();
    let mut bytes = b"BM\x76\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bytes.extend([side, side].concat());
    // Runs, which are decoded whole.
    bytes.extend([1, 0, 8, 0, 1, 0, 0, 0]);
    bytes.resize(118, 0);
    assert!(estimate(&probe(&bytes).unwrap(), &[Spec::default()]) > u64::MAX / 2);
    assert_too_large(with_limits(&bytes, Limits::default()), "limits.pixels");
}

#[test]
fn a_tiff_tag_that_declares_too_many_values_is_refused_before_they_are_allocated() {
    // 8 bits, uncompressed, gray, one strip of 100 rows.
    let tags =
        [(256, 8), (257, 100), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 100), (279, 800)];
    let file = |bad: Option<u16>| {
        let mut bytes = b"II*\0\x28\x03\0\0".to_vec();
        bytes.resize(808, 90);
        let more = bad.filter(|bad| tags.iter().all(|(tag, _)| tag != bad)).map(|bad| (bad, 1));
        bytes.extend((tags.len() as u16 + u16::from(more.is_some())).to_le_bytes());
        for (tag, value) in tags.into_iter().chain(more) {
            let count = if bad == Some(tag) { 8_000_000_u32 } else { 1 };
            bytes.extend([tag, 4].map(u16::to_le_bytes).as_flattened());
            bytes.extend([count, value].map(u32::to_le_bytes).as_flattened());
        }
        bytes.extend([0; 4]);
        bytes
    };
    assert_eq!(with_limits(&file(None), Limits::default()), Ok(()));
    for tag in [256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 324, 325, 338, 339, 347, 530] {
        match with_limits(&file(Some(tag)), Limits::default()) {
            Err(Error::Malformed(why)) => {
                assert!(
                    why.contains("declares 8000000 values") || why.contains("in tags 256 and 257"),
                    "{tag}: {why}"
                );
            }
            other => panic!("{tag}: {other:?}"),
        }
    }
    // Tags that are not read may declare any number of values.
    assert_eq!(with_limits(&file(Some(700)), Limits::default()), Ok(()));
}

#[test]
fn a_larger_thumbnail_is_estimated_larger() {
    let header = probe(&rgb_png(&texture(500, 500), 500, 500)).unwrap();
    let spec = |size: &str| Spec { size: size.parse().unwrap(), enlarge: true, ..Spec::default() };
    assert!(
        estimate(&header, &[spec("4000x4000")]) > estimate(&header, &[spec("100x100")]) + (4000 * 4000 * 4)
    );
    assert!(estimate(&header, &[spec("100"), spec("100")]) > estimate(&header, &[spec("100")]));
}

#[test]
fn a_compressed_text_or_profile_bomb_is_harmless() {
    let set = |info: &mut png::Info<'_>| {
        info.icc_profile = Some(vec![0; 40 << 20].into());
        let text = png::text_metadata::ZTXtChunk::new("Comment", "x".repeat(20 << 20));
        info.compressed_latin1_text.push(text);
    };
    let bytes = png_with(&[7; 3], 1, 1, png::ColorType::Rgb, png::BitDepth::Eight, set);
    assert!(thumbnail(&bytes, &Spec::default()).is_ok());
}

#[test]
fn a_truncated_file_is_an_error_at_every_length() {
    for (name, bytes) in every_format(&texture(61, 47), 61, 47) {
        for length in (0..bytes.len() * 9 / 10).step_by(bytes.len() / 97 + 1) {
            let result = thumbnail(&bytes[..length], &Spec::default());
            assert!(
                matches!(result, Err(Error::Malformed(_) | Error::Unsupported(_))),
                "{name} truncated to {length} of {}: {result:?}",
                bytes.len()
            );
        }
        let half = thumbnail(&bytes[..bytes.len() / 2], &Spec::default());
        assert!(matches!(half, Err(Error::Malformed(_))), "{name} truncated to half: {half:?}");
    }
}

#[test]
fn a_jpeg_truncated_to_half_is_malformed_even_with_eoi() {
    let whole = jpeg(&texture(200, 200), 200, 200);
    let mut truncated = whole[..whole.len() / 2].to_vec();
    truncated.extend(b"\xff\xd9");
    assert!(matches!(thumbnail(&truncated, &Spec::default()), Err(Error::Malformed(_))));
}

#[test]
fn what_viewers_accept_is_accepted() {
    let whole = jpeg(&texture(200, 200), 200, 200);
    let expected = thumbnail(&whole, &Spec::default()).unwrap();
    let without_end = &whole[..whole.len() - 2];
    assert_eq!(thumbnail(without_end, &Spec::default()).unwrap(), expected, "no EOI");
    let trailing = [&whole[..], b"some trailing bytes \xff\xd8\xff\xe0"].concat();
    assert_eq!(thumbnail(&trailing, &Spec::default()).unwrap(), expected, "trailing bytes");
    let stray = [&whole[..20], b"\0\0\0\0\0\0", &whole[20..]].concat();
    assert_eq!(thumbnail(&stray, &Spec::default()).unwrap(), expected, "stray bytes between segments");
    // Flat and narrow: the decoder has read all data before the last rows.
    let flat = jpeg(&[80; 8 * 2000 * 3], 8, 2000);
    assert!(thumbnail(&flat, &Spec::default()).is_ok());
}

#[test]
fn tolerance_accepts_a_share_of_the_rows() {
    let rgb = texture(200, 200);
    let gif = gif(&rgb, 200, 200, 1);
    for (name, whole) in [("jpeg", jpeg(&rgb, 200, 200)), ("png", rgb_png(&rgb, 200, 200)), ("gif", gif)] {
        let truncated = &whole[..whole.len() * 7 / 10];
        let limits = |share| Limits { tolerant: true, tolerant_share: share, ..Limits::default() };
        assert_eq!(with_limits(truncated, limits(0.5)), Ok(()), "{name}");
        assert!(matches!(with_limits(truncated, limits(0.9)), Err(Error::Malformed(_))), "{name}");
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    let limits = Limits { memory_bytes: 64 << 20, pixels: 10_000_000, ..Limits::default() };
    let mut scratch = Scratch::default();
    let animated = animated_webp(61, 47);
    for bytes in every_format(&texture(61, 47), 61, 47).into_iter().map(|(_, bytes)| bytes).chain([animated])
    {
        for round in 0..120 {
            let mut corrupt = bytes.clone();
            for _ in 0..1 + round % 4 {
                // Half of the changes are in the header, where they have most effect.
                let within = if random() % 2 == 0 { corrupt.len().min(200) } else { corrupt.len() };
                let at = random() % within;
                corrupt[at] = random() as u8;
            }
            drop(probe(&corrupt));
            for tolerant in [false, true] {
                let limits = Limits { tolerant, ..limits };
                let result = render(&corrupt, &[Spec::default()], &limits, &|| false, &mut scratch);
                assert!(!matches!(result, Err(Error::Internal(_))), "{result:?}");
            }
        }
    }
}

/// One frame of an animation: the chunks of a still with alpha, in an ANMF chunk (RFC 9649, section 2.7.1).
fn animated_webp(width: u32, height: u32) -> Vec<u8> {
    let rgba: Vec<u8> =
        (0..width * height).flat_map(|i| [i as u8, (i / 7) as u8, 90, (i * 3) as u8]).collect();
    let still = webp::Encoder::from_rgba(&rgba, width, height).encode(60.0).to_vec();
    let vp8x = 12..30;
    let u24 = |value: u32| value.to_le_bytes()[..3].to_vec();
    let mut frame = [u24(0), u24(0), u24(width - 1), u24(height - 1), u24(100), vec![0]].concat();
    frame.extend_from_slice(&still[vp8x.end..]);
    let mut header = still[vp8x].to_vec();
    header[8] |= 0x02;
    let chunk = |name: &[u8], data: &[u8]| [name, &(data.len() as u32).to_le_bytes(), data].concat();
    let body = [b"WEBP".to_vec(), header, chunk(b"ANIM", &[0; 6]), chunk(b"ANMF", &frame)].concat();
    chunk(b"RIFF", &body)
}

#[test]
fn a_frame_of_another_size_than_declared_is_malformed() {
    let whole = animated_webp(55, 55);
    assert_eq!(with_limits(&whole, Limits::default()), Ok(()));
    // The size in the VP8 frame header, two bytes each (RFC 6386, section 9.1), after the start code.
    let vp8 = whole.windows(3).position(|three| three == [0x9d, 0x01, 0x2a]).expect("a VP8 frame") + 3;
    for side in [vp8, vp8 + 2] {
        for size in [0_u16, 1, 8, 54, 56, 80, 200] {
            let mut other = whole.clone();
            other[side..side + 2].copy_from_slice(&size.to_le_bytes());
            let result = with_limits(&other, Limits::default());
            assert!(matches!(result, Err(Error::Malformed(_))), "{size}: {result:?}");
        }
    }
}

#[test]
fn results_do_not_depend_on_the_scratch() {
    let files = every_format(&texture(300, 200), 300, 200);
    let specs =
        ["64x64", "200", "x10"].map(|size| Spec { size: size.parse::<Size>().unwrap(), ..Spec::default() });
    let mut scratch = Scratch::default();
    let run = |scratch: Option<&mut Scratch>| -> Vec<_> {
        let mut fresh = Scratch::default();
        let scratch = scratch.unwrap_or(&mut fresh);
        let one = |bytes: &[u8], scratch: &mut Scratch| {
            render(bytes, &specs, &Limits::default(), &|| false, scratch).unwrap()
        };
        files.iter().map(|(_, bytes)| one(bytes, scratch)).collect()
    };
    let expected = run(None);
    for _ in 0..2 {
        assert_eq!(run(Some(&mut scratch)), expected);
    }
}

#[test]
fn one_decode_serves_all_specs_alike() {
    let rgb = texture(300, 200);
    let specs = [
        Spec { size: "100x100".parse().unwrap(), ..as_png() },
        Spec { size: "50".parse().unwrap(), ..as_png() },
    ];
    // A JPEG is decoded at the scale that the largest rendition needs, so that the others have finer samples than if
    // rendered separately. Other formats give the same bytes.
    for (bytes, tolerance) in [(jpeg(&rgb, 300, 200), 8), (rgb_png(&rgb, 300, 200), 0)] {
        let shared = render(&bytes, &specs, &Limits::default(), &|| false, &mut Scratch::default()).unwrap();
        for (shared, spec) in shared.iter().zip(&specs) {
            let (shared, separate) = (Pixels::of(shared), Pixels::of(&thumbnail(&bytes, spec).unwrap()));
            assert_close(&shared.rgba, &separate.rgba, tolerance, "shared and separate");
        }
    }
    let bytes = jpeg(&rgb, 300, 200);
    assert_eq!(render(&bytes, &[], &Limits::default(), &|| false, &mut Scratch::default()), Ok(Vec::new()));
}

#[test]
fn stop_ends_the_render_at_every_poll() {
    let bytes = rgb_png(&texture(100, 400), 100, 400);
    let polls = Cell::new(0);
    let stop_at = |limit: u32| {
        polls.set(0);
        let stop = || {
            polls.set(polls.get() + 1);
            polls.get() >= limit
        };
        render(&bytes, &[Spec::default()], &Limits::default(), &stop, &mut Scratch::default())
    };
    assert!(stop_at(u32::MAX).is_ok());
    let times = polls.get();
    assert!(times > 20, "polled {times} times only");
    for limit in 1..=times {
        match stop_at(limit) {
            Err(Error::Stopped(why)) => assert!(why.contains("it can be tried again"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
