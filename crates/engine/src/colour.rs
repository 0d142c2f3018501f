//! Colour: ICC profiles to sRGB, and CMYK.

use std::sync::Arc;

use moxcms::{ColorProfile, DataColorSpace, Layout, Transform8BitExecutor, TransformOptions};

use crate::pixels::{Model, Small};

/// Larger profiles than this are ignored.
pub(crate) const MAX_PROFILE: usize = 4 << 20;

/// Converts the small picture from its profile to sRGB. A profile that is broken, or made for another
/// colour model, is ignored, as viewers do.
pub(crate) fn to_srgb(small: Small, profile: Option<&[u8]>) -> Small {
    match profile.and_then(|profile| converted(&small, profile)) {
        Some(samples) => Small { samples, ..small },
        None => small,
    }
}

fn converted(small: &Small, profile: &[u8]) -> Option<Vec<u16>> {
    let profile = parse(profile)?;
    let expected = if small.model.is_gray() { DataColorSpace::Gray } else { DataColorSpace::Rgb };
    if profile.color_space != expected {
        return None;
    }
    let (from, to) = match small.model {
        Model::Gray => (Layout::Gray, Layout::Rgb),
        Model::GrayAlpha => (Layout::GrayAlpha, Layout::Rgba),
        Model::Rgb => (Layout::Rgb, Layout::Rgb),
        Model::Rgba => (Layout::Rgba, Layout::Rgba),
    };
    // 12 bits are exact enough for 8-bit output, and their tables are built in no time.
    let transform = profile
        .create_transform_12bit(from, &ColorProfile::new_srgb(), to, TransformOptions::default())
        .ok()?;
    let source: Vec<u16> = small.samples.iter().map(|&v| rescale(v, 65535, 4095)).collect();
    let mut target = vec![0; source.len() / small.model.channels() * to.channels()];
    transform.transform(&source, &mut target).ok()?;
    let wide = |v: u16| rescale(v, 4095, 65535);
    Some(match small.model {
        Model::Gray => target.chunks_exact(3).map(|pixel| wide(pixel[0])).collect(),
        Model::GrayAlpha => {
            target.chunks_exact(4).flat_map(|pixel| [wide(pixel[0]), wide(pixel[3])]).collect()
        }
        Model::Rgb | Model::Rgba => target.into_iter().map(wide).collect(),
    })
}

fn rescale(value: u16, from: u32, to: u32) -> u16 {
    ((u32::from(value).min(from) * to + from / 2) / from) as u16
}

fn parse(profile: &[u8]) -> Option<ColorProfile> {
    (profile.len() <= MAX_PROFILE).then(|| ColorProfile::new_from_slice(profile).ok())?
}

/// Converts rows of CMYK, four bytes a pixel with 255 for full ink, to sRGB.
pub(crate) enum Cmyk {
    /// By the profile in the file.
    Profile(Arc<Transform8BitExecutor>),
    /// (1 − ink) × (1 − black), for want of a profile.
    Naive,
}

impl Cmyk {
    pub(crate) fn new(profile: Option<&[u8]>) -> Self {
        profile
            .and_then(parse)
            .filter(|profile| profile.color_space == DataColorSpace::Cmyk)
            .and_then(|profile| {
                let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
                profile.create_transform_8bit(Layout::Rgba, &srgb, Layout::Rgb, options).ok()
            })
            .map_or(Self::Naive, Self::Profile)
    }

    pub(crate) fn convert(&self, inks: &[u8], rgb: &mut [u8]) {
        if let Self::Profile(transform) = self
            && transform.transform(inks, rgb).is_ok()
        {
            return;
        }
        for (rgb, inks) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(inks.as_chunks::<4>().0) {
            let light = 255 - u32::from(inks[3]);
            for (value, ink) in rgb.iter_mut().zip(inks) {
                *value = (((255 - u32::from(*ink)) * light + 127) / 255) as u8;
            }
        }
    }
}
