//! Artist and copyright in Exif (CIPA DC-008).

use super::{Rights, text};
use crate::ifd::Ifd;

const ARTIST: u16 = 0x013b;
const COPYRIGHT: u16 = 0x8298;

pub(super) fn read(block: &[u8]) -> Rights {
    let Some(ifd) = Ifd::lenient(block) else { return Rights::default() };
    let value = |tag| {
        let data = ifd.entry(tag)?.data();
        // Photographer and editor are separated by a zero byte.
        let parts: Vec<String> =
            data[..data.len().min(4096)].split(|byte| *byte == 0).filter_map(text).collect();
        text(parts.join(", ").as_bytes())
    };
    Rights { artist: value(ARTIST), copyright: value(COPYRIGHT), ..Rights::default() }
}

/// A stream with these two tags alone.
pub(super) fn written(rights: &Rights) -> Option<Vec<u8>> {
    let values = [(ARTIST, &rights.artist), (COPYRIGHT, &rights.copyright)];
    let values: Vec<(u16, Vec<u8>)> = values
        .into_iter()
        .filter_map(|(tag, value)| Some((tag, [value.as_ref()?.as_bytes(), b"\0"].concat())))
        .collect();
    if values.is_empty() {
        return None;
    }
    let mut block = b"II*\0\x08\0\0\0".to_vec();
    block.extend((values.len() as u16).to_le_bytes());
    let mut data = Vec::new();
    let data_at = block.len() + values.len() * 12 + 4;
    for (tag, value) in &values {
        block.extend(tag.to_le_bytes());
        // ASCII.
        block.extend(2_u16.to_le_bytes());
        block.extend((value.len() as u32).to_le_bytes());
        if value.len() <= 4 {
            let mut inline = value.clone();
            inline.resize(4, 0);
            block.extend(inline);
        } else {
            block.extend(((data_at + data.len()) as u32).to_le_bytes());
            data.extend(value);
            // Values are at even offsets.
            data.resize(data.len().next_multiple_of(2), 0);
        }
    }
    block.extend([0; 4]);
    block.extend(data);
    Some(block)
}
