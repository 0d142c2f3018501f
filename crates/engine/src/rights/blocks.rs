//! Where metadata is in a file: the blocks of Exif, XMP and IPTC in JPEG, PNG, WebP and TIFF.

use crate::bytes::{be16, be32, le32};
use crate::ifd::Ifd;

/// Longer blocks are not read.
const LARGEST: usize = 256 << 10;

/// XMP in an APP1 segment of JPEG begins with this (XMP part 3).
const XMP_NAMESPACE: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// An APP13 segment of resources begins with this.
const PHOTOSHOP: &[u8] = b"Photoshop 3.0\0";
/// The keyword of XMP in PNG, and what follows it in a text that is not compressed.
const XMP_KEYWORD: &[u8] = b"XML:com.adobe.xmp\0\0\0\0\0";

/// The blocks of a file; of several of a kind the first.
#[derive(Default)]
pub(super) struct Blocks<'a> {
    /// From the header of its TIFF stream on.
    pub(super) exif: Option<&'a [u8]>,
    pub(super) xmp: Option<&'a [u8]>,
    /// Datasets of IIM.
    pub(super) iptc: Option<&'a [u8]>,
}

impl<'a> Blocks<'a> {
    pub(super) fn of(file: &'a [u8]) -> Self {
        let mut blocks = Self::default();
        if file.starts_with(b"\xff\xd8") {
            blocks.of_jpeg(file);
        } else if file.starts_with(b"\x89PNG") {
            blocks.of_png(file);
        } else if file.starts_with(b"RIFF") {
            blocks.of_webp(file);
        } else if let Some(ifd) = Ifd::lenient(file) {
            blocks.exif = Some(file);
            let tag = |tag| ifd.entry(tag).map(|entry| entry.data()).filter(|data| data.len() <= LARGEST);
            blocks.xmp = tag(700);
            blocks.iptc = tag(33_723);
        }
        blocks
    }

    fn exif(&mut self, block: &'a [u8]) {
        let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        self.exif.get_or_insert(block);
    }

    /// The segments before the first scan (ITU-T T.81, annex B).
    fn of_jpeg(&mut self, file: &'a [u8]) {
        let mut at = 2;
        while let (Some(&[0xff, marker]), Some(length)) = (file.get(at..at + 2), be16(file, at + 2)) {
            if marker == 0xda {
                return;
            }
            let Some(data) = file.get(at + 4..at + 2 + usize::from(length)) else { return };
            if marker == 0xe1 && data.starts_with(b"Exif\0\0") {
                self.exif(data);
            } else if marker == 0xe1 && data.starts_with(XMP_NAMESPACE) {
                self.xmp.get_or_insert(&data[XMP_NAMESPACE.len()..]);
            } else if marker == 0xed && data.starts_with(PHOTOSHOP) && self.iptc.is_none() {
                self.iptc = resource(&data[PHOTOSHOP.len()..], 0x0404);
            }
            at += 2 + usize::from(length.max(2));
        }
    }

    fn of_png(&mut self, file: &'a [u8]) {
        let mut at = 8;
        while let (Some(length), Some(name)) = (be32(file, at), file.get(at + 4..at + 8)) {
            let end = (at + 8).saturating_add(length as usize);
            let Some(data) = file.get(at + 8..end) else { return };
            if data.len() <= LARGEST {
                match name {
                    b"eXIf" => self.exif(data),
                    b"iTXt" if data.starts_with(XMP_KEYWORD) => {
                        self.xmp.get_or_insert(&data[XMP_KEYWORD.len()..]);
                    }
                    _ => {}
                }
            }
            at = end + 4;
        }
    }

    fn of_webp(&mut self, file: &'a [u8]) {
        let mut at = 12;
        while let (Some(name), Some(length)) = (file.get(at..at + 4), le32(file, at + 4)) {
            let end = (at + 8).saturating_add(length as usize);
            let Some(data) = file.get(at + 8..end) else { return };
            if data.len() <= LARGEST {
                match name {
                    b"EXIF" => self.exif(data),
                    b"XMP " => {
                        self.xmp.get_or_insert(data);
                    }
                    _ => {}
                }
            }
            at = end + (length as usize & 1);
        }
    }
}

/// The data of an image resource: 8BIM, number, name, length.
fn resource(mut rest: &[u8], number: u16) -> Option<&[u8]> {
    while rest.starts_with(b"8BIM") {
        let found = be16(rest, 4)?;
        // The name is padded to an even length, with its own length byte.
        let name = (usize::from(*rest.get(6)?) + 2) & !1;
        let length = be32(rest, 6 + name)? as usize;
        let from = 10 + name;
        let end = from.checked_add(length)?;
        let data = rest.get(from..end)?;
        if found == number {
            return Some(data);
        }
        rest = rest.get(end + (length & 1)..)?;
    }
    None
}
