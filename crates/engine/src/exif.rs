//! Exif: the orientation, the only tag that is used.

use crate::header::Orientation;
use crate::ifd::Ifd;

const ORIENTATION: u16 = 0x0112;

/// The orientation in an Exif block, which may begin with the `Exif\0\0` of JPEG. A corrupt
/// block counts as upright, as in viewers.
pub(crate) fn orientation(block: &[u8]) -> Orientation {
    let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    orientation_of(Ifd::lenient(block).as_ref())
}

/// The orientation in a directory.
pub(crate) fn orientation_of(ifd: Option<&Ifd<'_>>) -> Orientation {
    ifd.and_then(|ifd| ifd.uint(ORIENTATION))
        .and_then(|value| u32::try_from(value).ok())
        .map_or(Orientation::UPRIGHT, Orientation::from_exif)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_byte_orders() {
        let little = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let big = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0";
        assert_eq!(orientation(little).exif(), 6);
        assert_eq!(orientation(big).exif(), 8);
    }

    #[test]
    fn every_integer_type_is_read_and_the_count_of_entries_need_not_be_right() {
        for (kind, value) in [
            (1, [6, 9, 9, 9]),
            (6, [6, 0, 0, 0]),
            (8, [6, 0, 9, 9]),
            (3, [6, 0, 9, 9]),
            (4, [6, 0, 0, 0]),
            (9, [6, 0, 0, 0]),
        ] {
            for count in [1, 2, 40, 0xffff_u16] {
                let mut block = b"II*\0\x08\0\0\0".to_vec();
                block.extend(count.to_le_bytes());
                block.extend([0x12, 1, kind, 0, 1, 0, 0, 0]);
                block.extend(value);
                assert_eq!(orientation(&block).exif(), 6, "type {kind}, {count} entries");
            }
        }
        // A fraction, and a negative number.
        for (kind, value) in [(5, [6, 0, 0, 0]), (8, [0xff, 0xff, 0, 0])] {
            let block =
                [b"II*\0\x08\0\0\0\x01\0\x12\x01".as_slice(), &[kind, 0, 1, 0, 0, 0], &value].concat();
            assert_eq!(orientation(&block), Orientation::UPRIGHT);
        }
    }

    #[test]
    fn corrupt_blocks_are_upright() {
        let block = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        for length in 0..block.len() - 8 {
            assert_eq!(orientation(&block[..length]), Orientation::UPRIGHT, "truncated to {length}");
        }
        assert_eq!(orientation(b"II*\0\xff\xff\xff\xff"), Orientation::UPRIGHT);
    }
}
