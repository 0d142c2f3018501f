//! The sections `[[preset]]`: renditions by name, for delivery on request.

use serde::Deserialize;
use tintype_engine::{Format, OutputFormat, Size, Spec};
use tintype_pipeline::{
    ObjectKey,
    settings::{Check, SettingsError, WatermarkSection, WrittenSpec},
};

use crate::routes::RESERVED;

/// A rendition by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// Its name, a part of URLs.
    pub name: String,
    /// The rendition. Its format is in `format`.
    pub spec: Spec,
    /// Which format it has.
    pub format: PresetFormat,
    /// The highest device pixel ratio that a request may ask for, 1 to 4.
    pub max_dpr: u32,
    /// An image of the source bucket that is shown where the source is missing or broken.
    pub fallback: Option<ObjectKey>,
}

/// Which format a preset's images have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresetFormat {
    /// One, whatever clients accept.
    Fixed(OutputFormat),
    /// WebP for clients that name it in `Accept`, for others as [`OutputFormat::Same`]; AVIF before it, where the preset
    /// has `avif` and is not animated.
    Auto,
}

impl Preset {
    /// The rendition at a device pixel ratio, for a client that names formats in `Accept` or not.
    #[must_use]
    pub fn rendition(&self, dpr: u32, accepts: impl Fn(Format) -> bool) -> Spec {
        let larger = |side: Option<u32>| side.map(|side| side.saturating_mul(dpr).min(Size::MAX));
        let accepts_webp = accepts(Format::WebP);
        // AVIF is not animated here, and whether a source is animated is not known yet.
        let prefers_avif = self.spec.avif && !(self.spec.animate && accepts_webp);
        let format = match self.format {
            PresetFormat::Fixed(format) => format,
            PresetFormat::Auto if prefers_avif && accepts(Format::Avif) => OutputFormat::Avif,
            PresetFormat::Auto if accepts_webp => OutputFormat::WebP,
            PresetFormat::Auto => OutputFormat::Same,
        };
        // Where `Accept` decides, AVIF goes to those alone that name it; and it is not animated.
        let avif = self.spec.avif && self.format != PresetFormat::Auto;
        let animate = self.spec.animate && format != OutputFormat::Avif;
        let Size { width, height } = self.spec.size;
        let size = Size { width: larger(width), height: larger(height) };
        Spec { size, format, avif, animate, ..self.spec.clone() }
    }
}

/// A preset as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "struct Preset")]
pub struct PresetSection {
    name: String,
    size: Option<String>,
    fit: Option<String>,
    enlarge: Option<bool>,
    format: Option<String>,
    avif: Option<bool>,
    quality: Option<u64>,
    gravity: Option<String>,
    background: Option<String>,
    filter: Option<String>,
    effort: Option<String>,
    scaling: Option<String>,
    sharpen: Option<u64>,
    metadata: Option<String>,
    watermark: Option<WatermarkSection>,
    animate: Option<bool>,
    max_dpr: Option<u32>,
    fallback: Option<String>,
}

/// Characters of the longest name.
const LONGEST_NAME: usize = 64;

pub(super) fn presets(check: &Check, written: Vec<PresetSection>) -> Result<Vec<Preset>, SettingsError> {
    let mut presets: Vec<Preset> = Vec::with_capacity(written.len());
    for section in written {
        let name = section.name.clone();
        let preset = preset(check, section).map_err(|error| SettingsError {
            message: format!("{} (preset \"{name}\")", error.message),
            ..error
        })?;
        if presets.iter().any(|other| other.name == preset.name) {
            return check.fail("preset.name", format!("\"{}\" is taken by another preset", preset.name));
        }
        presets.push(preset);
    }
    Ok(presets)
}

fn preset(check: &Check, written: PresetSection) -> Result<Preset, SettingsError> {
    let name = written.name;
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(legal) {
        return check.fail("preset.name", format!("\"{name}\" is no name: 1 to 64 letters, digits, - and _"));
    }
    if RESERVED.contains(&name.as_str()) {
        let reserved = RESERVED.join(", ");
        return check.fail("preset.name", format!("\"{name}\" is reserved, as are {reserved}"));
    }
    let is_auto = written.format.as_deref() == Some("auto");
    if let Some(format) = &written.format
        && !is_auto
        && format.parse::<OutputFormat>().is_err()
    {
        let names = OutputFormat::NAMES.join(", ");
        return check.fail("preset.format", format!("format \"{format}\" is not one of auto, {names}"));
    }
    let spec = WrittenSpec {
        size: written.size,
        fit: written.fit,
        enlarge: written.enlarge,
        format: written.format.filter(|_| !is_auto),
        quality: written.quality,
        gravity: written.gravity,
        background: written.background,
        filter: written.filter,
        effort: written.effort,
        scaling: written.scaling,
        sharpen: written.sharpen,
        metadata: written.metadata,
        watermark: written.watermark,
        animate: written.animate,
        avif: written.avif,
    };
    let spec = spec.validate(check, "preset")?;
    let fallback = written.fallback.map(|key| ObjectKey::new(&key)).transpose();
    Ok(Preset {
        format: if is_auto { PresetFormat::Auto } else { PresetFormat::Fixed(spec.format) },
        spec,
        max_dpr: check.within("preset.max_dpr", written.max_dpr.unwrap_or(2), 1, 4)?,
        fallback: fallback.or_else(|message| check.fail("preset.fallback", message))?,
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn animations_go_before_avif() {
        let preset = |avif, animate| Preset {
            name: "card".into(),
            spec: Spec { avif, animate, ..Spec::default() },
            format: PresetFormat::Auto,
            max_dpr: 2,
            fallback: None,
        };
        let of = |preset: &Preset, accepted: &[Format]| {
            let spec = preset.rendition(1, |format| accepted.contains(&format));
            (spec.format, spec.animate)
        };
        let both = [Format::Avif, Format::WebP];
        assert_eq!(of(&preset(true, false), &both), (OutputFormat::Avif, false));
        assert_eq!(of(&preset(true, true), &both), (OutputFormat::WebP, true));
        assert_eq!(of(&preset(true, true), &[Format::Avif]), (OutputFormat::Avif, false));
        assert_eq!(of(&preset(true, true), &[]), (OutputFormat::Same, true));
    }
}
