//! Which part of an image draws attention: edges, skin and saturated colours, on a grid of a few thousand means. In
//! integers, so that every machine chooses the same.

use crate::pixels::{Image16, Model};

/// Longest side of the grid.
const SIDE: usize = 64;
/// What a cell of skin counts, where an edge between black and white counts up to 1020.
const SKIN: i32 = 320;
/// What a saturated cell counts at most.
const SATURATED: i32 = 200;
/// From this difference of the largest and the smallest component on a cell counts as saturated.
const CHROMA: i32 = 100;
/// Places that are compared along a side.
const PLACES: usize = 128;
/// By so much, in 32nds, a place must be better than the middle.
const ADVANTAGE: i64 = 1;

/// Where a window of this size draws the most attention: its left and top.
pub(crate) fn window(image: &Image16, (width, height): (usize, usize)) -> (usize, usize) {
    let grid = Grid::of(image);
    let scores = grid.scores();
    let columns: Vec<i64> =
        (0..grid.width).map(|x| scores.iter().skip(x).step_by(grid.width).copied().sum()).collect();
    let rows: Vec<i64> = scores.chunks_exact(grid.width).map(|row| row.iter().sum()).collect();
    (place(&columns, image.width, width, grid.factor), place(&rows, image.height, height, grid.factor))
}

/// The part of an image that a window shows.
pub(crate) fn cropped(
    image: &Image16,
    (left, top): (usize, usize),
    (width, height): (usize, usize),
) -> Image16 {
    let channels = image.model.channels();
    let rows = image.samples.chunks_exact(image.width * channels).skip(top).take(height);
    let samples = rows.flat_map(|row| &row[left * channels..][..width * channels]).copied().collect();
    Image16 { width, height, model: image.model, samples }
}

/// The start of the window of `length` of `side` pixels in which the scores of cells, each of `factor` pixels, weigh the most:
/// those in its middle more than those at its ends.
fn place(scores: &[i64], side: usize, length: usize, factor: usize) -> usize {
    let free = side.saturating_sub(length);
    if free == 0 {
        return 0;
    }
    // In halves of a pixel, so that middles are whole.
    let half = length as i64;
    let weight = |from: usize| -> i64 {
        let middle = 2 * from as i64 + half;
        let of_cell = |(cell, score): (usize, &i64)| {
            let distance = ((2 * cell + 1) * factor) as i64 - middle;
            let share = distance * 1024 / half;
            let left = (1_i64 << 20) - share * share;
            if left > 0 { score * (left >> 10) } else { 0 }
        };
        scores.iter().enumerate().map(of_cell).sum()
    };
    let centre = free / 2;
    let mut best = (weight(centre), centre);
    let least = best.0 + best.0 * ADVANTAGE / 32;
    let steps = free.min(PLACES);
    for step in 0..=steps {
        let from = free * step / steps;
        let found = weight(from);
        if found > least && found > best.0 {
            best = (found, from);
        }
    }
    best.1
}

/// Means over squares of pixels.
struct Grid {
    width: usize,
    /// Pixels of a cell's side.
    factor: usize,
    /// Red, green, blue and alpha, 0 to 255.
    cells: Vec<[i32; 4]>,
}

impl Grid {
    fn of(image: &Image16) -> Self {
        let factor = image.width.max(image.height).div_ceil(SIDE).max(1);
        let width = image.width.div_ceil(factor);
        let channels = image.model.channels();
        let mut cells = Vec::with_capacity(width * image.height.div_ceil(factor));
        let mut sums = vec![[0_u64; 4]; width];
        for rows in image.samples.chunks(image.width * channels * factor) {
            sums.fill([0; 4]);
            let count = rows.len() / (image.width * channels);
            for row in rows.chunks_exact(image.width * channels) {
                for (sum, pixels) in sums.iter_mut().zip(row.chunks(channels * factor)) {
                    for pixel in pixels.chunks_exact(channels) {
                        let pixel = rgba(image.model, pixel);
                        for (sum, sample) in sum.iter_mut().zip(pixel) {
                            *sum += u64::from(sample);
                        }
                    }
                }
            }
            for (x, sum) in sums.iter().enumerate() {
                let across = factor.min(image.width - x * factor);
                let pixels = (across * count) as u64;
                cells.push(sum.map(|sum| (sum / pixels / 257) as i32));
            }
        }
        Self { width, factor, cells }
    }

    /// What each cell counts.
    fn scores(&self) -> Vec<i64> {
        let luma: Vec<i32> =
            self.cells.iter().map(|[r, g, b, _]| (r * 54 + g * 183 + b * 19) / 256).collect();
        let height = self.cells.len() / self.width;
        let at = |x: usize, y: usize| luma[y.min(height - 1) * self.width + x.min(self.width - 1)];
        let score = |(index, cell): (usize, &[i32; 4])| {
            let (x, y) = (index % self.width, index / self.width);
            let around =
                at(x.saturating_sub(1), y) + at(x + 1, y) + at(x, y.saturating_sub(1)) + at(x, y + 1);
            let edge = (4 * at(x, y) - around).abs();
            i64::from((edge + skin(*cell) + saturated(*cell)) * cell[3] / 255)
        };
        self.cells.iter().enumerate().map(score).collect()
    }
}

/// Skin of any tone: red before green before blue, not too saturated and not too dark.
fn skin([r, g, b, _]: [i32; 4]) -> i32 {
    let is_ordered = r > g && g >= b && r - b >= 20;
    // Ratios to red, in percent.
    let (green, blue) = (g * 100 / r.max(1), b * 100 / r.max(1));
    let is_toned = (55..=88).contains(&green) && (35..=80).contains(&blue);
    if is_ordered && is_toned && r >= 60 { SKIN } else { 0 }
}

fn saturated([r, g, b, _]: [i32; 4]) -> i32 {
    let chroma = r.max(g).max(b) - r.min(g).min(b);
    (chroma - CHROMA).max(0) * SATURATED / (255 - CHROMA)
}

fn rgba(model: Model, pixel: &[u16]) -> [u16; 4] {
    match (model, pixel) {
        (Model::Gray, &[v]) => [v, v, v, u16::MAX],
        (Model::GrayAlpha, &[v, a]) => [v, v, v, a],
        (Model::Rgb, &[r, g, b]) => [r, g, b, u16::MAX],
        (Model::Rgba, &[r, g, b, a]) => [r, g, b, a],
        _ => [0; 4],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PALE: [u8; 4] = [120, 130, 140, 255];

    fn image(width: usize, height: usize, colour: impl Fn(usize, usize) -> [u8; 4]) -> Image16 {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let samples = pixels.flat_map(|(x, y)| colour(x, y).map(|sample| u16::from(sample) * 257)).collect();
        Image16 { width, height, model: Model::Rgba, samples }
    }

    #[test]
    fn nothing_in_particular_is_shown_in_the_middle() {
        let plain = image(400, 100, |_, _| PALE);
        assert_eq!(window(&plain, (100, 100)), (150, 0));
        let texture =
            image(400, 100, |x, y| if (x + y).is_multiple_of(2) { PALE } else { [90, 90, 90, 255] });
        assert_eq!(window(&texture, (100, 100)), (150, 0));
        assert_eq!(window(&plain, (400, 100)), (0, 0));
    }

    #[test]
    fn skin_saturation_and_edges_draw_the_window() {
        let disc = |x: usize, y: usize, at: usize| x.abs_diff(at).pow(2) + y.abs_diff(50).pow(2) < 900;
        for at in [40, 150, 360] {
            for inside in [[205, 150, 120, 255], [110, 75, 60, 255], [230, 20, 40, 255]] {
                let image = image(400, 100, |x, y| if disc(x, y, at) { inside } else { PALE });
                let (left, top) = window(&image, (100, 100));
                assert!(left + 20 <= at && at <= left + 80 || left == 0 || left == 300, "{at}: {left}");
                assert!(left <= at && at < left + 100, "{inside:?} at {at}: {left}");
                assert_eq!(top, 0);
            }
            let stripes = |x: usize, y: usize| {
                if disc(x, y, at) && (x / 8).is_multiple_of(2) { [20, 20, 20, 255] } else { PALE }
            };
            let (left, _) = window(&image(400, 100, stripes), (100, 100));
            assert!(left <= at && at < left + 100, "stripes at {at}: {left}");
        }
        let tall = image(100, 400, |x, y| if disc(y, x, 300) { [230, 20, 40, 255] } else { PALE });
        let (left, top) = window(&tall, (100, 100));
        assert!(left == 0 && (220..=280).contains(&top), "{left}, {top}");
    }

    #[test]
    fn what_is_transparent_does_not_count() {
        let image = image(400, 100, |x, _| match x {
            0..50 => [230, 20, 40, 0],
            330..380 => [230, 20, 40, 255],
            _ => PALE,
        });
        let (left, _) = window(&image, (100, 100));
        assert!(left >= 270, "{left}");
    }

    #[test]
    fn any_size_has_a_window_within_it() {
        for (width, height) in [(1, 1), (1, 300), (300, 1), (65, 64), (129, 7), (1000, 3)] {
            let image = image(width, height, |x, y| [x as u8, y as u8, (x * y) as u8, 255]);
            for (across, down) in [(1, 1), (width, 1), (1, height), (width.div_ceil(2), height.div_ceil(3))] {
                let (left, top) = window(&image, (across, down));
                assert!(left + across <= width && top + down <= height);
                let cropped = cropped(&image, (left, top), (across, down));
                assert_eq!(cropped.samples.len(), across * down * 4);
                assert_eq!(cropped.samples[0], image.samples[(top * width + left) * 4]);
            }
        }
    }
}
