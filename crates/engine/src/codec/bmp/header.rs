//! BMP: the file header and the bitmap header, of which Windows has five and OS/2 two.

use crate::bytes::{le16, le32};
use crate::colour::MAX_PROFILE;
use crate::error::Error;
use crate::header::{Colour, Details, Format, Header, Orientation, truncated, work};

/// How pixels are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pixels {
    /// Indices into the palette, of 1, 2, 4 or 8 bits.
    Indexed(usize),
    /// Blue, green, red.
    Bgr,
    /// 16 or 32 bits, of which masks select red, green, blue and alpha.
    Masked { bits: usize, masks: [Mask; 4] },
    /// Runs of pixels of so many bits: 4 or 8 of an index, or 24.
    RunLength(usize),
}

/// The bits of a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mask {
    shift: u32,
    most: u32,
}

impl Mask {
    fn new(mask: u32) -> Result<Self, Error> {
        let shift = mask.trailing_zeros().min(31);
        let most = mask >> shift;
        if most & most.wrapping_add(1) != 0 {
            return Err(Error::Malformed(format!("BMP: the mask {mask:#010x} has gaps")));
        }
        Ok(Self { shift, most })
    }

    pub(super) const fn is_empty(self) -> bool {
        self.most == 0
    }

    /// The channel of a pixel, scaled to 8 bits.
    pub(super) const fn value(self, pixel: u32) -> u8 {
        let value = pixel >> self.shift & self.most;
        match self.most {
            0 => 0,
            255 => value as u8,
            most => ((value as u64 * 255 + most as u64 / 2) / most as u64) as u8,
        }
    }
}

/// Where the parts of a bitmap are.
pub(super) struct Bitmap<'a> {
    pub(super) pixels: Pixels,
    /// Whether rows are stored from the top.
    pub(super) top_down: bool,
    pub(super) palette: Vec<[u8; 3]>,
    pub(super) data: &'a [u8],
    pub(super) profile: Option<&'a [u8]>,
}

/// Where the bitmap header begins.
const START: usize = 14;

pub(super) fn read(bytes: &[u8]) -> Result<(Details, Bitmap<'_>), Error> {
    let cut = || truncated("BMP", "its header", bytes.len());
    let size = le32(bytes, START).ok_or_else(cut)? as usize;
    let is_core = size == 12;
    // Fields beyond a short header are 0.
    let field = |at: usize| if at + 4 <= START + size { le32(bytes, at).ok_or_else(cut) } else { Ok(0) };
    let (width, height, bits) = if is_core {
        let side = |at| le16(bytes, at).map(i64::from).ok_or_else(cut);
        (side(18)?, side(20)?, le16(bytes, 24).ok_or_else(cut)?)
    } else {
        let side = |at| field(at).map(|side| i64::from(side as i32));
        (side(18)?, side(22)?, le16(bytes, 28).ok_or_else(cut)?)
    };
    let compression = if is_core { 0 } else { field(30)? };
    // A negative height means that the rows are stored from the top.
    let top_down = height < 0;
    let (Ok(width), Ok(height)) = (u32::try_from(width), u32::try_from(height.abs())) else {
        return Err(Error::Malformed(format!("BMP: size {width}x{height} in the header at byte 18")));
    };
    if width == 0 || height == 0 {
        return Err(Error::Malformed(format!("BMP: size {width}x{height} in the header at byte 18")));
    }
    let is_windows = matches!(size, 40 | 52 | 56 | 108 | 124);
    let pixels = pixels(bytes, size, bits, compression, is_windows)?;
    let is_indexed = bits <= 8;

    // The masks of the smallest Windows header come after it.
    let masks = match compression {
        3 if size == 40 => 12,
        6 if size == 40 => 16,
        _ => 0,
    };
    let palette_at = START + size + masks;
    let declared = if is_core { 0 } else { field(46)? as usize };
    let count = match declared {
        _ if !is_indexed => 0,
        0 => 1 << bits,
        declared => declared.min(256),
    };
    let entry = if is_core { 3 } else { 4 };
    let after_palette = bytes.len().min(palette_at + count * entry);
    // Some writers leave the offset of the data at 0.
    let data_at = match le32(bytes, 10).ok_or_else(cut)? as usize {
        at if at >= START + size.min(40) => at,
        _ => after_palette,
    };
    // A palette may be shorter than declared.
    let end = if data_at > palette_at { after_palette.min(data_at) } else { after_palette };
    let palette = bytes.get(palette_at..end).unwrap_or_default();
    let palette = palette.chunks_exact(entry).map(|bgr| [bgr[2], bgr[1], bgr[0]]).collect();
    let data = bytes.get(data_at..).ok_or_else(|| truncated("BMP", "its header", bytes.len()))?;

    let profile = profile(bytes, size);
    let run_length = matches!(pixels, Pixels::RunLength(_));
    let count = u64::from(width) * u64::from(height);
    let header = Header {
        format: Format::Bmp,
        width,
        height,
        orientation: Orientation::UPRIGHT,
        colour: if is_indexed { Colour::Palette } else { Colour::Rgb },
        bits: if is_indexed { bits as u8 } else { 8 },
        alpha: matches!(pixels, Pixels::Masked { masks: [.., alpha], .. } if !alpha.is_empty()),
        progressive: false,
        buffered: run_length,
        decoder_bytes: 0,
        coded_bytes: 0,
        animated: false,
        profile: profile.is_some(),
        work: work(count.saturating_mul(4), u64::from(height), if run_length { data.len() } else { 0 }),
    };
    let details = Details { header, reason: format!("in {height} rows") };
    Ok((details, Bitmap { pixels, top_down, palette, data, profile }))
}

fn pixels(bytes: &[u8], size: usize, bits: u16, compression: u32, is_windows: bool) -> Result<Pixels, Error> {
    let masked = |masks: [u32; 4]| {
        let [red, green, blue, alpha] = masks.map(Mask::new);
        Ok(Pixels::Masked { bits: bits.into(), masks: [red?, green?, blue?, alpha?] })
    };
    match (compression, bits) {
        (4 | 5, _) if is_windows => {
            Err(Error::Unsupported("BMP that wraps a JPEG or PNG; extract that image".into()))
        }
        (0, 1 | 2 | 4 | 8) => Ok(Pixels::Indexed(bits.into())),
        (0, 24) => Ok(Pixels::Bgr),
        (0, 16) => masked([0x7c00, 0x03e0, 0x001f, 0]),
        // The fourth byte is undefined, and often 0.
        (0, 32) => masked([0x00ff_0000, 0x0000_ff00, 0x0000_00ff, 0]),
        (1, 8) | (2, 4) => Ok(Pixels::RunLength(bits.into())),
        (3 | 6, 16 | 32) if is_windows => {
            let mask = |index: usize| le32(bytes, START + 40 + 4 * index);
            let (Some(red), Some(green), Some(blue)) = (mask(0), mask(1), mask(2)) else {
                return Err(truncated("BMP", "its masks", bytes.len()));
            };
            let has_alpha = size >= 56 || compression == 6;
            masked([red, green, blue, if has_alpha { mask(3).unwrap_or(0) } else { 0 }])
        }
        // OS/2 2.x counts differently.
        (3, 1) if !is_windows => Err(Error::Unsupported("BMP compressed as a fax (OS/2); convert it".into())),
        (4, 24) if !is_windows => Ok(Pixels::RunLength(24)),
        (11..=13, _) => Err(Error::Unsupported("BMP of CMYK; convert it".into())),
        (0, 64) => Err(Error::Unsupported("BMP of 64 bits a pixel; convert it".into())),
        _ => Err(Error::Malformed(format!(
            "BMP: {bits} bits a pixel at byte 28 with compression {compression}"
        ))),
    }
}

/// The profile that a version 5 header embeds.
fn profile(bytes: &[u8], size: usize) -> Option<&[u8]> {
    // PROFILE_EMBEDDED, as a little-endian number.
    if size < 124 || bytes.get(START + 56..START + 60) != Some(b"DEBM") {
        return None;
    }
    let (at, length) = (le32(bytes, START + 112)? as usize, le32(bytes, START + 116)? as usize);
    let at = START.checked_add(at)?;
    bytes
        .get(at..at.checked_add(length)?)
        .filter(|profile| !profile.is_empty() && profile.len() <= MAX_PROFILE)
}
