//! Indexed-colour images: palettes and rows of indices.

use std::collections::HashMap;

use crate::pixels::{Image8, Model};

/// The colours of the image, as RGBA, if there are at most `most`.
pub(super) fn colours(image: &Image8, most: usize) -> Option<Vec<[u8; 4]>> {
    // A hash table with open addressing; neighbouring pixels are mostly equal.
    let places = (2 * most).next_power_of_two();
    let mut table = vec![None; places];
    let (mut colours, mut last) = (Vec::new(), None);
    for pixel in image.samples.chunks_exact(image.model.channels()) {
        let colour = rgba(image.model, pixel);
        if last == Some(colour) {
            continue;
        }
        last = Some(colour);
        let mut place = (u32::from_le_bytes(colour).wrapping_mul(0x9e37_79b1) >> 8) as usize % places;
        while table[place].is_some_and(|there| there != colour) {
            place = (place + 1) % places;
        }
        if table[place].is_none() {
            if colours.len() == most {
                return None;
            }
            table[place] = Some(colour);
            colours.push(colour);
        }
    }
    Some(colours)
}

/// Rows of indices, packed, and the palette.
pub(super) struct Indexed {
    pub(super) bits: u8,
    /// Bytes of a row.
    pub(super) length: usize,
    pub(super) rows: Vec<u8>,
    pub(super) palette: Vec<u8>,
    /// Alphas of the first colours; the others are opaque.
    pub(super) alphas: Vec<u8>,
}

/// The image as indices, if it has at most 256 colours and that can be smaller.
pub(super) fn indexed(image: &Image8, colours: &[[u8; 4]]) -> Option<Indexed> {
    let bits: u8 = match colours.len() {
        0..=2 => 1,
        3..=4 => 2,
        5..=16 => 4,
        17..=256 if image.model != Model::Gray => 8,
        _ => return None,
    };
    let mut colours = colours.to_vec();
    // Transparent colours first, as only these need an alpha; then similar colours are adjacent.
    colours
        .sort_unstable_by_key(|&[r, g, b, a]| (a, u32::from(r) + 2 * u32::from(g) + u32::from(b), r, g, b));
    let index: HashMap<[u8; 4], u8> = colours.iter().enumerate().map(|(i, &c)| (c, i as u8)).collect();
    let length = (image.width as usize * usize::from(bits)).div_ceil(8);
    let mut rows = Vec::with_capacity(length * image.height as usize);
    let channels = image.model.channels();
    for row in image.samples.chunks_exact(image.width as usize * channels) {
        for pixels in row.chunks(channels * (8 / usize::from(bits))) {
            let mut byte = 0;
            for (at, pixel) in (1..).zip(pixels.chunks_exact(channels)) {
                let index = index.get(&rgba(image.model, pixel)).copied().unwrap_or(0);
                byte |= index << (8 - bits * at);
            }
            rows.push(byte);
        }
    }
    let opaque = colours.iter().position(|colour| colour[3] == 255).unwrap_or(colours.len());
    Some(Indexed {
        bits,
        length,
        rows,
        palette: colours.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect(),
        alphas: colours[..opaque].iter().map(|colour| colour[3]).collect(),
    })
}

fn rgba(model: Model, pixel: &[u8]) -> [u8; 4] {
    match (model, pixel) {
        (Model::Gray, &[v]) => [v, v, v, 255],
        (Model::GrayAlpha, &[v, a]) => [v, v, v, a],
        (Model::Rgb, &[r, g, b]) => [r, g, b, 255],
        (Model::Rgba, &[r, g, b, a]) => [r, g, b, a],
        _ => [0; 4],
    }
}
