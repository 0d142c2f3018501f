//! AVIF: a HEIF file of AV1 frames, decoded by rusty_av1d in the codec process.

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
            "",
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
}
