//! Files that are made to cost much, or are broken in places: what each frame takes is bounded before it is decoded.

use std::io::Cursor;

use image_webp::WebPDecoder;

use super::{Disposal, Frame, frame_pixels};
use crate::codec::{self, Context, Decoded};
use crate::plan::Reduction;
use crate::stop::Stop;
use crate::{Error, Limits, OutputFormat, Scratch, SimdLevel, Spec, probe, render};

/// An image of a GIF: left, top, width and height; whether it is interlaced; its colour, 0 or 1.
type Drawn = ([u16; 4], bool, u8);

const WHOLE: Drawn = ([0, 0, 40, 20], false, 0);

/// A GIF of 40x20 in white and red. Data ends after as many pixels as the canvas has.
fn gif(images: &[Drawn]) -> Vec<u8> {
    let mut file = b"GIF89a\x28\0\x14\0\x80\0\0".to_vec();
    file.extend([255, 255, 255, 220, 30, 30]);
    for (rectangle, is_interlaced, colour) in images {
        file.push(0x2c);
        rectangle.iter().for_each(|number| file.extend(number.to_le_bytes()));
        file.push(if *is_interlaced { 0x40 } else { 0 });
        let pixels = (usize::from(rectangle[2]) * usize::from(rectangle[3])).min(800);
        let indices = vec![*colour; pixels];
        let data = weezl::encode::Encoder::new(weezl::BitOrder::Lsb, 2).encode(&indices).unwrap();
        file.push(2);
        for block in data.chunks(255) {
            file.push(block.len() as u8);
            file.extend(block);
        }
        file.push(0);
    }
    file.push(0x3b);
    file
}

/// An APNG of 40x20, in frames that are each of one value.
fn apng(colour: png::ColorType, values: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 40, 20);
    encoder.set_color(colour);
    encoder.set_animated(values.len() as u32, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    for value in values {
        writer.write_image_data(&vec![*value; 800 * colour.samples()]).unwrap();
    }
    writer.finish().unwrap();
    file
}

/// A chunk of a PNG.
fn chunk(name: [u8; 4], data: &[u8]) -> Vec<u8> {
    let named = [&name[..], data].concat();
    let (length, crc) = (data.len() as u32, crc32fast::hash(&named));
    [&length.to_be_bytes()[..], &named, &crc.to_be_bytes()].concat()
}

fn with_context<T>(decode: impl FnOnce(&Context<'_>) -> T) -> T {
    let (limits, foreign) = (Limits::default(), crate::foreign::InProcess::default());
    let stop = || false;
    decode(&Context {
        limits: &limits,
        reduction: Reduction::NONE,
        level: SimdLevel::detect(),
        stop: Stop(&stop),
        foreign: &foreign,
    })
}

fn count(file: &[u8], most: usize) -> usize {
    codec::frames(file, &probe(file).unwrap(), most).unwrap().map_or(0, |animation| animation.frames.len())
}

fn animated() -> Spec {
    let background = "transparent".parse().unwrap();
    Spec { animate: true, format: OutputFormat::WebP, quality: 95, background, ..Spec::default() }
}

#[test]
fn images_of_a_gif_are_cut_at_the_canvas() {
    for is_interlaced in [false, true] {
        let file = gif(&[WHOLE, ([35, 15, 10, 10], is_interlaced, 1), ([50, 30, 9, 9], is_interlaced, 1)]);
        let header = probe(&file).unwrap();
        let animation = codec::frames(&file, &header, 10).unwrap().unwrap();
        let frame = &animation.frames[1];
        assert_eq!((frame.left, frame.top, frame.width, frame.height), (35, 15, 5, 5));
        let pixels =
            with_context(|context| frame_pixels::decode(frame, (40, 20), context, &mut Scratch::default()));
        assert_eq!(pixels.unwrap().rgba, [220_u8, 30, 30, 255].repeat(25));
        let beyond = &animation.frames[2];
        assert_eq!((beyond.width, beyond.height), (0, 0));
        let limits = Limits::default();
        assert!(render(&file, &[animated()], &limits, &|| false, &mut Scratch::default()).is_ok());
        // Of more pixels than the canvas it is no frame.
        assert_eq!(count(&gif(&[WHOLE, ([0, 0, 65535, 65535], is_interlaced, 1)]), 10), 1);
    }
}

#[test]
fn a_frame_larger_than_the_canvas_is_not_decoded() {
    let frame = |width, height| Frame {
        left: 0,
        top: 0,
        width,
        height,
        delay_ms: 100,
        disposal: Disposal::Keep,
        is_blended: true,
        decode: Box::new(|_, _, _| Ok(Decoded::default())),
    };
    let decoded = |width, height| {
        let frame = frame(width, height);
        with_context(|context| {
            frame_pixels::decode(&frame, (40, 20), context, &mut Scratch::default()).map(drop)
        })
    };
    assert!(decoded(40, 20).is_ok());
    for (width, height) in [(41, 20), (40, 21), (65535, 65535)] {
        assert!(matches!(decoded(width, height), Err(Error::Malformed(_))), "{width}x{height}");
    }
}

#[test]
fn lists_of_frames_end_beyond_the_limit() {
    let other = ([0, 0, 40, 20], false, 1);
    let gif = gif(&[WHOLE, other, WHOLE, other]);
    let webp = render(&gif, &[animated()], &Limits::default(), &|| false, &mut Scratch::default())
        .unwrap()
        .remove(0);
    for file in [&gif, &webp.bytes, &apng(png::ColorType::Rgb, &[1, 99, 1, 99])] {
        assert_eq!((count(file, 10), count(file, 4), count(file, 2)), (4, 4, 3));
    }
}

#[test]
fn a_gif_that_ends_within_an_extension_has_the_frames_before_it() {
    let mut file = gif(&[WHOLE, ([0, 0, 40, 20], false, 1)]);
    assert_eq!(file.pop(), Some(0x3b));
    file.push(0x21);
    assert_eq!(count(&file, 10), 2);
}

#[test]
fn chunks_that_no_pixel_needs_are_not_copied_for_frames() {
    let whole = apng(png::ColorType::Rgb, &[1, 99]);
    let mut file = whole[..33].to_vec();
    for name in [*b"tEXt", *b"zTXt", *b"eXIf", *b"gAMA", *b"sBIT"] {
        (0..5000).for_each(|_| file.extend(chunk(name, b"")));
    }
    file.extend(chunk(*b"PLTE", &[1, 2, 3]));
    file.extend(&whole[33..]);
    let animation = codec::frames(&file, &probe(&file).unwrap(), 10).unwrap().unwrap();
    assert_eq!((animation.frames.len(), animation.shared_bytes), (2, 15));
    assert!(animation.copied_bytes < 10_000, "{}", animation.copied_bytes);
    let frame = &animation.frames[1];
    let pixels =
        with_context(|context| frame_pixels::decode(frame, (40, 20), context, &mut Scratch::default()));
    assert_eq!(pixels.unwrap().rgba, [99_u8, 99, 99, 255].repeat(800));
    // What is copied counts in the estimate, and what is read for each frame in the work.
    let long = apng(png::ColorType::Rgb, &[7; 50]);
    let palette = chunk(*b"PLTE", &[9; 300_000]);
    let file = [&long[..33], &palette, &long[33..]].concat();
    let limits = Limits { work: 100_000_000, ..Limits::default() };
    let note = |file: &[u8]| {
        let rendered = render(file, &[animated()], &limits, &|| false, &mut Scratch::default());
        rendered.map(|mut thumbnails| thumbnails.remove(0).note)
    };
    assert_eq!(note(&long), Ok(None));
    let animation = codec::frames(&file, &probe(&file).unwrap(), 100).unwrap().unwrap();
    assert!(animation.copied_bytes > 300_000 && animation.shared_bytes > 300_000);
    // A still image with such a palette is corrupt.
    assert!(note(&file).is_err());
}

#[test]
fn the_limits_of_stills_hold_for_animations() {
    let file = gif(&[WHOLE, ([0, 0, 40, 20], false, 1)]);
    let work = probe(&file).unwrap().work;
    for limits in [
        Limits { pixels: 799, ..Limits::default() },
        Limits { work: work - 1, ..Limits::default() },
        Limits { memory_bytes: 1000, ..Limits::default() },
    ] {
        let result = render(&file, &[animated()], &limits, &|| false, &mut Scratch::default());
        assert!(matches!(result, Err(Error::TooLarge(_))), "{result:?}");
    }
}

#[test]
fn corrupt_data_of_a_png_ends_it_with_a_note() {
    let mut file = apng(png::ColorType::Rgb, &[1, 99]);
    let at = memchr::memmem::find(&file, b"fdAT").unwrap();
    let length = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    // Its CRC.
    file[at + 4 + length] ^= 1;
    let limits = Limits::default();
    let thumbnail =
        render(&file, &[animated()], &limits, &|| false, &mut Scratch::default()).unwrap().remove(0);
    assert_eq!(thumbnail.note.as_deref(), Some("the first 1 of 2 frames: the next one is corrupt"));
}

#[test]
fn a_profile_of_gray_applies_to_animations_in_gray() {
    let plain = apng(png::ColorType::Grayscale, &[128, 0]);
    // Samples that are linear.
    let gamma = chunk(*b"gAMA", &100_000_u32.to_be_bytes());
    let linear = [&plain[..33], &gamma, &plain[33..]].concat();
    let first = |file: &[u8]| {
        let limits = Limits::default();
        let webp =
            render(file, &[animated()], &limits, &|| false, &mut Scratch::default()).unwrap().remove(0);
        let mut decoder = WebPDecoder::new(Cursor::new(&webp.bytes)).unwrap();
        let mut pixels = vec![0; decoder.output_buffer_size().unwrap()];
        decoder.read_frame(&mut pixels).unwrap();
        pixels[0]
    };
    let (plain, linear) = (first(&plain), first(&linear));
    assert!(plain.abs_diff(128) < 4 && linear.abs_diff(188) < 4, "{plain} and {linear}");
}
