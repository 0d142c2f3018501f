//! Scalar reconstruction of a row: the remainder of vectors, and the reference of their tests.

use super::{AVERAGE, SUB, UP};

/// Reverses a filter on a row of pixels of `BYTES` bytes, of which the first `done` bytes are done.
#[inline(always)]
pub(super) fn unfilter<const BYTES: usize>(
    filter: u8,
    raw: &[u8],
    above: &[u8],
    row: &mut [u8],
    done: usize,
) {
    let mut left = [0; BYTES];
    let mut upper_left = [0_i16; BYTES];
    if let Some(start) = done.checked_sub(BYTES) {
        left.copy_from_slice(&row[start..done]);
        upper_left = std::array::from_fn(|i| above[start + i].into());
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
                left = std::array::from_fn(|i| {
                    (paeth(left[i], above[i], upper_left[i]) + i16::from(raw[i])) & 0xff
                });
                upper_left = above;
                *pixel = left.map(|sample| sample as u8);
            }
        }
    }
}

/// The Paeth predictor. With `low` and `high` the lesser and greater of left and above, `low` is nearest to
/// left + above − upper left if `high` ≤ 3 × upper left − left − above, and `high` if `low` ≥ that.
#[inline(always)]
pub(super) fn paeth(left: i16, above: i16, upper_left: i16) -> i16 {
    let (low, high) = (left.min(above), left.max(above));
    let threshold = 3 * upper_left - above - left;
    let lower = if high <= threshold { low } else { upper_left };
    if threshold <= low { high } else { lower }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The predictor as the standard defines it.
    fn paeth_by_definition(a: i16, b: i16, c: i16) -> i16 {
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
    fn paeth_matches_the_definition() {
        for a in 0..256 {
            for b in 0..256 {
                for c in 0..256 {
                    assert_eq!(paeth(a, b, c), paeth_by_definition(a, b, c), "{a} {b} {c}");
                }
            }
        }
    }
}
