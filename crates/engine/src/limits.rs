//! Limits of a render, checked after the header and before any allocation.

use crate::error::Error;
use crate::header::Details;
use crate::spec::Effort;

/// Bounds on one render.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Largest source file, in bytes.
    pub source_bytes: u64,
    /// Largest number of pixels in the source (width × height of the canvas).
    pub pixels: u64,
    /// Largest number of frames of an animation, where all of them are read and not the first alone.
    pub frames: u32,
    /// Most work of decoding, in samples; see [`crate::Header::work`].
    pub work: u64,
    /// Most bytes that a render may hold at once, as estimated by [`crate::estimate()`].
    pub memory_bytes: u64,
    /// Whether an image whose data is corrupt or truncated is accepted, if enough of it could be read.
    pub tolerant: bool,
    /// With `tolerant`: the share of the image's rows (0.0 to 1.0) that must have been read.
    pub tolerant_share: f64,
}

/// Work of encoding a pixel in AVIF, in samples.
const AVIF_WORK: u64 = 100;
/// The same with [`Effort::Best`].
const AVIF_BEST_WORK: u64 = 400;

impl Default for Limits {
    fn default() -> Self {
        Self {
            source_bytes: 100 << 20,
            pixels: 300_000_000,
            frames: 1000,
            work: 1_000_000_000,
            memory_bytes: 512 << 20,
            tolerant: false,
            tolerant_share: 0.5,
        }
    }
}

impl Limits {
    /// Most pixels of an animation, times its frames, of which more than the first frame is rendered.
    pub const ANIMATION_PIXELS: u64 = 50_000_000;

    /// Refuses a file by its length alone, before anything is read.
    pub(crate) fn check_source(&self, bytes: &[u8]) -> Result<(), Error> {
        let length = bytes.len() as u64;
        if length > self.source_bytes {
            return Err(Error::TooLarge(format!(
                "the file has {length} bytes, more than the {} of limits.source_bytes",
                self.source_bytes
            )));
        }
        Ok(())
    }

    /// Refuses an image by its header, before anything is allocated. `needed` is the estimate.
    pub(crate) fn check_header(&self, details: &Details, needed: u64) -> Result<(), Error> {
        let header = &details.header;
        if header.pixels() > self.pixels {
            return Err(Error::TooLarge(format!(
                "{}x{} is {} pixels, more than the {} of limits.pixels",
                header.width,
                header.height,
                header.pixels(),
                self.pixels
            )));
        }
        if needed > self.memory_bytes {
            return Err(Error::TooLarge(format!(
                "rendering {}x{} takes up to {} MiB, more than the {} MiB of function.memory_mb",
                header.width,
                header.height,
                needed.div_ceil(1 << 20),
                self.memory_bytes >> 20
            )));
        }
        if header.work > self.work {
            return Err(Error::TooLarge(format!(
                "decoding {}x{} {} takes {} megasamples, more than the {} megasamples of limits.work",
                header.width,
                header.height,
                details.reason,
                header.work.div_ceil(1_000_000),
                self.work / 1_000_000
            )));
        }
        Ok(())
    }

    /// Refuses thumbnails of these sizes in AVIF that take long to encode, as the encoder cannot be stopped.
    pub(crate) fn check_avif(&self, images: impl Iterator<Item = ((u32, u32), Effort)>) -> Result<(), Error> {
        let work = images.map(|((width, height), effort)| {
            let weight = if effort == Effort::Best { AVIF_BEST_WORK } else { AVIF_WORK };
            (u64::from(width) * u64::from(height)).saturating_mul(weight)
        });
        let work = work.fold(0, u64::saturating_add);
        if work > self.work {
            return Err(Error::TooLarge(format!(
                "encoding AVIF of this size takes {} megasamples, more than the {} megasamples of limits.work: set a smaller \
                 size or another format",
                work.div_ceil(1_000_000),
                self.work / 1_000_000
            )));
        }
        Ok(())
    }

    /// Whether an image is accepted of which only the first `rows` of `height` rows could be read.
    pub(crate) fn tolerates(&self, rows: u32, height: u32) -> bool {
        self.tolerant && f64::from(rows) >= self.tolerant_share * f64::from(height) && rows > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_thumbnails_in_avif_are_refused() {
        let limits = Limits { work: 1_000_000_000, ..Limits::default() };
        let check = |images: &[((u32, u32), Effort)]| limits.check_avif(images.iter().copied());
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[((3000, 2000), Effort::Balanced)]), Ok(()));
        assert_eq!(check(&[((1000, 1000), Effort::Best), ((2000, 2000), Effort::Fast)]), Ok(()));
        for images in [
            &[((4000, 3000), Effort::Balanced)][..],
            &[((3000, 2000), Effort::Best)],
            &[((3000, 2000), Effort::Fast), ((3000, 2000), Effort::Fast)],
        ] {
            let error = check(images).unwrap_err().to_string();
            assert!(error.contains("AVIF") && error.contains("limits.work"), "{error}");
        }
    }
}
