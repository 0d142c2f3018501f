//! The mix of uploads: many small images with some of every kind among them, all generated, and invalid images.

use bytes::Bytes;
use clap::ValueEnum;

use crate::{formats, sample_images};

/// The kind of mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Product images of 160 to 640 pixels; one in fifty of every other kind
    Small,
    /// Every kind in turn, up to the largest that the bounds let through, and beyond them
    Every,
}

/// One image of the mix.
pub(crate) struct SampleImage {
    bytes: Vec<u8>,
    /// Whether it must be rendered or become a dead letter.
    pub(crate) is_good: bool,
    /// Whether bytes may be appended to make it a distinct file: not where its end matters.
    may_grow: bool,
}

impl SampleImage {
    /// A distinct file for each number, with the same pixels.
    pub(crate) fn numbered(&self, number: u64) -> Bytes {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 8);
        bytes.extend(&self.bytes);
        if self.may_grow {
            bytes.extend(number.to_le_bytes());
        }
        bytes.into()
    }
}

/// The images by frequency.
pub(crate) struct Mix {
    kind: Kind,
    small: Vec<SampleImage>,
    others: Vec<SampleImage>,
}

impl Mix {
    /// Draws all of them.
    pub(crate) fn new(kind: Kind) -> anyhow::Result<Self> {
        let good = |bytes| SampleImage { bytes, is_good: true, may_grow: true };
        let bad = |bytes| SampleImage { bytes, is_good: false, may_grow: false };
        let mut small = Vec::new();
        for seed in 0..24 {
            let side = [160, 240, 320, 480, 640][seed as usize % 5];
            small.push(good(if seed % 4 == 3 {
                formats::png(side, side * 3 / 4, seed, false)?
            } else {
                sample_images::jpeg(side, side * 3 / 4, seed)?
            }));
        }
        let cut = |bytes: Vec<u8>| bytes[..bytes.len() * 2 / 5].to_vec();
        let mut others = vec![
            good(sample_images::jpeg(1000, 750, 1)?),
            good(formats::progressive_jpeg(1200, 900, 2)?),
            good(formats::png(800, 600, 3, true)?),
            good(formats::gif(800, 600, 4, false)?),
            good(formats::gif(640, 480, 5, true)?),
            good(formats::bmp(800, 600, 6)),
            good(formats::tiff(800, 600, 7)),
            good(formats::webp(800, 600, 8, false)),
            good(formats::webp(640, 480, 9, true)),
            good(sample_images::jpeg(4000, 3000, 10)?),
            // A header beyond every limit, a truncated image, no image.
            bad(formats::flat_png(30_000, 30_000, 64)?),
            bad(cut(sample_images::jpeg(640, 480, 11)?)),
            bad(b"not an image at all".to_vec()),
        ];
        if kind == Kind::Every {
            others.extend([
                good(sample_images::jpeg(6000, 4000, 20)?),
                good(formats::progressive_jpeg(6000, 4000, 21)?),
                good(formats::png(4000, 3000, 22, true)?),
                good(formats::gif(4000, 3000, 23, true)?),
                good(formats::bmp(4000, 3000, 24)),
                good(formats::tiff(4000, 3000, 25)),
                good(formats::webp(3000, 2000, 26, false)),
                good(formats::webp(2000, 1500, 27, true)),
                // Few bytes, many pixels: 100 million of one colour.
                good(formats::flat_png(10_000, 10_000, 10_000)?),
                // The same in a format that is decoded completely: more than the memory of one render.
                bad(formats::flat_gif(16_000, 16_000)?),
            ]);
        }
        Ok(Self { kind, small, others })
    }

    /// The image of the upload with this number.
    pub(crate) fn image(&self, number: u64) -> &SampleImage {
        let pick = |from: &'_ [SampleImage], number: u64| number as usize % from.len();
        match self.kind {
            Kind::Small if !number.is_multiple_of(50) => &self.small[pick(&self.small, number)],
            Kind::Small => &self.others[pick(&self.others, number / 50)],
            Kind::Every => &self.others[pick(&self.others, number)],
        }
    }
}
