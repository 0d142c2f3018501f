//! At most 256 colours for an image: its own if they are so few, else by median cut with an ordered dither, which
//! does not flicker from frame to frame.

use std::collections::HashMap;

/// An image in indices.
pub(super) struct Quantised {
    pub(super) palette: Vec<[u8; 3]>,
    /// The index of what is transparent.
    pub(super) transparent: Option<u8>,
    pub(super) indices: Vec<u8>,
}

/// Below this a pixel counts as transparent.
const OPAQUE: u8 = 128;
/// Bits a component by which colours are counted.
const BITS: usize = 5;
const CELLS: usize = 1 << (3 * BITS);

/// The thresholds of a dither of 4 x 4, in halves of a code, around 0.
const DITHER: [[i16; 4]; 4] = [[-15, 1, -11, 5], [9, -7, 13, -3], [-9, 7, -13, 3], [15, -1, 11, -5]];

impl Quantised {
    /// Of an image in RGBA.
    pub(super) fn of(rgba: &[u8], width: usize) -> Self {
        let pixels = rgba.as_chunks::<4>().0;
        let has_transparent = pixels.iter().any(|pixel| pixel[3] < OPAQUE);
        let most = 256 - usize::from(has_transparent);
        let (mut palette, mut indices) = match exact(pixels, most) {
            Some(exact) => exact,
            None => reduced(pixels, width, most),
        };
        let mut transparent = None;
        if has_transparent {
            let index = palette.len() as u8;
            palette.push([0; 3]);
            transparent = Some(index);
            for (target, pixel) in indices.iter_mut().zip(pixels) {
                if pixel[3] < OPAQUE {
                    *target = index;
                }
            }
        }
        Self { palette, transparent, indices }
    }
}

/// The colours of an image that has no more than `most`.
fn exact(pixels: &[[u8; 4]], most: usize) -> Option<(Vec<[u8; 3]>, Vec<u8>)> {
    let (mut palette, mut indices) = (Vec::new(), Vec::with_capacity(pixels.len()));
    let mut known: HashMap<[u8; 3], u8> = HashMap::new();
    for &[r, g, b, alpha] in pixels {
        if alpha < OPAQUE {
            indices.push(0);
            continue;
        }
        let index = match known.get(&[r, g, b]) {
            Some(index) => *index,
            None if palette.len() == most => return None,
            None => {
                let index = palette.len() as u8;
                palette.push([r, g, b]);
                known.insert([r, g, b], index);
                index
            }
        };
        indices.push(index);
    }
    Some((palette, indices))
}

/// The cell of a colour.
fn cell([r, g, b]: [u8; 3]) -> usize {
    let part = |value: u8| usize::from(value) >> (8 - BITS);
    part(r) << (2 * BITS) | part(g) << BITS | part(b)
}

/// A colour that stands for several: their cells, how many pixels they are, and the sums of their components.
struct Cluster {
    cells: Vec<(usize, u32, [u32; 3])>,
}

impl Cluster {
    /// The component in which the colours differ the most, and by how much, times the pixels.
    fn spread(&self) -> (usize, u64) {
        let pixels: u64 = self.cells.iter().map(|(_, count, _)| u64::from(*count)).sum();
        let range = |c: usize| {
            let means = self.cells.iter().map(|(_, count, sums)| sums[c] / count);
            let (low, high) = means.fold((255, 0), |(low, high), mean| (mean.min(low), mean.max(high)));
            u64::from(high.saturating_sub(low))
        };
        let widest = (0..3).max_by_key(|&c| range(c)).unwrap_or(0);
        (widest, if self.cells.len() < 2 { 0 } else { range(widest) * pixels })
    }

    /// Splits it where half of the pixels are.
    fn split(mut self, component: usize) -> [Self; 2] {
        self.cells.sort_by_key(|(cell, count, sums)| (sums[component] / count, *cell));
        let pixels: u64 = self.cells.iter().map(|(_, count, _)| u64::from(*count)).sum();
        let mut below = 0;
        let middle = self.cells.iter().position(|(_, count, _)| {
            below += u64::from(*count);
            2 * below >= pixels
        });
        let at = (middle.unwrap_or(0) + 1).clamp(1, self.cells.len() - 1);
        let rest = self.cells.split_off(at);
        [self, Self { cells: rest }]
    }

    fn mean(&self) -> [u8; 3] {
        let pixels: u64 = self.cells.iter().map(|(_, count, _)| u64::from(*count)).sum();
        let mean = |c: usize| {
            let sum: u64 = self.cells.iter().map(|(_, _, sums)| u64::from(sums[c])).sum();
            ((sum + pixels / 2) / pixels.max(1)) as u8
        };
        [mean(0), mean(1), mean(2)]
    }
}

fn reduced(pixels: &[[u8; 4]], width: usize, most: usize) -> (Vec<[u8; 3]>, Vec<u8>) {
    let mut counts = vec![(0_u32, [0_u32; 3]); CELLS];
    // Sums of a few million pixels fit.
    let step = pixels.len().div_ceil(1 << 22).max(1);
    for &[r, g, b, alpha] in pixels.iter().step_by(step) {
        if alpha >= OPAQUE {
            let (count, sums) = &mut counts[cell([r, g, b])];
            *count += 1;
            for (sum, value) in sums.iter_mut().zip([r, g, b]) {
                *sum += u32::from(value);
            }
        }
    }
    let used = counts.iter().enumerate().filter(|(_, (count, _))| *count > 0);
    let cells: Vec<_> = used.map(|(cell, (count, sums))| (cell, *count, *sums)).collect();
    let first = Cluster { cells };
    let mut clusters = vec![(first.spread(), first)];
    while clusters.len() < most {
        let widest = (0..clusters.len()).max_by_key(|&index| clusters[index].0.1).unwrap_or(0);
        if clusters[widest].0.1 == 0 {
            break;
        }
        let ((component, _), cluster) = clusters.swap_remove(widest);
        clusters.extend(cluster.split(component).map(|cluster| (cluster.spread(), cluster)));
    }
    let palette: Vec<[u8; 3]> = clusters.iter().map(|(_, cluster)| cluster.mean()).collect();
    let mut nearest: Vec<Option<u8>> = vec![None; CELLS];
    let indices = pixels.iter().enumerate().map(|(at, &[r, g, b, _])| {
        let threshold = DITHER[at / width % 4][at % width % 4] / 4;
        let colour = [r, g, b].map(|value| (i16::from(value) + threshold).clamp(0, 255) as u8);
        *nearest[cell(colour)].get_or_insert_with(|| nearest_index(&palette, colour))
    });
    let indices = indices.collect();
    (palette, indices)
}

/// The entry that is nearest to the middle of a colour's cell.
fn nearest_index(palette: &[[u8; 3]], colour: [u8; 3]) -> u8 {
    let middle = colour.map(|value| i32::from(value >> (8 - BITS) << (8 - BITS) | 1 << (7 - BITS)));
    let distance = |entry: &[u8; 3]| {
        // Green counts the most, as eyes weigh it.
        let weights = [2, 4, 1];
        entry
            .iter()
            .zip(middle)
            .zip(weights)
            .map(|((a, b), weight)| (i32::from(*a) - b).pow(2) * weight)
            .sum::<i32>()
    };
    (0..palette.len()).min_by_key(|&index| distance(&palette[index])).unwrap_or(0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_colours_stay_what_they_are() {
        let rgba: Vec<u8> = (0..=255_u8).flat_map(|v| [v, 255 - v, 7, 255]).collect();
        let Quantised { palette, transparent, indices } = Quantised::of(&rgba, 16);
        assert_eq!((palette.len(), transparent), (256, None));
        for (index, pixel) in indices.iter().zip(rgba.as_chunks::<4>().0) {
            assert_eq!(palette[usize::from(*index)], pixel[..3]);
        }
    }

    #[test]
    fn many_colours_are_near_theirs() {
        let side = 128_usize;
        let pixel = |at: usize| [(at % side * 2) as u8, (at / side * 2) as u8, (at % 97) as u8, 255];
        let rgba: Vec<u8> = (0..side * side).flat_map(pixel).collect();
        let Quantised { palette, indices, .. } = Quantised::of(&rgba, side);
        assert!(palette.len() > 200 && palette.len() <= 256);
        let error = indices.iter().zip(rgba.as_chunks::<4>().0).map(|(index, pixel)| {
            let entry = palette[usize::from(*index)];
            entry.iter().zip(pixel).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>()
        });
        let mean = error.sum::<u64>() as f64 / (side * side * 3) as f64;
        assert!(mean < 14.0, "{mean}");
    }

    #[test]
    fn transparency_takes_an_index() {
        let pixel = |at: usize| {
            [
                (at % 256) as u8,
                (at / 7 % 256) as u8,
                (at / 31 % 256) as u8,
                if at.is_multiple_of(5) { 0 } else { 255 },
            ]
        };
        let rgba: Vec<u8> = (0..10_000).flat_map(pixel).collect();
        let Quantised { palette, transparent, indices } = Quantised::of(&rgba, 100);
        assert!(palette.len() <= 256);
        for (at, index) in indices.iter().enumerate() {
            assert_eq!(Some(*index) == transparent, at.is_multiple_of(5));
        }
        let none = Quantised::of(&[0; 16], 2);
        assert_eq!((none.palette.len(), none.transparent, none.indices), (1, Some(0), vec![0; 4]));
    }
}
