//! BMP decoder: rows are read where they are, so that memory does not grow with the image; runs are decoded first.

use super::header::{Bitmap, Mask, Pixels};
use super::rle;
use crate::Scratch;
use crate::codec::{Context, Decoded, corrupt};
use crate::error::Error;
use crate::header::Header;
use crate::pixels::{Grid, Model, Row, RowSink};

pub(super) fn memory(header: &Header) -> (u64, u64) {
    // Pixels of runs: indices, or three channels.
    (if header.buffered { 3 } else { 0 }, 8)
}

pub(super) fn decode(
    bitmap: &Bitmap<'_>,
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn RowSink,
    scratch: &mut Scratch,
) -> Result<Decoded, Error> {
    let (width, height) = (header.width as usize, header.height as usize);
    let (stride, data, available) = match bitmap.pixels {
        Pixels::RunLength(bits) => {
            let size = if bits == 24 { 3 } else { 1 };
            let frame = scratch.frame(width * height * size);
            let complete = rle::decode(bitmap.data, bits, (width, height), frame, context.stop)?;
            (width * size, &*frame, complete)
        }
        Pixels::Indexed(bits) | Pixels::Masked { bits, .. } => raw(bitmap.data, width * bits, height),
        Pixels::Bgr => raw(bitmap.data, width * 24, height),
    };
    if available < height && !context.limits.tolerates(available as u32, header.height) {
        return Err(corrupt(header, format!("the data ends after {available} of {height} rows")));
    }
    // Some writers set an alpha mask and leave alpha at 0: then nothing would be visible.
    let masks = match bitmap.pixels {
        Pixels::Masked { bits, masks } => Some((bits, without_empty_alpha(masks, bits, data, stride, width))),
        _ => None,
    };
    let has_alpha = masks.is_some_and(|(_, [.., alpha])| !alpha.is_empty());
    let model = if has_alpha { Model::Rgba } else { Model::Rgb };
    rows.begin(Grid::full_scale(model))?;
    let mut out = vec![0; width * model.channels()];
    for y in 0..height {
        context.stop.check("decoding")?;
        let stored = if bitmap.top_down { y } else { height - 1 - y };
        if stored < available {
            let row = &data[stored * stride..];
            let row = &row[..row.len().min(stride)];
            convert(bitmap, masks, row, &mut out);
        } else {
            out.fill(0);
        }
        rows.row(Row::U8(&out))?;
    }
    Ok(Decoded { profile: bitmap.profile.map(<[u8]>::to_vec) })
}

/// Bytes of a row, which begins at a multiple of four bytes; the data; and how many rows it has.
fn raw(data: &[u8], bits: usize, height: usize) -> (usize, &[u8], usize) {
    let stride = bits.div_ceil(32) * 4;
    // The padding of the last row may be missing.
    let padding = stride - bits.div_ceil(8);
    (stride, data, ((data.len() + padding) / stride).min(height))
}

fn pixel(bits: usize, row: &[u8], x: usize) -> u32 {
    let bytes = row.get(x * bits / 8..).unwrap_or_default();
    match (bits, bytes) {
        (16, [a, b, ..]) => u16::from_le_bytes([*a, *b]).into(),
        (32, [a, b, c, d, ..]) => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => 0,
    }
}

fn without_empty_alpha(masks: [Mask; 4], bits: usize, data: &[u8], stride: usize, width: usize) -> [Mask; 4] {
    let [red, green, blue, alpha] = masks;
    let used = |row: &[u8]| (0..width).any(|x| alpha.value(pixel(bits, row, x)) != 0);
    if !alpha.is_empty() && data.chunks(stride).any(used) {
        masks
    } else {
        [red, green, blue, Mask::default()]
    }
}

fn convert(bitmap: &Bitmap<'_>, masks: Option<(usize, [Mask; 4])>, row: &[u8], out: &mut [u8]) {
    let colour = |index: u8| bitmap.palette.get(usize::from(index)).copied().unwrap_or_default();
    match (bitmap.pixels, masks) {
        (_, Some((bits, masks))) => {
            let channels = if masks[3].is_empty() { 3 } else { 4 };
            for (x, out) in out.chunks_exact_mut(channels).enumerate() {
                let pixel = pixel(bits, row, x);
                for (value, mask) in out.iter_mut().zip(masks) {
                    *value = mask.value(pixel);
                }
            }
        }
        (Pixels::Indexed(bits), _) if bits < 8 => {
            let most = (1 << bits) - 1;
            for (x, out) in out.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let at = x * bits;
                let byte = row.get(at / 8).copied().unwrap_or(0);
                *out = colour(byte >> (8 - bits - at % 8) & most);
            }
        }
        (Pixels::Bgr | Pixels::RunLength(24), _) => {
            for (out, pixel) in out.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks::<3>().0) {
                *out = [pixel[2], pixel[1], pixel[0]];
            }
        }
        _ => {
            for (out, &index) in out.as_chunks_mut::<3>().0.iter_mut().zip(row) {
                *out = colour(index);
            }
        }
    }
}
