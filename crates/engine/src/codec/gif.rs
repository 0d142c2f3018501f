//! GIF 87a and 89a.

mod decode;
pub(crate) mod encode;
mod frames;
mod header;
mod quantise;

use crate::animation::Animation;
use crate::codec::{Codec, EncodeOptions, OpenFile};
use crate::error::Error;
use crate::header::{Coverage, Format, Header};
use crate::pixels::Image8;

/// The codec.
pub(super) struct Gif;

impl Codec for Gif {
    fn format(&self) -> Format {
        Format::Gif
    }

    fn coverage(&self) -> Coverage {
        Coverage::new(
            "GIF",
            &["gif"],
            "87a and 89a, interlaced, transparent; a frame beyond the screen extends it; extensions \
             of any kind are skipped; animated",
            "256 colours, transparent, animated",
            "",
        )
    }

    fn recognises(&self, bytes: &[u8]) -> Result<bool, Error> {
        Ok(bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a"))
    }

    fn open<'a>(&self, bytes: &'a [u8]) -> Result<OpenFile<'a>, Error> {
        let (details, frame) = header::read(bytes)?;
        OpenFile::new(details, move |header, context, rows, scratch| {
            decode::decode(&frame, header, context, rows, scratch)
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
        options.stop.check("encoding")?;
        encode::still(image)
    }
}
