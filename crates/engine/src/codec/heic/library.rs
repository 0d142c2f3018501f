//! hpvcd: HEVC to planes.

use hpvcd::{ChromaFormat, FrameYuv, SampleBuf, VideoDecoder};

use crate::error::Error;
use crate::foreign::{Job, Layout, Picture, Samples};

/// Decodes the frame of an item.
pub(crate) fn decode(job: &Job<'_>) -> Result<Picture, Error> {
    let corrupt = |why: &str| Error::Malformed(format!("heic: corrupt image data: {why}; send it again"));
    let (parameters, length_bytes) =
        parameters(job.configuration).ok_or_else(|| corrupt("its configuration"))?;
    let mut decoder = VideoDecoder::with_threads(1);
    for unit in parameters.into_iter().chain(units(job.data, length_bytes)) {
        let Some(&first) = unit.first() else { continue };
        decoder.process_nal(first >> 1 & 0x3f, unit).map_err(|error| corrupt(&error.to_string()))?;
    }
    decoder.flush().map_err(|error| corrupt(&error.to_string()))?;
    let frame = decoder.take_frames(true).into_iter().next().ok_or_else(|| corrupt("there is no frame"))?;
    let color = frame.color();
    let points =
        [color.primaries as u8, color.transfer as u8, color.matrix as u8, u8::from(color.full_range)];
    let planes = frame.to_yuv();
    drop(frame);
    let samples = match planes.chroma {
        ChromaFormat::Monochrome => Samples::Gray,
        ChromaFormat::Yuv420 => Samples::Planes420,
        ChromaFormat::Yuv422 => Samples::Planes422,
        ChromaFormat::Yuv444 => Samples::Planes444,
    };
    // The frame may be larger than what the file declares: blocks have sizes of their own.
    if planes.width < job.width as usize || planes.height < job.height as usize {
        return Err(corrupt("the frame is smaller than the file declares"));
    }
    let layout = Layout {
        width: job.width,
        height: job.height,
        samples,
        bits: planes.bit_depth,
        code_points: Some(points),
        profile: Vec::new(),
    };
    let (width, height) = (job.width as usize, job.height as usize);
    let stripe = move |index: u32, out: &mut Vec<u8>| {
        let index = index as usize;
        let FrameYuv { y, cb, cr, width: stride, chroma_width, .. } = &planes;
        let chroma = if samples == Samples::Planes444 { width } else { width.div_ceil(2) };
        if samples == Samples::Planes420 {
            row(y, *stride, 2 * index, width, out);
            row(y, *stride, (2 * index + 1).min(height - 1), width, out);
        } else {
            row(y, *stride, index, width, out);
        }
        if samples != Samples::Gray {
            row(cb, *chroma_width, index, chroma, out);
            row(cr, *chroma_width, index, chroma, out);
        }
    };
    Ok(Picture { layout, stripe: Box::new(stripe) })
}

fn row(plane: &SampleBuf, stride: usize, y: usize, width: usize, out: &mut Vec<u8>) {
    match plane {
        SampleBuf::U8(samples) => out.extend_from_slice(&samples[y * stride..][..width]),
        SampleBuf::U16(samples) => {
            out.extend(samples[y * stride..][..width].iter().flat_map(|sample| sample.to_le_bytes()));
        }
    }
}

/// The parameter sets of `hvcC`, and how many bytes the length of a unit has (ISO/IEC 14496-15, section 8.3.3.1).
fn parameters(configuration: &[u8]) -> Option<(Vec<&[u8]>, usize)> {
    let length_bytes = usize::from(*configuration.get(21)? & 3) + 1;
    let arrays = *configuration.get(22)?;
    let mut rest = configuration.get(23..)?;
    let mut sets = Vec::new();
    for _ in 0..arrays {
        let (head, after) = rest.split_first_chunk::<3>()?;
        rest = after;
        for _ in 0..u16::from_be_bytes([head[1], head[2]]) {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let (unit, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            sets.push(unit);
            rest = after;
        }
    }
    Some((sets, length_bytes))
}

/// Units, each preceded by its length; the last may be truncated.
fn units(mut data: &[u8], length_bytes: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_at_checked(length_bytes)?;
        let length = length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        let (unit, rest) = rest.split_at(length.min(rest.len()));
        data = rest;
        Some(unit)
    })
}
