//! The section `watermark` of a rendition: an image that is blended over its thumbnails.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use tintype_engine::Watermark;

use super::{Check, SettingsError};

/// A watermark as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "struct Watermark")]
pub struct WatermarkSection {
    /// A file, or a data URL.
    image: Option<String>,
    position: Option<String>,
    opacity: Option<u64>,
    scale: Option<u64>,
}

/// What an image in the settings itself begins with.
const DATA_URL: &str = "data:image/png;base64,";

impl WatermarkSection {
    /// Of a file, with what else is written on a command line.
    #[must_use]
    pub fn of(image: String, position: Option<String>, opacity: Option<u64>, scale: Option<u64>) -> Self {
        Self { image: Some(image), position, opacity, scale }
    }

    /// Reads the image, and validates the fields of a section by its path in the settings.
    ///
    /// # Errors
    /// The first field that is unusable.
    pub fn validate(self, check: &Check, section: &str) -> Result<Watermark, SettingsError> {
        let at = |field: &str| format!("{section}.{field}");
        let Some(image) = self.image else {
            return check.fail(&at("image"), "a watermark needs an image: the path of a PNG file");
        };
        let png = match image.strip_prefix(DATA_URL) {
            Some(text) => STANDARD.decode(text).or_else(|error| check.fail(&at("image"), error))?,
            None => read(&image).or_else(|error| check.fail(&at("image"), format!("{image}: {error}")))?,
        };
        let mut watermark = Watermark::new(&png).or_else(|error| check.fail(&at("image"), error))?;
        watermark.position = check.parse(&at("position"), self.position, watermark.position)?;
        let percent = |field: &str, written: Option<u64>, default: u8| -> Result<u8, SettingsError> {
            let value = check.within(&at(field), written.unwrap_or(default.into()), 1, 100)?;
            Ok(u8::try_from(value).unwrap_or(default))
        };
        watermark.opacity = percent("opacity", self.opacity, watermark.opacity)?;
        watermark.scale = percent("scale", self.scale, watermark.scale)?;
        Ok(watermark)
    }
}

/// The bytes of a regular file, up to one more than a watermark may have.
fn read(path: &str) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(Watermark::MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
