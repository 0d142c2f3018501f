//! Sharpening after the reduction: the difference to a blurred copy is added (unsharp masking), by a kernel of 3 x 3.

use crate::pixels::Image16;

/// Sharpens by a strength of 0 to 100. In integers, so that every machine gives the same.
pub(crate) fn sharpened(image: Image16, strength: u8) -> Image16 {
    if strength == 0 {
        return image;
    }
    let strength = i32::from(strength.min(100));
    let (width, channels) = (image.width, image.model.channels());
    let colours = if image.model.has_alpha() { channels - 1 } else { channels };
    let row = |y: usize| &image.samples[y * width * channels..][..width * channels];
    let mut samples = image.samples.clone();
    for (y, line) in samples.chunks_exact_mut(width * channels).enumerate() {
        let rows = [row(y.saturating_sub(1)), row(y), row((y + 1).min(image.height - 1))];
        for x in 0..width {
            let columns = [x.saturating_sub(1), x, (x + 1).min(width - 1)];
            for c in 0..colours {
                let own = i32::from(rows[1][x * channels + c]);
                // What is transparent has no colour: the pixel's own stands for it.
                let at = |row: &[u16], column: usize| {
                    let pixel = &row[column * channels..][..channels];
                    if colours < channels && pixel[colours] == 0 { own } else { i32::from(pixel[c]) }
                };
                let across = |row: &[u16]| {
                    let [left, middle, right] = columns.map(|column| at(row, column));
                    left + 2 * middle + right
                };
                let blurred = (across(rows[0]) + 2 * across(rows[1]) + across(rows[2]) + 8) / 16;
                let sharp = own + (own - blurred) * strength / 50;
                line[x * channels + c] = sharp.clamp(0, u16::MAX.into()) as u16;
            }
        }
    }
    Image16 { samples, ..image }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::Model;

    fn gray(width: usize, samples: &[u16]) -> Image16 {
        Image16 { width, height: samples.len() / width, model: Model::Gray, samples: samples.to_vec() }
    }

    #[test]
    fn edges_become_steeper_and_areas_stay() {
        let step = gray(6, &[10_000, 10_000, 10_000, 40_000, 40_000, 40_000].repeat(3));
        assert_eq!(sharpened(step.clone(), 0), step);
        let mild = sharpened(step.clone(), 20).samples;
        let strong = sharpened(step, 100).samples;
        assert_eq!((mild[6], mild[11], strong[6], strong[11]), (10_000, 40_000, 10_000, 40_000));
        assert!(strong[8] < mild[8] && mild[8] < 10_000 && mild[9] > 40_000 && strong[9] > mild[9]);
    }

    #[test]
    fn the_range_ends_where_it_ends() {
        let extreme = sharpened(gray(3, &[0, 65_535, 0, 65_535, 0, 65_535, 0, 65_535, 0]), 100);
        assert_eq!(extreme.samples[4], 0);
        assert_eq!(extreme.samples[1], 65_535);
        assert_eq!(sharpened(gray(1, &[77]), 100).samples, [77]);
    }

    #[test]
    fn alpha_stays_and_what_is_transparent_has_no_influence() {
        let samples = vec![9000, 65_535, 9000, 65_535, 0, 0];
        let image = Image16 { width: 3, height: 1, model: Model::GrayAlpha, samples: samples.clone() };
        let sharp = sharpened(image, 100).samples;
        assert_eq!(sharp[..4], samples[..4]);
        assert_eq!((sharp[5], sharp[1]), (0, 65_535));
    }
}
