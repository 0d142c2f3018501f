//! rusty_av1d, a port of dav1d: AV1 to planes.

use rusty_av1d::pixel::ToPrimitive;
use rusty_av1d::{Decoder, InloopFilterType, PixelLayout, PlanarImageComponent, Rav1dError, Settings};

use crate::error::Error;
use crate::foreign::{Job, Layout, Picture, Samples};

/// Decodes the frames of an item: the last one is that of all layers.
pub(crate) fn decode(job: &Job<'_>) -> Result<Picture, Error> {
    let corrupt = |why: &str| Error::Malformed(format!("avif: corrupt image data: {why}; send it again"));
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_all_layers(false);
    let pixels = u64::from(job.width) * u64::from(job.height);
    settings.set_frame_size_limit(u32::try_from(pixels).unwrap_or(u32::MAX));
    settings.set_inloop_filters(InloopFilterType::all());
    let mut decoder =
        Decoder::with_settings(&settings).map_err(|_| Error::Internal("avif: no decoder".into()))?;
    let mut last = None;
    let mut sent = decoder.send_data(job.data.into(), None, None, None);
    loop {
        match decoder.get_picture() {
            Ok(picture) => last = Some(picture),
            Err(Rav1dError::TryAgain) => match sent {
                Err(Rav1dError::TryAgain) => sent = decoder.send_pending_data(),
                Err(error) => return Err(corrupt(&error.to_string())),
                Ok(()) => break,
            },
            Err(error) => return Err(corrupt(&error.to_string())),
        }
    }
    let picture = last.ok_or_else(|| corrupt("there is no frame"))?;
    let samples = match picture.pixel_layout() {
        PixelLayout::I400 => Samples::Gray,
        PixelLayout::I420 => Samples::Planes420,
        PixelLayout::I422 => Samples::Planes422,
        PixelLayout::I444 => Samples::Planes444,
    };
    let point = |value: Option<u8>| value.unwrap_or(2);
    let points = [
        point(picture.color_primaries().to_u8()),
        point(picture.transfer_characteristic().to_u8()),
        point(picture.matrix_coefficients().to_u8()),
        u8::from(picture.color_range() == rusty_av1d::pixel::YUVRange::Full),
    ];
    let layout = Layout {
        width: picture.width(),
        height: picture.height(),
        samples,
        bits: picture.bits_per_component().map_or(8, |bits| bits.0),
        code_points: Some(points),
        profile: Vec::new(),
    };
    let bytes = layout.sample_bytes();
    let (width, height) = (layout.width as usize, layout.height as usize);
    let stripe = move |index: u32, out: &mut Vec<u8>| {
        let index = index as usize;
        let mut row = |component, y: usize, width: usize| {
            let stride = picture.stride(component) as usize;
            out.extend_from_slice(&picture.plane(component)[y * stride..][..width * bytes]);
        };
        let chroma = match samples {
            Samples::Planes444 => width,
            _ => width.div_ceil(2),
        };
        if samples == Samples::Planes420 {
            row(PlanarImageComponent::Y, 2 * index, width);
            row(PlanarImageComponent::Y, (2 * index + 1).min(height - 1), width);
        } else {
            row(PlanarImageComponent::Y, index, width);
        }
        if samples != Samples::Gray {
            row(PlanarImageComponent::U, index, chroma);
            row(PlanarImageComponent::V, index, chroma);
        }
    };
    Ok(Picture { layout, stripe: Box::new(stripe) })
}
