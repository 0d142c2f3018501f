//! PNG, with every chunk's CRC repaired first, and our encoder: a result for any bytes, the same at every SIMD
//! level, and the pixels of the crate png.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use png::{BitDepth, Decoder, Transformations};
use tintype_engine::{Limits, OutputFormat, Scratch, SimdLevel, Size, Spec, render};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const PIXELS: u64 = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    if !bytes.starts_with(SIGNATURE) {
        return;
    }
    let file = with_checksums(bytes);
    let limits = Limits { pixels: PIXELS, memory_bytes: 32 << 20, ..Limits::default() };
    let spec = Spec {
        size: Size { width: Some(Size::MAX), height: None },
        format: OutputFormat::Png,
        ..Spec::default()
    };
    let at = |level| render(&file, std::slice::from_ref(&spec), &limits, &|| false, &mut Scratch::at(level));
    let rendered = at(SimdLevel::detect());
    assert_eq!(rendered, at(SimdLevel::baseline()));
    if let (Some(expected), Ok(rendered)) = (opaque_pixels(&file), rendered) {
        let actual = opaque_pixels(&rendered[0].bytes).expect("a file that can be read");
        assert!(actual == expected, "other pixels");
    }
});

/// The file with the CRC of each chunk repaired.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    let mut at = SIGNATURE.len();
    while let Some(length) = file.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        let end = at + 8 + length;
        if end + 4 > file.len() {
            break;
        }
        let crc = crc32fast::hash(&file[at + 4..end]);
        file[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        at = end + 4;
    }
    file
}

/// Size and pixels, if they are of 8 bits or fewer, opaque, upright and in plain sRGB: what a render at the
/// same size must preserve.
fn opaque_pixels(file: &[u8]) -> Option<(u32, u32, Vec<u8>)> {
    // The crate png does not tell of each gAMA that a browser applies.
    if file.windows(4).any(|name| name == b"gAMA") {
        return None;
    }
    let mut decoder = Decoder::new(Cursor::new(file));
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().ok()?;
    let info = reader.info();
    let plain = info.exif_metadata.is_none()
        && info.icc_profile.is_none()
        && info.coding_independent_code_points.is_none()
        && (info.srgb.is_some() || (info.source_gamma.is_none() && info.source_chromaticities.is_none()))
        && !info.is_animated();
    if u64::from(info.width) * u64::from(info.height) > PIXELS
        || info.bit_depth == BitDepth::Sixteen
        || info.trns.is_some()
        || !plain
    {
        return None;
    }
    let mut samples = vec![0; reader.output_buffer_size()?];
    let read = reader.next_frame(&mut samples).ok()?;
    // eXIf may follow the image data.
    reader.finish().ok()?;
    let info = reader.info();
    let texts = info.uncompressed_latin1_text.len() + info.compressed_latin1_text.len() + info.utf8_text.len();
    // A text may hold one, too.
    if info.exif_metadata.is_some() || texts > 0 {
        return None;
    }
    let pixels = match read.color_type.samples() {
        1 => samples.iter().flat_map(|&v| [v, v, v]).collect(),
        3 => samples,
        _ => return None,
    };
    Some((read.width, read.height, pixels))
}
