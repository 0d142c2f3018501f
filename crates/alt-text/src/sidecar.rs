//! The document beside a thumbnail, `{thumbnail key}.json`: the description, and how it came about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tintype_pipeline::{
    clock::rfc3339,
    hex,
    store::{Location, ObjectKey},
};

use crate::{describer::Description, prompt::recipe, provider::Tokens, settings::AltTextSettings};

/// Metadata of a sidecar that this program wrote: what it was described from and by. A sidecar without it is somebody
/// else's, and never overwritten.
pub const FINGERPRINT: &str = "tintype-alt-text";
/// The value of [`FINGERPRINT`] of a text that a person wrote.
pub const EDITED: &str = "edited";
/// Its media type.
pub const CONTENT_TYPE: &str = "application/json";
/// The longest sidecar that is read, in bytes.
pub const LONGEST: u64 = 256 << 10;

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecar {
    /// Its layout.
    #[serde(default = "first_version")]
    pub version: u32,
    /// The image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The descriptions, by language.
    pub alt: BTreeMap<String, String>,
    /// Whether a person wrote them: they are never overwritten then.
    #[serde(default)]
    pub edited: bool,
    /// `openai` or `bedrock`; none: a person wrote them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Identifies model and prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// What it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<u64>,
    /// When it was written, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
}

const fn first_version() -> u32 {
    1
}

/// The image that a sidecar describes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// The ETag of the version.
    pub etag: String,
}

impl Sidecar {
    /// Of a model's description.
    #[must_use]
    pub fn described(
        settings: &AltTextSettings,
        provider: &str,
        source: Source,
        description: Description,
        milliseconds: u64,
        now_ms: i64,
    ) -> Self {
        Self {
            version: 1,
            source: Some(source),
            alt: description.alt,
            edited: false,
            provider: Some(provider.to_owned()),
            model: Some(settings.model.clone()),
            recipe: Some(recipe(settings)),
            tokens: Some(description.tokens),
            milliseconds: Some(milliseconds),
            written: Some(rfc3339(now_ms)),
        }
    }

    /// Of texts that a person wrote; `before`: what was there.
    #[must_use]
    pub fn edited(before: Option<Self>, source: Source, alt: BTreeMap<String, String>, now_ms: i64) -> Self {
        let before = before.unwrap_or(Self {
            version: 1,
            source: None,
            alt: BTreeMap::new(),
            edited: true,
            provider: None,
            model: None,
            recipe: None,
            tokens: None,
            milliseconds: None,
            written: None,
        });
        Self { source: Some(source), alt, edited: true, written: Some(rfc3339(now_ms)), ..before }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// It is none.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("it is no sidecar of alt text: {error}"))
    }

    /// The document as it is stored.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Maps of texts and numbers always serialize.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }
}

/// Where the sidecar of a thumbnail is; `None`: its key would be too long.
#[must_use]
pub fn sidecar_of(thumbnail: &Location) -> Option<Location> {
    let key = ObjectKey::new(&format!("{}.json", thumbnail.key)).ok()?;
    Some(Location { bucket: thumbnail.bucket.clone(), key })
}

/// Identifies what a description is of and by: the version of the source, the model, the prompt.
#[must_use]
pub fn fingerprint(settings: &AltTextSettings, source_etag: &str) -> String {
    let text = format!("{}\0{source_etag}", recipe(settings));
    hex::encode(&Sha256::digest(text)[..16])
}
