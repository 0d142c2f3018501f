//! Format detection, by content and never by name.

use crate::codec::{self, Codec};
use crate::error::Error;

/// Detects the codec of a file; the error names common other formats.
pub(crate) fn sniff(bytes: &[u8]) -> Result<&'static dyn Codec, Error> {
    if bytes.is_empty() {
        return Err(Error::Unsupported("the file is empty (0 bytes)".into()));
    }
    if let Some(codec) = codec::recognise(bytes)? {
        return Ok(codec);
    }
    Err(Error::Unsupported(format!(
        "this is {}; formats read are {}",
        unsupported_format(bytes),
        codec::names().join(", ")
    )))
}

/// What an unsupported file appears to be.
fn unsupported_format(bytes: &[u8]) -> &'static str {
    if bytes.get(4..8) == Some(b"ftyp") {
        return match bytes.get(8..12) {
            Some(b"avif" | b"avis") => "an AVIF image",
            Some(b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1") => {
                "a HEIC/HEIF image"
            }
            Some(b"crx ") => "a Canon CR3 raw image",
            _ => "an ISO media file (a video?)",
        };
    }
    const SIGNATURES: [(&[u8], &str); 24] = [
        (b"\xff\x0a", "a JPEG XL image"),
        (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
        (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
        (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
        (b"8BPS", "a Photoshop (PSD) file"),
        (b"%PDF", "a PDF document"),
        (b"%!PS", "a PostScript file"),
        (b"\xc5\xd0\xd3\xc6", "an EPS file"),
        (b"\0\0\x01\0", "a Windows icon"),
        (b"\0\0\x02\0", "a Windows cursor"),
        (b"qoif", "a QOI image"),
        (b"DDS ", "a DDS texture"),
        (b"\x76\x2f\x31\x01", "an OpenEXR image"),
        (b"#?RADIANCE", "a Radiance HDR image"),
        (b"farbfeld", "a farbfeld image"),
        (b"FUJIFILMCCD-RAW", "a Fujifilm raw image"),
        (b"gimp xcf", "a GIMP image"),
        (b"RIFF", "a RIFF file that is not WebP"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x1f\x8b", "gzip data"),
        (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
        (b"OggS", "an Ogg file"),
        (b"\x7fELF", "a program"),
        (b"GIF", "a GIF of an unknown version"),
    ];
    if let Some((_, name)) = SIGNATURES.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return name;
    }
    if matches!(bytes, [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..]) {
        return "a PNM image";
    }
    text(bytes).unwrap_or("no known image format")
}

/// Recognises common kinds of text.
fn text(bytes: &[u8]) -> Option<&'static str> {
    let start = &bytes[..bytes.len().min(1024)];
    // Anything without control characters other than white space counts as text.
    if start.iter().any(|&b| (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0c)) || b == 0x7f) {
        return None;
    }
    let lower: Vec<u8> = start.iter().map(u8::to_ascii_lowercase).collect();
    let holds = |word: &[u8]| lower.windows(word.len()).any(|window| window == word);
    if holds(b"<svg") {
        return Some("an SVG drawing");
    }
    if holds(b"<!doctype html") || holds(b"<html") {
        return Some("an HTML page");
    }
    std::str::from_utf8(start).is_ok().then_some("text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsupported(bytes: &[u8]) -> String {
        match sniff(bytes) {
            Err(Error::Unsupported(why)) => why,
            other => panic!("{:?}", other.map(Codec::format)),
        }
    }

    #[test]
    fn unsupported_formats_are_named() {
        assert_eq!(unsupported(b""), "the file is empty (0 bytes)");
        if cfg!(not(feature = "avif")) {
            assert!(unsupported(b"\0\0\0\x1cftypavif\0\0\0\0").contains("AVIF"));
        }
        if cfg!(not(feature = "heic")) {
            assert!(unsupported(b"\0\0\0\x1cftypheic\0\0\0\0").contains("HEIC"));
        }
        if cfg!(not(feature = "svg")) {
            assert!(unsupported(b"<?xml version=\"1.0\"?><svg/>").contains("SVG"));
        }
        assert!(unsupported(b"hello").contains("text"));
        assert!(unsupported(b"BMW is a car maker, not a bitmap").contains("text"));
        assert!(unsupported(b"hello").contains("jpeg, png, webp, gif, bmp, tiff"));
        assert!(unsupported(b"8BPS\0\x01").contains("Photoshop"));
    }

    #[test]
    fn a_png_corrupted_by_text_mode_is_malformed() {
        assert!(matches!(sniff(b"\x89PNG\n\x1a\n\0"), Err(Error::Malformed(_))));
    }
}
