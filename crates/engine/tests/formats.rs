//! Every supported format: colours, orientation and transparency are preserved.

mod support;

use png::{BitDepth, ColorType};
use support::*;
use tiff::encoder::colortype;
use tintype_engine::{Format, OutputFormat, Spec, probe};

fn as_png() -> Spec {
    Spec { format: OutputFormat::Png, ..Spec::default() }
}

#[track_caller]
fn assert_quarters(what: &str, bytes: &[u8], tolerance: u8) {
    let image = Pixels::of(&thumbnail(bytes, &as_png()).unwrap());
    for (index, colour) in QUARTERS.iter().enumerate() {
        assert_close(&image.quarter(index), colour, tolerance, &format!("{what}, quarter {index}"));
    }
}

#[test]
fn every_format_preserves_its_colours() {
    let rgb = quarters(301, 203);
    for (name, bytes) in every_format(&rgb, 301, 203) {
        let header = probe(&bytes).unwrap();
        assert_eq!((header.width, header.height), (301, 203), "{name}");
        assert!(name.ends_with(header.format.name()), "{name} is detected as {}", header.format);
        let tolerance = if name.ends_with("lossless webp") || name == "png" { 1 } else { 6 };
        assert_quarters(name, &bytes, tolerance);
    }
}

#[test]
fn every_output_format_is_encoded_as_requested() {
    let bytes = rgb_png(&quarters(100, 100), 100, 100);
    for (format, expected) in [
        (OutputFormat::Jpeg, Format::Jpeg),
        (OutputFormat::Png, Format::Png),
        (OutputFormat::WebP, Format::WebP),
    ] {
        let rendered = thumbnail(&bytes, &Spec { format, quality: 95, ..Spec::default() }).unwrap();
        assert_eq!((rendered.format, rendered.width, rendered.height), (expected, 100, 100));
        let header = probe(&rendered.bytes).unwrap();
        assert_eq!((header.format, header.width, header.height), (expected, 100, 100));
        assert_quarters(expected.name(), &rendered.bytes, 8);
    }
}

#[test]
fn jpeg_gray_stays_gray() {
    let bytes = jpeg_with(&[77; 64 * 64], 64, 64, jpeg_encoder::ColorType::Luma, |_| {});
    assert_eq!(probe(&bytes).unwrap().colour.name(), "gray");
    let rendered = thumbnail(&bytes, &Spec::default()).unwrap();
    assert_eq!(probe(&rendered.bytes).unwrap().colour.name(), "gray");
    assert_close(&Pixels::of(&thumbnail(&bytes, &as_png()).unwrap()).at(9, 9), &[77, 77, 77, 255], 1, "gray");
}

#[test]
fn jpeg_cmyk_and_ycck_are_not_inverted() {
    // The encoder takes inks, 255 for full, and stores them inverted under Adobe's marker.
    for (name, colour) in
        [("cmyk", jpeg_encoder::ColorType::Cmyk), ("ycck", jpeg_encoder::ColorType::CmykAsYcck)]
    {
        for (inks, expected) in [
            ([0, 255, 255, 0], [255, 0, 0, 255]),
            ([0, 0, 0, 127], [128, 128, 128, 255]),
            ([255, 0, 60, 0], [0, 255, 195, 255]),
        ] {
            let bytes = jpeg_with(&inks.repeat(32 * 32), 32, 32, colour, |_| {});
            assert_eq!(probe(&bytes).unwrap().colour.name(), name);
            let rendered = Pixels::of(&thumbnail(&bytes, &as_png()).unwrap());
            assert_close(&rendered.at(16, 16), &expected, 5, name);
        }
    }
}

#[test]
fn jpeg_with_adobe_transform_0_is_rgb() {
    // The encoder writes these samples unchanged; Adobe's marker, in the place of JFIF's, declares them as RGB.
    let pixels = [200, 60, 90].repeat(32 * 32);
    let plain = jpeg_with(&pixels, 32, 32, jpeg_encoder::ColorType::Ycbcr, |_| {});
    let bytes = [&plain[..2], b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0", &plain[20..]].concat();
    assert_eq!(probe(&bytes).unwrap().colour.name(), "rgb");
    assert_close(&Pixels::of(&thumbnail(&bytes, &as_png()).unwrap()).at(5, 5), &[200, 60, 90, 255], 3, "rgb");
}

#[test]
fn a_frame_of_motion_jpeg_uses_the_tables_of_annex_k() {
    let spec = Spec {
        size: "160x120".parse().unwrap(),
        format: OutputFormat::Jpeg,
        effort: tintype_engine::Effort::Fast,
        ..Spec::default()
    };
    let whole = thumbnail(&rgb_png(&texture(160, 120), 160, 120), &spec).unwrap().bytes;
    let mut without_tables = whole.clone();
    let mut removed = 0;
    while let Some(at) = without_tables.windows(2).position(|marker| marker == b"\xff\xc4") {
        let length = usize::from(u16::from_be_bytes([without_tables[at + 2], without_tables[at + 3]]));
        without_tables.drain(at..at + 2 + length);
        removed += 1;
    }
    assert!(removed > 0);
    assert_eq!(thumbnail(&without_tables, &as_png()), thumbnail(&whole, &as_png()));
}

#[test]
fn odd_sizes_of_every_kind_of_grid() {
    let wide = texture(65_500, 1);
    let tall = texture(1, 65_500);
    for (name, bytes, size) in [
        ("wide jpeg", jpeg(&wide, 65_500, 1), (128, 1)),
        ("tall jpeg", jpeg(&tall, 1, 65_500), (1, 128)),
        ("wide png", rgb_png(&wide, 65_500, 1), (128, 1)),
        ("tall png", rgb_png(&tall, 1, 65_500), (1, 128)),
        ("wide gif", gif(&wide, 65_500, 1, 1), (128, 1)),
        ("wide bmp", bmp(&wide, 65_500, 1), (128, 1)),
        ("wide tiff", tiff::<colortype::RGB8>(&wide, 65_500, 1), (128, 1)),
    ] {
        let rendered = thumbnail(&bytes, &as_png()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((rendered.width, rendered.height), size, "{name}");
        // Red increases from black to full.
        let image = Pixels::of(&rendered);
        let along = |at: usize| if size.0 > 1 { image.at(at, 0) } else { image.at(0, at) };
        let channel = usize::from(size.0 == 1);
        for at in [5, 64, 120] {
            let expected = ((at * 2 + 1) * 255 / 256) as u8;
            assert!(along(at)[channel].abs_diff(expected) < 12, "{name} at {at}: {:?}", along(at));
        }
    }
}

#[test]
fn all_orientations_put_corners_where_they_belong() {
    let jpeg = jpeg(&quarters(96, 64), 96, 64);
    // Which stored quarter is at top left, top right, bottom left, bottom right.
    for (orientation, stored) in [
        (1, [0, 1, 2, 3]),
        (2, [1, 0, 3, 2]),
        (3, [3, 2, 1, 0]),
        (4, [2, 3, 0, 1]),
        (5, [0, 2, 1, 3]),
        (6, [2, 0, 3, 1]),
        (7, [3, 1, 2, 0]),
        (8, [1, 3, 0, 2]),
    ] {
        let bytes = with_orientation(&jpeg, orientation);
        assert_eq!(probe(&bytes).unwrap().orientation.exif(), orientation);
        let rendered =
            Pixels::of(&thumbnail(&bytes, &Spec { size: "48x32".parse().unwrap(), ..as_png() }).unwrap());
        let expected = if orientation >= 5 { (21, 32) } else { (48, 32) };
        assert_eq!((rendered.width, rendered.height), expected, "orientation {orientation}");
        for (place, quarter) in stored.into_iter().enumerate() {
            let what = format!("orientation {orientation}, place {place}");
            assert_close(&rendered.quarter(place), &QUARTERS[quarter], 8, &what);
        }
    }
}

#[test]
fn png_depths_and_transparency() {
    // 1 bit: rows of 8 pixels, left half white.
    let bits = png(&[0xf0; 8], 8, 8, ColorType::Grayscale, BitDepth::One);
    let rendered = Pixels::of(&thumbnail(&bits, &as_png()).unwrap());
    assert_eq!((rendered.at(0, 0), rendered.at(7, 7)), ([255; 4], [0, 0, 0, 255]));

    let deep: Vec<u8> = [0x80, 0x00, 0xff, 0xff, 0x00, 0x00].repeat(64);
    let rendered =
        Pixels::of(&thumbnail(&png(&deep, 8, 8, ColorType::Rgb, BitDepth::Sixteen), &as_png()).unwrap());
    assert_close(&rendered.at(3, 3), &[128, 255, 0, 255], 1, "16 bits");

    let set = |info: &mut png::Info<'_>| {
        info.palette = Some(vec![10, 20, 30, 200, 100, 50].into());
        info.trns = Some(vec![255, 0].into());
    };
    let bytes = png_with(&[0x0f; 8], 8, 8, ColorType::Indexed, BitDepth::One, set);
    assert!(probe(&bytes).unwrap().alpha);
    let rendered = Pixels::of(&thumbnail(&bytes, &as_png()).unwrap());
    assert_eq!((rendered.at(0, 0), rendered.at(7, 0)[3]), ([10, 20, 30, 255], 0));
}

#[test]
fn tiff_kinds() {
    let rgb = quarters(40, 40);
    let wide: Vec<u16> = rgb.iter().map(|&v| u16::from(v) * 257).collect();
    let rgba: Vec<u8> = rgb.chunks(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    let inks: Vec<u8> = rgb.chunks(3).flat_map(|p| [255 - p[0], 255 - p[1], 255 - p[2], 0]).collect();
    assert_quarters("16 bits", &tiff::<colortype::RGB16>(&wide, 40, 40), 1);
    assert_quarters("rgba", &tiff::<colortype::RGBA8>(&rgba, 40, 40), 1);
    assert_quarters("cmyk", &tiff::<colortype::CMYK8>(&inks, 40, 40), 1);
    let rendered =
        Pixels::of(&thumbnail(&tiff::<colortype::Gray16>(&[0x8080; 64], 8, 8), &as_png()).unwrap());
    assert_close(&rendered.at(4, 4), &[128, 128, 128, 255], 1, "gray 16");
}

#[test]
fn gif_shows_its_first_frame_on_the_canvas() {
    let mut bytes = Vec::new();
    let palette = [255, 0, 0, 0, 0, 255];
    let mut encoder = gif::Encoder::new(&mut bytes, 8, 8, &palette).unwrap();
    let frame = gif::Frame { left: 2, top: 2, width: 4, height: 4, ..gif::Frame::default() };
    let mut pixels = vec![0; 16];
    pixels[5] = 1;
    encoder
        .write_frame(&gif::Frame { buffer: pixels.into(), transparent: Some(1), ..frame.clone() })
        .unwrap();
    encoder.write_frame(&gif::Frame { buffer: vec![1; 16].into(), ..frame }).unwrap();
    drop(encoder);
    let header = probe(&bytes).unwrap();
    assert!(header.animated && header.alpha);
    let rendered = Pixels::of(&thumbnail(&bytes, &Spec::default()).unwrap());
    assert_eq!((rendered.width, rendered.height), (8, 8));
    assert_eq!((rendered.at(0, 0)[3], rendered.at(2, 2), rendered.at(3, 3)[3]), (0, [255, 0, 0, 255], 0));
}

/// A GIF of one 8x8 frame in two colours at (`left`, `top`) of a screen, with `before` the frame.
fn small_gif(screen: (u16, u16), (left, top): (u16, u16), before: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, 8, 8, &[255, 0, 0, 0, 0, 255]).unwrap();
    let buffer = vec![1; 64].into();
    encoder
        .write_frame(&gif::Frame { left, top, width: 8, height: 8, buffer, ..gif::Frame::default() })
        .unwrap();
    drop(encoder);
    bytes[6..10].copy_from_slice([screen.0, screen.1].map(u16::to_le_bytes).as_flattened());
    let at = 13 + 6;
    bytes.splice(at..at, before.iter().copied());
    bytes
}

#[test]
fn gif_frames_beyond_the_screen_extend_it() {
    for (screen, place, expected) in [
        ((4, 4), (0, 0), (8, 8)),
        ((0, 0), (0, 0), (8, 8)),
        ((8, 20), (3, 2), (11, 20)),
        ((9, 9), (0, 0), (9, 9)),
        ((4, 8), (0, 0), (8, 8)),
    ] {
        let file = small_gif(screen, place, b"");
        let header = probe(&file).unwrap();
        assert_eq!((header.width, header.height), expected, "{screen:?} {place:?}");
        let image = Pixels::of(&thumbnail(&file, &as_png()).unwrap());
        assert_eq!(
            image.at(usize::from(place.0) + 7, usize::from(place.1) + 7),
            [0, 0, 255, 255],
            "{screen:?}"
        );
    }
}

#[test]
fn gif_extensions_of_any_kind_are_skipped() {
    for before in [
        &b"!\x99\x03abc\0"[..],
        b"!\x00\0",
        b"!\xff\x0bXMP DataXMP\x05hello\x02ab\0",
        b"!\xfe\x04text\0!\x7e\x01a\x01b\0",
        b"\0\0",
        b"!\x01\x0c\0\0\0\0\0\0\0\0\x08\x08\0\0\x02hi\0",
    ] {
        let image = Pixels::of(&thumbnail(&small_gif((8, 8), (0, 0), before), &as_png()).unwrap());
        assert_eq!(image.at(4, 4), [0, 0, 255, 255], "{before:?}");
    }
}

#[test]
fn of_markers_of_jfif_and_adobe_that_disagree_that_of_jfif_wins() {
    let pixels = [200, 60, 90].repeat(32 * 32);
    let jfif = jpeg_with(&pixels, 32, 32, jpeg_encoder::ColorType::Rgb, |_| {});
    let adobe = |transform: u8| [&b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"[..], &[transform]].concat();
    assert_eq!(&jfif[6..10], b"JFIF");
    for transform in [0, 1, 2] {
        for at in [2, 20] {
            let file = [&jfif[..at], &adobe(transform), &jfif[at..]].concat();
            assert_eq!(probe(&file).unwrap().colour.name(), "ycbcr");
            assert_close(
                &Pixels::of(&thumbnail(&file, &as_png()).unwrap()).at(5, 5),
                &[200, 60, 90, 255],
                3,
                "JFIF",
            );
        }
    }
    let inks = jpeg_with(&[0, 255, 255, 0].repeat(1024), 32, 32, jpeg_encoder::ColorType::CmykAsYcck, |_| {});
    let at = inks.windows(5).position(|window| window == b"Adobe").unwrap() + 11;
    for transform in [1, 2] {
        let mut file = inks.clone();
        file[at] = transform;
        assert_eq!(probe(&file).unwrap().colour.name(), "ycck");
        assert_close(
            &Pixels::of(&thumbnail(&file, &as_png()).unwrap()).at(5, 5),
            &[255, 0, 0, 255],
            5,
            "YCCK",
        );
    }
}

#[test]
fn a_truncated_progressive_jpeg_is_noticed_whatever_its_segments_hold() {
    let rgb = texture(200, 160);
    let whole =
        jpeg_with(&rgb, 200, 160, jpeg_encoder::ColorType::Rgb, |encoder| encoder.set_progressive(true));
    for marker in [0xe1, 0xe5, 0xfe] {
        let segment = [&[0xff, marker, 0, 12][..], b"ab\xff\xd9\xff\xd8cd\xff\xd9"].concat();
        // Before the scans, and between the last two of them.
        let last = whole.windows(2).rposition(|window| window == b"\xff\xda").unwrap();
        let tables = whole[..last].windows(2).rposition(|window| window == b"\xff\xc4").unwrap_or(last);
        for at in [2, tables] {
            let file = [&whole[..at], &segment, &whole[at..]].concat();
            assert!(thumbnail(&file, &as_png()).is_ok());
            for share in [50, 70, 90] {
                let cut = &file[..file.len() * share / 100];
                let rendered = thumbnail(cut, &as_png());
                assert!(
                    matches!(rendered, Err(tintype_engine::Error::Malformed(_))),
                    "{marker:x} at {at}, {share} %"
                );
            }
        }
    }
}

/// Inserts chunks after IHDR.
fn with_chunks(png: &[u8], chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut inserted = Vec::new();
    for (name, data) in chunks {
        let body = [&name[..], data].concat();
        inserted.extend((data.len() as u32).to_be_bytes());
        inserted.extend(&body);
        inserted.extend(crc32fast::hash(&body).to_be_bytes());
    }
    [&png[..33], &inserted, &png[33..]].concat()
}

#[test]
fn png_orientation_in_a_chunk_or_a_text() {
    let plain = rgb_png(&quarters(40, 20), 40, 20);
    let block = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let hexadecimal: String = b"Exif\0\0".iter().chain(block).map(|byte| format!("{byte:02x}")).collect();
    let text = format!("\nexif\n      32\n{hexadecimal}\n");
    let compressed = |head: &[u8]| [head, &support::tags::stored_zlib(text.as_bytes())].concat();
    let keyword = b"Raw profile type exif\0";
    for (name, data, orientation) in [
        (b"eXIf", block.to_vec(), 6),
        (b"tEXt", [&keyword[..], text.as_bytes()].concat(), 6),
        (b"zTXt", compressed(b"Raw profile type exif\0\0"), 6),
        (b"iTXt", compressed(b"Raw profile type exif\0\x01\0\0\0"), 6),
        (b"tEXt", b"Comment\0hello".to_vec(), 1),
    ] {
        let file = with_chunks(&plain, &[(name, data)]);
        assert_eq!(probe(&file).unwrap().orientation.exif(), orientation, "{}", name.escape_ascii());
        let mut corrupt = file.clone();
        corrupt[33 + 8 + 5] ^= 0;
        let crc = file.len() - plain.len() + 33 - 1;
        corrupt[crc] ^= 1;
        assert_eq!(
            probe(&corrupt).unwrap().orientation.exif(),
            1,
            "{} with a wrong checksum",
            name.escape_ascii()
        );
    }
    // The chunk wins.
    let both = with_chunks(
        &plain,
        &[(b"tEXt", [&keyword[..], text.as_bytes()].concat()), (b"eXIf", b"II*\0".to_vec())],
    );
    assert_eq!(probe(&both).unwrap().orientation.exif(), 1);
}

#[test]
fn png_colours_by_the_chunk_of_highest_precedence() {
    let colour = [200, 120, 80];
    let plain = rgb_png(&colour.repeat(64), 8, 8);
    let p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let iccp = [&b"p\0\0"[..], &support::tags::stored_zlib(&p3)].concat();
    let gamma = |value: u32| value.to_be_bytes().to_vec();
    let srgb_primaries: Vec<u8> = [31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000_u32]
        .iter()
        .flat_map(|v| v.to_be_bytes())
        .collect();
    let wide: Vec<u8> = [31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000_u32]
        .iter()
        .flat_map(|v| v.to_be_bytes())
        .collect();
    let in_p3 = [210, 118, 70];
    // sRGB of 1/gamma 1: light is the code.
    let linear = |v: u8| {
        let light = f64::from(v) / 255.0;
        ((1.055 * light.powf(1.0 / 2.4) - 0.055) * 255.0).round() as u8
    };
    for (what, chunks, expected) in [
        ("cICP of P3", vec![(b"cICP", vec![12, 13, 0, 1])], in_p3),
        ("cICP of sRGB before iCCP", vec![(b"cICP", vec![1, 13, 0, 1]), (b"iCCP", iccp.clone())], colour),
        ("cICP of P3 before iCCP", vec![(b"cICP", vec![12, 13, 0, 1]), (b"iCCP", iccp.clone())], in_p3),
        ("unspecified cICP", vec![(b"cICP", vec![2, 2, 0, 1]), (b"iCCP", iccp.clone())], in_p3),
        ("cICP of Y'CbCr", vec![(b"cICP", vec![1, 13, 1, 1]), (b"iCCP", iccp.clone())], in_p3),
        ("sRGB before gAMA", vec![(b"sRGB", vec![0]), (b"gAMA", gamma(100_000))], colour),
        ("iCCP before gAMA", vec![(b"iCCP", iccp), (b"gAMA", gamma(100_000))], in_p3),
        ("gAMA of 1", vec![(b"gAMA", gamma(100_000))], colour.map(linear)),
        (
            "gAMA and cHRM of sRGB",
            vec![(b"gAMA", gamma(100_000)), (b"cHRM", srgb_primaries)],
            colour.map(linear),
        ),
        ("cHRM of P3", vec![(b"cHRM", wide)], in_p3),
        ("gAMA of 0", vec![(b"gAMA", gamma(0))], colour),
        ("impossible cHRM", vec![(b"cHRM", vec![0; 32])], colour),
    ] {
        let chunks: Vec<(&[u8; 4], Vec<u8>)> = chunks;
        let image = Pixels::of(&thumbnail(&with_chunks(&plain, &chunks), &as_png()).unwrap());
        assert_close(&image.at(4, 4)[..3], &expected, 3, what);
    }
    let gray = png(&[100; 64], 8, 8, ColorType::Grayscale, BitDepth::Eight);
    let image = Pixels::of(&thumbnail(&with_chunks(&gray, &[(b"gAMA", gamma(100_000))]), &as_png()).unwrap());
    assert_close(&image.at(4, 4)[..3], &[linear(100); 3], 2, "gray with gAMA");
    let image =
        Pixels::of(&thumbnail(&with_chunks(&gray, &[(b"cICP", vec![1, 8, 0, 1])]), &as_png()).unwrap());
    assert_close(&image.at(4, 4)[..3], &[linear(100); 3], 2, "gray of linear light by cICP");
}

#[test]
fn pq_and_hlg_become_visible_in_srgb() {
    let wide = |code: u16, channels: usize| code.to_be_bytes().repeat(64 * channels);
    for (transfer, black, white) in [(16, 0, 0x94a0_u16), (18, 0, 0xc000)] {
        // SDR white: 203 cd/m², or 75 % of HLG.
        for (what, kind, channels) in [("RGB", ColorType::Rgb, 3), ("gray", ColorType::Grayscale, 1)] {
            let of = |code: u16| {
                let file = png(&wide(code, channels), 8, 8, kind, BitDepth::Sixteen);
                let file = with_chunks(&file, &[(b"cICP", vec![9, transfer, 0, 1])]);
                Pixels::of(&thumbnail(&file, &as_png()).unwrap()).at(4, 4)
            };
            assert_eq!(of(black)[..3], [0; 3], "{what}");
            let light = of(white);
            assert!(
                light[0] > 200 && light[0] < 250 && light[0].abs_diff(light[2]) < 3,
                "{what} {transfer}: {light:?}"
            );
            assert!(of(u16::MAX)[1] >= 254, "{what}: the brightest is white");
        }
    }
    // By the tag cicp of an ICC profile.
    let profile = moxcms::ColorProfile::new_bt2020_pq().encode().unwrap();
    let set = |info: &mut png::Info<'_>| info.icc_profile = Some(profile.into());
    let file = png_with(&wide(0x94a0, 3), 8, 8, ColorType::Rgb, BitDepth::Sixteen, set);
    let light = Pixels::of(&thumbnail(&file, &as_png()).unwrap()).at(4, 4);
    assert!(light[0] > 200 && light[0].abs_diff(light[2]) < 3, "{light:?}");
}

#[test]
fn transparency_is_blended_over_the_background_in_jpeg() {
    let bytes = rgba_png(&[0, 0, 0, 128].repeat(64 * 64), 64, 64);
    let over = |background: &str| {
        let spec = Spec {
            format: OutputFormat::Jpeg,
            background: background.parse().unwrap(),
            quality: 95,
            ..Spec::default()
        };
        let jpeg = thumbnail(&bytes, &spec).unwrap();
        Pixels::of(&thumbnail(&jpeg.bytes, &as_png()).unwrap()).at(30, 30)
    };
    // Half of white light is 188 in sRGB.
    assert_close(&over("ffffff"), &[188, 188, 188, 255], 2, "over white");
    assert_close(&over("ff0000"), &[188, 0, 0, 255], 4, "over red");
    assert_close(&over("transparent"), &[188, 188, 188, 255], 2, "over nothing, hence white");
}

#[test]
fn contain_pads_with_the_background() {
    let bytes = rgb_png(&[9, 9, 200].repeat(80 * 40), 80, 40);
    let spec = |background: &str| Spec {
        fit: tintype_engine::Fit::Contain,
        size: "40x40".parse().unwrap(),
        background: background.parse().unwrap(),
        ..as_png()
    };
    let rendered = Pixels::of(&thumbnail(&bytes, &spec("00ff00")).unwrap());
    assert_eq!((rendered.width, rendered.height), (40, 40));
    assert_eq!((rendered.at(20, 2), rendered.at(20, 37)), ([0, 255, 0, 255], [0, 255, 0, 255]));
    assert_close(&rendered.at(20, 20), &[9, 9, 200, 255], 1, "the image");
    assert_eq!(Pixels::of(&thumbnail(&bytes, &spec("transparent")).unwrap()).at(20, 2)[3], 0);
}

#[test]
fn display_p3_becomes_srgb() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let set = |info: &mut png::Info<'_>| info.icc_profile = Some(profile.clone().into());
    let rendered_colour = |colour: [u8; 3]| {
        let pixels = colour.repeat(32 * 32);
        let bytes = png_with(&pixels, 32, 32, ColorType::Rgb, BitDepth::Eight, set);
        assert!(probe(&bytes).unwrap().profile);
        Pixels::of(&thumbnail(&bytes, &as_png()).unwrap()).at(16, 16)
    };
    // Grays are the same in both; a colour is more saturated in sRGB's terms.
    assert_close(&rendered_colour([128, 128, 128]), &[128, 128, 128, 255], 1, "gray");
    assert_close(&rendered_colour([200, 120, 80]), &[210, 118, 70, 255], 3, "brown");
    assert_close(&rendered_colour([255, 0, 0]), &[255, 0, 0, 255], 1, "clipped red");
}

#[test]
fn a_corrupt_or_mismatched_profile_is_ignored() {
    let gray = moxcms::ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
    for profile in [b"nonsense".to_vec(), gray] {
        let set = |info: &mut png::Info<'_>| info.icc_profile = Some(profile.into());
        let bytes = png_with(&[50, 100, 150].repeat(64), 8, 8, ColorType::Rgb, BitDepth::Eight, set);
        assert_eq!(Pixels::of(&thumbnail(&bytes, &as_png()).unwrap()).at(4, 4), [50, 100, 150, 255]);
    }
}

#[test]
fn odd_shapes() {
    for (width, height) in [(1, 9000), (9000, 1), (1, 1), (2, 3)] {
        for (name, bytes) in every_format(&texture(width, height), width, height) {
            let rendered = thumbnail(&bytes, &as_png())
                .unwrap_or_else(|error| panic!("{name} {width}x{height}: {error}"));
            assert!(
                rendered.width >= 1
                    && rendered.height >= 1
                    && rendered.width <= 128
                    && rendered.height <= 128
            );
        }
    }
}
