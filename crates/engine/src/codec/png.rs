//! PNG (W3C PNG, third edition).

pub(crate) mod decode;
pub(crate) mod encode;
mod frames;
mod header;
mod text;

use crate::animation::Animation;
use crate::codec::{Codec, EncodeOptions, OpenFile};
use crate::error::Error;
use crate::header::{Coverage, Format, Header};
use crate::pixels::Image8;

/// The codec.
pub(super) struct Png;

impl Codec for Png {
    fn format(&self) -> Format {
        Format::Png
    }

    fn coverage(&self) -> Coverage {
        Coverage::new(
            "PNG",
            &["png"],
            "every depth and colour type, interlaced; animated (APNG); tRNS; eXIf, or an Exif block as text; cICP, \
             iCCP, sRGB, gAMA and cHRM in this order of precedence",
            "8 bits, palette where that is smaller",
            "unknown critical chunks, without which the image cannot be understood",
        )
    }

    fn recognises(&self, bytes: &[u8]) -> Result<bool, Error> {
        if !bytes.starts_with(b"\x89PNG") {
            return Ok(false);
        }
        if b"\x89PNG\r\n\x1a\n".iter().zip(bytes).any(|(a, b)| a != b) {
            return Err(Error::Malformed(
                "the PNG signature is corrupt, as by a transfer in text mode; send the file as binary".into(),
            ));
        }
        Ok(true)
    }

    fn open<'a>(&self, bytes: &'a [u8]) -> Result<OpenFile<'a>, Error> {
        OpenFile::new(header::read(bytes)?, move |header, context, rows, scratch| {
            decode::decode(bytes, header, context, rows, scratch)
        })
    }

    fn memory(&self, header: &Header, _: u32) -> u64 {
        super::by_pixel_and_width(header, decode::memory(header))
    }

    fn frames<'a>(
        &self,
        bytes: &'a [u8],
        header: &Header,
        most: usize,
    ) -> Result<Option<Animation<'a>>, Error> {
        Ok(frames::read(bytes, header, most))
    }

    fn encode(&self, image: &Image8, options: &EncodeOptions<'_>) -> Result<Vec<u8>, Error> {
        encode::encode(image, options.stop)
    }
}
