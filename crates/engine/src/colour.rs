//! Colour: ICC profiles to sRGB, and CMYK.

use std::collections::VecDeque;
use std::sync::Arc;

use moxcms::{
    ColorProfile, DataColorSpace, Layout, ToneReprCurve, Transform8BitExecutor, TransformOptions, Xyzd,
};

use crate::error::Error;
use crate::pixels::{Image16, Model};
use crate::stop::Stop;

/// Larger profiles than this are ignored.
pub(crate) const MAX_PROFILE: usize = 4 << 20;
/// Pixels converted between polls of `stop`.
const PIXELS_PER_POLL: usize = 16 << 10;

/// Cache of transforms to sRGB, by profile: a camera writes the same profile into every image.
#[derive(Default)]
pub(crate) struct TransformCache(VecDeque<CachedTransform>);

struct CachedTransform {
    profile: Vec<u8>,
    model: Model,
    /// `None` where no conversion is needed.
    transform: Option<Arc<TransformExecutor>>,
}

type TransformExecutor = dyn moxcms::TransformExecutor<u16> + Send + Sync;

impl TransformCache {
    const CAPACITY: usize = 4;
    /// Larger profiles are not cached.
    const MAX_CACHED_PROFILE: usize = 64 << 10;

    fn get(&mut self, profile: &[u8], model: Model) -> Option<Arc<TransformExecutor>> {
        if let Some(cached) = self.0.iter().find(|cached| cached.model == model && cached.profile == profile)
        {
            return cached.transform.clone();
        }
        let transform = transform(profile, model);
        if profile.len() <= Self::MAX_CACHED_PROFILE {
            self.0.truncate(Self::CAPACITY - 1);
            self.0.push_front(CachedTransform {
                profile: profile.to_vec(),
                model,
                transform: transform.clone(),
            });
        }
        transform
    }
}

/// Converts an image from its profile to sRGB. A profile that is corrupt, or of another colour model, is
/// ignored, as in viewers.
pub(crate) fn to_srgb(
    image: Image16,
    profile: Option<&[u8]>,
    transforms: &mut TransformCache,
    stop: Stop<'_>,
) -> Result<Image16, Error> {
    let Some(transform) = profile.and_then(|profile| transforms.get(profile, image.model)) else {
        return Ok(image);
    };
    let mut samples = Vec::with_capacity(image.samples.len());
    for pixels in image.samples.chunks(image.model.channels() * PIXELS_PER_POLL) {
        stop.check("converting colours")?;
        let Some(converted) = converted(pixels, image.model, &*transform) else { return Ok(image) };
        samples.extend(converted);
    }
    Ok(Image16 { samples, ..image })
}

/// Source and target layouts of a transform.
const fn layouts(model: Model) -> (Layout, Layout) {
    match model {
        Model::Gray => (Layout::Gray, Layout::Rgb),
        Model::GrayAlpha => (Layout::GrayAlpha, Layout::Rgba),
        Model::Rgb => (Layout::Rgb, Layout::Rgb),
        Model::Rgba => (Layout::Rgba, Layout::Rgba),
    }
}

fn transform(profile: &[u8], model: Model) -> Option<Arc<TransformExecutor>> {
    let profile = parse(profile)?;
    let expected = if model.is_gray() { DataColorSpace::Gray } else { DataColorSpace::Rgb };
    if profile.color_space != expected || is_srgb(&profile) {
        return None;
    }
    let (from, to) = layouts(model);
    // 12 bits are exact enough for 8-bit output, and their tables are small.
    profile.create_transform_12bit(from, &ColorProfile::new_srgb(), to, TransformOptions::default()).ok()
}

fn converted(pixels: &[u16], model: Model, transform: &TransformExecutor) -> Option<Vec<u16>> {
    let source: Vec<u16> = pixels.iter().map(|&v| rescale(v, 65535, 4095)).collect();
    let mut target = vec![0; source.len() / model.channels() * layouts(model).1.channels()];
    transform.transform(&source, &mut target).ok()?;
    let wide = |v: u16| rescale(v, 4095, 65535);
    Some(match model {
        Model::Gray => target.chunks_exact(3).map(|pixel| wide(pixel[0])).collect(),
        Model::GrayAlpha => {
            target.chunks_exact(4).flat_map(|pixel| [wide(pixel[0]), wide(pixel[3])]).collect()
        }
        Model::Rgb | Model::Rgba => target.into_iter().map(wide).collect(),
    })
}

/// Whether the profile describes sRGB, within tolerance: about half of all profiles do, in many variants.
fn is_srgb(profile: &ColorProfile) -> bool {
    let plain = profile.lut_a_to_b_perceptual.is_none() && profile.lut_a_to_b_colorimetric.is_none();
    let curve = |curve: &Option<ToneReprCurve>| curve.as_ref().is_some_and(is_srgb_curve);
    if profile.color_space == DataColorSpace::Gray {
        return plain && curve(&profile.gray_trc);
    }
    let close = |colorant: Xyzd, xyz: [f64; 3]| {
        [colorant.x, colorant.y, colorant.z].iter().zip(xyz).all(|(a, b)| (a - b).abs() < 0.002)
    };
    // The primaries of IEC 61966-2-1 adapted to D50, as ICC profiles have them.
    plain
        && close(profile.red_colorant, [0.4361, 0.2225, 0.0139])
        && close(profile.green_colorant, [0.3851, 0.7169, 0.0971])
        && close(profile.blue_colorant, [0.1431, 0.0606, 0.7141])
        && curve(&profile.red_trc)
        && curve(&profile.green_trc)
        && curve(&profile.blue_trc)
}

fn is_srgb_curve(curve: &ToneReprCurve) -> bool {
    match curve {
        ToneReprCurve::Lut(table) if table.len() >= 256 => (0..=16_u16).all(|step| {
            let code = step * 4095;
            let index = usize::from(code) * (table.len() - 1) / 65535;
            let exact = crate::light::linear_16((index * 65535 / (table.len() - 1)) as u16);
            u32::from(table[index]).abs_diff(exact) < 100
        }),
        ToneReprCurve::Parametric(parameters) => match parameters[..] {
            [power, slope, shift, straight, limit] | [power, slope, shift, straight, limit, _, _] => {
                let srgb = [2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.040_45];
                [power, slope, shift, straight, limit].iter().zip(srgb).all(|(a, b)| (a - b).abs() < 0.001)
            }
            _ => false,
        },
        ToneReprCurve::Lut(_) => false,
    }
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
    /// (1 − ink) × (1 − black), without a profile.
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
