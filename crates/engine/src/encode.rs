//! Encoders, one file a format. Metadata is never written.

pub(crate) mod jpeg;
pub(crate) mod png;
mod webp;

use crate::error::Error;
use crate::header::Format;
use crate::pixels::Image8;
use crate::simd::SimdLevel;
use crate::spec::Effort;
use crate::stop::Stop;

/// Encodes as JPEG, PNG or WebP. `stop` is polled during encoding, except by libwebp, whose hook for
/// that is not used.
pub(crate) fn encode(
    level: SimdLevel,
    image: &Image8,
    format: Format,
    quality: u8,
    effort: Effort,
    stop: Stop<'_>,
) -> Result<Vec<u8>, Error> {
    match format {
        Format::Jpeg => jpeg::encode(level, image, quality, effort, stop),
        Format::WebP => webp::encode(image, quality),
        Format::Png | Format::Gif | Format::Bmp | Format::Tiff => png::encode(image, stop),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::pixels::Model;

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
        let encoded = encode(SimdLevel::detect(), image, format, 80, effort, Stop(&poll));
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
}
