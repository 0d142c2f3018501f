//! TIFF 6.0 and BigTIFF.

mod decode;
mod header;
mod page;

use crate::codec::{Codec, OpenFile};
use crate::error::Error;
use crate::header::{Coverage, Format, Header};

/// The codec.
pub(super) struct Tiff;

impl Codec for Tiff {
    fn format(&self) -> Format {
        Format::Tiff
    }

    fn coverage(&self) -> Coverage {
        Coverage::new(
            "TIFF",
            &["tif", "tiff"],
            "TIFF and BigTIFF; see [TIFF](#tiff)",
            "",
            "see [TIFF](#tiff)",
        )
    }

    fn recognises(&self, bytes: &[u8]) -> Result<bool, Error> {
        Ok([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|magic| bytes.starts_with(*magic)))
    }

    fn open<'a>(&self, bytes: &'a [u8]) -> Result<OpenFile<'a>, Error> {
        let (details, page) = header::read(bytes)?;
        OpenFile::new(details, move |header, context, rows, scratch| {
            decode::decode(&page, header, context, rows, scratch)
        })
    }

    fn memory(&self, header: &Header, _: u32) -> u64 {
        super::by_pixel_and_width(header, decode::memory(header))
    }
}
