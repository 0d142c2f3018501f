//! The sections `[[trigger]]` and `[[trigger.rendition]]`: source buckets and renditions.

use serde::Deserialize;
use tintype_engine::{OutputFormat, Spec};

use super::{Check, SettingsError};
use crate::{
    naming::KeyTemplate,
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
    suffixes: Option<Vec<String>>,
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
    let suffixes = written.suffixes.unwrap_or(default.suffixes);
    if suffixes.iter().any(String::is_empty) {
        return check
            .fail("trigger.suffixes", "an empty suffix matches every key; write [] if that is meant");
    }
    Ok(Trigger {
        bucket: bucket("trigger.bucket", written.bucket, default.bucket)?,
        prefix: written.prefix.unwrap_or(default.prefix),
        suffixes,
        destination: bucket("trigger.destination", written.destination, default.destination)?,
        removed: written.mirror_deletes.unwrap_or(default.removed),
        renditions: renditions
            .into_iter()
            .map(|written| rendition(check, written))
            .collect::<Result<Vec<_>, _>>()?,
        id: default.id,
        created: default.created,
    })
}

fn rendition(check: &Check, written: RenditionSection) -> Result<Rendition, SettingsError> {
    let default = Spec::default();
    let quality = check.within("trigger.rendition.quality", written.quality.unwrap_or(80), 1, 100)?;
    let spec = Spec {
        size: check.parse("trigger.rendition.size", written.size, default.size)?,
        fit: check.parse("trigger.rendition.fit", written.fit, default.fit)?,
        enlarge: written.enlarge.unwrap_or(false),
        format: check.parse("trigger.rendition.format", written.format, OutputFormat::Same)?,
        quality: u8::try_from(quality).unwrap_or(default.quality),
        gravity: check.parse("trigger.rendition.gravity", written.gravity, default.gravity)?,
        background: check.parse("trigger.rendition.background", written.background, default.background)?,
        filter: check.parse("trigger.rendition.filter", written.filter, default.filter)?,
        effort: check.parse("trigger.rendition.effort", written.effort, default.effort)?,
    };
    let key: KeyTemplate = check.parse("trigger.rendition.key", written.key, KeyTemplate::default())?;
    key.check_size(spec.size).or_else(|message| check.fail("trigger.rendition.key", message))?;
    Ok(Rendition { key, spec })
}
