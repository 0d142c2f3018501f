//! The limit on the work of decoding: files that would take long are refused by their header, ordinary ones are
//! not.

mod support;

use support::costly::*;
use support::*;
use tintype_engine::{Error, Limits, Scratch, Spec, probe, render};

fn work(bytes: &[u8]) -> u64 {
    probe(bytes).unwrap().work
}

fn rendered(bytes: &[u8], limits: Limits) -> Result<(), Error> {
    render(bytes, &[Spec::default()], &limits, &|| false, &mut Scratch::default()).map(drop)
}

/// Renders with the default limits, but for memory.
fn by_default(bytes: &[u8]) -> Result<(), Error> {
    rendered(bytes, Limits { memory_bytes: u64::MAX, ..Limits::default() })
}

#[track_caller]
fn assert_refused(result: Result<(), Error>, reason: &str) {
    match result {
        Err(Error::TooLarge(why)) => {
            assert!(why.contains(reason) && why.contains("megasamples of limits.work"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn small_files_that_take_long_are_refused() {
    let scans = jpeg_of_empty_scans(16_000, 881);
    assert!(scans.len() < 1 << 20, "{} bytes", scans.len());
    assert_refused(by_default(&scans), "16000x16000 in 882 scans");
    assert_refused(by_default(&png_header([1, 300_000_000], 8, 0, false)), "1x300000000 of 8 bits");
    assert_refused(by_default(&png_header([17_320, 17_320], 16, 6, true)), "of 16 bits, interlaced");
    assert_refused(by_default(&bmp_of_rows(1, 100_000_000)), "in 100000000 rows");
    assert_refused(
        by_default(&gif_of_large_frame([1, 17_000], [17_000, 17_000])),
        "first frame of 17000x17000",
    );
    assert_refused(by_default(&tiff_of_tiles(16 * 700)), "in 490000 tiles");
}

#[test]
fn the_limit_is_exact_and_a_setting() {
    let rgb = texture(90, 70);
    for (name, bytes) in every_format(&rgb, 90, 70) {
        let work = work(&bytes);
        assert_eq!(rendered(&bytes, Limits { work, ..Limits::default() }), Ok(()), "{name}");
        assert_refused(rendered(&bytes, Limits { work: work - 1, ..Limits::default() }), "90x70");
    }
}

#[test]
fn work_grows_with_what_costs_time() {
    let scans = [0, 14, 28].map(|scans| work(&jpeg_of_empty_scans(800, scans)));
    // 100 by 100 blocks are visited in each scan.
    assert!(scans[1] - scans[0] >= 14 * 10_000 * 8 && scans[2] - scans[1] >= 14 * 10_000 * 8, "{scans:?}");
    assert_eq!(by_default(&jpeg_of_empty_scans(800, 28)), Ok(()));
    let png = |bits, colour, interlaced| work(&png_header([1000, 1000], bits, colour, interlaced));
    assert!(png(8, 0, false) > 1_000_000 && png(8, 6, false) > 4_000_000 && png(16, 6, false) > 8_000_000);
    assert!(png(16, 6, true) > 16_000_000 && png(1, 3, false) > 3_000_000);
    assert!(
        work(&png_header([1, 1_000_000], 8, 0, false)) > 30 * work(&png_header([1_000_000, 1], 8, 0, false))
    );
    assert!(work(&tiff_of_tiles(1600)) > 10_000 * 1000);
    assert_eq!(by_default(&tiff_of_tiles(1600)), Ok(()));
    assert!(work(&gif_of_large_frame([10, 10], [1000, 1000])) > 1_000_000);
    // Bytes that can only be codes that clear the table.
    let mut cleared = gif_of_large_frame([10, 10], [10, 10]);
    cleared.truncate(cleared.len() - 5);
    cleared.extend([&[255][..], &[0x24; 255]].concat().repeat(40_000));
    assert!(work(&cleared) > 1_000_000_000);
}

#[test]
fn large_ordinary_images_are_within_the_limit() {
    let baseline = jpeg(&[90; 64 * 64 * 3], 64, 64);
    let progressive = jpeg_with(&[90; 64 * 64 * 3], 64, 64, jpeg_encoder::ColorType::Rgb, |encoder| {
        encoder.set_progressive_scans(10);
        encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2);
    });
    let of_size = |bytes: &[u8], width: u16, height: u16| {
        let mut bytes = bytes.to_vec();
        let frame = bytes.windows(2).position(|two| matches!(two, [0xff, 0xc0 | 0xc2])).unwrap();
        bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
        bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
        work(&bytes)
    };
    let limit = Limits::default().work;
    // What the compressed data of such an image adds, at 2 bits a pixel.
    assert!(of_size(&baseline, 20_000, 10_000) + 2 * 50_000_000 < limit);
    assert!(of_size(&progressive, 10_000, 10_000) + 2 * 25_000_000 < limit);
    assert!(work(&png_header([20_000, 12_000], 8, 2, false)) < limit);
}

#[test]
fn blocks_of_deflate_with_codes_of_their_own_are_bounded() {
    // One code for a literal, one for the end of the block, none for a distance: 94 bits a block.
    let (mut stream, mut window, mut count) = (b"\x78\x01".to_vec(), 0_u64, 0);
    let mut put = |value: u64, width: u32| {
        window |= value << count;
        count += width;
        while count >= 8 {
            stream.push(window as u8);
            window >>= 8;
            count -= 8;
        }
    };
    for _ in 0..(1 << 18) + 1 {
        for (value, width) in [(0, 1), (2, 2), (0, 5), (0, 5), (14, 4)] {
            put(value, width);
        }
        // Lengths of the code lengths' codes in their order: 18, 0 and 1 are used.
        for length in [0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2] {
            put(length, 3);
        }
        for (value, width) in [(0b11, 2), (0, 1), (127, 7), (0, 1), (106, 7), (0b11, 2), (0b01, 2), (1, 1)] {
            put(value, width);
        }
    }
    put(0, 8);
    let mut png = png_header([1000, 1000], 8, 0, false);
    png.truncate(33);
    let body = [b"IDAT", &stream[..]].concat();
    png.extend((stream.len() as u32).to_be_bytes());
    png.extend(&body);
    png.extend(crc32fast::hash(&body).to_be_bytes());
    match by_default(&png) {
        Err(Error::Malformed(why)) => assert!(why.contains("more compressed blocks"), "{why}"),
        other => panic!("{other:?}"),
    }
}
