//! Generated images in every supported format, and access to the pixels of thumbnails.

#![allow(dead_code, reason = "each test file uses its own part of these")]

pub(crate) mod costly;
pub(crate) mod icc;
pub(crate) mod tags;

use std::io::Cursor;

use tintype_engine::{Error, Limits, Scratch, Spec, Thumbnail, render};

/// The colours of the four quarters: top left, top right, bottom left, bottom right.
pub(crate) const QUARTERS: [[u8; 3]; 4] = [[220, 30, 30], [30, 200, 40], [30, 40, 210], [230, 220, 40]];

/// An image of four flat quarters.
pub(crate) fn quarters(width: usize, height: usize) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            rgb.extend(QUARTERS[usize::from(y >= height / 2) * 2 + usize::from(x >= width / 2)]);
        }
    }
    rgb
}

/// A smooth gradient with some texture, for codecs to encode.
pub(crate) fn texture(width: usize, height: usize) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let wave = (x * 7 + y * 13) % 40;
            rgb.extend([(x * 255 / width) as u8, (y * 255 / height) as u8, (100 + wave) as u8]);
        }
    }
    rgb
}

pub(crate) fn jpeg(rgb: &[u8], width: usize, height: usize) -> Vec<u8> {
    jpeg_with(rgb, width, height, jpeg_encoder::ColorType::Rgb, |_| {})
}

pub(crate) fn jpeg_with(
    pixels: &[u8],
    width: usize,
    height: usize,
    colour: jpeg_encoder::ColorType,
    set: impl FnOnce(&mut jpeg_encoder::Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 95);
    set(&mut encoder);
    encoder.encode(pixels, width as u16, height as u16, colour).unwrap();
    bytes
}

/// Inserts an Exif segment with the orientation after SOI.
pub(crate) fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut segment = b"\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    segment.push(orientation);
    segment.extend([0; 6]);
    [&jpeg[..2], &segment, &jpeg[2..]].concat()
}

pub(crate) fn png(
    pixels: &[u8],
    width: usize,
    height: usize,
    colour: png::ColorType,
    depth: png::BitDepth,
) -> Vec<u8> {
    png_with(pixels, width, height, colour, depth, |_| {})
}

pub(crate) fn png_with(
    pixels: &[u8],
    width: usize,
    height: usize,
    colour: png::ColorType,
    depth: png::BitDepth,
    set: impl FnOnce(&mut png::Info<'_>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut info = png::Info::default();
    set(&mut info);
    (info.width, info.height) = (width as u32, height as u32);
    (info.color_type, info.bit_depth) = (colour, depth);
    let mut writer = png::Encoder::with_info(&mut bytes, info).unwrap().write_header().unwrap();
    writer.write_image_data(pixels).unwrap();
    writer.finish().unwrap();
    bytes
}

/// An interlaced PNG (W3C PNG, third edition, section 8.1), unfiltered and not compressed.
pub(crate) fn interlaced_png(rgb: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut rows = Vec::new();
    let passes =
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
    for (left, top, across, down) in passes {
        for y in (top..height).step_by(down).filter(|_| left < width) {
            rows.push(0);
            for x in (left..width).step_by(across) {
                rows.extend(&rgb[(y * width + x) * 3..][..3]);
            }
        }
    }
    let mut stream = b"\x78\x01".to_vec();
    let blocks: Vec<_> = rows.chunks(0xffff).collect();
    for (index, block) in blocks.iter().enumerate() {
        let length = block.len() as u16;
        stream.push(u8::from(index + 1 == blocks.len()));
        stream.extend([length, !length].map(u16::to_le_bytes).as_flattened());
        stream.extend(*block);
    }
    let (a, b) = rows.iter().fold((1_u32, 0_u32), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    stream.extend((b << 16 | a).to_be_bytes());
    let mut bytes = costly::png_header([width as u32, height as u32], 8, 2, true);
    bytes.truncate(33);
    for (name, data) in [(b"IDAT", &stream[..]), (b"IEND", &[])] {
        let body = [name, data].concat();
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(&body);
        bytes.extend(crc32fast::hash(&body).to_be_bytes());
    }
    bytes
}

pub(crate) fn rgb_png(rgb: &[u8], width: usize, height: usize) -> Vec<u8> {
    png(rgb, width, height, png::ColorType::Rgb, png::BitDepth::Eight)
}

pub(crate) fn rgba_png(rgba: &[u8], width: usize, height: usize) -> Vec<u8> {
    png(rgba, width, height, png::ColorType::Rgba, png::BitDepth::Eight)
}

pub(crate) fn webp(rgb: &[u8], width: usize, height: usize) -> Vec<u8> {
    webp::Encoder::from_rgb(rgb, width as u32, height as u32).encode(95.0).to_vec()
}

pub(crate) fn webp_lossless(rgba: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    image_webp::WebPEncoder::new(&mut bytes)
        .encode(rgba, width as u32, height as u32, image_webp::ColorType::Rgba8)
        .unwrap();
    bytes
}

/// An animated WebP of `frames` equal frames (RFC 9649, section 2.7).
pub(crate) fn webp_of_frames(rgb: &[u8], width: usize, height: usize, frames: usize) -> Vec<u8> {
    let chunk = |name: &[u8], data: &[u8]| {
        let padding = vec![0; data.len() % 2];
        [name, &(data.len() as u32).to_le_bytes(), data, &padding].concat()
    };
    let size = [(width - 1) as u8, 0, 0, (height - 1) as u8, 0, 0];
    let still = webp(rgb, width, height);
    let frame = [&[0; 6][..], &size, &[100, 0, 0, 0], &still[12..]].concat();
    let mut body = b"WEBP".to_vec();
    body.extend(chunk(b"VP8X", &[&[2, 0, 0, 0][..], &size].concat()));
    body.extend(chunk(b"ANIM", &[0; 6]));
    (0..frames).for_each(|_| body.extend(chunk(b"ANMF", &frame)));
    chunk(b"RIFF", &body)
}

/// A GIF of `frames` equal frames.
pub(crate) fn gif(rgb: &[u8], width: usize, height: usize, frames: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, width as u16, height as u16, &[]).unwrap();
    for _ in 0..frames {
        let frame = gif::Frame::from_rgb_speed(width as u16, height as u16, rgb, 10);
        encoder.write_frame(&frame).unwrap();
    }
    drop(encoder);
    bytes
}

pub(crate) fn bmp(rgb: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::bmp::BmpEncoder::new(&mut bytes)
        .encode(rgb, width as u32, height as u32, image::ExtendedColorType::Rgb8)
        .unwrap();
    bytes
}

pub(crate) fn tiff<C: tiff::encoder::colortype::ColorType>(
    samples: &[C::Inner],
    width: usize,
    height: usize,
) -> Vec<u8>
where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let mut bytes = Cursor::new(Vec::new());
    tiff::encoder::TiffEncoder::new(&mut bytes)
        .unwrap()
        .write_image::<C>(width as u32, height as u32, samples)
        .unwrap();
    bytes.into_inner()
}

/// The same image in every format.
pub(crate) fn every_format(rgb: &[u8], width: usize, height: usize) -> Vec<(&'static str, Vec<u8>)> {
    let rgba: Vec<u8> = rgb.chunks(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    vec![
        ("jpeg", jpeg(rgb, width, height)),
        (
            "progressive jpeg",
            jpeg_with(rgb, width, height, jpeg_encoder::ColorType::Rgb, |encoder| {
                encoder.set_progressive(true);
            }),
        ),
        ("png", rgb_png(rgb, width, height)),
        ("webp", webp(rgb, width, height)),
        ("lossless webp", webp_lossless(&rgba, width, height)),
        ("gif", gif(rgb, width, height, 1)),
        ("bmp", bmp(rgb, width, height)),
        ("tiff", tiff::<tiff::encoder::colortype::RGB8>(rgb, width, height)),
    ]
}

/// Renders one thumbnail with the default limits.
pub(crate) fn thumbnail(bytes: &[u8], spec: &Spec) -> Result<Thumbnail, Error> {
    let mut rendered =
        render(bytes, std::slice::from_ref(spec), &Limits::default(), &|| false, &mut Scratch::default())?;
    Ok(rendered.remove(0))
}

/// A thumbnail's pixels as RGBA.
pub(crate) struct Pixels {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) rgba: Vec<u8>,
}

impl Pixels {
    /// Decodes PNG.
    pub(crate) fn of(thumbnail: &Thumbnail) -> Self {
        assert_eq!(thumbnail.format, tintype_engine::Format::Png, "tests compare PNG thumbnails");
        Self::of_png(&thumbnail.bytes)
    }

    /// Decodes the file.
    pub(crate) fn of_png(bytes: &[u8]) -> Self {
        let mut decoder = png::Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::ALPHA | png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let rgba = match info.color_type {
            png::ColorType::GrayscaleAlpha => {
                pixels.chunks(2).flat_map(|p| [p[0], p[0], p[0], p[1]]).collect()
            }
            png::ColorType::Rgba => pixels,
            other => panic!("{other:?}"),
        };
        Self { width: info.width as usize, height: info.height as usize, rgba }
    }

    pub(crate) fn at(&self, x: usize, y: usize) -> [u8; 4] {
        let at = (y * self.width + x) * 4;
        self.rgba[at..at + 4].try_into().unwrap()
    }

    /// The middle of a quarter, numbered as in [`QUARTERS`].
    pub(crate) fn quarter(&self, index: usize) -> [u8; 3] {
        let x = if index.is_multiple_of(2) { self.width / 4 } else { self.width * 3 / 4 };
        let y = if index / 2 == 0 { self.height / 4 } else { self.height * 3 / 4 };
        self.at(x, y)[..3].try_into().unwrap()
    }
}

/// Whether two colours are equal within a tolerance.
#[track_caller]
pub(crate) fn assert_close(actual: &[u8], expected: &[u8], tolerance: u8, what: &str) {
    assert!(
        actual.len() == expected.len()
            && actual.iter().zip(expected).all(|(a, b)| a.abs_diff(*b) <= tolerance),
        "{what}: {actual:?} is not {expected:?} within {tolerance}"
    );
}
