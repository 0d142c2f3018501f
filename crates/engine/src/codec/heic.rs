//! HEIC: a HEIF file of HEVC frames, decoded by hpvcd in the codec process.

pub(crate) mod library;

use super::heif;
use crate::codec::{Codec, OpenFile};
use crate::error::Error;
use crate::header::{Coverage, Format, Header};

/// The codec.
pub(super) struct Heic;

impl Codec for Heic {
    fn format(&self) -> Format {
        Format::Heic
    }

    fn is_foreign(&self) -> bool {
        true
    }

    fn coverage(&self) -> Coverage {
        Coverage::new("HEIC", &["heic", "heif", "hif"], "as AVIF, of HEVC", "", "as AVIF")
    }

    fn recognises(&self, bytes: &[u8]) -> Result<bool, Error> {
        let brands =
            [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"];
        Ok(heif::has_brand(bytes, &brands))
    }

    fn open<'a>(&self, bytes: &'a [u8]) -> Result<OpenFile<'a>, Error> {
        heif::open(bytes)
    }

    fn memory(&self, header: &Header, _: u32) -> u64 {
        heif::memory(header)
    }
}
