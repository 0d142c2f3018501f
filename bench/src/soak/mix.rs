//! What is uploaded: many small pictures with some of every kind among them, all drawn in code, and what is no
//! good picture at all.

use bytes::Bytes;
use clap::ValueEnum;

use crate::{formats, pictures};

/// How often what is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Product pictures of 160 to 640 pixels; one in fifty of every other kind
    Small,
    /// Every kind in turn, up to the largest that the bounds let through, and beyond them
    Every,
}

/// One picture of the mix.
pub(crate) struct Picture {
    bytes: Vec<u8>,
    /// How the function must end on it.
    pub(crate) is_good: bool,
    /// Whether bytes may be put behind it to make it another file: not where the end has a meaning.
    may_grow: bool,
}

impl Picture {
    /// A file that no other number gives, showing the same picture.
    pub(crate) fn numbered(&self, number: u64) -> Bytes {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 8);
        bytes.extend(&self.bytes);
        if self.may_grow {
            bytes.extend(number.to_le_bytes());
        }
        bytes.into()
    }
}

/// The pictures by how often they come.
pub(crate) struct Mix {
    kind: Kind,
    small: Vec<Picture>,
    others: Vec<Picture>,
}

impl Mix {
    /// Draws all of them.
    pub(crate) fn new(kind: Kind) -> anyhow::Result<Self> {
        let good = |bytes| Picture { bytes, is_good: true, may_grow: true };
        let bad = |bytes| Picture { bytes, is_good: false, may_grow: false };
        let mut small = Vec::new();
        for seed in 0..24 {
            let side = [160, 240, 320, 480, 640][seed as usize % 5];
            small.push(good(if seed % 4 == 3 {
                formats::png(side, side * 3 / 4, seed, false)?
            } else {
                pictures::jpeg(side, side * 3 / 4, seed)?
            }));
        }
        let cut = |bytes: Vec<u8>| bytes[..bytes.len() * 2 / 5].to_vec();
        let mut others = vec![
            good(pictures::jpeg(1000, 750, 1)?),
            good(formats::progressive_jpeg(1200, 900, 2)?),
            good(formats::png(800, 600, 3, true)?),
            good(formats::gif(800, 600, 4, false)?),
            good(formats::gif(640, 480, 5, true)?),
            good(formats::bmp(800, 600, 6)),
            good(formats::tiff(800, 600, 7)),
            good(formats::webp(800, 600, 8, false)),
            good(formats::webp(640, 480, 9, true)),
            good(pictures::jpeg(4000, 3000, 10)?),
            // A header that promises a picture beyond every limit, a picture cut short, no picture.
            bad(formats::flat_png(30_000, 30_000, 64)?),
            bad(cut(pictures::jpeg(640, 480, 11)?)),
            bad(b"no picture at all".to_vec()),
        ];
        if kind == Kind::Every {
            others.extend([
                good(pictures::jpeg(6000, 4000, 20)?),
                good(formats::progressive_jpeg(6000, 4000, 21)?),
                good(formats::png(4000, 3000, 22, true)?),
                good(formats::gif(4000, 3000, 23, true)?),
                good(formats::bmp(4000, 3000, 24)),
                good(formats::tiff(4000, 3000, 25)),
                good(formats::webp(3000, 2000, 26, false)),
                good(formats::webp(2000, 1500, 27, true)),
                // Few bytes, many pixels: 100 million of one colour, all of them there.
                good(formats::flat_png(10_000, 10_000, 10_000)?),
                // The same in a format that is decoded whole: more than one render may take.
                bad(formats::flat_gif(16_000, 16_000)?),
            ]);
        }
        Ok(Self { kind, small, others })
    }

    /// The picture of the upload with this number.
    pub(crate) fn picture(&self, number: u64) -> &Picture {
        let pick = |from: &'_ [Picture], number: u64| number as usize % from.len();
        match self.kind {
            Kind::Small if !number.is_multiple_of(50) => &self.small[pick(&self.small, number)],
            Kind::Small => &self.others[pick(&self.others, number / 50)],
            Kind::Every => &self.others[pick(&self.others, number)],
        }
    }
}
