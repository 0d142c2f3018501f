//! What a rendition of the settings is: the fields that `[[trigger.rendition]]` and other sections share.

use tintype_engine::Spec;

use super::{Check, SettingsError, WatermarkSection};

/// The fields as written; sections declare them and hand them here.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "they are those of `Spec`")]
pub struct WrittenSpec {
    pub size: Option<String>,
    pub fit: Option<String>,
    pub enlarge: Option<bool>,
    pub format: Option<String>,
    pub quality: Option<u64>,
    pub gravity: Option<String>,
    pub background: Option<String>,
    pub filter: Option<String>,
    pub effort: Option<String>,
    pub scaling: Option<String>,
    pub sharpen: Option<u64>,
    pub metadata: Option<String>,
    pub watermark: Option<WatermarkSection>,
    pub animate: Option<bool>,
    pub avif: Option<bool>,
}

impl WrittenSpec {
    /// Validates the fields of a section, by its path in the settings.
    ///
    /// # Errors
    /// The first field that is unusable.
    pub fn validate(self, check: &Check, section: &str) -> Result<Spec, SettingsError> {
        let default = Spec::default();
        let at = |field: &str| format!("{section}.{field}");
        let quality = check.within(&at("quality"), self.quality.unwrap_or(80), 1, 100)?;
        let sharpen = check.within(&at("sharpen"), self.sharpen.unwrap_or(0), 0, 100)?;
        let spec = Spec {
            size: check.parse(&at("size"), self.size, default.size)?,
            fit: check.parse(&at("fit"), self.fit, default.fit)?,
            enlarge: self.enlarge.unwrap_or(default.enlarge),
            format: check.parse(&at("format"), self.format, default.format)?,
            quality: u8::try_from(quality).unwrap_or(default.quality),
            gravity: check.parse(&at("gravity"), self.gravity, default.gravity)?,
            background: check.parse(&at("background"), self.background, default.background)?,
            filter: check.parse(&at("filter"), self.filter, default.filter)?,
            effort: check.parse(&at("effort"), self.effort, default.effort)?,
            scaling: check.parse(&at("scaling"), self.scaling, default.scaling)?,
            sharpen: u8::try_from(sharpen).unwrap_or(default.sharpen),
            metadata: check.parse(&at("metadata"), self.metadata, default.metadata)?,
            watermark: match self.watermark {
                Some(watermark) => Some(watermark.validate(check, &at("watermark"))?),
                None => None,
            },
            animate: self.animate.unwrap_or(default.animate),
            avif: self.avif.unwrap_or(default.avif),
            focal: None,
        };
        spec.validate().or_else(|error| check.fail(section, error))?;
        Ok(spec)
    }
}
