//! WebP: the RIFF chunks (RFC 9649).

use crate::bytes::{le16, le24, le32};
use crate::colour::MAX_PROFILE;
use crate::error::Error;
use crate::exif;
use crate::header::{Colour, Details, Format, Header, Orientation, truncated, work};

/// What is decoded: the image, or the first frame of an animation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picture<'a> {
    pub(super) bitstream: Bitstream<'a>,
    /// The ALPH chunk of a lossy image.
    pub(super) alpha: Option<&'a [u8]>,
    pub(super) frame: Frame,
    pub(super) profile: Option<&'a [u8]>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Bitstream<'a> {
    /// VP8.
    Lossy(&'a [u8]),
    /// VP8L.
    Lossless(&'a [u8]),
}

/// A frame's place on the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

pub(super) fn read(bytes: &[u8]) -> Result<(Details, Picture<'_>), Error> {
    let mut header = blank_header();
    let (name, data) = chunk(bytes, 12)?;
    let (picture, frames) = match name {
        b"VP8 " | b"VP8L" => (still(name, data, &mut header)?, 1),
        b"VP8X" => extended(bytes, data, &mut header)?,
        _ => {
            return Err(Error::Malformed(format!(
                "WebP: chunk \"{}\" at byte 12 cannot come first",
                name.escape_ascii()
            )));
        }
    };
    // Alpha of a lossy image is a lossless one, and lossless ones are the slowest of the formats a pixel.
    let by_pixel = match (header.colour, header.alpha || header.animated) {
        (Colour::Rgb, _) => 6,
        (_, true) => 9,
        (_, false) => 3,
    };
    header.work = work(header.pixels().saturating_mul(by_pixel), header.height.into(), bytes.len());
    let reason = if header.animated { format!("with {frames} frames") } else { "at full scale".into() };
    Ok((Details { header, reason }, picture))
}

/// A header before anything is read.
const fn blank_header() -> Header {
    Header {
        format: Format::WebP,
        width: 0,
        height: 0,
        orientation: Orientation::UPRIGHT,
        colour: Colour::YCbCr,
        bits: 8,
        alpha: false,
        progressive: false,
        buffered: false,
        decoder_bytes: 0,
        coded_bytes: 0,
        animated: false,
        profile: false,
        work: 0,
    }
}

/// The chunk at `at`, which must be complete.
pub(super) fn chunk(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8]), Error> {
    let cut = || truncated("WebP", "a chunk", at);
    let name = bytes.get(at..at + 4).ok_or_else(cut)?;
    let length = le32(bytes, at + 4).ok_or_else(cut)? as usize;
    let end = (at + 8).checked_add(length).ok_or_else(cut)?;
    Ok((name, bytes.get(at + 8..end).ok_or_else(cut)?))
}

fn lossy(data: &[u8], header: &mut Header) -> Result<(), Error> {
    let (Some(width), Some(height)) = (le16(data, 6), le16(data, 8)) else {
        return Err(truncated("WebP", "the VP8 frame header", data.len()));
    };
    if data.get(3..6) != Some(b"\x9d\x01\x2a") {
        return Err(Error::Malformed("WebP: the VP8 start code is missing".into()));
    }
    header.width = u32::from(width & 0x3fff);
    header.height = u32::from(height & 0x3fff);
    Ok(())
}

fn lossless(data: &[u8], header: &mut Header) -> Result<(), Error> {
    let (Some(0x2f), Some(packed)) = (data.first(), le32(data, 1)) else {
        return Err(Error::Malformed("WebP: the VP8L signature is missing or truncated".into()));
    };
    header.width = (packed & 0x3fff) + 1;
    header.height = ((packed >> 14) & 0x3fff) + 1;
    header.alpha = packed & (1 << 28) != 0;
    header.colour = Colour::Rgb;
    Ok(())
}

/// An image that is the whole file, or a frame, or follows other chunks: its size and colours go to the header.
fn still<'a>(name: &[u8], data: &'a [u8], header: &mut Header) -> Result<Picture<'a>, Error> {
    let bitstream = if name == b"VP8L" {
        lossless(data, header)?;
        Bitstream::Lossless(data)
    } else {
        lossy(data, header)?;
        Bitstream::Lossy(data)
    };
    if header.width == 0 || header.height == 0 {
        return Err(Error::Malformed(format!("WebP: size {}x{}", header.width, header.height)));
    }
    let frame = Frame { x: 0, y: 0, width: header.width as usize, height: header.height as usize };
    Ok(Picture { bitstream, alpha: None, frame, profile: None })
}

/// The extended layout: flags and canvas, then metadata, image data and frames. Returns the number of
/// frames, too.
fn extended<'a>(bytes: &'a [u8], data: &[u8], header: &mut Header) -> Result<(Picture<'a>, u32), Error> {
    let (Some(&flags), Some(width), Some(height)) = (data.first(), le24(data, 4), le24(data, 7)) else {
        return Err(truncated("WebP", "the VP8X header", 20));
    };
    header.width = width + 1;
    header.height = height + 1;
    header.animated = flags & 0x02 != 0;
    let mut frames = 0;
    let mut picture: Option<Picture<'a>> = None;
    let (mut alpha, mut profile) = (None, None);
    let mut at = 12;
    while at + 8 <= bytes.len() {
        let (name, data) = match chunk(bytes, at) {
            Ok(chunk) => chunk,
            // After a complete first image a truncated tail (metadata, later frames) is tolerated.
            Err(_) if picture.is_some() => break,
            Err(error) => return Err(error),
        };
        match name {
            b"ICCP" if profile.is_none() => profile = Some(data),
            b"EXIF" => header.orientation = exif::orientation(data),
            b"ALPH" if picture.is_none() => alpha = alpha.or(Some(data)),
            b"ANMF" if header.animated => {
                if picture.is_none() {
                    picture = Some(frame_picture(data, (header.width, header.height))?);
                }
                frames += 1;
            }
            b"VP8 " | b"VP8L" if !header.animated && picture.is_none() => {
                let mut inner = blank_header();
                let still = still(name, data, &mut inner)?;
                check_size(&still, (header.width, header.height))?;
                header.colour = inner.colour;
                // Without its data a flag for alpha has no meaning.
                let alpha = alpha.filter(|_| name == b"VP8 ");
                header.alpha = inner.alpha || alpha.is_some();
                picture = Some(Picture { alpha, ..still });
            }
            _ => {}
        }
        at += 8 + data.len() + (data.len() & 1);
    }
    let Some(picture) = picture else {
        return Err(Error::Malformed("WebP: there is a header but no image data".into()));
    };
    if header.animated {
        header.alpha = flags & 0x10 != 0;
    }
    let profile = profile.filter(|profile: &&[u8]| profile.len() <= MAX_PROFILE);
    header.profile = profile.is_some();
    Ok((Picture { profile, ..picture }, frames.max(1)))
}

/// The left, top, width and height that an ANMF chunk declares.
pub(super) fn frame_rectangle(data: &[u8]) -> Result<(u32, u32, u32, u32), Error> {
    let numbers = [0, 3, 6, 9].map(|at| le24(data, at));
    let [Some(x), Some(y), Some(width), Some(height)] = numbers else {
        return Err(truncated("WebP", "a frame's header", data.len()));
    };
    Ok((2 * x, 2 * y, width + 1, height + 1))
}

/// A frame of an animation, which must have the size that its ANMF chunk declares and be within the canvas.
pub(super) fn frame_picture(data: &[u8], canvas: (u32, u32)) -> Result<Picture<'_>, Error> {
    let (x, y, width, height) = frame_rectangle(data)?;
    if x + width > canvas.0 || y + height > canvas.1 {
        return Err(Error::Malformed("WebP: a frame is not within the canvas".into()));
    }
    let mut alpha = None;
    let mut at = 16;
    loop {
        let (name, inner) = chunk(data, at)?;
        match name {
            b"ALPH" => alpha = alpha.or(Some(inner)),
            b"VP8 " | b"VP8L" => {
                let picture = still(name, inner, &mut blank_header())?;
                check_size(&picture, (width, height))?;
                let frame = Frame { x: x as usize, y: y as usize, ..picture.frame };
                return Ok(Picture { alpha: alpha.filter(|_| name == b"VP8 "), frame, ..picture });
            }
            _ => {}
        }
        at += 8 + inner.len() + (inner.len() & 1);
    }
}

/// Checks the size in a bitstream against that of its container.
fn check_size(picture: &Picture<'_>, expected: (u32, u32)) -> Result<(), Error> {
    let Frame { width, height, .. } = picture.frame;
    if (width, height) == (expected.0 as usize, expected.1 as usize) {
        return Ok(());
    }
    Err(Error::Malformed(format!(
        "WebP: the image data is {width}x{height}, but {}x{} was declared",
        expected.0, expected.1
    )))
}
