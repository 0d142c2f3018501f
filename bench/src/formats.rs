//! Sample images of the other formats, written by hand where no library does, with the shapes of `sample_images`.

use std::{borrow::Cow, io::Write as _};

use flate2::{Compression, Crc, write::ZlibEncoder};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::sample_images;

pub(crate) fn progressive_jpeg(width: u16, height: u16, seed: u32) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, 85);
    encoder.set_progressive(true);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(&sample_images::rgb(width, height, seed), width, height, ColorType::Rgb)?;
    Ok(out)
}

/// First column, first row, and steps of Adam7's passes. Source: PNG specification, section 8.2.
const ADAM7: [[usize; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/// An RGB PNG, every row under the filter Sub.
pub(crate) fn png(width: u16, height: u16, seed: u32, interlaced: bool) -> anyhow::Result<Vec<u8>> {
    let rgb = sample_images::rgb(width, height, seed);
    let (w, h) = (usize::from(width), usize::from(height));
    let passes: &[[usize; 4]] = if interlaced { &ADAM7 } else { &[[0, 0, 1, 1]] };
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::fast());
    for [left, top, across, down] in passes {
        for y in (*top..h).step_by(*down) {
            let mut row = vec![1];
            let mut before = [0; 3];
            for x in (*left..w).step_by(*across) {
                let pixel = &rgb[(y * w + x) * 3..][..3];
                row.extend(pixel.iter().zip(before).map(|(now, before)| now.wrapping_sub(before)));
                before.copy_from_slice(pixel);
            }
            // A pass without pixels has no rows either.
            if row.len() > 1 {
                rows.write_all(&row)?;
            }
        }
    }
    Ok(png_file([width.into(), height.into()], [8, 2, 0, 0, u8::from(interlaced)], &rows.finish()?))
}

/// A gray PNG of one bit a pixel, all black, that declares `height` rows and contains `rows`.
pub(crate) fn flat_png(width: u32, height: u32, rows: u32) -> anyhow::Result<Vec<u8>> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let row = vec![0; width.div_ceil(8) as usize + 1];
    for _ in 0..rows {
        packed.write_all(&row)?;
    }
    Ok(png_file([width, height], [1, 0, 0, 0, 0], &packed.finish()?))
}

fn png_file(sides: [u32; 2], layout: [u8; 5], data: &[u8]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        file.extend((data.len() as u32).to_be_bytes());
        let mut sum = Crc::new();
        for part in [kind.as_slice(), data] {
            sum.update(part);
            file.extend(part);
        }
        file.extend(sum.sum().to_be_bytes());
    };
    let header = [&sides[0].to_be_bytes()[..], &sides[1].to_be_bytes(), &layout].concat();
    chunk(b"IHDR", &header);
    chunk(b"IDAT", data);
    chunk(b"IEND", &[]);
    file
}

/// A GIF of 64 grays.
pub(crate) fn gif(width: u16, height: u16, seed: u32, interlaced: bool) -> anyhow::Result<Vec<u8>> {
    let rgb = sample_images::rgb(width, height, seed);
    let indices: Vec<u8> = rgb.chunks_exact(3).map(|pixel| pixel[0] / 4).collect();
    gif_file(width, height, indices, interlaced)
}

/// An interlaced GIF of one colour: few bytes, many pixels.
pub(crate) fn flat_gif(width: u16, height: u16) -> anyhow::Result<Vec<u8>> {
    gif_file(width, height, vec![0; usize::from(width) * usize::from(height)], true)
}

fn gif_file(width: u16, height: u16, indices: Vec<u8>, interlaced: bool) -> anyhow::Result<Vec<u8>> {
    let grays: Vec<u8> = (0..64).flat_map(|gray| [gray * 4; 3]).collect();
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, width, height, &grays)?;
    encoder.write_frame(&gif::Frame {
        width,
        height,
        interlaced,
        buffer: Cow::Owned(indices),
        ..Default::default()
    })?;
    drop(encoder);
    Ok(file)
}

/// A BMP of 24 bits a pixel, bottom row first.
pub(crate) fn bmp(width: u16, height: u16, seed: u32) -> Vec<u8> {
    let rgb = sample_images::rgb(width, height, seed);
    let line = usize::from(width) * 3;
    let padding = line.next_multiple_of(4) - line;
    let size = 54 + (line + padding) * usize::from(height);
    let mut file = b"BM".to_vec();
    for word in [size as u32, 0, 54, 40, width.into(), height.into(), 1 | 24 << 16, 0, 0, 2835, 2835, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for row in rgb.chunks_exact(line).rev() {
        file.extend(row.chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
        file.extend(&[0; 3][..padding]);
    }
    file
}

/// An RGB TIFF without compression, in one strip. Source: TIFF 6.0, section 6.
pub(crate) fn tiff(width: u16, height: u16, seed: u32) -> Vec<u8> {
    const SHORT: u16 = 3;
    const LONG: u16 = 4;
    let rgb = sample_images::rgb(width, height, seed);
    let (entries, data) = (9_u16, 8 + 2 + 9 * 12 + 4 + 6);
    let fields = [
        (256, SHORT, 1, u32::from(width)),
        (257, SHORT, 1, u32::from(height)),
        // Bits a sample, three values after the directory.
        (258, SHORT, 3, data - 6),
        (259, SHORT, 1, 1),
        (262, SHORT, 1, 2),
        (273, LONG, 1, data),
        (277, SHORT, 1, 3),
        (278, SHORT, 1, u32::from(height)),
        (279, LONG, 1, rgb.len() as u32),
    ];
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend(entries.to_le_bytes());
    for (tag, kind, count, value) in fields {
        file.extend(u16::to_le_bytes(tag));
        file.extend(kind.to_le_bytes());
        file.extend(u32::to_le_bytes(count));
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file.extend([8, 0, 8, 0, 8, 0]);
    file.extend(rgb);
    file
}

pub(crate) fn webp(width: u16, height: u16, seed: u32, lossless: bool) -> Vec<u8> {
    let rgb = sample_images::rgb(width, height, seed);
    let encoder = webp::Encoder::from_rgb(&rgb, width.into(), height.into());
    if lossless { encoder.encode_lossless().to_vec() } else { encoder.encode(80.0).to_vec() }
}
