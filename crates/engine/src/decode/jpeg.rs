//! JPEG, by zune-jpeg, which gives back whole frames.
//!
//! The decoder fills what is missing with gray, so a cut file must be told apart here. It is run in its
//! strict mode on data that ends where the first EOI marker stood: then running out of data is an error
//! even where an EOI was put after a cut.

use std::borrow::Cow;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::{Decoded, damaged, give};
use crate::Scratch;
use crate::colour::Cmyk;
use crate::error::Error;
use crate::header::Header;
use crate::header::jpeg::{Colour, Segments, segments};
use crate::limits::Limits;
use crate::pixels::{Model, Order, Row, Rows};

pub(super) fn memory(header: &Header) -> (u64, u64) {
    let channels = match header.colour {
        "gray" => 1,
        "ycbcr" | "rgb" => 3,
        _ => 4,
    };
    // The frame, and for several scans every coefficient in 16 bits; rows of blocks and upsampling.
    (if header.progressive { channels * 3 } else { channels }, channels * 256)
}

pub(super) fn decode(
    bytes: &[u8],
    header: &Header,
    limits: &Limits,
    rows: &mut dyn Rows,
    scratch: &mut Scratch,
) -> Result<Decoded, Error> {
    let segments = segments(bytes)?;
    if segments.several_scans && segments.sampling.iter().any(|s| s.1 != segments.sampling[0].1) {
        // The decoder loses the colours of these.
        return Err(Error::Unsupported(
            "baseline JPEG with a scan for each component and vertical subsampling; make it progressive"
                .into(),
        ));
    }
    let data = data(bytes, &segments);
    let single_scan = !segments.progressive && !segments.several_scans;
    let end = if single_scan { end_of_scan(&data) } else { data.len() };
    let channels = match segments.colour {
        Colour::Gray => 1,
        Colour::YCbCr | Colour::Rgb => 3,
        Colour::Cmyk | Colour::Ycck => 4,
    };
    let stride = header.width as usize * channels;
    let frame = scratch.frame(stride * header.height as usize);
    if let Err(why) = run(&data[..end], &segments, true, frame) {
        let complete = end < data.len() && remnant(header, &segments, readable_rows(frame, stride));
        if !complete && !limits.tolerant {
            return Err(damaged(header, why));
        }
        frame.fill(0);
        let end = if complete { data.len() } else { end };
        run(&data[..end], &segments, false, frame).map_err(|why| damaged(header, why))?;
        let read = readable_rows(frame, stride);
        if !complete && !limits.tolerates(read, header.height) {
            return Err(damaged(header, format!("{why} after {read} of {} rows", header.height)));
        }
    }
    let profile = segments.profile();
    match segments.colour {
        Colour::Gray => give(frame, header.width, Model::Gray, rows)?,
        Colour::YCbCr | Colour::Rgb => give(frame, header.width, Model::Rgb, rows)?,
        Colour::Cmyk | Colour::Ycck => {
            let converter = Cmyk::new(profile.as_deref());
            let mut rgb = vec![0; header.width as usize * 3];
            rows.begin(Model::Rgb, Order::TopDown)?;
            for row in frame.chunks_exact_mut(stride) {
                to_inks(row, segments.colour);
                converter.convert(row, &mut rgb);
                rows.row(Row::U8(&rgb))?;
            }
            return Ok(Decoded::default());
        }
    }
    Ok(Decoded { profile, ..Decoded::default() })
}

/// The bytes to decode: the file itself, or a copy without the segments that the decoder would
/// misread: Adobe's marker on three components, and stray bytes between segments.
fn data<'a>(bytes: &'a [u8], segments: &Segments<'_>) -> Cow<'a, [u8]> {
    let misread = segments.stray_bytes || matches!(segments.colour, Colour::Rgb | Colour::Ycck);
    // A file much longer than its pixels is not worth a copy that the estimate does not count.
    let pixels = usize::from(segments.width) * usize::from(segments.height);
    if !misread || bytes.len() > pixels.saturating_mul(2) + (1 << 20) {
        return Cow::Borrowed(bytes);
    }
    let mut copy = Vec::with_capacity(bytes.len());
    copy.extend_from_slice(b"\xff\xd8");
    for range in &segments.essential {
        copy.extend_from_slice(&bytes[range.clone()]);
    }
    copy.extend_from_slice(&bytes[segments.data..]);
    Cow::Owned(copy)
}

/// Where the EOI marker of the first scan stands, or the end of the file.
fn end_of_scan(bytes: &[u8]) -> usize {
    let Ok(segments) = segments(bytes) else { return bytes.len() };
    let mut at = segments.data;
    while let Some(skipped) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xff)) {
        at += skipped;
        match bytes.get(at + 1) {
            Some(0xd9) => return at,
            Some(_) => at += 1,
            None => break,
        }
    }
    bytes.len()
}

fn run(bytes: &[u8], segments: &Segments<'_>, strict: bool, frame: &mut [u8]) -> Result<(), String> {
    let limit = usize::from(u16::MAX);
    let options =
        DecoderOptions::default().set_max_width(limit).set_max_height(limit).set_strict_mode(strict);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let (input, output) = match (segments.colour, decoder.input_colorspace()) {
        (Colour::Gray, input) => (input, ColorSpace::Luma),
        // Stored as RGB under plain component names: taking it for YCbCr and asking for YCbCr is a copy.
        (Colour::Rgb, Some(ColorSpace::YCbCr)) => (Some(ColorSpace::YCbCr), ColorSpace::YCbCr),
        (Colour::YCbCr | Colour::Rgb, input) => (input, ColorSpace::RGB),
        (Colour::Cmyk | Colour::Ycck, Some(ColorSpace::YCCK)) => (Some(ColorSpace::YCCK), ColorSpace::YCCK),
        (Colour::Cmyk | Colour::Ycck, input) => (input, ColorSpace::CMYK),
    };
    let channels = output.num_components();
    if input.is_none_or(|input| input.num_components() != segments.sampling.len()) {
        return Err("the colour model does not go with the components".into());
    }
    let options = options.jpeg_set_out_colorspace(output);
    decoder.set_options(options);
    if decoder.dimensions() != Some((segments.width.into(), segments.height.into()))
        || decoder.output_buffer_size() != Some(frame.len())
    {
        return Err(format!("the frame does not have {channels} channels"));
    }
    decoder.decode_into(frame).map_err(|error| error.to_string())
}

/// Rows that were decoded before an error: the decoder leaves the rest zero or fills it with 128.
fn readable_rows(frame: &[u8], stride: usize) -> u32 {
    let blank = |row: &[u8]| row.iter().all(|&v| v == 0) || row.iter().all(|&v| v == 128);
    let missing = frame.rchunks_exact(stride).take_while(|row| blank(row)).count();
    (frame.len() / stride - missing) as u32
}

/// Whether what is missing may well lie in the decoder's 64-bit read-ahead: near the end of the data it
/// gives up although the last blocks are there. A block takes at least two bits. Asked only where an EOI
/// marker vouches for the end.
fn remnant(header: &Header, segments: &Segments<'_>, read: u32) -> bool {
    let most = |side: fn(&(u8, u8)) -> u8| segments.sampling.iter().map(side).max().unwrap_or(1);
    let (across, down) = (8 * u32::from(most(|s| s.0)), 8 * u32::from(most(|s| s.1)));
    let missing = u64::from((header.height - read).div_ceil(down)) * u64::from(header.width.div_ceil(across));
    let blocks: u64 = segments.sampling.iter().map(|&(h, v)| u64::from(h) * u64::from(v)).sum();
    missing * blocks * 2 <= 64
}

/// Turns a row into inks, 255 for full: Adobe stores them inverted, and YCCK three of them as YCbCr.
fn to_inks(row: &mut [u8], colour: Colour) {
    for [c, m, y, k] in row.as_chunks_mut::<4>().0 {
        if colour == Colour::Ycck {
            let (luma, cb, cr) = (i32::from(*c), i32::from(*m) - 128, i32::from(*y) - 128);
            // ITU-T T.871, in 16-bit fixed point; the result is ink.
            let clamp = |v: i32| (v >> 16).clamp(0, 255) as u8;
            let base = (luma << 16) + (1 << 15);
            *c = clamp(base + 91_881 * cr);
            *m = clamp(base - 22_554 * cb - 46_802 * cr);
            *y = clamp(base + 116_130 * cb);
        } else {
            (*c, *m, *y) = (255 - *c, 255 - *m, 255 - *y);
        }
        *k = 255 - *k;
    }
}
