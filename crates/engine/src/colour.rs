//! Colour: ICC profiles to sRGB, and CMYK.

mod gray;
mod hdr;

use std::collections::VecDeque;
use std::sync::Arc;

use moxcms::{
    Chromaticity, CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, DataColorSpace, Layout,
    MatrixCoefficients, ToneReprCurve, TransferCharacteristics, Transform8BitExecutor, TransformOptions, XyY,
    Xyzd,
};

use crate::error::Error;
use crate::pixels::{Image16, Model};
use crate::stop::Stop;
use gray::GrayCurve;
use hdr::HdrTransform;

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
    transform: Option<Arc<Transform>>,
}

/// How samples are converted.
enum Transform {
    /// Color and alpha, by moxcms.
    Colours(Arc<dyn moxcms::TransformExecutor<u16> + Send + Sync>),
    Gray(GrayCurve),
    Hdr(HdrTransform),
}

impl TransformCache {
    const CAPACITY: usize = 4;
    /// Larger profiles are cached for one render alone.
    const MAX_CACHED_PROFILE: usize = 64 << 10;

    fn get(&mut self, profile: &[u8], model: Model) -> Option<Arc<Transform>> {
        if let Some(cached) = self.0.iter().find(|cached| cached.model == model && cached.profile == profile)
        {
            return cached.transform.clone();
        }
        let transform = transform(profile, model).map(Arc::new);
        self.0.truncate(Self::CAPACITY - 1);
        self.0.push_front(CachedTransform { profile: profile.to_vec(), model, transform: transform.clone() });
        transform
    }

    /// Drops what is cached for one render alone.
    pub(crate) fn trim(&mut self) {
        self.0.retain(|cached| cached.profile.len() <= Self::MAX_CACHED_PROFILE);
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
        let Some(converted) = transform.convert(pixels, image.model) else { return Ok(image) };
        samples.extend(converted);
    }
    Ok(Image16 { samples, ..image })
}

fn transform(profile: &[u8], model: Model) -> Option<Transform> {
    if profile.len() > MAX_PROFILE {
        return None;
    }
    let parsed = parse(profile);
    if let Some(hdr) = parsed.as_ref().and_then(|profile| HdrTransform::new(profile.cicp?)) {
        return Some(Transform::Hdr(hdr));
    }
    if model.is_gray() {
        return GrayCurve::new(profile).map(Transform::Gray);
    }
    let profile = parsed?;
    if profile.color_space != DataColorSpace::Rgb || is_srgb(&profile) {
        return None;
    }
    let layout = if model.has_alpha() { Layout::Rgba } else { Layout::Rgb };
    // 12 bits are exact enough for 8-bit output, and their tables are small.
    let options = TransformOptions::default();
    let transform = profile.create_transform_12bit(layout, &ColorProfile::new_srgb(), layout, options);
    transform.ok().map(Transform::Colours)
}

impl Transform {
    /// Pixels in sRGB; `None` if the library cannot.
    fn convert(&self, pixels: &[u16], model: Model) -> Option<Vec<u16>> {
        let channels = model.channels();
        let colours = if model.is_gray() { 1 } else { 3 };
        Some(match self {
            Self::Colours(transform) => {
                let source: Vec<u16> = pixels.iter().map(|&v| rescale(v, 65535, 4095)).collect();
                let mut target = vec![0; source.len()];
                transform.transform(&source, &mut target).ok()?;
                target.into_iter().map(|v| rescale(v, 4095, 65535)).collect()
            }
            Self::Gray(curve) => {
                let mut target = pixels.to_vec();
                target.iter_mut().step_by(channels).for_each(|code| *code = curve.at(*code));
                target
            }
            Self::Hdr(hdr) => {
                let mut target = pixels.to_vec();
                for pixel in target.chunks_exact_mut(channels) {
                    let converted = hdr.convert(std::array::from_fn(|at| pixel[at.min(colours - 1)]));
                    pixel[..colours].copy_from_slice(&converted[..colours]);
                }
                target
            }
        })
    }
}

/// Whether the profile describes sRGB, within tolerance: about half of all profiles do, in many variants.
fn is_srgb(profile: &ColorProfile) -> bool {
    let plain = profile.lut_a_to_b_perceptual.is_none() && profile.lut_a_to_b_colorimetric.is_none();
    let curve = |curve: &Option<ToneReprCurve>| curve.as_ref().is_some_and(is_srgb_curve);
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
            [power, slope, shift, straight, limit, ref offsets @ ..] => {
                let srgb = [2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.040_45];
                [power, slope, shift, straight, limit].iter().zip(srgb).all(|(a, b)| (a - b).abs() < 0.001)
                    && offsets.iter().all(|offset| offset.abs() < 0.001)
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
pub(crate) struct Cmyk {
    /// By the profile in the file; without one, (1 − ink) × (1 − black).
    transform: Option<Arc<Transform8BitExecutor>>,
    /// Whether 0 is full ink.
    inverted: bool,
}

impl Cmyk {
    pub(crate) fn new(profile: Option<&[u8]>) -> Self {
        let transform = profile
            .and_then(parse)
            .filter(|profile| profile.color_space == DataColorSpace::Cmyk)
            .and_then(|profile| {
                let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
                profile.create_transform_8bit(Layout::Rgba, &srgb, Layout::Rgb, options).ok()
            });
        Self { transform, inverted: false }
    }

    /// For rows in which 0 is full ink.
    pub(crate) const fn of_inverted(mut self, inverted: bool) -> Self {
        self.inverted = inverted;
        self
    }

    pub(crate) fn convert(&self, inks: &[u8], rgb: &mut [u8]) {
        let turned: Vec<u8>;
        let inks = if self.inverted {
            turned = inks.iter().map(|ink| 255 - ink).collect();
            &turned
        } else {
            inks
        };
        if self.transform.as_ref().is_some_and(|transform| transform.transform(inks, rgb).is_ok()) {
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

/// CIE L\*a\*b\* relative to D50 to 16-bit sRGB, clipped.
#[cfg(feature = "tiff")]
pub(crate) fn lab_to_srgb([lightness, a, b]: [f32; 3]) -> [u16; 3] {
    let y = (lightness + 16.0) / 116.0;
    let cube = |root: f32| {
        if root > 6.0 / 29.0 { root * root * root } else { (root - 4.0 / 29.0) * (108.0 / 841.0) }
    };
    let xyz = [0.9642 * cube(y + a / 500.0), cube(y), 0.8249 * cube(y - b / 200.0)];
    let encode = crate::light::encoder();
    XYZ_TO_SRGB.map(|row: [f32; 3]| {
        let light: f32 = row.iter().zip(xyz).map(|(share, part)| share * part).sum();
        encode((light * crate::light::LIGHT as f32 + 0.5) as i32)
    })
}

/// From XYZ relative to D50 to the primaries of IEC 61966-2-1, by the transform of Bradford.
const XYZ_TO_SRGB: [[f32; 3]; 3] =
    [[3.13386, -1.61687, -0.49061], [-0.97877, 1.91614, 0.03345], [0.07194, -0.22899, 1.40524]];

/// A profile of the code points of ITU-T H.273 (as in the cICP chunk of PNG); `None` if they are none that are
/// known.
pub(crate) fn coded_profile(primaries: u8, transfer: u8, gray: bool) -> Option<Vec<u8>> {
    let color_primaries = CicpColorPrimaries::try_from(primaries).ok()?;
    let transfer_characteristics = TransferCharacteristics::try_from(transfer).ok()?;
    let matrix_coefficients = MatrixCoefficients::Identity;
    let cicp =
        CicpProfile { color_primaries, transfer_characteristics, matrix_coefficients, full_range: true };
    let profile = ColorProfile::new_from_cicp(cicp);
    let curve = profile.red_trc.clone()?;
    if gray && HdrTransform::new(cicp).is_none() {
        return gray_profile(curve);
    }
    is_possible(&profile).then(|| profile.encode().ok())?
}

/// A profile of a power of 1 / `gamma`, and of the chromaticities of white, red, green and blue: those of sRGB by
/// default (as in the chunks gAMA and cHRM of PNG).
pub(crate) fn calibrated_profile(
    gamma: Option<f32>,
    chromaticities: Option<[[f32; 2]; 4]>,
    gray: bool,
) -> Option<Vec<u8>> {
    let mut profile = ColorProfile::new_srgb();
    profile.cicp = None;
    if let Some(gamma) = gamma.filter(|gamma| (0.05..=20.0).contains(gamma)) {
        let curve = || Some(ToneReprCurve::Parametric(vec![1.0 / gamma]));
        (profile.red_trc, profile.green_trc, profile.blue_trc) = (curve(), curve(), curve());
    }
    if gray {
        return gray_profile(profile.red_trc?);
    }
    if let Some(all) = chromaticities
        && all.iter().all(|[x, y]| *y > 0.0 && *x >= 0.0 && x + y <= 1.0)
    {
        let [white, red, green, blue] = all.map(|[x, y]| Chromaticity { x, y });
        let white = XyY { x: white.x.into(), y: white.y.into(), yb: 1.0 };
        profile.update_rgb_colorimetry(white, ColorPrimaries { red, green, blue });
    }
    is_possible(&profile).then(|| profile.encode().ok())?
}

fn gray_profile(curve: ToneReprCurve) -> Option<Vec<u8>> {
    let mut profile = ColorProfile::new_gray_with_gamma(1.0);
    profile.gray_trc = Some(curve);
    profile.pcs = DataColorSpace::Xyz;
    profile.encode().ok()
}

/// Whether the colorants are numbers that an ICC profile can hold, and not all 0.
fn is_possible(profile: &ColorProfile) -> bool {
    let colorants = [profile.red_colorant, profile.green_colorant, profile.blue_colorant];
    let values = || colorants.iter().flat_map(|xyz| [xyz.x, xyz.y, xyz.z]);
    values().all(|value| value.is_finite() && value.abs() < 100.0) && values().any(|value| value != 0.0)
}

/// A gray profile by which the share of white in a reduced sample of black and white, which was computed in light,
/// becomes its code: so that thin strokes of scanned text stay as dark as they look on paper ("scale to gray").
#[cfg(feature = "tiff")]
pub(crate) fn scale_to_gray_profile() -> Option<Vec<u8>> {
    let linear = |code: f64| {
        if code <= 0.040_45 { code / 12.92 } else { ((code + 0.055) / 1.055).powf(2.4) }
    };
    let steps = 1024;
    let light = |step: u32| linear(linear(f64::from(step) / f64::from(steps)));
    gray_profile(ToneReprCurve::Lut((0..=steps).map(|step| (light(step) * 65535.0).round() as u16).collect()))
}
