//! Exif blocks in text chunks: "Raw profile type exif", as ImageMagick and others write them in hexadecimal.

use super::decode::inflate::Inflater;
use crate::simd::SimdLevel;

/// Longer texts are not read.
const MAX_TEXT: usize = 256 << 10;

/// The block in a chunk tEXt, zTXt or iTXt (W3C PNG, third edition, section 11.3.3), if it holds one.
pub(super) fn exif(name: [u8; 4], data: &[u8]) -> Option<Vec<u8>> {
    let (keyword, rest) = field(data)?;
    if !matches!(keyword, b"Raw profile type exif" | b"Raw profile type APP1") {
        return None;
    }
    let inflated;
    let text = match &name {
        b"zTXt" => {
            inflated = inflate(rest.get(1..)?)?;
            &inflated[..]
        }
        b"iTXt" => {
            let (&compressed, rest) = rest.split_first()?;
            let (_, rest) = field(rest.get(1..)?)?;
            let (_, text) = field(rest)?;
            if compressed == 1 {
                inflated = inflate(text)?;
                &inflated[..]
            } else {
                text
            }
        }
        _ => rest,
    };
    bytes(text)
}

/// Up to the next zero, and what follows it.
fn field(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = data.iter().position(|&byte| byte == 0)?;
    Some((&data[..end], &data[end + 1..]))
}

fn inflate(mut stream: &[u8]) -> Option<Vec<u8>> {
    let mut inflater = Inflater::new(SimdLevel::default().dispatch_level());
    let mut text = Vec::new();
    loop {
        let piece = inflater.peek(4096, &mut stream).ok()?;
        let length = piece.len();
        text.extend_from_slice(piece);
        inflater.consume(length);
        if length == 0 {
            return Some(text);
        }
        if text.len() > MAX_TEXT {
            return None;
        }
    }
}

/// A line with the kind, one with the length, and hexadecimal digits.
fn bytes(text: &[u8]) -> Option<Vec<u8>> {
    let mut lines = text.trim_ascii_start().splitn(3, |&byte| byte == b'\n').skip(2);
    let digits: Vec<u8> = lines
        .next()?
        .iter()
        .filter_map(|&digit| (digit as char).to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    Some(digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hexadecimal_text() {
        let text = b"Raw profile type exif\0\nexif\n       5\n49492a\n0001\n";
        assert_eq!(exif(*b"tEXt", text).as_deref(), Some(&b"II*\0\x01"[..]));
        let text = b"Raw profile type APP1\0\0\0\0\0\ngeneric profile\n       2\n4949";
        assert_eq!(exif(*b"iTXt", text).as_deref(), Some(&b"II"[..]));
        assert_eq!(exif(*b"tEXt", b"Comment\0\nexif\n 1\n49"), None);
        assert_eq!(exif(*b"zTXt", b"Raw profile type exif\0\0nonsense"), None);
    }
}
