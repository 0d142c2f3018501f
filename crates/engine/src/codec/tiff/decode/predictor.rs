//! Predictors, which compressed samples are the differences from.

/// Samples are differences from the pixel to the left (TIFF 6.0, section 14), of `size` bytes each.
pub(super) fn horizontal(row: &mut [u8], samples: usize, size: usize, little: bool) {
    if size == 1 {
        for at in samples..row.len() {
            row[at] = row[at].wrapping_add(row[at - samples]);
        }
        return;
    }
    for at in (samples * size..row.len()).step_by(size) {
        let mut carry = 0;
        for byte in 0..size {
            // From the lowest byte.
            let place = at + if little { byte } else { size - 1 - byte };
            let Some(&difference) = row.get(place) else { return };
            let sum = u16::from(difference) + u16::from(row[place - samples * size]) + carry;
            row[place] = sum as u8;
            carry = sum >> 8;
        }
    }
}

/// Floats whose bytes are stored apart, the highest of all first, as differences (TIFF technical note 3).
pub(super) fn float(row: &mut [u8], samples: usize, size: usize, little: bool) {
    horizontal(row, samples, 1, little);
    let planes = row.to_vec();
    let count = row.len() / size;
    for (at, value) in row.chunks_exact_mut(size).enumerate() {
        for (byte, place) in value.iter_mut().enumerate() {
            let plane = if little { size - 1 - byte } else { byte };
            *place = planes[plane * count + at];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_added_in_either_byte_order() {
        let values = [0x00ff_u16, 0x1234, 0x0101, 0xffff];
        let sums = [0x00ff_u16, 0x1234, 0x0200, 0x1233];
        for little in [true, false] {
            let bytes = |value: u16| if little { value.to_le_bytes() } else { value.to_be_bytes() };
            let mut row = values.map(bytes).concat();
            horizontal(&mut row, 2, 2, little);
            assert_eq!(row, sums.map(bytes).concat());
        }
        let mut row = [1, 2, 255, 3];
        horizontal(&mut row, 1, 1, true);
        assert_eq!(row, [1, 3, 2, 5]);
    }

    #[test]
    fn the_bytes_of_floats_are_joined() {
        let values = [1.5_f32, -0.25, 1e9];
        let planes: Vec<u8> =
            (0..4).flat_map(|plane| values.map(|value| value.to_be_bytes()[plane])).collect();
        let mut row: Vec<u8> =
            (0..12).map(|at| planes[at].wrapping_sub(if at > 0 { planes[at - 1] } else { 0 })).collect();
        let mut big = row.clone();
        float(&mut row, 1, 4, true);
        assert_eq!(row, values.map(f32::to_le_bytes).concat());
        float(&mut big, 1, 4, false);
        assert_eq!(big, values.map(f32::to_be_bytes).concat());
    }
}
