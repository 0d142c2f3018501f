//! Placeholders to show until a thumbnail is loaded: its ThumbHash and its dominant colour.
//! Source: Evan Wallace, "ThumbHash: a very compact representation of an image placeholder" (its format).

use crate::pixels::{Image8, Model};

/// A preview of a thumbnail in a few bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// Its ThumbHash, 5 to 25 bytes.
    pub thumb_hash: Vec<u8>,
    /// The mean of the most common of 512 colours, in sRGB; transparent pixels do not count.
    pub colour: [u8; 3],
}

/// Longest side of the image that is hashed. A hash holds frequencies up to seven.
const SIDE: usize = 32;

impl Placeholder {
    pub(crate) fn of(image: &Image8) -> Self {
        Self { thumb_hash: thumb_hash(&Reduced::of(image)), colour: dominant(image) }
    }
}

fn rgba(model: Model, pixel: &[u8]) -> [u8; 4] {
    match (model, pixel) {
        (Model::Gray, &[l]) => [l, l, l, 255],
        (Model::GrayAlpha, &[l, a]) => [l, l, l, a],
        (Model::Rgb, &[r, g, b]) => [r, g, b, 255],
        (Model::Rgba, &[r, g, b, a]) => [r, g, b, a],
        _ => [0; 4],
    }
}

fn dominant(image: &Image8) -> [u8; 3] {
    let mut bins = vec![[0_u32; 4]; 512];
    let channels = image.model.channels();
    let pixels = image.samples.chunks_exact(channels);
    // Large images are subsampled.
    let step = (pixels.len() / (1 << 14)).max(1);
    for pixel in pixels.step_by(step) {
        let [r, g, b, a] = rgba(image.model, pixel);
        if a >= 128 {
            let place = usize::from(r >> 5) << 6 | usize::from(g >> 5) << 3 | usize::from(b >> 5);
            let bin = &mut bins[place];
            for (sum, value) in bin.iter_mut().zip([r.into(), g.into(), b.into(), 1]) {
                *sum += value;
            }
        }
    }
    // The first of equals, so that the result is deterministic.
    let fullest = bins.iter().rev().max_by_key(|bin| bin[3]).copied().unwrap_or_default();
    let mean = |sum: u32| u8::try_from((sum + fullest[3] / 2) / fullest[3].max(1)).unwrap_or(u8::MAX);
    [mean(fullest[0]), mean(fullest[1]), mean(fullest[2])]
}

/// The sums of red, green and blue times alpha, and of alpha times 255.
fn weighed(model: Model, pixels: &[u8]) -> [u32; 4] {
    let mut sums = [0; 4];
    for pixel in pixels.chunks_exact(model.channels()) {
        let [r, g, b, a] = rgba(model, pixel).map(u32::from);
        for (sum, value) in sums.iter_mut().zip([r * a, g * a, b * a, a * 255]) {
            *sum += value;
        }
    }
    sums
}

/// Means over boxes, colours weighed by their alpha; everything from 0 to 1.
struct Reduced {
    width: usize,
    height: usize,
    /// Red, green and blue premultiplied, and alpha.
    pixels: Vec<[f32; 4]>,
}

impl Reduced {
    fn of(image: &Image8) -> Self {
        let (from_width, from_height) = (image.width as usize, image.height as usize);
        let factor = from_width.max(from_height).div_ceil(SIDE).max(1);
        let (width, height) = (from_width.div_ceil(factor), from_height.div_ceil(factor));
        let channels = image.model.channels();
        if image.model == Model::Rgb && factor <= 256 {
            return Self::opaque(image, factor, (width, height));
        }
        let mut sums = vec![([0_u32; 4], 0_u32); width * height];
        for (rows, sums) in
            image.samples.chunks(from_width * channels * factor).zip(sums.chunks_exact_mut(width))
        {
            for row in rows.chunks_exact(from_width * channels) {
                for (pixels, (sum, count)) in row.chunks(channels * factor).zip(sums.iter_mut()) {
                    let added = weighed(image.model, pixels);
                    *sum = std::array::from_fn(|channel| sum[channel] + added[channel]);
                    *count += (pixels.len() / channels) as u32;
                }
            }
        }
        Self { width, height, pixels: sums.into_iter().map(Self::scaled).collect() }
    }

    /// The common case, without alpha: rows of boxes are summed before boxes are, which vectors do.
    fn opaque(image: &Image8, factor: usize, (width, height): (usize, usize)) -> Self {
        let row = image.width as usize * 3;
        let mut columns = vec![0_u16; row];
        let mut pixels = Vec::with_capacity(width * height);
        for rows in image.samples.chunks(row * factor) {
            columns.fill(0);
            for row in rows.chunks_exact(row) {
                for (sum, &sample) in columns.iter_mut().zip(row) {
                    *sum += u16::from(sample);
                }
            }
            let count = rows.len() / row;
            pixels.extend(columns.chunks(3 * factor).map(|columns| {
                let mut sums = [0_u32; 3];
                for column in columns.as_chunks::<3>().0 {
                    for (sum, &value) in sums.iter_mut().zip(column) {
                        *sum += u32::from(value);
                    }
                }
                let count = (columns.len() / 3 * count) as u32;
                let [r, g, b] = sums.map(|sum| sum * 255);
                Self::scaled(([r, g, b, count * 65_025], count))
            }));
        }
        Self { width, height, pixels }
    }

    /// The mean of sums of so many pixels.
    fn scaled((sum, count): ([u32; 4], u32)) -> [f32; 4] {
        sum.map(|sum| sum as f32 / (count.max(1) * 65_025) as f32)
    }
}

/// Cosine transform of a channel: the mean, and the other coefficients relative to the largest.
struct Channel {
    mean: f32,
    rest: Vec<f32>,
    scale: f32,
}

fn channel(values: &[f32], (width, height): (usize, usize), (across, down): (usize, usize)) -> Channel {
    let waves = |count: usize, side: usize| -> Vec<Vec<f32>> {
        let wave = |c: usize| {
            (0..side).map(move |at| (std::f32::consts::PI / side as f32 * c as f32 * (at as f32 + 0.5)).cos())
        };
        (0..count).map(|c| wave(c).collect()).collect()
    };
    let (columns, rows) = (waves(across, width), waves(down, height));
    let mut channel = Channel { mean: 0.0, rest: Vec::new(), scale: 0.0 };
    for (cy, row_wave) in rows.iter().enumerate() {
        for (cx, column_wave) in columns.iter().enumerate() {
            // The lower half of the frequencies, in a triangle.
            if cx * down >= across * (down - cy) {
                break;
            }
            let lines = values.chunks_exact(width).zip(row_wave);
            let sum: f32 = lines
                .map(|(line, y)| y * line.iter().zip(column_wave).map(|(value, x)| value * x).sum::<f32>())
                .sum();
            let share = sum / (width * height) as f32;
            if (cx, cy) == (0, 0) {
                channel.mean = share;
            } else {
                channel.scale = channel.scale.max(share.abs());
                channel.rest.push(share);
            }
        }
    }
    if channel.scale > 0.0 {
        for share in &mut channel.rest {
            *share = 0.5 + 0.5 / channel.scale * *share;
        }
    }
    channel
}

fn thumb_hash(image: &Reduced) -> Vec<u8> {
    let size = (image.width, image.height);
    let total: [f32; 4] = std::array::from_fn(|c| image.pixels.iter().map(|pixel| pixel[c]).sum());
    let average: [f32; 3] = std::array::from_fn(|c| if total[3] > 0.0 { total[c] / total[3] } else { 0.0 });
    let has_alpha = total[3] < image.pixels.len() as f32 - 0.001;
    let limit = if has_alpha { 5.0 } else { 7.0 };
    let longest = image.width.max(image.height) as f32;
    let count = |side: usize| ((limit * side as f32 / longest).round() as usize).max(1);
    let (lx, ly) = (count(image.width), count(image.height));

    // Luminance, yellow against blue, red against green; transparent pixels have the average colour.
    let opaque =
        |pixel: &[f32; 4]| -> [f32; 3] { std::array::from_fn(|c| average[c] * (1.0 - pixel[3]) + pixel[c]) };
    let values = |of: fn([f32; 3]) -> f32| -> Vec<f32> {
        image.pixels.iter().map(|pixel| of(opaque(pixel))).collect()
    };
    let l = channel(&values(|[r, g, b]| (r + g + b) / 3.0), size, (lx.max(3), ly.max(3)));
    let p = channel(&values(|[r, g, b]| (r + g) / 2.0 - b), size, (3, 3));
    let q = channel(&values(|[r, g, _]| r - g), size, (3, 3));
    let alphas: Vec<f32> = image.pixels.iter().map(|pixel| pixel[3]).collect();
    let a = has_alpha.then(|| channel(&alphas, size, (5, 5)));

    let code = |value: f32, most: u32| (value * most as f32).round().clamp(0.0, most as f32) as u32;
    let signed = |value: f32| (31.5 + 31.5 * value).round().clamp(0.0, 63.0) as u32;
    let is_landscape = image.width > image.height;
    let first = code(l.mean, 63)
        | signed(p.mean) << 6
        | signed(q.mean) << 12
        | code(l.scale, 31) << 18
        | u32::from(has_alpha) << 23;
    let second = (if is_landscape { ly } else { lx }) as u32
        | code(p.scale, 63) << 3
        | code(q.scale, 63) << 9
        | u32::from(is_landscape) << 15;
    let mut hash = first.to_le_bytes()[..3].to_vec();
    hash.extend(&second.to_le_bytes()[..2]);
    if let Some(a) = &a {
        hash.extend(&(code(a.mean, 15) | code(a.scale, 15) << 4).to_le_bytes()[..1]);
    }
    let shares: Vec<f32> =
        [Some(l), Some(p), Some(q), a].into_iter().flatten().flat_map(|c| c.rest).collect();
    for pair in shares.chunks(2) {
        let second = pair.get(1).map_or(0, |share| code(*share, 15));
        hash.extend(&(code(pair[0], 15) | second << 4).to_le_bytes()[..1]);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: u32, height: u32, colour: impl Fn(u32, u32) -> [u8; 4]) -> Image8 {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let samples = places.flat_map(|(x, y)| colour(x, y)).collect();
        Image8 { width, height, model: Model::Rgba, samples }
    }

    /// The mean colour that a hash holds, as the format defines it.
    fn mean(hash: &[u8]) -> [f32; 3] {
        let head = u32::from_le_bytes([hash[0], hash[1], hash[2], 0]);
        let l = (head & 63) as f32 / 63.0;
        let p = (head >> 6 & 63) as f32 / 31.5 - 1.0;
        let q = (head >> 12 & 63) as f32 / 31.5 - 1.0;
        let b = l - 2.0 / 3.0 * p;
        let r = (3.0 * l - b + q) / 2.0;
        [r, r - q, b]
    }

    #[test]
    fn one_colour_is_its_own_mean() {
        for colour in [[200, 40, 30], [30, 160, 50], [40, 60, 190], [255, 255, 255], [0, 0, 0]] {
            let [r, g, b] = colour;
            let placeholder = Placeholder::of(&image(60, 40, |_, _| [r, g, b, 255]));
            assert_eq!(placeholder.colour, colour);
            for (found, expected) in mean(&placeholder.thumb_hash).into_iter().zip(colour) {
                assert!((found - f32::from(expected) / 255.0).abs() < 0.04, "{colour:?}: {found}");
            }
            // Landscape, without alpha.
            assert_eq!((placeholder.thumb_hash[4] >> 7, placeholder.thumb_hash[2] >> 7), (1, 0));
        }
    }

    #[test]
    fn the_dominant_colour_is_the_most_common_visible_one() {
        let placeholder = Placeholder::of(&image(40, 40, |x, _| match x {
            0..20 => [0, 0, 0, 0],
            20..33 => [250, 10, 10, 255],
            _ => [10, 10, 250, 255],
        }));
        assert_eq!(placeholder.colour, [250, 10, 10]);
        assert_eq!(placeholder.thumb_hash[2] >> 7, 1, "the alpha flag is set");
    }

    #[test]
    fn hashes_of_any_image_are_short() {
        for (width, height) in [(1, 1), (1, 500), (500, 1), (128, 96), (33, 64), (640, 480)] {
            let placeholder = Placeholder::of(&image(width, height, |x, y| {
                [x as u8, y as u8, (x * y) as u8, (x + y) as u8]
            }));
            assert!(
                (5..=25).contains(&placeholder.thumb_hash.len()),
                "{width}x{height}: {}",
                placeholder.thumb_hash.len()
            );
        }
    }
}
