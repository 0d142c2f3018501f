//! TIFF: depths, formats, layouts, orders and compressions, as the writers of the world combine them.

mod support;

use support::tags::{TiffFile, Value, literal_pack_bits, packed, stored_zlib};
use support::*;
use tintype_engine::{Error, OutputFormat, Spec, probe};

const SIDE: usize = 40;

fn as_png() -> Spec {
    Spec { format: OutputFormat::Png, ..Spec::default() }
}

fn quarters_of(bytes: &[u8], what: &str) -> [[u8; 3]; 4] {
    let rendered = thumbnail(bytes, &as_png()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let image = Pixels::of(&rendered);
    assert_eq!((image.width, image.height), (SIDE, SIDE), "{what}");
    [0, 1, 2, 3].map(|index| image.quarter(index))
}

#[track_caller]
fn assert_quarters(bytes: &[u8], expected: [[u8; 3]; 4], tolerance: u8, what: &str) {
    for (index, (rendered, expected)) in quarters_of(bytes, what).iter().zip(expected).enumerate() {
        assert_close(rendered, &expected, tolerance, &format!("{what}, quarter {index}"));
    }
}

/// Samples of quarters: four values for each sample of a pixel.
fn samples(values: &[[u32; 4]]) -> Vec<u32> {
    let mut all = Vec::new();
    for y in 0..SIDE {
        for x in 0..SIDE {
            let quarter = usize::from(y >= SIDE / 2) * 2 + usize::from(x >= SIDE / 2);
            all.extend(values.iter().map(|value| value[quarter]));
        }
    }
    all
}

/// How the samples of an image are stored.
#[derive(Debug, Clone, Copy)]
struct Layout {
    little: bool,
    planar: bool,
    tiled: bool,
    reversed: bool,
    predictor: bool,
    compression: u16,
    counts: bool,
}

const PLAIN: Layout = Layout {
    little: true,
    planar: false,
    tiled: false,
    reversed: false,
    predictor: false,
    compression: 1,
    counts: true,
};

fn compressed(data: &[u8], compression: u16) -> Vec<u8> {
    match compression {
        5 => weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(data).unwrap(),
        8 | 32946 => stored_zlib(data),
        32773 => literal_pack_bits(data),
        50000 => ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest),
        _ => data.to_vec(),
    }
}

fn written(values: &[[u32; 4]], bits: usize, photometric: u16, layout: Layout) -> TiffFile {
    let count = values.len();
    let all = samples(values);
    let mut file = TiffFile::new(SIDE as u32, SIDE as u32, layout.little)
        .short(258, &vec![bits as u16; count])
        .short(259, &[layout.compression])
        .short(262, &[photometric])
        .short(277, &[count as u16]);
    if layout.planar {
        file = file.short(284, &[2]);
    }
    if layout.reversed {
        file = file.short(266, &[2]);
    }
    if layout.predictor {
        file = file.short(317, &[2]);
    }
    // Strips of 16 rows, or tiles of 16 by 16, both of which the image does not fill.
    let (width, rows) = if layout.tiled { (16, 16) } else { (SIDE, 16) };
    if layout.tiled {
        file = file.short(322, &[16]).short(323, &[16]);
        file.chunk_tags = (324, Some(325));
    } else {
        file = file.short(278, &[16]);
    }
    if !layout.counts {
        file.chunk_tags.1 = None;
    }
    let planes: Vec<Vec<usize>> = if layout.planar {
        (0..count).map(|sample| vec![sample]).collect()
    } else {
        vec![(0..count).collect()]
    };
    for plane in planes {
        for top in (0..SIDE).step_by(rows) {
            for left in (0..SIDE).step_by(width) {
                let height = if layout.tiled { rows } else { rows.min(SIDE - top) };
                let mut part = Vec::new();
                for y in top..top + height {
                    for x in left..left + width {
                        let at = (y.min(SIDE - 1) * SIDE + x.min(SIDE - 1)) * count;
                        part.extend(plane.iter().map(|sample| all[at + sample]));
                    }
                }
                let per_row = width * plane.len();
                if layout.predictor {
                    let mask = ((1_u64 << bits) - 1) as u32;
                    for row in part.chunks_mut(per_row) {
                        for at in (plane.len()..row.len()).rev() {
                            row[at] = row[at].wrapping_sub(row[at - plane.len()]) & mask;
                        }
                    }
                }
                let mut bytes = compressed(&packed(&part, per_row, bits, layout.little), layout.compression);
                if layout.reversed {
                    bytes.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
                }
                file = file.chunk(bytes);
            }
        }
    }
    file
}

/// The four colours in so many bits a sample, and as 8 bits again.
fn scaled(bits: usize) -> (Vec<[u32; 4]>, [[u8; 3]; 4]) {
    let most = ((1_u64 << bits) - 1) as f64;
    let code = |value: u8| (f64::from(value) / 255.0 * most).round();
    let values = (0..3).map(|channel| QUARTERS.map(|colour| code(colour[channel]) as u32)).collect();
    let expected = QUARTERS.map(|colour| colour.map(|value| (code(value) / most * 255.0).round() as u8));
    (values, expected)
}

#[test]
fn every_depth_in_every_layout() {
    for bits in [1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 24, 32] {
        let (values, expected) = scaled(bits);
        for variant in 0..8 {
            let layout = Layout {
                little: variant & 1 == 0,
                planar: variant & 2 != 0,
                tiled: variant & 4 != 0,
                ..PLAIN
            };
            let file = written(&values, bits, 2, layout).file();
            assert_quarters(&file, expected, 2, &format!("RGB of {bits} bits, {layout:?}"));
        }
        for little in [false, true] {
            let layout = Layout { little, ..PLAIN };
            for (photometric, inverted) in [(1, 0), (0, 255)] {
                let file = written(&values[..1], bits, photometric, layout).file();
                let gray = expected.map(|colour| [colour[0] ^ inverted; 3]);
                assert_quarters(&file, gray, 2, &format!("gray of {bits} bits, {photometric} {layout:?}"));
            }
        }
    }
}

#[test]
fn every_compression_in_every_order_with_and_without_counts() {
    for compression in [1, 5, 8, 32773, 32946, 50000] {
        for variant in 0..64 {
            let bits = [4, 8, 12, 16][variant / 16];
            let layout = Layout {
                little: variant & 1 == 0,
                planar: variant & 2 != 0,
                reversed: variant & 4 != 0,
                predictor: variant & 8 != 0
                    && (bits == 8 || bits == 16)
                    && compression != 1
                    && compression != 32773,
                // What follows the strips is not theirs.
                counts: compression == 5 || variant & 8 != 0,
                tiled: variant & 3 == 3,
                compression,
            };
            let (values, expected) = scaled(bits);
            let file = written(&values, bits, 2, layout).file();
            assert_quarters(&file, expected, 2, &format!("{bits} bits, {layout:?}"));
        }
    }
}

#[test]
fn palettes_of_every_depth() {
    for (bits, scale) in [(1, 257), (2, 257), (4, 257), (8, 257), (8, 1)] {
        let count = 1 << bits;
        let index = |quarter: u32| if bits == 1 { quarter % 2 } else { quarter };
        let mut map = vec![0_u16; 3 * count];
        for quarter in 0..4_u32 {
            for channel in 0..3 {
                map[channel * count + index(quarter) as usize] = u16::from(
                    QUARTERS[if bits == 1 { index(quarter) as usize } else { quarter as usize }][channel],
                ) * scale;
            }
        }
        let values = [[0, 1, 2, 3].map(index)];
        let expected = [0, 1, 2, 3].map(|quarter| QUARTERS[index(quarter) as usize]);
        for reversed in [false, true] {
            let file =
                written(&values, bits, 3, Layout { reversed, ..PLAIN }).with(320, Value::Shorts(map.clone()));
            assert_quarters(
                &file.file(),
                expected,
                1,
                &format!("palette of {bits} bits, {scale} {reversed}"),
            );
        }
    }
    let without = written(&[[0, 1, 2, 3]], 8, 3, PLAIN).file();
    assert!(matches!(thumbnail(&without, &as_png()), Err(Error::Malformed(_))));
}

#[test]
fn a_large_profile_in_a_small_image_is_applied() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let values = [[200; 4], [120; 4], [80; 4]];
    let file = written(&values, 8, 2, PLAIN).with(34675, Value::Bytes(profile)).file();
    assert!(probe(&file).unwrap().profile);
    assert_quarters(&file, [[210, 118, 70]; 4], 3, "display P3");
}

#[test]
fn signed_samples_and_floats_are_scaled_to_their_range() {
    for bits in [8, 16, 32] {
        let most = (1_i64 << (bits - 1)) - 1;
        let value = |share: f64| (share * most as f64) as i64 as u32 & ((1_u64 << bits) - 1) as u32;
        let file = written(&[[-1.0, -0.5, 0.0, 1.0].map(value)], bits, 1, PLAIN).short(339, &[2]).file();
        assert_quarters(&file, [[0; 3], [64; 3], [128; 3], [255; 3]], 2, &format!("signed, {bits} bits"));
    }
    let float = |values: [f32; 4], tags: u16| {
        let values = values.map(f32::to_bits);
        written(&[values, values, values][..usize::from(tags)], 32, if tags == 3 { 2 } else { 1 }, PLAIN)
            .short(339, &vec![3; usize::from(tags)])
            .file()
    };
    let steps = [[0; 3], [64; 3], [128; 3], [255; 3]];
    assert_quarters(&float([0.0, 0.25, 0.5, 1.0], 1), steps, 2, "floats up to 1");
    assert_quarters(&float([0.0, 0.25, 0.5, 1.0], 3), steps, 2, "RGB floats up to 1");
    assert_quarters(&float([0.0, 64.0, 128.0, 255.0], 1), steps, 2, "floats up to 255");
    assert_quarters(&float([-1000.0, 0.0, 1000.0, 3000.0], 1), steps, 2, "floats of any range");
    assert_quarters(
        &float([f32::NAN, 0.5, 0.5, 1.0], 1),
        [[0; 3], [128; 3], [128; 3], [255; 3]],
        2,
        "no number",
    );
    let halves = written(&[[0, 0x3400, 0x3800, 0x3c00]], 16, 1, PLAIN).short(339, &[3]).file();
    assert_quarters(&halves, steps, 2, "floats of 16 bits");
    let complex = written(&[[1; 4]], 32, 1, PLAIN).short(339, &[5]).file();
    assert!(matches!(thumbnail(&complex, &as_png()), Err(Error::Unsupported(_))));
}

#[test]
fn lab_of_8_and_16_bits() {
    // Lab of sRGB's gray 119, red, green and blue, relative to D50 (by the standard's formulas).
    let colours = [[50.0, 0.0, 0.0], [54.29, 80.81, 69.89], [87.82, -79.27, 80.99], [29.57, 68.30, -112.03]];
    let expected = [[119, 119, 119], [255, 0, 0], [0, 255, 0], [0, 0, 255]];
    for (photometric, bits) in [(8, 8), (9, 8), (8, 16), (9, 16)] {
        let encode = |colour: [f64; 3]| -> [u32; 3] {
            let [lightness, a, b] = colour;
            let offset = if photometric == 9 { 128.0 } else { 0.0 };
            let (full, unit, mask) = match (bits, photometric) {
                (8, _) => (2.55, 1.0, 0xff),
                (_, 8) => (655.35, 256.0, 0xffff),
                _ => (652.8, 256.0, 0xffff),
            };
            let chroma = |value: f64| (((value + offset) * unit).round() as i32) as u32 & mask;
            [(lightness * full).round() as u32, chroma(a), chroma(b)]
        };
        let encoded = colours.map(encode);
        let values: Vec<_> = (0..3).map(|channel| encoded.map(|colour| colour[channel])).collect();
        for planar in [false, true] {
            let file = written(&values, bits, photometric, Layout { planar, ..PLAIN }).file();
            let tolerance = if bits == 8 { 12 } else { 3 };
            assert_quarters(
                &file,
                expected,
                tolerance,
                &format!("Lab {photometric}, {bits} bits, planar {planar}"),
            );
        }
    }
}

#[test]
fn inks_of_every_depth() {
    for bits in [4, 8, 16] {
        let most = (1_u32 << bits) - 1;
        let inks = [[0, most, 0, 0], [most, 0, 0, 0], [most, 0, most, 0], [0, 0, 0, most]];
        for planar in [false, true] {
            let file = written(&inks, bits, 5, Layout { planar, ..PLAIN }).file();
            // What no ink of a quarter covers.
            let expected = [0, 1, 2, 3].map(|quarter| {
                [0, 1, 2].map(|ink: usize| if inks[ink][quarter] + inks[3][quarter] > 0 { 0 } else { 255 })
            });
            assert_quarters(&file, expected, 1, &format!("inks of {bits} bits, planar {planar}"));
        }
    }
}

/// ITU-R BT.601 at full range.
fn ycbcr(rgb: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = rgb.map(f64::from);
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    [y, 128.0 + (b - y) / 1.772, 128.0 + (r - y) / 1.402].map(|value| value.round() as u8)
}

#[test]
fn subsampled_colours_in_units_and_planes() {
    let colours = QUARTERS.map(ycbcr);
    let at = |x: usize, y: usize| colours[usize::from(y >= SIDE / 2) * 2 + usize::from(x >= SIDE / 2)];
    for (across, down) in [(1, 1), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4), (1, 2)] {
        for compression in [1, 5, 50000] {
            let mut units = Vec::new();
            for top in (0..SIDE).step_by(down) {
                for left in (0..SIDE).step_by(across) {
                    for y in top..top + down {
                        units.extend((left..left + across).map(|x| at(x, y)[0]));
                    }
                    units.extend(&at(left, top)[1..]);
                }
            }
            let base = || {
                TiffFile::new(SIDE as u32, SIDE as u32, true)
                    .short(258, &[8, 8, 8])
                    .short(259, &[compression])
                    .short(262, &[6])
                    .short(277, &[3])
                    .short(530, &[across as u16, down as u16])
            };
            let what = format!("{across}x{down}, compression {compression}");
            assert_quarters(&base().chunk(compressed(&units, compression)).file(), QUARTERS, 3, &what);
            let plane = |channel: usize, across: usize, down: usize| -> Vec<u8> {
                let rows = (0..SIDE).step_by(down);
                rows.flat_map(|y| (0..SIDE).step_by(across).map(move |x| at(x, y)[channel])).collect()
            };
            let mut planes = base().short(284, &[2]);
            for (channel, across, down) in [(0, 1, 1), (1, across, down), (2, across, down)] {
                planes = planes.chunk(compressed(&plane(channel, across, down), compression));
            }
            assert_quarters(&planes.file(), QUARTERS, 3, &format!("{what}, planes"));
        }
    }
    // Video range, by the reference black and white.
    let video = colours.map(|[y, cb, cr]| {
        let scale =
            |value: u8, middle: f64, range: f64| (middle + (f64::from(value) - 128.0) * range / 255.0) as u32;
        [16 + u32::from(y) * 219 / 255, scale(cb, 128.0, 224.0), scale(cr, 128.0, 224.0)]
    });
    let values: Vec<_> = (0..3).map(|channel| video.map(|colour| colour[channel])).collect();
    let range = [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1];
    let file = written(&values, 8, 6, PLAIN).short(530, &[1, 1]).with(532, Value::Rationals(range.to_vec()));
    assert_quarters(&file.file(), QUARTERS, 4, "video range");
}

#[test]
fn jpegs_in_strips_and_tiles_with_common_tables() {
    let rgb = quarters(SIDE, 16);
    let part = |top: usize| -> Vec<u8> {
        quarters(SIDE, SIDE)[top * SIDE * 3..].chunks(SIDE * 3).take(16).flatten().copied().collect()
    };
    for (colour, photometric, samples) in [
        (jpeg_encoder::ColorType::Rgb, 6, 3),
        (jpeg_encoder::ColorType::Ycbcr, 2, 3),
        (jpeg_encoder::ColorType::Luma, 1, 1),
    ] {
        let mut file = TiffFile::new(SIDE as u32, SIDE as u32, false)
            .short(258, &vec![8; samples])
            .short(259, &[7])
            .short(262, &[photometric])
            .short(277, &[samples as u16])
            .short(278, &[16]);
        for top in [0, 16, 32] {
            let pixels = part(top);
            let rows = pixels.len() / SIDE / 3;
            let pixels = if samples == 1 { pixels.chunks(3).map(|p| p[0]).collect() } else { pixels };
            let jpeg = jpeg_with(&pixels, SIDE, rows, colour, |encoder| {
                encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_4_4);
            });
            file = file.chunk(jpeg);
        }
        let expected = if samples == 1 { QUARTERS.map(|colour| [colour[0]; 3]) } else { QUARTERS };
        assert_quarters(&file.file(), expected, 5, &format!("JPEG, photometric {photometric}"));
    }
    // Tables apart, as libtiff writes them.
    let whole = jpeg_with(&rgb, SIDE, 16, jpeg_encoder::ColorType::Rgb, |_| {});
    let (tables, rest) = without_tables(&whole);
    let mut file = TiffFile::new(SIDE as u32, 16, true)
        .short(258, &[8, 8, 8])
        .short(259, &[7])
        .short(262, &[6])
        .short(277, &[3])
        .with(347, Value::Bytes(tables))
        .chunk(rest);
    file.tags.push((278, Value::Shorts(vec![16])));
    let image = Pixels::of(&thumbnail(&file.file(), &as_png()).unwrap());
    let plain = Pixels::of(&thumbnail(&whole, &as_png()).unwrap());
    assert_close(&image.rgba, &plain.rgba, 2, "tables apart");
}

/// The tables of a JPEG as a stream of their own, and the rest.
fn without_tables(jpeg: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut tables, mut rest, mut at) = (b"\xff\xd8".to_vec(), b"\xff\xd8".to_vec(), 2);
    loop {
        let length = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        let segment = &jpeg[at..at + length];
        match segment[1] {
            0xda => {
                rest.extend(&jpeg[at..]);
                tables.extend(b"\xff\xd9");
                return (tables, rest);
            }
            0xdb | 0xc4 => tables.extend(segment),
            _ => rest.extend(segment),
        }
        at += length;
    }
}

#[test]
fn old_style_jpegs_wherever_their_parts_are() {
    let rgb = quarters(SIDE, SIDE);
    let jpeg = jpeg_with(&rgb, SIDE, SIDE, jpeg_encoder::ColorType::Rgb, |encoder| {
        encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_4_4);
    });
    let base = || {
        TiffFile::new(SIDE as u32, SIDE as u32, true)
            .short(258, &[8, 8, 8])
            .short(259, &[6])
            .short(262, &[6])
            .short(277, &[3])
            .short(512, &[1])
            .short(530, &[1, 1])
    };
    // A stream at the offset of tag 513: the first chunk lies at byte 8.
    let mut whole = base().with(513, Value::Longs(vec![8])).with(514, Value::Longs(vec![jpeg.len() as u32]));
    whole = whole.chunk(jpeg.clone());
    assert_quarters(&whole.file(), QUARTERS, 5, "stream in tag 513");
    let mut strip = base();
    strip = strip.chunk(jpeg.clone());
    assert_quarters(&strip.file(), QUARTERS, 5, "stream in a strip");
    // Tables by tags 519 to 521, and the data of the scan alone in the strip.
    let (mut quantisation, mut dc, mut ac, mut at) = (vec![], vec![], vec![], 2);
    let data = loop {
        let length = usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        let body = &jpeg[at + 4..at + 2 + length];
        match jpeg[at + 1] {
            0xdb => quantisation.extend(body.chunks(65).map(|table| table[1..].to_vec())),
            0xc4 => {
                let mut body = body;
                while let [class, rest @ ..] = body {
                    let count: usize = rest[..16].iter().map(|&count| usize::from(count)).sum();
                    let table = rest[..16 + count].to_vec();
                    if class >> 4 == 0 {
                        dc.push(table);
                    } else {
                        ac.push(table);
                    }
                    body = &rest[16 + count..];
                }
            }
            0xda => break &jpeg[at + 2 + length..],
            _ => {}
        }
        at += 2 + length;
    };
    let mut place = 8;
    let mut prefix = Vec::new();
    let mut offsets = |tables: &[Vec<u8>]| {
        let mut at = Vec::new();
        for table in tables {
            at.push(place as u32);
            prefix.extend(table);
            place += table.len();
        }
        // Cb and Cr share theirs.
        Value::Longs([0, 1, 1].map(|index: usize| at[index.min(at.len() - 1)]).to_vec())
    };
    let tags = [(519, offsets(&quantisation)), (520, offsets(&dc)), (521, offsets(&ac))];
    let mut file = base();
    file.tags.extend(tags);
    // The tables lie in a strip of their own that no tag names.
    let mut bytes = file.chunk(prefix.clone()).chunk(data.to_vec()).file();
    // Two strips were written; declare the second alone.
    let find = |tag: u16, bytes: &[u8]| {
        let needle = [tag.to_le_bytes(), 4_u16.to_le_bytes()].concat();
        bytes.windows(4).rposition(|window| window == needle).unwrap()
    };
    for tag in [273, 279] {
        let at = find(tag, &bytes);
        let list = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        let second = bytes[list + 4..list + 8].to_vec();
        bytes[at + 4..at + 8].copy_from_slice(&1_u32.to_le_bytes());
        bytes[at + 8..at + 12].copy_from_slice(&second);
    }
    assert_quarters(&bytes, QUARTERS, 5, "tables by tags");
}

#[test]
fn the_page_of_full_resolution_is_rendered() {
    let page = |value: u32, kind: Option<(u16, u16)>| {
        let mut file = written(&[[value; 4]], 8, 1, PLAIN);
        if let Some((tag, kind)) = kind {
            file = file.short(tag, &[kind]);
        }
        file
    };
    let first = |pages: &[TiffFile]| quarters_of(&TiffFile::pages(pages), "pages")[0][0];
    assert_eq!(first(&[page(10, None), page(20, None)]), 10);
    assert_eq!(first(&[page(10, Some((254, 0))), page(20, Some((254, 1)))]), 10);
    assert_eq!(first(&[page(10, Some((254, 1))), page(20, Some((254, 0)))]), 20);
    assert_eq!(first(&[page(10, Some((254, 1))), page(20, None)]), 20);
    assert_eq!(first(&[page(10, Some((255, 2))), page(20, Some((255, 1)))]), 20);
    assert_eq!(first(&[page(10, Some((254, 1))), page(20, Some((254, 4))), page(30, None)]), 30);
    assert_eq!(first(&[page(10, Some((254, 1))), page(20, Some((254, 1)))]), 10);
    // One that cannot be read leaves the reduced one.
    let raw = written(&[[0; 4]], 8, 32803, PLAIN);
    assert_eq!(first(&[page(10, Some((254, 1))), raw]), 10);
}

#[test]
fn what_is_not_read_is_unsupported_and_named() {
    for (compression, name) in
        [(34925, "LZMA"), (33003, "JPEG 2000"), (34661, "JBIG"), (50001, "WebP"), (77, "77")]
    {
        let file = written(&[[1; 4]], 8, 1, Layout { compression, ..PLAIN }).file();
        match thumbnail(&file, &as_png()) {
            Err(Error::Unsupported(why)) => assert!(why.contains(name), "{why}"),
            other => panic!("{compression}: {other:?}"),
        }
    }
    let huge = TiffFile::new(10, 10, true)
        .short(258, &[8])
        .short(262, &[1])
        .short(322, &[60_000])
        .short(323, &[60_000]);
    assert!(matches!(
        thumbnail(&huge.chunk(vec![0; 9]).file(), &as_png()),
        Err(Error::Unsupported(_) | Error::TooLarge(_))
    ));
}
