//! Run-length encoding of BMP: RLE4, RLE8, and the RLE24 of OS/2.

use crate::error::Error;
use crate::stop::Stop;

/// Decodes into a frame of indices, or of 24-bit pixels, in stored order; pixels that are skipped stay 0. Returns the
/// rows that are complete.
pub(super) fn decode(
    data: &[u8],
    bits: usize,
    (width, height): (usize, usize),
    frame: &mut [u8],
    stop: Stop<'_>,
) -> Result<usize, Error> {
    let size = if bits == 24 { 3 } else { 1 };
    let (mut x, mut y, mut at) = (0, 0, 0);
    let mut put = |x: usize, y: usize, pixel: &[u8]| {
        if x < width && y < height {
            frame[(y * width + x) * size..][..size].copy_from_slice(pixel);
        }
    };
    let mut commands = 0_u32;
    while y < height {
        commands += 1;
        if commands.is_multiple_of(4096) {
            stop.check("decoding")?;
        }
        let Some(&[count, second]) = data.get(at..at + 2) else { return Ok(y) };
        at += 2;
        match (count, second) {
            (0, 0) => (x, y) = (0, y + 1),
            // The end; what is left stays 0.
            (0, 1) => return Ok(height),
            (0, 2) => {
                let Some(&[across, up]) = data.get(at..at + 2) else { return Ok(y) };
                at += 2;
                x = (x + usize::from(across)).min(width);
                y += usize::from(up);
            }
            (0, count) => {
                let count = usize::from(count);
                let length = (count * bits).div_ceil(8);
                let Some(literal) = data.get(at..at + length) else { return Ok(y) };
                // They begin at even positions.
                at += length.next_multiple_of(2);
                for index in 0..count {
                    match bits {
                        4 => put(
                            x,
                            y,
                            &[if index.is_multiple_of(2) {
                                literal[index / 2] >> 4
                            } else {
                                literal[index / 2] & 15
                            }],
                        ),
                        _ => put(x, y, &literal[index * size..][..size]),
                    }
                    x = (x + 1).min(width);
                }
            }
            (count, value) => {
                let mut pixel = [value, 0, 0];
                if bits == 24 {
                    let Some(rest) = data.get(at..at + 2) else { return Ok(y) };
                    pixel[1..].copy_from_slice(rest);
                    at += 2;
                }
                for index in 0..usize::from(count) {
                    let nibble = if index.is_multiple_of(2) { value >> 4 } else { value & 15 };
                    match bits {
                        4 => put(x, y, &[nibble]),
                        _ => put(x, y, &pixel[..size]),
                    }
                    x = (x + 1).min(width);
                }
            }
        }
    }
    Ok(height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(data: &[u8], bits: usize) -> (Vec<u8>, usize) {
        let mut frame = vec![0; 12 * if bits == 24 { 3 } else { 1 }];
        let rows = decode(data, bits, (4, 3), &mut frame, Stop(&|| false)).unwrap();
        (frame, rows)
    }

    #[test]
    fn runs_literals_and_moves() {
        let (frame, rows) = decoded(&[3, 7, 0, 0, 0, 3, 1, 2, 3, 0, 1, 9, 0, 1], 8);
        assert_eq!((&frame[..], rows), (&[7, 7, 7, 0, 1, 2, 3, 9, 0, 0, 0, 0][..], 3));
        let (frame, rows) = decoded(&[3, 0x12, 0, 2, 1, 1, 0, 3, 0x45, 0x60], 4);
        assert_eq!((&frame[..], rows), (&[1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], 1));
        let (frame, rows) = decoded(&[2, 1, 2, 3, 0, 3, 4, 5, 6, 7, 8, 9, 1, 1, 1, 0, 0, 1], 24);
        assert_eq!((&frame[..12], rows), (&[1, 2, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9][..], 3));
    }

    #[test]
    fn truncated_data_returns_what_is_complete() {
        let data = [4, 7, 0, 0, 4, 8, 0, 0, 4, 9, 0, 0];
        for length in 0..data.len() {
            assert_eq!(decoded(&data[..length], 8).1, (length / 4).min(3));
        }
    }
}
