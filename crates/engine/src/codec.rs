//! File formats: a folder each, with the reader of its header, its decoder and perhaps its encoder, and the table
//! of them all.

#[cfg(feature = "avif")]
pub(crate) mod avif;
#[cfg(feature = "bmp")]
mod bmp;
#[cfg(feature = "gif")]
pub(crate) mod gif;
#[cfg(feature = "heic")]
pub(crate) mod heic;
#[cfg(any(feature = "avif", feature = "heic"))]
pub(crate) mod heif;
pub(crate) mod jpeg;
#[cfg(feature = "jxl")]
pub(crate) mod jxl;
pub(crate) mod png;
#[cfg(feature = "svg")]
pub(crate) mod svg;
#[cfg(feature = "tiff")]
mod tiff;
#[cfg(feature = "webp")]
pub(crate) mod webp;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Scratch;
use crate::animation::Animation;
use crate::error::Error;
use crate::foreign::ForeignDecoder;
use crate::header::{Coverage, Details, Format, Header};
use crate::limits::Limits;
use crate::pixels::{Image8, RowSink};
use crate::plan::Reduction;
use crate::rights::{self, Rights};
use crate::simd::SimdLevel;
use crate::spec::Effort;
use crate::stop::Stop;

/// Every codec. A format is one line here and its folder.
static CODECS: &[&dyn Codec] = &[
    &jpeg::Jpeg,
    &png::Png,
    #[cfg(feature = "webp")]
    &webp::WebP,
    #[cfg(feature = "gif")]
    &gif::Gif,
    #[cfg(feature = "bmp")]
    &bmp::Bmp,
    #[cfg(feature = "tiff")]
    &tiff::Tiff,
    #[cfg(feature = "avif")]
    &avif::Avif,
    #[cfg(feature = "heic")]
    &heic::Heic,
    #[cfg(feature = "jxl")]
    &jxl::Jxl,
    // Text: what others recognise by a signature is none.
    #[cfg(feature = "svg")]
    &svg::Svg,
];

/// A file format that is read here, and perhaps written.
pub(crate) trait Codec: Sync {
    fn format(&self) -> Format;

    /// What of the format is read and written, in words, for documentation.
    fn coverage(&self) -> Coverage;

    /// Whether the bytes begin as a file of this format.
    ///
    /// # Errors
    /// [`Error::Malformed`] if they did before they were corrupted.
    fn recognises(&self, bytes: &[u8]) -> Result<bool, Error>;

    /// Reads the header, without decoding pixels.
    fn open<'a>(&self, bytes: &'a [u8]) -> Result<OpenFile<'a>, Error>;

    /// Upper bound on the bytes that decoding allocates at a scale of `scale` samples for eight pixels.
    fn memory(&self, header: &Header, scale: u32) -> u64;

    /// Whether a decoder of another project decodes it, by the host's [`ForeignDecoder`].
    fn is_foreign(&self) -> bool {
        false
    }

    /// The frames of an animation, of more than `most` one more than that; `None` for formats of which the first image
    /// alone is read.
    fn frames<'a>(&self, _: &'a [u8], _: &Header, _most: usize) -> Result<Option<Animation<'a>>, Error> {
        Ok(None)
    }

    /// Writes an image, without metadata unless the container cannot be extended later.
    fn encode(&self, _: &Image8, _: &EncodeOptions<'_>) -> Result<Vec<u8>, Error> {
        Err(Error::Internal(format!("{} is not written", self.format())))
    }
}

/// Decodes the first image of an open file into rows, from the top, with straight alpha.
type Decode<'a> =
    dyn Fn(&Header, &Context<'_>, &mut dyn RowSink, &mut Scratch) -> Result<Decoded, Error> + 'a;

/// A file whose header has been read.
pub(crate) struct OpenFile<'a> {
    pub(crate) details: Details,
    decode: Box<Decode<'a>>,
}

/// What decoders need besides the file.
pub(crate) struct Context<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) reduction: Reduction,
    pub(crate) level: SimdLevel,
    pub(crate) stop: Stop<'a>,
    pub(crate) foreign: &'a dyn ForeignDecoder,
}

/// What a decoder returns besides the rows.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// The ICC profile that the rows are still in.
    pub(crate) profile: Option<Vec<u8>>,
}

/// How an image is written.
pub(crate) struct EncodeOptions<'a> {
    pub(crate) level: SimdLevel,
    /// 1 to 100.
    pub(crate) quality: u8,
    pub(crate) effort: Effort,
    /// Polled during encoding, except by the encoders of WebP and AVIF, which are other projects'.
    pub(crate) stop: Stop<'a>,
    /// What the file says of its author.
    pub(crate) rights: &'a Rights,
}

/// Every codec's format and coverage.
pub(crate) fn formats() -> impl Iterator<Item = (Format, Coverage)> {
    CODECS.iter().map(|codec| (codec.format(), codec.coverage()))
}

/// The codec that recognises the bytes.
pub(crate) fn recognise(bytes: &[u8]) -> Result<Option<&'static dyn Codec>, Error> {
    for codec in CODECS {
        if codec.recognises(bytes)? {
            return Ok(Some(*codec));
        }
    }
    Ok(None)
}

/// The names of the formats that are read.
pub(crate) fn names() -> Vec<&'static str> {
    CODECS.iter().map(|codec| codec.format().name()).collect()
}

fn of(format: Format) -> Result<&'static dyn Codec, Error> {
    let codec = CODECS.iter().copied().find(|codec| codec.format() == format);
    codec.ok_or_else(|| Error::Unsupported(format!("{format}: the engine was built without it")))
}

/// Upper bound on the bytes that the decoder of an image allocates, from its header alone.
pub(crate) fn memory(header: &Header, scale: u32) -> u64 {
    of(header.format).map_or(0, |codec| codec.memory(header, scale))
}

/// Whether a format is decoded by the host's [`ForeignDecoder`].
pub(crate) fn is_foreign(format: Format) -> bool {
    of(format).is_ok_and(Codec::is_foreign)
}

/// Writes an image in a format that [`crate::Spec::resolve`] returns.
pub(crate) fn encode(image: &Image8, format: Format, options: &EncodeOptions<'_>) -> Result<Vec<u8>, Error> {
    let file = of(format)?.encode(image, options)?;
    Ok(rights::embedded(file, format, (image.width, image.height), options.rights))
}

/// The frames of an animation, if they are read; of more than `most` one more than that.
pub(crate) fn frames<'a>(
    bytes: &'a [u8],
    header: &Header,
    most: usize,
) -> Result<Option<Animation<'a>>, Error> {
    of(header.format)?.frames(bytes, header, most)
}

impl<'a> OpenFile<'a> {
    /// A file with this header, to be decoded by `decode`.
    fn new(
        details: Details,
        decode: impl Fn(&Header, &Context<'_>, &mut dyn RowSink, &mut Scratch) -> Result<Decoded, Error> + 'a,
    ) -> Result<Self, Error> {
        Ok(Self { details, decode: Box::new(decode) })
    }

    /// Decodes the first image of the file into `rows`.
    pub(crate) fn decode(
        &self,
        context: &Context<'_>,
        rows: &mut dyn RowSink,
        scratch: &mut Scratch,
    ) -> Result<Decoded, Error> {
        // Libraries wrap a failed read in errors of their own, so what `stop` returned is stored here.
        let stopped = Cell::new(false);
        let poll = || {
            stopped.set((context.stop.0)());
            stopped.get()
        };
        let context = &Context { stop: Stop(&poll), ..*context };
        let header = &self.details.header;
        // What a panic leaves in an inconsistent state is dropped with the error.
        let decoded = catch_unwind(AssertUnwindSafe(|| (self.decode)(header, context, rows, scratch)));
        match decoded {
            Err(panic) => {
                let why = panic.downcast_ref::<String>().map(String::as_str);
                let why = why.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                Err(Error::Internal(format!("{}: decoding panicked: {why}", header.format)))
            }
            Ok(Err(_)) if stopped.get() => Err(Stop::error("decoding")),
            Ok(decoded) => decoded,
        }
    }
}

/// Bytes for each pixel and for each column, of decoders that round both sides up to whole blocks.
fn by_pixel_and_width(header: &Header, (by_pixel, by_width): (u64, u64)) -> u64 {
    let pixels = (u64::from(header.width) + 32).saturating_mul(u64::from(header.height) + 32);
    let width = u64::from(header.width) + 64;
    pixels.saturating_mul(by_pixel).saturating_add(width.saturating_mul(by_width))
}

/// The error for corrupt image data.
fn corrupt(header: &Header, why: impl std::fmt::Display) -> Error {
    Error::Malformed(format!("{}: corrupt image data: {why}; send it again", header.format))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::pixels::{Grid, Model, PassRow, Row};
    use crate::spec::Effort;

    /// Encodes, and counts how often `stop` is polled; it returns true from the `limit`th time on.
    fn count_polls(
        image: &Image8,
        format: Format,
        effort: Effort,
        limit: usize,
    ) -> (usize, Result<(), Error>) {
        let polls = Cell::new(0);
        let poll = || {
            polls.set(polls.get() + 1);
            polls.get() >= limit
        };
        let rights = Rights::default();
        let options = EncodeOptions {
            level: SimdLevel::detect(),
            quality: 80,
            effort,
            stop: Stop(&poll),
            rights: &rights,
        };
        let encoded = encode(image, format, &options);
        (polls.get(), encoded.map(drop))
    }

    #[test]
    fn encoders_poll_stop_and_end_when_it_returns_true() {
        let (width, height) = (300, 500);
        let noise = |at: u32| (at.wrapping_mul(2_654_435_761) >> 13) as u8 & 0x7f;
        for model in [Model::Gray, Model::Rgb] {
            let samples = (0..width * height * model.channels() as u32).map(noise).collect();
            let image = Image8 { width, height, model, samples };
            let rows = height as usize / 16;
            for (format, effort, least) in [
                (Format::Jpeg, Effort::Fast, rows),
                (Format::Jpeg, Effort::Balanced, rows),
                // Coefficients, levels three times, and scans measured and written.
                (Format::Jpeg, Effort::Best, 8 * rows),
                (Format::Png, Effort::Balanced, image.samples.len() >> 14),
            ] {
                let (times, encoded) = count_polls(&image, format, effort, usize::MAX);
                assert!(encoded.is_ok());
                assert!(times >= least, "{format} {effort}: polled {times} times, not {least}");
                for limit in (1..=times).step_by(1 + times / 9) {
                    let (times, encoded) = count_polls(&image, format, effort, limit);
                    assert!(matches!(encoded, Err(Error::Stopped(_))), "{format} {effort}: {encoded:?}");
                    assert_eq!(times, limit, "{format} {effort}: polled again after it returned true");
                }
            }
        }
    }

    /// Panics on its first row.
    struct Faulty;

    impl RowSink for Faulty {
        fn begin(&mut self, _: Grid) -> Result<(), Error> {
            Ok(())
        }

        fn row(&mut self, _: Row<'_>) -> Result<(), Error> {
            panic!("a fault of the resampler")
        }

        fn pass_row(&mut self, _: PassRow, _: Row<'_>) -> Result<(), Error> {
            panic!("a fault of the resampler")
        }
    }

    #[test]
    fn a_panic_while_decoding_is_internal() {
        let bytes = b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0";
        let mut bmp = bytes.to_vec();
        bmp.resize(58, 0);
        let limits = Limits::default();
        let context = Context {
            limits: &limits,
            reduction: Reduction::NONE,
            level: SimdLevel::detect(),
            stop: Stop(&|| false),
            foreign: &crate::foreign::InProcess::default(),
        };
        let decode = |file: &OpenFile<'_>| {
            file.decode(&context, &mut Faulty, &mut Scratch::default()).map(drop).unwrap_err()
        };
        let ours = decode(&bmp::Bmp.open(&bmp).unwrap());
        assert!(
            matches!(&ours, Error::Internal(why) if why.contains("a fault of the resampler")),
            "{ours:?}"
        );
    }
}
