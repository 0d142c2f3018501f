//! Adds author, copyright and terms to a thumbnail's file.

use super::{Rights, xmp};
use crate::header::Format;

/// XMP in a segment of JPEG begins with this.
const NAMESPACE: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// A file with the rights in it, as its format holds them: JPEG, PNG and WebP. AVIF gets them from its encoder; GIF
/// has no place for them.
pub(crate) fn embedded(file: Vec<u8>, format: Format, size: (u32, u32), rights: &Rights) -> Vec<u8> {
    if rights.is_empty() {
        return file;
    }
    let (exif, xmp) = (rights.exif(), xmp::written(rights));
    match format {
        Format::Jpeg => of_jpeg(&file, exif.as_deref(), xmp.as_bytes()),
        Format::Png => of_png(&file, exif.as_deref(), xmp.as_bytes()),
        Format::WebP => of_webp(&file, size, exif.as_deref(), xmp.as_bytes()),
        _ => file,
    }
}

/// After the JFIF segment, if there is one.
fn of_jpeg(file: &[u8], exif: Option<&[u8]>, xmp: &[u8]) -> Vec<u8> {
    let jfif = match file.get(2..6) {
        Some(&[0xff, 0xe0, high, low]) => 2 + usize::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    let (before, after) = file.split_at((2 + jfif).min(file.len()));
    let mut out = before.to_vec();
    let mut segment = |parts: [&[u8]; 2]| {
        let length = 2 + parts.iter().map(|part| part.len()).sum::<usize>();
        // Bounded values are far shorter.
        if let Ok(length) = u16::try_from(length) {
            out.extend([0xff, 0xe1]);
            out.extend(length.to_be_bytes());
            parts.iter().for_each(|part| out.extend(*part));
        }
    };
    if let Some(exif) = exif {
        segment([b"Exif\0\0", exif]);
    }
    segment([NAMESPACE, xmp]);
    out.extend(after);
    out
}

/// After IHDR.
fn of_png(file: &[u8], exif: Option<&[u8]>, xmp: &[u8]) -> Vec<u8> {
    let (before, after) = file.split_at(33.min(file.len()));
    let mut out = before.to_vec();
    let mut chunk = |name: &[u8; 4], parts: [&[u8]; 2]| {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        out.extend((length as u32).to_be_bytes());
        let start = out.len();
        out.extend(name);
        parts.iter().for_each(|part| out.extend(*part));
        let crc = crc32fast::hash(&out[start..]);
        out.extend(crc.to_be_bytes());
    };
    if let Some(exif) = exif {
        chunk(b"eXIf", [exif, b""]);
    }
    chunk(b"iTXt", [b"XML:com.adobe.xmp\0\0\0\0\0", xmp]);
    out.extend(after);
    out
}

/// At the end, in the extended layout (RFC 9649, section 2.7).
fn of_webp(file: &[u8], (width, height): (u32, u32), exif: Option<&[u8]>, xmp: &[u8]) -> Vec<u8> {
    const EXIF: u8 = 0x08;
    const XMP: u8 = 0x04;
    let mut out = b"RIFF\0\0\0\0WEBP".to_vec();
    let flags = XMP | if exif.is_some() { EXIF } else { 0 };
    let chunks = file.get(12..).unwrap_or_default();
    if chunks.starts_with(b"VP8X") && chunks.len() > 8 {
        let start = out.len();
        out.extend(chunks);
        out[start + 8] |= flags;
    } else {
        out.extend(b"VP8X\x0a\0\0\0");
        out.extend([flags, 0, 0, 0]);
        out.extend(&(width - 1).to_le_bytes()[..3]);
        out.extend(&(height - 1).to_le_bytes()[..3]);
        out.extend(chunks);
    }
    let mut chunk = |name: &[u8; 4], data: &[u8]| {
        out.extend(name);
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
        out.resize(out.len().next_multiple_of(2), 0);
    };
    if let Some(exif) = exif {
        chunk(b"EXIF", exif);
    }
    chunk(b"XMP ", xmp);
    let length = (out.len() - 8) as u32;
    out[4..8].copy_from_slice(&length.to_le_bytes());
    out
}
