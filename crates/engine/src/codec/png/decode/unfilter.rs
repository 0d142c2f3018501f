//! Reconstruction of filtered rows (W3C PNG, third edition, section 9).

mod scalar;
mod single_row;
mod vectors;
pub(super) mod wavefront;

use fearless_simd::Level;

/// Filter types; 0 is None.
const SUB: u8 = 1;
const UP: u8 = 2;
const AVERAGE: u8 = 3;
const PAETH: u8 = 4;

/// Reverses `filter` on a row. `above` is the row above, zeros for the first; a pixel has `bytes` bytes. False
/// for an unknown filter.
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
        SUB..=PAETH => single_row::unfilter(level, filter, bytes, raw, above, row),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pseudorandom bytes.
    fn noise(length: usize, seed: u32) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Many extremes, so that predictors are often equidistant.
            if state >> 30 == 0 { (state >> 29) as u8 * 255 } else { (state >> 24) as u8 }
        };
        (0..length).map(|_| next()).collect()
    }

    fn scalar(filter: u8, bytes: usize, raw: &[u8], above: &[u8]) -> Vec<u8> {
        let mut row = raw.to_vec();
        match (filter, bytes) {
            (0, _) => {}
            (_, 1) => scalar::unfilter::<1>(filter, raw, above, &mut row, 0),
            (_, 2) => scalar::unfilter::<2>(filter, raw, above, &mut row, 0),
            (_, 3) => scalar::unfilter::<3>(filter, raw, above, &mut row, 0),
            (_, 4) => scalar::unfilter::<4>(filter, raw, above, &mut row, 0),
            (_, 6) => scalar::unfilter::<6>(filter, raw, above, &mut row, 0),
            _ => scalar::unfilter::<8>(filter, raw, above, &mut row, 0),
        }
        row
    }

    /// The best level of this machine, and the baseline.
    fn levels() -> [Level; 2] {
        [Level::new(), Level::baseline()]
    }

    #[test]
    fn a_single_row_matches_scalar_code() {
        for level in levels() {
            for bytes in [1, 2, 3, 4, 6, 8] {
                for pixels in [1, 2, 3, 5, 7, 8, 15, 16, 17, 33, 100] {
                    let (raw, above) = (noise(pixels * bytes, 1), noise(pixels * bytes, 2));
                    for filter in 0..=4 {
                        let mut row = vec![0; raw.len()];
                        assert!(unfilter(level, filter, bytes, &raw, &above, &mut row));
                        let expected = scalar(filter, bytes, &raw, &above);
                        assert_eq!(row, expected, "filter {filter} of {pixels} pixels of {bytes}");
                    }
                }
            }
        }
    }

    #[test]
    fn wavefronts_match_scalar_code() {
        for level in levels() {
            for (bytes, rows) in [(1, 16), (2, 8), (3, 4), (4, 4), (3, 8), (4, 8)] {
                for pixels in [1, 4, 15, 16, 17, 31, 32, 40, 61, 64, 100] {
                    for only in [None, Some(4), Some(3), Some(0)] {
                        check_wavefront(level, bytes, rows, pixels, only);
                    }
                }
            }
        }
    }

    fn check_wavefront(level: Level, bytes: usize, count: usize, pixels: usize, only: Option<u8>) {
        let length = pixels * bytes;
        let mut raw = noise(count * (length + 1), 3);
        for row in 0..count {
            raw[row * (length + 1)] = only.unwrap_or((row * 3 % 5) as u8);
        }
        let stride = length + wavefront::SLACK;
        let mut rows = vec![7; (count + 1) * stride];
        let mut above = noise(length, 4);
        rows[..length].copy_from_slice(&above);
        wavefront::unfilter(level, &mut wavefront::Rows { bytes, length, raw: &raw, rows: &mut rows });
        for row in 0..count {
            let (filter, raw) = raw[row * (length + 1)..][..length + 1].split_first().unwrap();
            above = scalar(*filter, bytes, raw, &above);
            let actual = &rows[(row + 1) * stride..][..length];
            assert_eq!(actual, above, "row {row} of {count}, filter {filter}, {pixels} pixels of {bytes}");
        }
    }
}
