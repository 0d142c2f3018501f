//! A row by itself, pixel by pixel: what the vectors leave over, and what they are tested by.

use super::{AVERAGE, SUB, UP};

/// Undoes a filter on a row of pixels of `BYTES` bytes, of which the first `done` bytes are done.
#[inline(always)]
pub(super) fn unfilter<const BYTES: usize>(
    filter: u8,
    raw: &[u8],
    above: &[u8],
    row: &mut [u8],
    done: usize,
) {
    let mut left = [0; BYTES];
    let mut corner = [0_i16; BYTES];
    if let Some(start) = done.checked_sub(BYTES) {
        left.copy_from_slice(&row[start..done]);
        corner = std::array::from_fn(|i| above[start + i].into());
    }
    let raw = &raw[done..];
    let above = &above[done..];
    let row = &mut row[done..];
    let pixels = row.as_chunks_mut::<BYTES>().0.iter_mut().zip(raw.as_chunks::<BYTES>().0);
    let pixels = pixels.zip(above.as_chunks::<BYTES>().0);
    match filter {
        SUB => {
            for ((pixel, raw), _) in pixels {
                left = std::array::from_fn(|i| raw[i].wrapping_add(left[i]));
                *pixel = left;
            }
        }
        UP => {
            for ((sample, raw), above) in row.iter_mut().zip(raw).zip(above) {
                *sample = raw.wrapping_add(*above);
            }
        }
        AVERAGE => {
            for ((pixel, raw), above) in pixels {
                left = std::array::from_fn(|i| {
                    raw[i].wrapping_add(((u16::from(left[i]) + u16::from(above[i])) / 2) as u8)
                });
                *pixel = left;
            }
        }
        _ => {
            let mut left = left.map(i16::from);
            for ((pixel, raw), above) in pixels {
                let above = above.map(i16::from);
                left =
                    std::array::from_fn(|i| (paeth(left[i], above[i], corner[i]) + i16::from(raw[i])) & 0xff);
                corner = above;
                *pixel = left.map(|sample| sample as u8);
            }
        }
    }
}

/// Whichever of the left, upper and upper left sample is nearest to left + upper − upper left, in this
/// order. With lo and hi the lesser and greater of left and upper, lo is nearest if left + upper + hi is
/// not more than three times the upper left one, and hi if left + upper + lo is not less: fewer steps than
/// by distances.
#[inline(always)]
pub(super) fn paeth(left: i16, above: i16, corner: i16) -> i16 {
    let (low, high) = (left.min(above), left.max(above));
    let threshold = 3 * corner - above - left;
    let lower = if high <= threshold { low } else { corner };
    if threshold <= low { high } else { lower }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The predictor in the words of the standard.
    fn by_distances(a: i16, b: i16, c: i16) -> i16 {
        let p = a + b - c;
        let (pa, pb, pc) = ((p - a).abs(), (p - b).abs(), (p - c).abs());
        if pa <= pb && pa <= pc {
            a
        } else if pb <= pc {
            b
        } else {
            c
        }
    }

    #[test]
    fn paeth_is_the_standards_predictor() {
        for a in 0..256 {
            for b in 0..256 {
                for c in 0..256 {
                    assert_eq!(paeth(a, b, c), by_distances(a, b, c), "{a} {b} {c}");
                }
            }
        }
    }
}
