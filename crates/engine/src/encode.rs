//! Encoders, one file a format. Metadata is never written.

mod jpeg;
pub(crate) mod png;
mod webp;

use crate::error::Error;
use crate::header::Format;
use crate::pixels::Finished;
use crate::simd::SimdLevel;
use crate::spec::Effort;
use crate::stop::Stop;

/// Encodes as JPEG, PNG or WebP. `stop` is asked on the way, but not by libwebp, which is used without its
/// hook for that.
pub(crate) fn encode(
    level: SimdLevel,
    picture: &Finished,
    format: Format,
    quality: u8,
    effort: Effort,
    stop: Stop<'_>,
) -> Result<Vec<u8>, Error> {
    match format {
        Format::Jpeg => jpeg::encode(level, picture, quality, effort, stop),
        Format::WebP => webp::encode(picture, quality),
        Format::Png | Format::Gif | Format::Bmp | Format::Tiff => png::encode(picture, stop),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::pixels::Model;

    /// Encodes, and counts how often it is asked whether to stop; it is, the `limit`th time.
    fn asked(picture: &Finished, format: Format, effort: Effort, limit: usize) -> (usize, Result<(), Error>) {
        let asked = Cell::new(0);
        let ask = || {
            asked.set(asked.get() + 1);
            asked.get() >= limit
        };
        let made = encode(SimdLevel::detect(), picture, format, 80, effort, Stop(&ask));
        (asked.get(), made.map(drop))
    }

    #[test]
    fn the_own_encoders_ask_as_they_go_and_end_wherever_they_are_stopped() {
        let (width, height) = (300, 500);
        let noise = |at: u32| (at.wrapping_mul(2_654_435_761) >> 13) as u8 & 0x7f;
        for model in [Model::Gray, Model::Rgb] {
            let samples = (0..width * height * model.channels() as u32).map(noise).collect();
            let picture = Finished { width, height, model, samples };
            let rows = height as usize / 16;
            for (format, effort, least) in [
                (Format::Jpeg, Effort::Fast, rows),
                (Format::Jpeg, Effort::Balanced, rows),
                // Coefficients, levels three times, and scans to be measured and to be written.
                (Format::Jpeg, Effort::Best, 8 * rows),
                (Format::Png, Effort::Balanced, picture.samples.len() >> 14),
            ] {
                let (times, made) = asked(&picture, format, effort, usize::MAX);
                assert!(made.is_ok());
                assert!(times >= least, "{format} {effort}: asked {times} times, not {least}");
                for limit in (1..=times).step_by(1 + times / 9) {
                    let (times, made) = asked(&picture, format, effort, limit);
                    assert!(matches!(made, Err(Error::Stopped(_))), "{format} {effort}: {made:?}");
                    assert_eq!(times, limit, "{format} {effort}: asked on after it was told to stop");
                }
            }
        }
    }
}
