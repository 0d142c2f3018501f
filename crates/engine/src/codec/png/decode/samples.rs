//! Converts the bytes of unfiltered rows to samples: palettes, packed and 16-bit samples, and transparency
//! (W3C PNG, third edition, sections 7.2, 11.2.1 and 11.3.1).

use super::chunks::Preamble;
use crate::pixels::{Model, Row};

/// How the bytes of a row are converted.
enum Kind {
    /// Bytes are samples.
    Plain,
    /// Two bytes a sample.
    Wide,
    /// Samples of less than 8 bits, in gray, and the value of each.
    Packed(Box<[u8; 256]>),
    /// Indices into a palette, as gray.
    GrayPalette(Box<[u8; 256]>),
    GrayAlphaPalette(Box<[[u8; 2]; 256]>),
    /// The fourth byte is 0.
    RgbPalette(Box<[[u8; 4]; 256]>),
    RgbaPalette(Box<[[u8; 4]; 256]>),
    /// One colour is transparent, in bytes as stored.
    Key(Vec<u8>),
    WideKey(Vec<u16>),
}

/// Converts rows to samples.
pub(super) struct Samples {
    pub(super) model: Model,
    kind: Kind,
    bits: usize,
    /// Bytes that hold packed samples, unpacked.
    unpacked: Box<[[u8; 8]; 256]>,
    indices: Vec<u8>,
    bytes: Vec<u8>,
    words: Vec<u16>,
}

impl Samples {
    /// For images of this colour type. `retain_colour`: a gray palette stays RGB, for a profile.
    pub(super) fn new(
        colour: u8,
        bits: u8,
        preamble: &Preamble<'_>,
        retain_colour: bool,
    ) -> Result<Self, String> {
        let model = match colour {
            0 => Model::Gray,
            2 => Model::Rgb,
            4 => Model::GrayAlpha,
            _ => Model::Rgba,
        };
        let key = preamble.transparency.filter(|_| colour == 0 || colour == 2);
        let key = key.filter(|key| key.len() == model.channels() * 2).map(words);
        let with_key = if model == Model::Gray { Model::GrayAlpha } else { Model::Rgba };
        let (model, kind) = match (colour, bits, key) {
            (3, ..) => palette(preamble, retain_colour)?,
            (_, 16, None) => (model, Kind::Wide),
            (_, 16, Some(key)) => (with_key, Kind::WideKey(key)),
            (_, 8, None) => (model, Kind::Plain),
            (_, 8, Some(key)) => (with_key, Kind::Key(key.iter().map(|&sample| sample as u8).collect())),
            (_, bits, key) => {
                let most = (1 << bits) - 1;
                let value = |sample: u8| (sample & most) * (255 / most);
                match key {
                    None => (model, Kind::Packed(table(value))),
                    Some(key) => {
                        let clear = key[0] as u8 & most;
                        let pixel = |sample| [value(sample), if sample == clear { 0 } else { 255 }];
                        (with_key, Kind::GrayAlphaPalette(table(pixel)))
                    }
                }
            }
        };
        Ok(Self {
            model,
            kind,
            bits: bits.into(),
            unpacked: unpacked(bits),
            indices: Vec::new(),
            bytes: Vec::new(),
            words: Vec::new(),
        })
    }

    /// The samples of a row of `width` pixels.
    pub(super) fn row<'a>(&'a mut self, row: &'a [u8], width: usize) -> Row<'a> {
        let Self { kind, bits, unpacked, indices, bytes, words, .. } = self;
        let row = if *bits < 8 {
            unpack(row, *bits, unpacked, indices);
            &indices[..width]
        } else {
            row
        };
        match kind {
            Kind::Plain => return Row::U8(row),
            Kind::Wide => {
                words.clear();
                words.extend(row.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)));
                return Row::U16(words);
            }
            Kind::WideKey(key) => {
                words.clear();
                for pixel in row.chunks_exact(key.len() * 2) {
                    let start = words.len();
                    words.extend(pixel.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)));
                    words.push(if words[start..] == key[..] { 0 } else { u16::MAX });
                }
                return Row::U16(words);
            }
            Kind::Key(key) => {
                bytes.clear();
                for pixel in row.chunks_exact(key.len()) {
                    bytes.extend_from_slice(pixel);
                    bytes.push(if pixel == key { 0 } else { 255 });
                }
            }
            Kind::Packed(table) | Kind::GrayPalette(table) => {
                bytes.clear();
                bytes.extend(row.iter().map(|&index| table[usize::from(index)]));
            }
            Kind::GrayAlphaPalette(table) => look_up(row, table, bytes),
            Kind::RgbPalette(table) => look_up_rgb(row, table, bytes),
            Kind::RgbaPalette(table) => look_up(row, table, bytes),
        }
        Row::U8(bytes)
    }
}

/// The palette in the fewest channels that hold it. Indices beyond its end are opaque black; more alphas
/// than colours count as none, as in viewers.
fn palette(preamble: &Preamble<'_>, retain_colour: bool) -> Result<(Model, Kind), String> {
    let colours = preamble.palette.ok_or("there is no palette (no chunk PLTE)")?.as_chunks::<3>().0;
    let alphas = preamble.transparency.filter(|alphas| alphas.len() <= colours.len()).unwrap_or_default();
    let opaque = alphas.iter().all(|&alpha| alpha == 255);
    let gray = !retain_colour && colours.iter().all(|&[r, g, b]| r == g && g == b);
    let colour = |index: u8| colours.get(usize::from(index)).copied().unwrap_or_default();
    let alpha = |index: u8| alphas.get(usize::from(index)).copied().unwrap_or(255);
    Ok(match (gray, opaque) {
        (true, true) => (Model::Gray, Kind::GrayPalette(table(|index| colour(index)[0]))),
        (true, false) => {
            (Model::GrayAlpha, Kind::GrayAlphaPalette(table(|index| [colour(index)[0], alpha(index)])))
        }
        (false, true) => {
            let pixel = |index| {
                let [r, g, b] = colour(index);
                [r, g, b, 0]
            };
            (Model::Rgb, Kind::RgbPalette(table(pixel)))
        }
        (false, false) => {
            let pixel = |index| {
                let [r, g, b] = colour(index);
                [r, g, b, alpha(index)]
            };
            (Model::Rgba, Kind::RgbaPalette(table(pixel)))
        }
    })
}

fn table<T>(entry: impl Fn(u8) -> T) -> Box<[T; 256]> {
    Box::new(std::array::from_fn(|index| entry(index as u8)))
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
}

fn look_up<const CHANNELS: usize>(row: &[u8], table: &[[u8; CHANNELS]; 256], bytes: &mut Vec<u8>) {
    bytes.resize(row.len() * CHANNELS, 0);
    for (pixel, &index) in bytes.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(row) {
        *pixel = table[usize::from(index)];
    }
}

/// The same for three channels, in words of four bytes.
fn look_up_rgb(row: &[u8], table: &[[u8; 4]; 256], bytes: &mut Vec<u8>) {
    bytes.resize(row.len() * 3, 0);
    let (fours, four_rows) = (row.as_chunks::<4>().0, row.len() / 4 * 4);
    for (indices, pixels) in fours.iter().zip(bytes.chunks_mut(12)) {
        let [a, b, c, d] = indices.map(|index| u32::from_le_bytes(table[usize::from(index)]));
        // Four pixels fill three words.
        let words = [a | b << 24, b >> 8 | c << 16, c >> 16 | d << 8];
        for (to, word) in pixels.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
    }
    for (pixel, &index) in bytes[four_rows * 3..].chunks_exact_mut(3).zip(&row[four_rows..]) {
        pixel.copy_from_slice(&table[usize::from(index)][..3]);
    }
}

/// For each byte the samples of `bits` bits in it, the highest first.
fn unpacked(bits: u8) -> Box<[[u8; 8]; 256]> {
    let sample = |byte: u8, at: u8| {
        let shift = 8_u8.saturating_sub(bits * (at + 1));
        byte >> shift & ((1 << bits) - 1)
    };
    table(|byte| if bits < 8 { std::array::from_fn(|at| sample(byte, at as u8)) } else { [0; 8] })
}

/// Unpacks samples to a byte each.
fn unpack(row: &[u8], bits: usize, unpacked: &[[u8; 8]; 256], samples: &mut Vec<u8>) {
    fn spread<const SAMPLES: usize>(row: &[u8], unpacked: &[[u8; 8]; 256], samples: &mut [u8]) {
        for (samples, &byte) in samples.as_chunks_mut::<SAMPLES>().0.iter_mut().zip(row) {
            samples.copy_from_slice(&unpacked[usize::from(byte)][..SAMPLES]);
        }
    }
    samples.resize(row.len() * 8 / bits, 0);
    match bits {
        1 => spread::<8>(row, unpacked, samples),
        2 => spread::<4>(row, unpacked, samples),
        _ => spread::<2>(row, unpacked, samples),
    }
}
