//! The sections `[[trigger]]` and `[[trigger.rendition]]`: source buckets and renditions.

use serde::Deserialize;
use tintype_engine::{Size, Spec};

use super::{Check, SettingsError, WatermarkSection, WrittenSpec};
use crate::{
    naming::KeyTemplate,
    suffixes::Suffixes,
    trigger::{Rendition, Trigger},
};

/// Variables that set the first trigger in every host, as in the reference system.
pub(super) const VARIABLES: &[(&str, &[&str])] = &[
    ("SOURCE_BUCKET", &["trigger", "bucket"]),
    ("DESTINATION_BUCKET", &["trigger", "destination"]),
    ("THUMBNAIL_SIZE", &["trigger", "rendition", "size"]),
    ("THUMBNAIL_KEY", &["trigger", "rendition", "key"]),
    ("THUMBNAIL_FIT", &["trigger", "rendition", "fit"]),
    ("THUMBNAIL_FORMAT", &["trigger", "rendition", "format"]),
    ("THUMBNAIL_QUALITY", &["trigger", "rendition", "quality"]),
];

/// A trigger as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "struct Trigger")]
pub struct TriggerSection {
    bucket: Option<String>,
    prefix: Option<String>,
    /// `"images"` or a list.
    suffixes: Option<toml::Value>,
    destination: Option<String>,
    mirror_deletes: Option<bool>,
    rendition: Option<Vec<RenditionSection>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "struct Rendition")]
struct RenditionSection {
    key: Option<String>,
    size: Option<String>,
    fit: Option<String>,
    enlarge: Option<bool>,
    format: Option<String>,
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
    avif: Option<bool>,
    densities: Option<Vec<u32>>,
}

/// Validates the triggers; that of the reference system where none is written.
///
/// # Errors
/// The first setting that is unusable, or triggers that together would loop.
pub fn triggers(check: &Check, written: Option<Vec<TriggerSection>>) -> Result<Vec<Trigger>, SettingsError> {
    let triggers = written.unwrap_or_else(|| vec![TriggerSection::default()]);
    let triggers =
        triggers.into_iter().map(|written| trigger(check, written)).collect::<Result<Vec<_>, _>>()?;
    crate::trigger::check_all(&triggers).or_else(|message| check.fail("trigger", message))?;
    Ok(triggers)
}

fn trigger(check: &Check, written: TriggerSection) -> Result<Trigger, SettingsError> {
    let default = Trigger::default();
    let bucket = |setting, name: Option<String>, default: String| {
        let name = name.unwrap_or(default);
        crate::trigger::check_bucket_name(&name).or_else(|message| check.fail(setting, message))?;
        Ok(name)
    };
    let renditions = written.rendition.unwrap_or_else(|| vec![RenditionSection::default()]);
    if renditions.is_empty() {
        return check.fail("trigger.rendition", "a trigger needs at least one rendition");
    }
    let suffixes = written.suffixes.map_or(Ok(default.suffixes), |written| suffixes(check, written))?;
    Ok(Trigger {
        bucket: bucket("trigger.bucket", written.bucket, default.bucket)?,
        prefix: written.prefix.unwrap_or(default.prefix),
        suffixes,
        destination: bucket("trigger.destination", written.destination, default.destination)?,
        removed: written.mirror_deletes.unwrap_or(default.removed),
        renditions: renditions
            .into_iter()
            .map(|written| at_densities(check, written))
            .collect::<Result<Vec<_>, _>>()?
            .concat(),
        id: default.id,
        created: default.created,
        created_types: default.created_types,
    })
}

fn suffixes(check: &Check, written: toml::Value) -> Result<Suffixes, SettingsError> {
    const NAME: &str = "trigger.suffixes";
    let wrong = || {
        check.fail(
            NAME,
            "it is either \"images\", for every format that can be read, in any case, or a list such as [\".jpg\", \".JPG\"], \
             which is taken as it is",
        )
    };
    let list = match written {
        toml::Value::String(word) if word == Suffixes::IMAGES => return Ok(Suffixes::Images),
        toml::Value::Array(list) => list,
        _ => return wrong(),
    };
    let texts: Option<Vec<String>> = list.into_iter().map(|one| one.as_str().map(str::to_owned)).collect();
    match texts {
        None => wrong(),
        Some(texts) if texts.iter().any(String::is_empty) => {
            check.fail(NAME, "an empty suffix matches every key; write [] if that is meant")
        }
        Some(texts) => Ok(texts.into()),
    }
}

/// The renditions of a section, one for each density.
fn at_densities(check: &Check, mut written: RenditionSection) -> Result<Vec<Rendition>, SettingsError> {
    const NAME: &str = "trigger.rendition.densities";
    let densities = written.densities.take().unwrap_or_else(|| vec![1]);
    if densities.is_empty() {
        return check.fail(NAME, "write at least one, such as [1, 2]");
    }
    let Rendition { key, spec } = rendition(check, written)?;
    let mut renditions: Vec<Rendition> = Vec::with_capacity(densities.len());
    for (index, &density) in densities.iter().enumerate() {
        check.within(NAME, density, 1, 4)?;
        if densities[..index].contains(&density) {
            return check.fail(NAME, format!("{density} is there twice"));
        }
        let larger = |side: Option<u32>| side.map(|side| side.saturating_mul(density));
        let size = Size { width: larger(spec.size.width), height: larger(spec.size.height) };
        if [size.width, size.height].into_iter().flatten().any(|side| side > Size::MAX) {
            return check
                .fail(NAME, format!("{density} times {} is larger than {} on a side", spec.size, Size::MAX));
        }
        renditions.push(Rendition { key: key.at_density(density), spec: Spec { size, ..spec.clone() } });
    }
    Ok(renditions)
}

fn rendition(check: &Check, written: RenditionSection) -> Result<Rendition, SettingsError> {
    let key = written.key;
    let spec = WrittenSpec {
        size: written.size,
        fit: written.fit,
        enlarge: written.enlarge,
        format: written.format,
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
    let spec = spec.validate(check, "trigger.rendition")?;
    let key: KeyTemplate = check.parse("trigger.rendition.key", key, KeyTemplate::default())?;
    key.check_size(spec.size).or_else(|message| check.fail("trigger.rendition.key", message))?;
    Ok(Rendition { key, spec })
}
