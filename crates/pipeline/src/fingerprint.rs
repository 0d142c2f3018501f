//! The recipe fingerprint: identifies the pixels that a rendition's settings produce.

use sha2::{Digest, Sha256};
use tintype_engine::{RECIPE, Spec};

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

/// Metadata of a thumbnail: how many renders led to it, counted from the first source. Separate from the recipe, so
/// that a tool which drops one of the two cannot cause an endless loop.
pub const HOPS: &str = "tintype-hops";
/// An object with this many hops is not rendered.
pub const MAX_HOPS: u32 = 4;

/// The hops of an object with this metadata.
pub(crate) fn hops(metadata: &std::collections::BTreeMap<String, String>) -> u32 {
    metadata.get(HOPS).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The fingerprint of a rendition's settings and [`RECIPE`], which is raised by hand when pixels change. The program's
/// version has no influence.
#[must_use]
pub fn fingerprint(spec: &Spec) -> String {
    let Spec { size, fit, enlarge, format, quality, gravity, background, filter, effort, scaling } = spec;
    let text = format!(
        "{RECIPE}|{size}|{fit}|{enlarge}|{format}|{quality}|{gravity}|{background}|{filter}|{effort}|{scaling}"
    );
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
}
