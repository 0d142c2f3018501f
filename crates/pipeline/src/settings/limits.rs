//! The section `limits`: bounds on one image.

use serde::Deserialize;
use tintype_engine::Limits;

use super::{Amount, Check, Function, SettingsError};

/// The unit of `limits.work`.
const MEGASAMPLE: u64 = 1_000_000;

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "struct Limits")]
pub struct LimitsSection {
    source_bytes: Option<Amount>,
    pixels: Option<u64>,
    frames: Option<u32>,
    work: Option<u64>,
    tolerant: Option<bool>,
    tolerant_share: Option<f64>,
}

impl LimitsSection {
    /// Validates the section; defaults shrink to the memory that `function` has.
    ///
    /// # Errors
    /// The first setting that is unusable.
    pub fn validate(self, check: &Check, function: &Function) -> Result<Limits, SettingsError> {
        let mut default = Limits::default();
        let for_sources = match function.total_memory_mb {
            0 => u64::MAX,
            total => total << 18,
        };
        default.source_bytes = default.source_bytes.min(for_sources);
        let source_bytes = check.bytes("limits.source_bytes", self.source_bytes, default.source_bytes)?;
        if source_bytes > for_sources {
            return check.fail(
            "limits.source_bytes",
            format!(
                "a quarter of function.total_memory_mb, {}, is for sources: write at most {for_sources} bytes here, \
                 or at least {} there",
                function.total_memory_mb,
                source_bytes.div_ceil(1 << 18)
            ),
        );
        }
        Ok(Limits {
            source_bytes,
            pixels: check.within("limits.pixels", self.pixels.unwrap_or(default.pixels), 1, 1 << 40)?,
            frames: check.within("limits.frames", self.frames.unwrap_or(default.frames), 1, u32::MAX)?,
            work: MEGASAMPLE
                * check.within("limits.work", self.work.unwrap_or(default.work / MEGASAMPLE), 1, 1 << 40)?,
            memory_bytes: function.memory_mb << 20,
            tolerant: self.tolerant.unwrap_or(default.tolerant),
            tolerant_share: check.within(
                "limits.tolerant_share",
                self.tolerant_share.unwrap_or(default.tolerant_share),
                0.0,
                1.0,
            )?,
        })
    }
}
