//! Windows and OS/2 bitmaps.

mod decode;
mod header;
mod rle;

use crate::bytes::{le16, le32};
use crate::codec::{Codec, OpenFile};
use crate::error::Error;
use crate::header::{Coverage, Format, Header};

/// The codec.
pub(super) struct Bmp;

impl Codec for Bmp {
    fn format(&self) -> Format {
        Format::Bmp
    }

    fn coverage(&self) -> Coverage {
        Coverage::new(
            "BMP",
            &["bmp"],
            "headers of Windows (40 to 124 bytes) and OS/2 (12 to 64); 1, 2, 4, 8, 16, 24 and 32 \
             bits; masks; RLE4, RLE8, RLE24; top-down; an embedded profile",
            "",
            "embedded JPEG or PNG and fax coding of OS/2, which are other formats; CMYK, 64 bits",
        )
    }

    fn recognises(&self, bytes: &[u8]) -> Result<bool, Error> {
        // "BM" is too common as a signature: the size of the bitmap header must be a known one.
        let known = || match le32(bytes, 14) {
            Some(size) => matches!(size, 12 | 16..=64 | 108 | 124),
            None => bytes.len() > 2 && le16(bytes, 6).is_none_or(|reserved| reserved == 0),
        };
        Ok(bytes.starts_with(b"BM") && known())
    }

    fn open<'a>(&self, bytes: &'a [u8]) -> Result<OpenFile<'a>, Error> {
        let (details, bitmap) = header::read(bytes)?;
        OpenFile::new(details, move |header, context, rows, scratch| {
            decode::decode(&bitmap, header, context, rows, scratch)
        })
    }

    fn memory(&self, header: &Header, _: u32) -> u64 {
        super::by_pixel_and_width(header, decode::memory(header))
    }
}
