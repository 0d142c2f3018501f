//! The recipe fingerprint: identifies the pixels that a rendition's settings produce.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use tintype_engine::{Fit, Focal, Metadata, RECIPE, Spec};

/// Metadata of a thumbnail: the ETag of the source version it was rendered from.
pub const SOURCE_ETAG: &str = "tintype-source-etag";
/// Metadata of a thumbnail: the fingerprint of its recipe. Marks the object as a thumbnail.
pub const RECIPE_FINGERPRINT: &str = "tintype-recipe";
/// Metadata of a thumbnail: its source's bucket and percent-encoded key (or a digest of a very long one), so that
/// collisions of thumbnail names are detected.
pub const SOURCE: &str = "tintype-source";
/// Metadata of a thumbnail: its width in pixels.
pub const WIDTH: &str = "tintype-width";
/// Metadata of a thumbnail: its height in pixels.
pub const HEIGHT: &str = "tintype-height";
/// Metadata of a thumbnail: its ThumbHash in base64, a placeholder while it loads.
pub const THUMB_HASH: &str = "tintype-thumbhash";
/// Metadata of a thumbnail: its dominant colour as six hexadecimal digits.
pub const COLOUR: &str = "tintype-colour";

/// Metadata of a thumbnail: the focal point of its source that it was cropped by.
pub const FOCAL: &str = "tintype-focal";
/// Metadata of a source: its focal point, such as `0.4,0.3`; as a header `x-amz-meta-focal`.
pub const SOURCE_FOCAL: &str = "focal";

/// The focal point in a source's metadata, if the rendition depends on it. One that cannot be read counts as none.
#[must_use]
pub fn focal(spec: &Spec, metadata: &BTreeMap<String, String>) -> Option<Focal> {
    let is_cropped = spec.fit == Fit::Cover && spec.size.width.is_some() && spec.size.height.is_some();
    metadata.get(SOURCE_FOCAL).filter(|_| is_cropped).and_then(|text| text.parse().ok())
}

/// Metadata of a thumbnail: how many renders led to it, counted from the first source. Separate from the recipe, so
/// that a tool which drops one of the two cannot cause an endless loop.
pub const HOPS: &str = "tintype-hops";
/// An object with this many hops is not rendered.
pub const MAX_HOPS: u32 = 4;

/// The hops of an object with this metadata.
pub(crate) fn hops(metadata: &BTreeMap<String, String>) -> u32 {
    metadata.get(HOPS).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The fingerprint of a rendition's settings and [`RECIPE`], which is raised by hand when pixels change. The program's
/// version has no influence.
#[must_use]
pub fn fingerprint(spec: &Spec) -> String {
    let Spec { size, fit, enlarge, format, quality, gravity, background, filter, effort, scaling, .. } = spec;
    let mut text = format!(
        "{RECIPE}|{size}|{fit}|{enlarge}|{format}|{quality}|{gravity}|{background}|{filter}|{effort}|{scaling}"
    );
    // What is left at its default adds nothing: a fingerprint from before it existed stays valid.
    let Spec { sharpen, metadata, watermark, animate, avif, focal, .. } = spec;
    let watermark = watermark
        .as_ref()
        .map(|mark| format!("{:016x} {} {} {}", mark.digest(), mark.position, mark.opacity, mark.scale));
    let written = [
        ("sharpen", (*sharpen > 0).then(|| sharpen.to_string())),
        ("metadata", (*metadata != Metadata::None).then(|| metadata.to_string())),
        ("watermark", watermark),
        ("animate", animate.then(|| animate.to_string())),
        ("avif", avif.then(|| avif.to_string())),
        ("focal", focal.map(|focal| focal.to_string())),
    ];
    for (name, value) in written {
        if let Some(value) = value {
            text = format!("{text}|{name}={value}");
        }
    }
    crate::hex::encode(&Sha256::digest(text)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_counts() {
        let base = Spec::default();
        let mut seen = vec![fingerprint(&base)];
        let changes = [
            |spec: &mut Spec| spec.size = "129x128".parse().unwrap(),
            |spec: &mut Spec| spec.fit = tintype_engine::Fit::Cover,
            |spec: &mut Spec| spec.enlarge = true,
            |spec: &mut Spec| spec.format = tintype_engine::OutputFormat::Png,
            |spec: &mut Spec| spec.quality = 81,
            |spec: &mut Spec| spec.gravity = tintype_engine::Gravity::North,
            |spec: &mut Spec| spec.background = "000000".parse().unwrap(),
            |spec: &mut Spec| spec.filter = tintype_engine::Filter::Mitchell,
            |spec: &mut Spec| spec.effort = tintype_engine::Effort::Fast,
            |spec: &mut Spec| spec.scaling = tintype_engine::Scaling::Fast,
            |spec: &mut Spec| spec.sharpen = 1,
            |spec: &mut Spec| spec.metadata = Metadata::Copyright,
            |spec: &mut Spec| spec.animate = true,
            |spec: &mut Spec| spec.avif = true,
            |spec: &mut Spec| spec.focal = Some("0.5,0.5".parse().unwrap()),
        ];
        for change in changes {
            let mut spec = base.clone();
            change(&mut spec);
            seen.push(fingerprint(&spec));
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 1 + changes.len());
    }

    /// Stored thumbnails would all become stale.
    #[test]
    fn fingerprints_from_before_the_newer_fields_stay_valid() {
        let spec = Spec::default();
        let text = format!("{RECIPE}|128x128|inside|false|same|80|center|ffffffff|lanczos3|balanced|sharp");
        assert_eq!(fingerprint(&spec), crate::hex::encode(&Sha256::digest(text)[..8]));
    }

    #[test]
    fn a_focal_point_counts_where_a_part_is_cut_out() {
        let of = |fit, text: &str| {
            let metadata = BTreeMap::from([(SOURCE_FOCAL.to_owned(), text.to_owned())]);
            focal(&Spec { fit, ..Spec::default() }, &metadata).map(|focal| focal.to_string())
        };
        assert_eq!(of(Fit::Cover, "0.4,0.3").as_deref(), Some("0.4,0.3"));
        assert_eq!(of(Fit::Cover, "left"), None);
        assert_eq!(of(Fit::Inside, "0.4,0.3"), None);
        assert_eq!(focal(&Spec { fit: Fit::Cover, ..Spec::default() }, &BTreeMap::new()), None);
    }
}
