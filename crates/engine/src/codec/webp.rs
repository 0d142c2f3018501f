//! WebP (RFC 9649): written by libwebp.

mod alpha;
pub(crate) mod animation;
mod colour;
mod decode;
mod encode;
mod frames;
mod header;
mod output;
mod vp8;
mod vp8l;

use crate::animation::Animation;
use crate::codec::{Codec, EncodeOptions, OpenFile};
use crate::error::Error;
use crate::header::{Coverage, Format, Header};
use crate::pixels::Image8;

/// The codec.
pub(super) struct WebP;

impl Codec for WebP {
    fn format(&self) -> Format {
        Format::WebP
    }

    fn coverage(&self) -> Coverage {
        Coverage::new(
            "WebP",
            &["webp"],
            "lossy, lossless, alpha, animated; Exif, ICC",
            "lossy, with alpha, animated",
            "",
        )
    }

    fn recognises(&self, bytes: &[u8]) -> Result<bool, Error> {
        Ok(bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP"))
    }

    fn open<'a>(&self, bytes: &'a [u8]) -> Result<OpenFile<'a>, Error> {
        let (details, picture) = header::read(bytes)?;
        OpenFile::new(details, move |header, context, rows, _| {
            decode::decode(&picture, header, context, rows)
        })
    }

    fn memory(&self, header: &Header, _: u32) -> u64 {
        decode::memory(header)
    }

    fn frames<'a>(
        &self,
        bytes: &'a [u8],
        header: &Header,
        most: usize,
    ) -> Result<Option<Animation<'a>>, Error> {
        let (_, picture) = header::read(bytes)?;
        frames::read(bytes, header, picture.profile, most)
    }

    fn encode(&self, image: &Image8, options: &EncodeOptions<'_>) -> Result<Vec<u8>, Error> {
        encode::encode(image, options.quality)
    }
}

#[cfg(test)]
mod tests;
