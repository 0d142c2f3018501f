//! Where a source's thumbnails are stored, which objects are there, and the metadata that links each to its source.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use tintype_engine::{Focal, Format, Thumbnail};

use crate::{
    fingerprint::{
        self, COLOUR, FOCAL, HEIGHT, HOPS, MAX_HOPS, RECIPE_FINGERPRINT, SOURCE, SOURCE_ETAG, THUMB_HASH,
        WIDTH, fingerprint, hops,
    },
    hex,
    outcome::{Failure, Reason, RenditionReport},
    store::{Condition, Location, Put, SourceVersion, Stat, Store, StoreError},
    trigger::{Rendition, Trigger},
};

/// A thumbnail to be written, and the object at its location now.
pub(crate) struct Target<'a> {
    pub(crate) rendition: &'a Rendition,
    pub(crate) fingerprint: String,
    pub(crate) at: Location,
    pub(crate) stat: Option<Stat>,
}

impl<'a> Target<'a> {
    /// One whose location was not looked at.
    pub(crate) fn unseen(
        trigger: &Trigger,
        rendition: &'a Rendition,
        source: &Location,
        format: Format,
    ) -> Result<Self, Failure> {
        let at = location(trigger, rendition, source, format)?;
        Ok(Self { rendition, fingerprint: fingerprint(&rendition.spec), at, stat: None })
    }

    /// What must hold of its location when it is written: that it is as it was seen.
    pub(crate) fn condition(&self) -> Condition {
        self.stat.as_ref().map_or(Condition::Absent, |stat| Condition::Matches(stat.etag.clone()))
    }

    pub(crate) fn is_current(&self, source: &Location, source_etag: &str) -> bool {
        let has = |name, value: &str| {
            self.stat.as_ref().and_then(|stat| stat.metadata.get(name)).is_some_and(|found| found == value)
        };
        has(RECIPE_FINGERPRINT, &self.fingerprint)
            && has(SOURCE_ETAG, source_etag)
            && has(SOURCE, &source_mark(source))
    }

    /// Whether it is current, also by the focal point in the source's metadata, which can change without its bytes.
    pub(crate) fn is_current_by(&self, source: &Location, stat: &Stat) -> bool {
        self.is_current_of(source, &stat.etag, &stat.metadata)
    }

    /// The same of a source's ETag and metadata.
    fn is_current_of(&self, source: &Location, etag: &str, metadata: &BTreeMap<String, String>) -> bool {
        let wanted = fingerprint::focal(&self.rendition.spec, metadata).map(|focal| focal.to_string());
        let found = self.stat.as_ref().and_then(|stat| stat.metadata.get(FOCAL));
        self.is_current(source, etag) && found == wanted.as_ref()
    }

    pub(crate) fn report(&self) -> Option<RenditionReport> {
        let stat = self.stat.as_ref()?;
        let side = |name| stat.metadata.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        Some(RenditionReport {
            at: self.at.clone(),
            width: side(WIDTH),
            height: side(HEIGHT),
            bytes: stat.size,
            etag: stat.etag.clone(),
            note: None,
        })
    }
}

/// Refuses a thumbnail whose name is taken by the thumbnail of another source that still exists.
pub(crate) async fn check_collision(
    store: &dyn Store,
    target: &Target<'_>,
    source: &Location,
) -> Result<(), Failure> {
    let mark = target.stat.as_ref().and_then(|stat| stat.metadata.get(SOURCE));
    let Some(mark) = mark.filter(|mark| **mark != source_mark(source)) else { return Ok(()) };
    let other = marked_source(mark);
    if let Some(other) = &other {
        match store.head(other).await {
            Ok(None) | Err(StoreError::NoSuchBucket(_)) => return Ok(()),
            Ok(Some(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let other = other.map_or_else(|| "another source".to_owned(), |other| other.to_string());
    Err(Failure::new(
        Reason::Collision,
        format!(
            "{} {} {other}, which would be overwritten; rename this one ({source}), or give the two triggers different \
             destinations or key templates",
            target.at,
            Reason::COLLISION_WORDS
        ),
    ))
}

/// The longest mark that names its source: with the other metadata it stays under S3's 2 KB.
const LONGEST_MARK: usize = 1500;

/// The source of a thumbnail for its metadata, in ASCII; a digest where that is too long.
fn source_mark(source: &Location) -> String {
    let named = format!("{}/{}", source.bucket, utf8_percent_encode(source.key.as_str(), NON_ALPHANUMERIC));
    if named.len() <= LONGEST_MARK {
        return named;
    }
    hex::encode(&Sha256::digest(named)[..16])
}

/// The source that a mark names; `None` if it holds only a digest.
fn marked_source(mark: &str) -> Option<Location> {
    let (bucket, key) = mark.split_once('/')?;
    let key = percent_decode_str(key).decode_utf8().ok()?;
    Some(Location { bucket: bucket.to_owned(), key: crate::store::ObjectKey::new(&key).ok()? })
}

/// The most likely format of an image by its key alone; a wrong guess costs one more round.
#[must_use]
pub fn format_by_name(key: &str) -> Format {
    let extension = key.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "png" => Format::Png,
        "webp" => Format::WebP,
        "gif" => Format::Gif,
        "bmp" => Format::Bmp,
        "tif" | "tiff" => Format::Tiff,
        "avif" | "avifs" => Format::Avif,
        "heic" | "heif" | "hif" => Format::Heic,
        "jxl" => Format::Jxl,
        "svg" | "svgz" => Format::Svg,
        _ => Format::Jpeg,
    }
}

pub(crate) fn location(
    trigger: &Trigger,
    rendition: &Rendition,
    source: &Location,
    format: Format,
) -> Result<Location, Failure> {
    let to = rendition.spec.resolve(format);
    let too_long = |bytes| {
        Failure::new(
            Reason::KeyTooLong,
            format!(
                "the thumbnail's key \"{}\" would have {bytes} bytes for {source}; S3 allows {}: use a shorter source key",
                rendition.key,
                crate::naming::MAX_KEY_BYTES
            ),
        )
    };
    let key = rendition
        .key
        .render(source.key.as_str(), rendition.spec.size, format, to)
        .map_err(|error| too_long(error.bytes))?;
    let key =
        crate::store::ObjectKey::new(&key).map_err(|message| Failure::new(Reason::KeyTooLong, message))?;
    Ok(Location { bucket: trigger.destination.clone(), key })
}

pub(crate) async fn target<'a>(
    store: &dyn Store,
    trigger: &Trigger,
    rendition: &'a Rendition,
    source: &Location,
    format: Format,
) -> Result<Target<'a>, Failure> {
    let mut target = Target::unseen(trigger, rendition, source, format)?;
    target.stat = store.head(&target.at).await?;
    Ok(target)
}

/// Every location that a source's thumbnail by this rendition may have: whether an extension is appended depends on the
/// source's format, which is unknown without its bytes. A name that would be too long was never written.
fn places(trigger: &Trigger, rendition: &Rendition, source: &Location) -> Vec<Location> {
    let mut places: Vec<Location> = Vec::new();
    let likely = format_by_name(source.key.as_str());
    for format in std::iter::once(likely).chain(Format::ALL) {
        if let Ok(place) = location(trigger, rendition, source, format)
            && !places.contains(&place)
        {
            places.push(place);
        }
    }
    places
}

/// The thumbnails of a source with this metadata, if every one that a trigger renders is stored, of this version, by the
/// current recipe and by its focal point; `head` looks an object up.
///
/// # Errors
/// Those of `head`.
pub fn current_thumbnails<E>(
    mut head: impl FnMut(&Location) -> Result<Option<Stat>, E>,
    trigger: &Trigger,
    source: &SourceVersion,
    metadata: &BTreeMap<String, String>,
) -> Result<Option<Vec<Location>>, E> {
    let mut current = Vec::new();
    for rendition in &trigger.renditions {
        let before = current.len();
        for at in places(trigger, rendition, &source.at) {
            let stat = head(&at)?;
            let target = Target { rendition, fingerprint: fingerprint(&rendition.spec), at, stat };
            if target.is_current_of(&source.at, &source.etag, metadata) {
                current.push(target.at);
                break;
            }
        }
        if current.len() == before {
            return Ok(None);
        }
    }
    Ok(Some(current))
}

/// Whether a trigger stores a thumbnail of `source` at this location.
#[must_use]
pub fn is_thumbnail_of(trigger: &Trigger, source: &Location, at: &Location) -> bool {
    trigger.destination == at.bucket
        && trigger.matches(&source.bucket, source.key.as_str())
        && trigger.renditions.iter().any(|rendition| places(trigger, rendition, source).contains(at))
}

/// Whether a trigger stores its first thumbnail of `source` at this location.
#[must_use]
pub fn is_first_thumbnail_of(trigger: &Trigger, source: &Location, at: &Location) -> bool {
    trigger.destination == at.bucket
        && trigger.created
        && trigger.matches(&source.bucket, source.key.as_str())
        && trigger.renditions.first().is_some_and(|first| places(trigger, first, source).contains(at))
}

/// The source that an object's metadata names, if the object is a thumbnail: `None` inside where it holds only a
/// digest of a very long name.
#[must_use]
pub fn source_of(metadata: &BTreeMap<String, String>) -> Option<Option<Location>> {
    metadata.contains_key(RECIPE_FINGERPRINT).then(|| marked_source(metadata.get(SOURCE)?))
}

/// Removes the thumbnails of a deleted source at every location they may have; only thumbnails of this program, and
/// only the versions seen.
pub(crate) async fn remove(store: &dyn Store, trigger: &Trigger, source: &Location) -> Result<(), Failure> {
    for rendition in &trigger.renditions {
        for place in places(trigger, rendition, source) {
            if let Some(stat) = store.head(&place).await?
                && stat.metadata.contains_key(RECIPE_FINGERPRINT)
                && stat.metadata.get(SOURCE) == Some(&source_mark(source))
            {
                store.delete(&place, Some(&stat.etag)).await?;
            }
        }
    }
    Ok(())
}

/// Whether a source is a thumbnail, or a copy of one that lost its metadata: copying thumbnails back under their names
/// would otherwise cause an endless loop.
pub(crate) async fn is_thumbnail(
    store: &dyn Store,
    trigger: &Trigger,
    source: &Location,
    stat: &Stat,
) -> Result<bool, StoreError> {
    if stat.metadata.contains_key(RECIPE_FINGERPRINT) || hops(&stat.metadata) >= MAX_HOPS {
        return Ok(true);
    }
    let may_be = |rendition: &Rendition| rendition.key.may_produce(source.key.as_str(), rendition.spec.size);
    let original = Location { bucket: trigger.destination.clone(), key: source.key.clone() };
    if original == *source || !trigger.renditions.iter().any(may_be) {
        return Ok(false);
    }
    let found = store.head(&original).await?;
    Ok(found.is_some_and(|found| found.etag == stat.etag && found.metadata.contains_key(RECIPE_FINGERPRINT)))
}

/// `hops`: those of the source. `focal`: its focal point, if the rendition depends on it.
pub(crate) fn put(
    target: &Target<'_>,
    thumbnail: Thumbnail,
    source: &SourceVersion,
    hops: u32,
    focal: Option<Focal>,
) -> Put {
    let mut metadata = BTreeMap::from([
        (HOPS.to_owned(), hops.saturating_add(1).to_string()),
        (SOURCE.to_owned(), source_mark(&source.at)),
        (SOURCE_ETAG.to_owned(), source.etag.clone()),
        (RECIPE_FINGERPRINT.to_owned(), target.fingerprint.clone()),
        (WIDTH.to_owned(), thumbnail.width.to_string()),
        (HEIGHT.to_owned(), thumbnail.height.to_string()),
        (THUMB_HASH.to_owned(), STANDARD.encode(&thumbnail.placeholder.thumb_hash)),
        (COLOUR.to_owned(), hex::encode(&thumbnail.placeholder.colour)),
    ]);
    metadata.extend(focal.map(|focal| (FOCAL.to_owned(), focal.to_string())));
    Put {
        at: target.at.clone(),
        condition: target.condition(),
        bytes: Bytes::from(thumbnail.bytes),
        content_type: thumbnail.format.media_type().to_owned(),
        metadata,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tintype_engine::{Fit, Spec};

    use super::*;

    #[test]
    fn a_thumbnail_of_another_focal_point_is_not_current() {
        let key = crate::store::ObjectKey::new("a.jpg").unwrap();
        let source =
            SourceVersion { at: Location { bucket: "source".into(), key }, etag: "version".to_owned() };
        let mut trigger = Trigger::default();
        trigger.renditions[0].spec =
            Spec { fit: Fit::Cover, size: "10x10".parse().unwrap(), ..Spec::default() };
        let metadata = |name: &str, focal: Option<&str>| -> BTreeMap<String, String> {
            focal.map(|focal| (name.to_owned(), focal.to_owned())).into_iter().collect()
        };
        let is_current = |rendered: Option<&str>, now: Option<&str>| {
            let mut thumbnail = metadata(FOCAL, rendered);
            thumbnail.extend([
                (RECIPE_FINGERPRINT.to_owned(), fingerprint(&trigger.renditions[0].spec)),
                (SOURCE_ETAG.to_owned(), source.etag.clone()),
                (SOURCE.to_owned(), source_mark(&source.at)),
            ]);
            let stat =
                Stat { etag: "t".into(), size: 1, content_type: None, metadata: thumbnail, modified_ms: 0 };
            let head = |_: &Location| Ok::<_, Infallible>(Some(stat.clone()));
            let of_source = metadata(fingerprint::SOURCE_FOCAL, now);
            current_thumbnails(head, &trigger, &source, &of_source).unwrap().is_some()
        };
        assert!(is_current(None, None) && is_current(Some("0.4,0.3"), Some("0.4,0.3")));
        assert!(!is_current(None, Some("0.4,0.3")) && !is_current(Some("0.4,0.3"), None));
        assert!(!is_current(Some("0.4,0.3"), Some("0.4,0.5")));
    }
}
