//! A page of a TIFF: the tags of its directory.

use std::borrow::Cow;

use crate::colour::MAX_PROFILE;
use crate::error::Error;
use crate::header::Colour;
use crate::ifd::{Entry, Ifd};

/// How strips and tiles are compressed (tag 259).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Uncompressed,
    Fax(Fax),
    Lzw,
    OldJpeg,
    Jpeg,
    Deflate,
    PackBits,
    Zstandard,
}

/// A coding of ITU-T T.4 and T.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fax {
    /// T.4 in one dimension, without EOL; each row begins at a multiple of so many bytes.
    Aligned(usize),
    /// T.4 with EOL, in one dimension, or also in two.
    T4 {
        two_dimensional: bool,
    },
    T6,
}

/// What samples are (tag 339).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleFormat {
    Unsigned,
    Signed,
    Float,
}

/// How samples become colours (tag 262).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Photometric {
    Gray { inverted: bool },
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
    Lab(Lab),
}

/// An encoding of CIE L\*a\*b\*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lab {
    /// a\* and b\* are signed (TIFF 6.0, section 23).
    Cie,
    /// They have an offset (TIFF technical note 4).
    Icc,
    /// ITU-T T.42.
    Itu,
}

/// How the alpha sample relates to the colours (tag 338).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpha {
    Premultiplied,
    Straight,
}

/// A page whose tags are consistent and whose samples can be read.
pub(super) struct Page<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) ifd: Ifd<'a>,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits a sample: 1 to 32, or 64.
    pub(super) bits: usize,
    /// Samples a pixel, in the file.
    pub(super) samples: usize,
    pub(super) format: SampleFormat,
    pub(super) photometric: Photometric,
    pub(super) alpha: Option<Alpha>,
    pub(super) compression: Compression,
    /// Tag 317: 1, 2 or 3.
    pub(super) predictor: u64,
    /// Whether the lowest bit of each byte comes first.
    pub(super) reversed_bits: bool,
    /// Whether each sample has strips or tiles of its own.
    pub(super) planar: bool,
    /// How much coarser Cb and Cr are, across and down.
    pub(super) subsampling: (usize, usize),
    pub(super) tiled: bool,
    /// Size of a strip or tile.
    pub(super) chunk_width: u32,
    pub(super) chunk_height: u32,
    pub(super) profile: Option<&'a [u8]>,
    offsets: Entry<'a>,
    lengths: Option<Entry<'a>>,
}

impl<'a> Page<'a> {
    /// # Errors
    /// [`Error::Malformed`] for tags that contradict each other, [`Error::Unsupported`] for what is not read.
    pub(super) fn new(bytes: &'a [u8], ifd: Ifd<'a>) -> Result<Self, Error> {
        let malformed = |why: String| Error::Malformed(format!("TIFF: {why}"));
        let side = |tag| ifd.uint(tag).and_then(|side| u32::try_from(side).ok()).unwrap_or(0);
        let (width, height) = (side(256), side(257));
        if width == 0 || height == 0 {
            return Err(malformed(format!("size {width}x{height} in tags 256 and 257")));
        }
        let compression = compression(&ifd)?;
        let samples = match ifd.uint(277) {
            Some(samples @ 1..=64) => samples as usize,
            None => ifd.entry(258).map_or(1, |bits| bits.len()).clamp(1, 64),
            Some(other) => return Err(unsupported(format!("{other} samples a pixel"))),
        };
        let bits = bits(&ifd, samples)?;
        let format = sample_format(&ifd, bits)?;
        let photometric = photometric(&ifd, samples, compression)?;
        let base = photometric.samples();
        if samples < base {
            return Err(malformed(format!("{samples} samples a pixel, where the colours need {base}")));
        }
        let alpha = alpha(&ifd, samples, photometric);
        let planar = ifd.uint(284) == Some(2) && samples > 1;
        let subsampling = match (photometric, compression) {
            // A JPEG has its own.
            (_, Compression::Jpeg | Compression::OldJpeg) => (1, 1),
            (Photometric::YCbCr, _) => subsampling(&ifd)?,
            _ => (1, 1),
        };
        let tiled = ifd.entry(322).is_some() && ifd.entry(323).is_some();
        let (chunk_width, chunk_height) = if tiled {
            (side(322), side(323))
        } else {
            let rows = ifd.uint(278).filter(|&rows| rows > 0).unwrap_or(u64::MAX);
            (width, u32::try_from(rows).unwrap_or(u32::MAX).min(height))
        };
        if chunk_width == 0 || chunk_height == 0 {
            return Err(malformed(format!("tiles of {chunk_width}x{chunk_height} in tags 322 and 323")));
        }
        // Some writers store the offsets of tiles as those of strips.
        let tags = if tiled && ifd.entry(324).is_some() { (324, 325) } else { (273, 279) };
        let offsets = match ifd.entry(tags.0) {
            Some(offsets) => offsets,
            // An old-style JPEG may be declared by its own tags alone.
            None if compression == Compression::OldJpeg => {
                ifd.entry(513).ok_or_else(|| malformed("no strips or tiles (tags 273 and 513)".into()))?
            }
            None => {
                return Err(malformed(format!(
                    "the offsets of strips or tiles (tag {}) are missing",
                    tags.0
                )));
            }
        };
        let page = Self {
            bytes,
            width,
            height,
            bits,
            samples,
            format,
            photometric,
            alpha,
            compression,
            // Elsewhere the tag is ignored, as by libtiff.
            predictor: match compression {
                Compression::Lzw | Compression::Deflate | Compression::Zstandard => {
                    ifd.uint(317).unwrap_or(1)
                }
                _ => 1,
            },
            reversed_bits: ifd.uint(266) == Some(2),
            planar,
            subsampling,
            tiled,
            chunk_width,
            chunk_height,
            profile: ifd.entry(34675).map(|profile| profile.data()).filter(|data| data.len() <= MAX_PROFILE),
            offsets,
            lengths: ifd.entry(tags.1),
            ifd,
        };
        page.check()?;
        Ok(page)
    }

    /// Whether the page of a directory can be read, judged by its tags.
    pub(super) fn is_readable(ifd: &Ifd<'a>) -> bool {
        Self::new(&[], ifd.clone()).is_ok()
    }

    /// Refuses combinations that no decoder defines.
    fn check(&self) -> Result<(), Error> {
        let (bits, samples) = (self.bits, self.samples);
        let jpeg = matches!(self.compression, Compression::Jpeg | Compression::OldJpeg);
        if matches!(self.compression, Compression::Fax(_)) && (bits, samples) != (1, 1) {
            return Err(unsupported(format!("{samples} samples of {bits} bits, compressed as a fax")));
        }
        if jpeg && bits != 8 {
            return Err(unsupported(format!("JPEG of {bits} bits a sample")));
        }
        match self.predictor {
            1 => {}
            2 if matches!(bits, 8 | 16 | 32 | 64) && self.subsampling == (1, 1) => {}
            3 if self.format == SampleFormat::Float => {}
            other => return Err(unsupported(format!("predictor {other} with {bits} bits a sample"))),
        }
        let readable = match self.photometric {
            Photometric::Palette => matches!(bits, 1..=8 | 16) && self.format == SampleFormat::Unsigned,
            Photometric::YCbCr => matches!(bits, 8 | 16) && (bits == 8 || self.subsampling == (1, 1)),
            Photometric::Lab(_) => matches!(bits, 8 | 16) && self.format != SampleFormat::Float,
            Photometric::Cmyk => self.format != SampleFormat::Float,
            Photometric::Gray { .. } | Photometric::Rgb => true,
        };
        if !readable {
            return Err(unsupported(format!("{} samples of {bits} bits ({:?})", self.colour(), self.format)));
        }
        if self.photometric == Photometric::Palette && self.ifd.entry(320).is_none() {
            return Err(Error::Malformed("TIFF: a palette image without its colour map (tag 320)".into()));
        }
        Ok(())
    }

    pub(super) fn colour(&self) -> Colour {
        match self.photometric {
            Photometric::Gray { .. } => Colour::Gray,
            Photometric::Rgb => Colour::Rgb,
            Photometric::Palette => Colour::Palette,
            Photometric::Cmyk => Colour::Cmyk,
            Photometric::YCbCr => Colour::YCbCr,
            Photometric::Lab(_) => Colour::Lab,
        }
    }

    /// Strips or tiles across, and down, in each plane.
    pub(super) fn grid(&self) -> (u32, u32) {
        (self.width.div_ceil(self.chunk_width), self.height.div_ceil(self.chunk_height))
    }

    /// Planes with strips or tiles of their own.
    pub(super) const fn planes(&self) -> usize {
        if self.planar { self.samples } else { 1 }
    }

    /// How many strips or tiles there are.
    pub(super) fn count(&self) -> u64 {
        let (across, down) = self.grid();
        u64::from(across).saturating_mul(down.into()).saturating_mul(self.planes() as u64)
    }

    /// Pixels of a strip or tile, padding included.
    pub(super) fn chunk_pixels(&self) -> u64 {
        u64::from(self.chunk_width).saturating_mul(self.chunk_height.into())
    }

    /// Bytes of all strips or tiles, which may be the same ones.
    pub(super) fn compressed_bytes(&self) -> u64 {
        let Some(lengths) = &self.lengths else { return self.bytes.len() as u64 };
        let bytes = |index| lengths.uint(index).map(|length| length.min(self.bytes.len() as u64));
        (0..lengths.len()).filter_map(bytes).fold(0, u64::saturating_add)
    }

    /// Whether the range of the samples' values must be found before they can be shown.
    pub(super) fn needs_range(&self) -> bool {
        let levels = matches!(self.photometric, Photometric::Gray { .. } | Photometric::Rgb);
        levels && (self.format != SampleFormat::Unsigned || self.bits > 16)
    }

    /// The bytes of a strip or tile, compressed. `expected` is their number if they are not.
    pub(super) fn chunk(&self, index: usize, expected: usize) -> Result<Cow<'a, [u8]>, String> {
        let offset = self.offsets.uint(index).ok_or_else(|| format!("strip or tile {index} is missing"))?;
        let declared =
            self.lengths.as_ref().and_then(|lengths| lengths.uint(index)).filter(|&length| length > 0);
        let file = self.bytes.len() as u64;
        let end = match declared {
            Some(length) => offset.saturating_add(length),
            // Some writers leave them out.
            None if self.compression == Compression::Uncompressed => offset.saturating_add(expected as u64),
            None => {
                let after = (0..self.offsets.len()).filter_map(|index| self.offsets.uint(index));
                after.filter(|&other| other > offset).min().unwrap_or(file).min(file)
            }
        };
        let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
        let bytes = range.and_then(|(from, to)| self.bytes.get(from..to));
        let bytes = bytes.ok_or_else(|| format!("strip or tile {index} ends at byte {end} of {file}"))?;
        let jpeg = matches!(self.compression, Compression::Jpeg | Compression::OldJpeg);
        if self.reversed_bits && !jpeg {
            return Ok(bytes.iter().map(|byte| byte.reverse_bits()).collect());
        }
        Ok(Cow::Borrowed(bytes))
    }
}

impl Photometric {
    /// Samples of the colours, without alpha.
    pub(super) const fn samples(self) -> usize {
        match self {
            Self::Gray { .. } | Self::Palette => 1,
            Self::Rgb | Self::YCbCr | Self::Lab(_) => 3,
            Self::Cmyk => 4,
        }
    }
}

fn unsupported(what: String) -> Error {
    Error::Unsupported(format!("TIFF with {what}; convert it"))
}

fn compression(ifd: &Ifd<'_>) -> Result<Compression, Error> {
    let name = match ifd.uint(259).unwrap_or(1) {
        1 => return Ok(Compression::Uncompressed),
        2 => return Ok(Compression::Fax(Fax::Aligned(1))),
        3 => {
            let options = ifd.uint(292).unwrap_or(0);
            if options & 2 != 0 {
                return Err(unsupported("uncompressed parts of a fax".into()));
            }
            return Ok(Compression::Fax(Fax::T4 { two_dimensional: options & 1 != 0 }));
        }
        4 => return Ok(Compression::Fax(Fax::T6)),
        5 => return Ok(Compression::Lzw),
        6 => return Ok(Compression::OldJpeg),
        7 | 99 => return Ok(Compression::Jpeg),
        8 | 32946 => return Ok(Compression::Deflate),
        32771 => return Ok(Compression::Fax(Fax::Aligned(2))),
        32773 => return Ok(Compression::PackBits),
        50000 => return Ok(Compression::Zstandard),
        9 | 10 | 34661 => "JBIG",
        32766 => "NeXT",
        32809 => "ThunderScan",
        32908 | 32909 => "Pixar",
        33003 | 33005 | 34712 => "JPEG 2000",
        34676 | 34677 => "SGI LogLuv",
        34887 => "LERC",
        34892 => "lossy DNG",
        34925 => "LZMA",
        50001 => "WebP",
        50002 | 52546 => "JPEG XL",
        other => return Err(unsupported(format!("compression {other}"))),
    };
    Err(unsupported(format!("{name} compression")))
}

fn bits(ifd: &Ifd<'_>, samples: usize) -> Result<usize, Error> {
    let Some(entry) = ifd.entry(258) else { return Ok(1) };
    let first = entry.uint(0).unwrap_or(1);
    let differs = (0..entry.len().min(samples)).any(|index| entry.uint(index) != Some(first));
    if differs {
        return Err(unsupported("samples of different depths".into()));
    }
    match first {
        1..=32 | 64 => Ok(first as usize),
        other => Err(unsupported(format!("{other} bits a sample"))),
    }
}

fn sample_format(ifd: &Ifd<'_>, bits: usize) -> Result<SampleFormat, Error> {
    match ifd.uint(339).unwrap_or(1) {
        // 4 is undefined; software that does not know more treats it as unsigned.
        1 | 4 if bits <= 32 => Ok(SampleFormat::Unsigned),
        2 if (8..=32).contains(&bits) => Ok(SampleFormat::Signed),
        3 if matches!(bits, 16 | 32 | 64) => Ok(SampleFormat::Float),
        5 | 6 => Err(unsupported("complex samples".into())),
        other => Err(unsupported(format!("samples of format {other} and {bits} bits"))),
    }
}

fn photometric(ifd: &Ifd<'_>, samples: usize, compression: Compression) -> Result<Photometric, Error> {
    let name = match ifd.uint(262) {
        Some(0) => return Ok(Photometric::Gray { inverted: true }),
        // 4 is a transparency mask.
        Some(1 | 4) => return Ok(Photometric::Gray { inverted: false }),
        Some(2) => return Ok(Photometric::Rgb),
        Some(3) => return Ok(Photometric::Palette),
        Some(5) => match (ifd.uint(332), samples) {
            (None | Some(1), _) | (_, 4) => return Ok(Photometric::Cmyk),
            _ => "inks that are not CMYK",
        },
        Some(6) => return Ok(Photometric::YCbCr),
        Some(8) => return Ok(lab_or_gray(Lab::Cie, samples)),
        Some(9) => return Ok(lab_or_gray(Lab::Icc, samples)),
        Some(10) => return Ok(lab_or_gray(Lab::Itu, samples)),
        Some(32803 | 34892) => "raw samples of a sensor",
        Some(32844 | 32845) => "LogLuv colours",
        Some(other) => return Err(unsupported(format!("photometric interpretation {other}"))),
        None if matches!(compression, Compression::Fax(_)) => {
            return Ok(Photometric::Gray { inverted: true });
        }
        None if samples >= 3 => return Ok(Photometric::Rgb),
        None => return Ok(Photometric::Gray { inverted: false }),
    };
    Err(unsupported(name.into()))
}

/// L\* alone is gray, nearly.
const fn lab_or_gray(lab: Lab, samples: usize) -> Photometric {
    if samples < 3 { Photometric::Gray { inverted: false } } else { Photometric::Lab(lab) }
}

/// Only with gray, RGB and palettes: elsewhere extra samples are ignored.
fn alpha(ifd: &Ifd<'_>, samples: usize, photometric: Photometric) -> Option<Alpha> {
    if samples <= photometric.samples()
        || !matches!(photometric, Photometric::Gray { .. } | Photometric::Rgb | Photometric::Palette)
    {
        return None;
    }
    match ifd.entry(338).and_then(|extra| extra.uint(0)) {
        Some(1) => Some(Alpha::Premultiplied),
        None | Some(2) => Some(Alpha::Straight),
        Some(_) => None,
    }
}

fn subsampling(ifd: &Ifd<'_>) -> Result<(usize, usize), Error> {
    let Some(entry) = ifd.entry(530) else { return Ok((2, 2)) };
    match (entry.uint(0), entry.uint(1)) {
        (Some(across @ (1 | 2 | 4)), Some(down @ (1 | 2 | 4))) => Ok((across as usize, down as usize)),
        (across, down) => {
            Err(Error::Malformed(format!("TIFF: subsampling {across:?} by {down:?} in tag 530")))
        }
    }
}
