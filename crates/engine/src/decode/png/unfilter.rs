//! The five filters of PNG, undone (W3C PNG, third edition, section 9).

pub(super) mod together;

use fearless_simd::{Level, Simd, dispatch};

/// The filters' numbers; 0 is none.
const SUB: u8 = 1;
const UP: u8 = 2;
const AVERAGE: u8 = 3;
const PAETH: u8 = 4;

/// Undoes `filter` on a row. `above` is the row above, all zeros for the first; a pixel has `bytes` bytes.
/// False if there is no such filter.
pub(super) fn unfilter(
    level: Level,
    filter: u8,
    bytes: usize,
    raw: &[u8],
    above: &[u8],
    row: &mut [u8],
) -> bool {
    match filter {
        0 => row.copy_from_slice(raw),
        SUB..=PAETH => dispatch!(level, simd => undo(simd, filter, bytes, raw, above, row)),
        _ => return false,
    }
    true
}

#[inline(always)]
fn undo<S: Simd>(simd: S, filter: u8, bytes: usize, raw: &[u8], above: &[u8], row: &mut [u8]) {
    simd.vectorize(
        #[inline(always)]
        || match bytes {
            1 => by_pixel::<1>(filter, raw, above, row),
            2 => by_pixel::<2>(filter, raw, above, row),
            3 => by_pixel::<3>(filter, raw, above, row),
            4 => by_pixel::<4>(filter, raw, above, row),
            6 => by_pixel::<6>(filter, raw, above, row),
            _ => by_pixel::<8>(filter, raw, above, row),
        },
    );
}

#[inline(always)]
fn by_pixel<const BYTES: usize>(filter: u8, raw: &[u8], above: &[u8], row: &mut [u8]) {
    match filter {
        SUB => {
            let mut left = [0_u8; BYTES];
            for (pixel, raw) in pixels(row, raw) {
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
            let mut left = [0_u8; BYTES];
            for ((pixel, raw), above) in pixels(row, raw).zip(above.as_chunks::<BYTES>().0) {
                left = std::array::from_fn(|i| {
                    raw[i].wrapping_add(((u16::from(left[i]) + u16::from(above[i])) / 2) as u8)
                });
                *pixel = left;
            }
        }
        _ => {
            let (mut left, mut corner) = ([0_i16; BYTES], [0_i16; BYTES]);
            for ((pixel, raw), above) in pixels(row, raw).zip(above.as_chunks::<BYTES>().0) {
                let above = above.map(i16::from);
                left =
                    std::array::from_fn(|i| (paeth(left[i], above[i], corner[i]) + i16::from(raw[i])) & 0xff);
                corner = above;
                *pixel = left.map(|sample| sample as u8);
            }
        }
    }
}

fn pixels<'a, const BYTES: usize>(
    row: &'a mut [u8],
    raw: &'a [u8],
) -> impl Iterator<Item = (&'a mut [u8; BYTES], &'a [u8; BYTES])> {
    row.as_chunks_mut::<BYTES>().0.iter_mut().zip(raw.as_chunks::<BYTES>().0)
}

/// Whichever of the left, upper and upper left sample is nearest to left + upper − upper left, in this
/// order. With lo and hi the lesser and greater of left and upper, lo is nearest if the upper left one is
/// so high that left + upper + hi is not above three times it, and so on: fewer steps than by distances.
#[inline(always)]
fn paeth(left: i16, above: i16, corner: i16) -> i16 {
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
