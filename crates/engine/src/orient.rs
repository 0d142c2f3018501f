//! Turns the resampled image upright: cheaper than turning the source, with the same result.

use crate::header::Orientation;
use crate::pixels::Image16;
use crate::plan::mirrors;

pub(crate) fn upright(image: Image16, orientation: Orientation) -> Image16 {
    if orientation == Orientation::UPRIGHT {
        return image;
    }
    let channels = image.model.channels();
    let (mirror_x, mirror_y) = mirrors(orientation);
    let swap = orientation.swaps_sides();
    let (width, height) = if swap { (image.height, image.width) } else { (image.width, image.height) };
    let mut samples = Vec::with_capacity(image.samples.len());
    for y in 0..height {
        for x in 0..width {
            let (column, row) = if swap { (y, x) } else { (x, y) };
            let column = if mirror_x { image.width - 1 - column } else { column };
            let row = if mirror_y { image.height - 1 - row } else { row };
            let at = (row * image.width + column) * channels;
            samples.extend_from_slice(&image.samples[at..at + channels]);
        }
    }
    Image16 { width, height, model: image.model, samples }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::Model;

    #[test]
    fn all_eight_orientations() {
        // Stored: 1 2 3 / 4 5 6.
        for (exif, expected, width) in [
            (1, [1, 2, 3, 4, 5, 6], 3),
            (2, [3, 2, 1, 6, 5, 4], 3),
            (3, [6, 5, 4, 3, 2, 1], 3),
            (4, [4, 5, 6, 1, 2, 3], 3),
            (5, [1, 4, 2, 5, 3, 6], 2),
            (6, [4, 1, 5, 2, 6, 3], 2),
            (7, [6, 3, 5, 2, 4, 1], 2),
            (8, [3, 6, 2, 5, 1, 4], 2),
        ] {
            let stored = Image16 { width: 3, height: 2, model: Model::Gray, samples: vec![1, 2, 3, 4, 5, 6] };
            let turned = upright(stored, Orientation::from_exif(exif));
            assert_eq!((turned.samples, turned.width), (expected.to_vec(), width), "orientation {exif}");
        }
    }
}
