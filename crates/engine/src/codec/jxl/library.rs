//! jxl: JPEG XL to interleaved samples.

use jxl::api::{
    AlphaMode, Endianness, Event, ExtraChannel, JxlColorType, JxlDataFormat, JxlDecoder, JxlDecoderOptions,
    JxlOutputBuffer, JxlPixelFormat, ProfileLevel,
};

use crate::error::Error;
use crate::foreign::{Job, Layout, Picture, Samples};

/// Decodes the first frame that is shown.
pub(crate) fn decode(job: &Job<'_>) -> Result<Picture, Error> {
    let corrupt = |why: &dyn std::fmt::Display| {
        Error::Malformed(format!("jxl: corrupt image data: {why}; send it again"))
    };
    let mut options = JxlDecoderOptions::default();
    options.adjust_orientation = false;
    options.alpha_mode = AlphaMode::Unpremultiplied;
    options.max_profile_level = ProfileLevel::Main10;
    let pixels = u64::from(job.width) * u64::from(job.height);
    options.sample_limit = usize::try_from(pixels.saturating_mul(68)).ok();
    let mut decoder = JxlDecoder::new(options);
    let mut input = job.data;
    match decoder.process(&mut input, None, None) {
        Ok(Event::BasicInfo) => {}
        Ok(_) => return Err(corrupt(&"the file ends too early")),
        Err(error) => return Err(corrupt(&error)),
    }
    let info = decoder.basic_info().ok_or_else(|| corrupt(&"there is no header"))?.clone();
    let is_alpha = |channel: &jxl::api::JxlExtraChannel| channel.ec_type == ExtraChannel::Alpha;
    let alpha = info.extra_channels.iter().any(is_alpha);
    let gray = decoder.embedded_color_profile().is_some_and(|profile| profile.channels() == 1);
    let wide = info.bit_depth.bits_per_sample() > 8;
    let (color_type, channels) = match (gray, alpha) {
        (true, false) => (JxlColorType::Grayscale, 1),
        (true, true) => (JxlColorType::GrayscaleAlpha, 2),
        (false, false) => (JxlColorType::Rgb, 3),
        (false, true) => (JxlColorType::Rgba, 4),
    };
    let format = if wide {
        JxlDataFormat::U16 { endianness: Endianness::LittleEndian, bit_depth: 16 }
    } else {
        JxlDataFormat::U8 { bit_depth: 8 }
    };
    let pixel_format = JxlPixelFormat {
        color_type,
        color_data_format: Some(format),
        extra_channel_format: vec![None; info.extra_channels.len()],
    };
    decoder.set_pixel_format(pixel_format).map_err(|error| corrupt(&error))?;
    let (width, height) = info.size;
    if (width, height) != (job.width as usize, job.height as usize) {
        return Err(corrupt(&"its size is not the one declared"));
    }
    match decoder.process(&mut input, None, None) {
        Ok(Event::FrameHeader) => {}
        Ok(_) => return Err(corrupt(&"there is no frame")),
        Err(error) => return Err(corrupt(&error)),
    }
    let row = width * channels * format.bytes_per_sample();
    let mut samples = vec![0; row * height];
    let decoded = {
        let mut buffers = [JxlOutputBuffer::new(&mut samples, height, row)];
        decoder.process(&mut input, Some(&mut buffers), None)
    };
    match decoded {
        Ok(Event::FrameComplete { .. }) => {}
        Ok(_) => return Err(corrupt(&"the file ends too early")),
        Err(error) => return Err(corrupt(&error)),
    }
    let profile = decoder
        .output_color_profile()
        .and_then(|profile| profile.try_as_icc().map(std::borrow::Cow::into_owned));
    let layout = Layout {
        width: job.width,
        height: job.height,
        samples: Samples::Interleaved(channels as u8),
        bits: if wide { 16 } else { 8 },
        code_points: None,
        profile: profile.unwrap_or_default(),
    };
    let stripe = move |y: u32, out: &mut Vec<u8>| out.extend_from_slice(&samples[y as usize * row..][..row]);
    Ok(Picture { layout, stripe: Box::new(stripe) })
}
