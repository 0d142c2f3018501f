//! GIF encoder (GIF89a): each image with a colour table of its own.

use weezl::BitOrder;

use super::quantise::Quantised;
use crate::animation::Area;
use crate::canvas;
use crate::error::Error;
use crate::pixels::Image8;

/// A still image.
pub(crate) fn still(image: &Image8) -> Result<Vec<u8>, Error> {
    let area = Area { left: 0, top: 0, width: image.width, height: image.height };
    let mut frames = Vec::new();
    append(&mut frames, 0, image.model.has_alpha(), &self::image(area, &canvas::widened(image))?);
    file((image.width, image.height), 1, &frames)
}

/// An image descriptor with its colour table and data; before it a byte: the transparent index, and whether there is one.
pub(crate) fn image(area: Area, rgba: &[u8]) -> Result<Vec<u8>, Error> {
    let sides = [area.left, area.top, area.width, area.height].map(u16::try_from);
    let [Ok(left), Ok(top), Ok(width), Ok(height)] = sides else {
        return Err(Error::TooLarge(format!(
            "a GIF of {}x{}; its sides are at most 65535 pixels: set a smaller size or another format",
            area.width, area.height
        )));
    };
    let Quantised { palette, transparent, indices } = Quantised::of(rgba, area.width as usize);
    // The table has 2 to 256 entries, a power of two.
    let bits = (palette.len().max(2).next_power_of_two().trailing_zeros() as u8).max(1);
    let mut out = vec![u8::from(transparent.is_some()), transparent.unwrap_or(0), 0x2c];
    for number in [left, top, width, height] {
        out.extend(number.to_le_bytes());
    }
    out.push(0x80 | (bits - 1));
    out.extend(palette.iter().flatten());
    out.resize(out.len() + ((1 << bits) - palette.len()) * 3, 0);
    let code_size = bits.max(2);
    out.push(code_size);
    let data = weezl::encode::Encoder::new(BitOrder::Lsb, code_size)
        .encode(&indices)
        .map_err(|error| Error::Internal(format!("GIF encoder: {error}")))?;
    for block in data.chunks(255) {
        out.push(block.len() as u8);
        out.extend(block);
    }
    out.push(0);
    Ok(out)
}

/// Appends an image of [`image`] with how long it is shown, and whether it is cleared before the next one.
pub(crate) fn append(frames: &mut Vec<u8>, delay_ms: u32, is_cleared: bool, image: &[u8]) {
    let [has_transparent, transparent, descriptor @ ..] = image else { return };
    let disposal = if is_cleared { 2 } else { 1 };
    let delay = u16::try_from(delay_ms.saturating_add(5) / 10).unwrap_or(u16::MAX);
    frames.extend([0x21, 0xf9, 4, disposal << 2 | has_transparent]);
    frames.extend(delay.to_le_bytes());
    frames.extend([*transparent, 0]);
    frames.extend(descriptor);
}

/// The file of these images, played so often; 0: without end.
pub(crate) fn file((width, height): (u32, u32), plays: u32, frames: &[u8]) -> Result<Vec<u8>, Error> {
    let (Ok(across), Ok(down)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(Error::TooLarge(format!(
            "a GIF of {width}x{height}; its sides are at most 65535 pixels"
        )));
    };
    let mut file = b"GIF89a".to_vec();
    file.extend(across.to_le_bytes());
    file.extend(down.to_le_bytes());
    // No colour table for all images.
    file.extend([0, 0, 0]);
    if plays != 1 {
        file.extend(b"\x21\xff\x0bNETSCAPE2.0\x03\x01");
        // How often it is repeated.
        file.extend(u16::try_from(plays.saturating_sub(1)).unwrap_or(0).to_le_bytes());
        file.push(0);
    }
    file.extend(frames);
    file.push(0x3b);
    Ok(file)
}
