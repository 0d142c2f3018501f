//! AVIF: a HEIF file of AV1 frames, decoded by rusty_av1d in the codec process.

#[cfg(feature = "avif-out")]
mod encode;
pub(crate) mod library;

use super::heif;
use crate::codec::{Codec, OpenFile};
use crate::error::Error;
use crate::header::{Coverage, Format, Header};

/// The codec.
pub(super) struct Avif;

impl Codec for Avif {
    fn format(&self) -> Format {
        Format::Avif
    }

    fn is_foreign(&self) -> bool {
        true
    }

    fn coverage(&self) -> Coverage {
        Coverage::new(
            "AVIF",
            &["avif"],
            "8, 10 and 12 bits, every subsampling, gray; grids; alpha, also premultiplied; crop, rotation and \
             mirroring; ICC, or the code points of `nclx` or of the coded image; progressive; the base image of a gain \
             map; the first frame of a sequence",
            if cfg!(feature = "avif-out") { "8 bits, lossy, with alpha" } else { "" },
            "overlays and derived images, ICtCp",
        )
    }

    fn recognises(&self, bytes: &[u8]) -> Result<bool, Error> {
        Ok(heif::has_brand(bytes, &[b"avif", b"avis"]))
    }

    fn open<'a>(&self, bytes: &'a [u8]) -> Result<OpenFile<'a>, Error> {
        heif::open(bytes)
    }

    fn memory(&self, header: &Header, _: u32) -> u64 {
        heif::memory(header)
    }

    #[cfg(feature = "avif-out")]
    fn encode(
        &self,
        image: &crate::pixels::Image8,
        options: &crate::codec::EncodeOptions<'_>,
    ) -> Result<Vec<u8>, Error> {
        encode::encode(image, options)
    }
}
