//! The recipe fingerprint: which pixels a rendition's settings stand for.

use sha2::{Digest, Sha256};
use tintype_engine::{RECIPE, Spec};

/// Metadata of a thumbnail: the source's ETag it was made from.
pub const SOURCE_ETAG: &str = "tintype-source-etag";
/// Metadata of a thumbnail: the fingerprint of its recipe. Marks the object as a thumbnail.
pub const RECIPE_FINGERPRINT: &str = "tintype-recipe";
/// Metadata of a thumbnail: its source's bucket and percent-encoded key (or a digest of a very long one), so
/// that two sources whose thumbnails would have one name are noticed.
pub const SOURCE: &str = "tintype-source";
/// Metadata of a thumbnail: its width in pixels.
pub const WIDTH: &str = "tintype-width";
/// Metadata of a thumbnail: its height in pixels.
pub const HEIGHT: &str = "tintype-height";
/// Metadata of a thumbnail: its ThumbHash in base64, to be shown before it has come.
pub const THUMB_HASH: &str = "tintype-thumbhash";
/// Metadata of a thumbnail: its dominant colour as six hexadecimal digits.
pub const COLOUR: &str = "tintype-colour";

/// Metadata of a thumbnail: how many times over it was made of one. Kept apart from the mark itself, so that a
/// tool which drops the one and keeps the other cannot make a loop without end.
pub const HOPS: &str = "tintype-hops";
/// An object with this many hops is made into nothing more.
pub const MAX_HOPS: u32 = 4;

/// How many times over an object with this metadata was made of a thumbnail.
pub(crate) fn hops(metadata: &std::collections::BTreeMap<String, String>) -> u32 {
    metadata.get(HOPS).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Settings that make other pixels have another fingerprint; the program's version plays no part, only
/// [`RECIPE`] does, which is raised by hand when pixels change.
#[must_use]
pub fn fingerprint(spec: &Spec) -> String {
    let Spec { size, fit, enlarge, format, quality, gravity, background, filter, effort } = spec;
    let text = format!(
        "{RECIPE}|{size}|{fit}|{enlarge}|{format}|{quality}|{gravity}|{background}|{filter}|{effort}"
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
