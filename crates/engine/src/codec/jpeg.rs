//! JPEG (ITU-T T.81).

mod decode;
pub(super) mod encode;
mod header;

use crate::codec::{Codec, EncodeOptions, OpenFile};
use crate::error::Error;
use crate::header::{Coverage, Format, Header};
use crate::pixels::Image8;
#[cfg(feature = "tiff")]
use crate::{
    Scratch,
    codec::{Context, Decoded},
    header::{Colour, Details},
    pixels::RowSink,
    plan::Reduction,
};

pub(crate) use decode::TableCache;
#[cfg(feature = "tiff")]
pub(super) use header::next_marker;

/// The codec.
pub(super) struct Jpeg;

impl Codec for Jpeg {
    fn format(&self) -> Format {
        Format::Jpeg
    }

    fn coverage(&self) -> Coverage {
        Coverage::new(
            "JPEG",
            &["jpg", "jpeg", "jfif"],
            "baseline and progressive, Huffman-coded, 8 bits; gray, Y'CbCr, RGB, CMYK, YCCK; any \
             sampling factors and restart intervals; Exif orientation; ICC",
            "baseline, progressive with effort `best`",
            "arithmetic-coded, lossless, hierarchical and 12 bits, which no browser and hardly any \
             camera writes",
        )
    }

    fn recognises(&self, bytes: &[u8]) -> Result<bool, Error> {
        Ok(bytes.starts_with(b"\xff\xd8") && bytes.get(2).is_none_or(|&b| b == 0xff))
    }

    fn open<'a>(&self, bytes: &'a [u8]) -> Result<OpenFile<'a>, Error> {
        let (details, segments) = header::read(bytes)?;
        OpenFile::new(details, move |header, context, rows, scratch| {
            decode::decode(bytes, &segments, header, context, rows, &mut scratch.tables)
        })
    }

    fn memory(&self, header: &Header, scale: u32) -> u64 {
        decode::memory(header, scale)
    }

    fn encode(&self, image: &Image8, options: &EncodeOptions<'_>) -> Result<Vec<u8>, Error> {
        encode::encode(options.level, image, options.quality, options.effort, options.stop)
    }
}

/// A JPEG within another file, which declares its colours.
#[cfg(feature = "tiff")]
pub(super) struct Embedded<'a> {
    pub(super) details: Details,
    bytes: &'a [u8],
    segments: header::Segments<'a>,
}

#[cfg(feature = "tiff")]
impl<'a> Embedded<'a> {
    /// # Errors
    /// [`Error::Malformed`] if it has not as many components as `colour`.
    pub(super) fn open(bytes: &'a [u8], colour: Colour, profile: Option<&'a [u8]>) -> Result<Self, Error> {
        let (mut details, mut segments) = header::read(bytes)?;
        let expected = match colour {
            Colour::Gray => 1,
            Colour::Cmyk | Colour::Ycck => 4,
            _ => 3,
        };
        let count = segments.components.len();
        if count != expected {
            return Err(Error::Unsupported(format!("{colour} as a JPEG of {count} components; convert it")));
        }
        segments.declare(colour, profile);
        details.header.colour = colour;
        Ok(Self { details, bytes, segments })
    }

    /// Decodes it at full scale.
    pub(super) fn decode(
        &mut self,
        context: &Context<'_>,
        rows: &mut dyn RowSink,
        scratch: &mut Scratch,
    ) -> Result<Decoded, Error> {
        let context = Context { reduction: Reduction::NONE, ..*context };
        let header = &self.details.header;
        decode::decode(self.bytes, &self.segments, header, &context, rows, &mut scratch.tables)
    }
}
