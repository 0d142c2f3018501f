//! WebP: the RIFF chunks (RFC 9649).

use super::{Details, Format, Header, Orientation, truncated};
use crate::bytes::{le16, le24, le32};
use crate::error::Error;
use crate::exif;

pub(super) fn read(bytes: &[u8]) -> Result<Details, Error> {
    let mut header = blank_header();
    let (name, data) = chunk(bytes, 12)?;
    let mut frames = 1;
    match name {
        b"VP8 " => lossy(data, &mut header)?,
        b"VP8L" => lossless(data, &mut header)?,
        b"VP8X" => frames = extended(bytes, data, &mut header)?,
        _ => {
            return Err(Error::Malformed(format!(
                "WebP: chunk \"{}\" at byte 12 cannot come first",
                name.escape_ascii()
            )));
        }
    }
    if header.width == 0 || header.height == 0 {
        return Err(Error::Malformed(format!("WebP: size {}x{}", header.width, header.height)));
    }
    Ok(Details { header, frames })
}

/// A header before anything is read.
const fn blank_header() -> Header {
    Header {
        format: Format::WebP,
        width: 0,
        height: 0,
        orientation: Orientation::UPRIGHT,
        colour: "ycbcr",
        bits: 8,
        alpha: false,
        progressive: false,
        animated: false,
        profile: false,
    }
}

/// The chunk at `at`, which must be complete.
fn chunk(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8]), Error> {
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
    header.colour = "rgb";
    Ok(())
}

/// The extended layout: flags and canvas, then metadata, image data and frames. Returns the number of
/// frames.
fn extended(bytes: &[u8], data: &[u8], header: &mut Header) -> Result<u32, Error> {
    let (Some(&flags), Some(width), Some(height)) = (data.first(), le24(data, 4), le24(data, 7)) else {
        return Err(truncated("WebP", "the VP8X header", 20));
    };
    header.width = width + 1;
    header.height = height + 1;
    header.alpha = flags & 0x10 != 0;
    header.animated = flags & 0x02 != 0;
    let mut frames = 0;
    let mut has_image = false;
    let mut at = 12;
    while at + 8 <= bytes.len() {
        let (name, data) = match chunk(bytes, at) {
            Ok(chunk) => chunk,
            // After a complete first image a truncated tail (metadata, later frames) is tolerated.
            Err(_) if has_image => break,
            Err(error) => return Err(error),
        };
        match name {
            b"ICCP" => header.profile = true,
            b"EXIF" => header.orientation = exif::orientation(data),
            b"ANMF" => {
                if !has_image {
                    first_frame(data)?;
                }
                frames += 1;
                has_image = true;
            }
            b"VP8 " | b"VP8L" => {
                check_size(name, data, (header.width, header.height))?;
                if name == b"VP8L" {
                    header.colour = "rgb";
                }
                has_image = true;
            }
            _ => {}
        }
        at += 8 + data.len() + (data.len() & 1);
    }
    if !has_image {
        return Err(Error::Malformed("WebP: there is a header but no image data".into()));
    }
    Ok(frames.max(1))
}

/// Checks that the first frame of an animation has the size that its ANMF chunk declares.
fn first_frame(data: &[u8]) -> Result<(), Error> {
    let (Some(width), Some(height)) = (le24(data, 6), le24(data, 9)) else {
        return Err(truncated("WebP", "the first frame's header", data.len()));
    };
    let mut at = 16;
    loop {
        let (name, inner) = chunk(data, at)?;
        if matches!(name, b"VP8 " | b"VP8L") {
            return check_size(name, inner, (width + 1, height + 1));
        }
        at += 8 + inner.len() + (inner.len() & 1);
    }
}

/// Checks the size in a bitstream against that of its container.
fn check_size(name: &[u8], data: &[u8], expected: (u32, u32)) -> Result<(), Error> {
    let mut inner = blank_header();
    if name == b"VP8L" {
        lossless(data, &mut inner)?;
    } else {
        lossy(data, &mut inner)?;
    }
    if (inner.width, inner.height) == expected {
        return Ok(());
    }
    Err(Error::Malformed(format!(
        "WebP: the image data is {}x{}, but {}x{} was declared",
        inner.width, inner.height, expected.0, expected.1
    )))
}
