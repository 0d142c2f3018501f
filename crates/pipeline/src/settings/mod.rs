//! Settings in two layers: sections as written (file, environment, flags; all optional) are validated into typed
//! values. This module holds the mechanism and the pipeline's own sections; other sections belong to their owners. A
//! host combines them in a struct, whose [`Schema`] says which settings there are and which [`Sources::read`] fills. All
//! hosts read the same document.

mod check;
mod declared;
mod function;
mod limits;
mod merge;
mod schema;
mod spec;
mod trigger;
mod watermark;

pub use check::{Amount, Check, WrittenSetting, parse_bytes};
pub use function::{Function, FunctionSection};
pub use limits::LimitsSection;
pub use merge::{Override, Sources};
pub use schema::{Foreign, Schema};
use serde::de::DeserializeOwned;
pub use spec::WrittenSpec;
pub use trigger::{TriggerSection, triggers};
pub use watermark::WatermarkSection;

/// An unusable setting: what is wrong, where it was written, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {message}")]
pub struct SettingsError {
    /// The file, environment variable or flag at fault.
    pub origin: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl SettingsError {
    fn new(origin: impl Into<String>, message: impl Into<String>) -> Self {
        Self { origin: origin.into(), message: message.into() }
    }
}

impl Sources {
    /// Merges the sources (flags over environment over file over defaults) and reads the sections of `T`, which are then
    /// validated with the [`Check`].
    ///
    /// # Errors
    /// The first setting that is unknown or of the wrong kind.
    pub fn read<T: DeserializeOwned>(self, foreign: Foreign) -> Result<(T, Check), SettingsError> {
        let schema = Schema::of::<T>(foreign);
        let (document, origins) = self.merged(&schema)?;
        schema.check(&document, &origins)?;
        let settings = merge::written(&document, &origins);
        let written = serde_path_to_error::deserialize(document).map_err(|error| {
            // Elements of lists share their list's name.
            let path: Vec<String> = error.path().to_string().split('.').map(without_index).collect();
            let path = path.join(".");
            SettingsError::new(origins.of(&path), format!("{path}: {}", error.inner().message()))
        })?;
        Ok((written, Check { origins, written: settings }))
    }
}

/// A part of serde's path without its index: `trigger[0]` is `trigger`.
fn without_index(part: &str) -> String {
    part.split('[').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde::Deserialize;
    use tintype_engine::Limits;

    use super::*;
    use crate::trigger::Trigger;

    const FOREIGN: Foreign = Foreign { variables: &["TINTYPE_CONFIG"], sections: &["shelf", "lamp"] };

    /// The settings of a host without sections of its own.
    #[derive(Debug)]
    pub(crate) struct Settings {
        pub(crate) function: Function,
        pub(crate) limits: Limits,
        triggers: Vec<Trigger>,
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Written {
        function: FunctionSection,
        limits: LimitsSection,
        trigger: Option<Vec<TriggerSection>>,
    }

    pub(crate) fn load(file: &str, env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let sources = Sources { file: Some(("tintype.toml".into(), file.into())), env, flags: vec![] };
        let (written, check) = sources.read::<Written>(FOREIGN)?;
        let function = written.function.validate(&check)?;
        Ok(Settings {
            triggers: triggers(&check, written.trigger)?,
            limits: written.limits.validate(&check, &function)?,
            function,
        })
    }

    #[test]
    fn defaults_are_the_reference_system() {
        let settings = load("", &[]).unwrap();
        let trigger = &settings.triggers[0];
        assert_eq!(trigger.bucket, "input-product-images");
        assert_eq!(trigger.destination, "output-product-thumbnail");
        assert_eq!(trigger.renditions[0].key.to_string(), "thumb_{key}");
        assert_eq!(settings.limits.source_bytes, 100 << 20);
        assert_eq!(settings.function.max_event_age.as_secs(), 6 * 3600);
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let settings = load(
            "[function]\ntimeout_s = 5",
            &[
                ("TINTYPE_FUNCTION__TIMEOUT_S", "20"),
                ("TINTYPE_CONFIG", "no setting"),
                ("SOURCE_BUCKET", "in-bucket"),
                ("THUMBNAIL_SIZE", "300x200"),
            ],
        )
        .unwrap();
        assert_eq!(settings.function.timeout.as_secs(), 20);
        assert_eq!(settings.triggers[0].bucket, "in-bucket");
        assert_eq!(settings.triggers[0].renditions[0].spec.size.to_string(), "300x200");
    }

    #[test]
    fn an_unknown_setting_names_the_nearest() {
        let message = |file| load(file, &[]).unwrap_err().to_string();
        assert!(message("[function]\ntimeout = 5").contains("\"function.timeout_s\""));
        assert!(message("[functions]\ntimeout_s = 5").contains("\"function.timeout_s\""));
        assert!(message("[[trigger]]\nbuckets = \"a\"").contains("\"trigger.bucket\""));
        for (name, value) in [("TINTYPE_FUNCTION__TIMEOUT_S", "soon"), ("THUMBNAIL_SIZE", "big")] {
            let error = load("", &[(name, value)]).unwrap_err();
            assert_eq!(error.origin, format!("environment variable {name}"), "{error}");
        }
        let error = load("", &[("TINTYPE_LIMITS__PIXEL", "1")]).unwrap_err();
        assert_eq!(error.origin, "environment variable TINTYPE_LIMITS__PIXEL");
        assert!(error.message.contains("\"limits.pixels\""), "{error}");
    }

    #[test]
    fn sections_of_other_programs_are_ignored() {
        let file = "shelf = 5\n[lamp]\nlumens = [1]\n[function]\nretries = 1";
        let settings = load(file, &[("TINTYPE_LAMP__LUMENS", "no"), ("TINTYPE_SHELF", "5")]).unwrap();
        assert_eq!(settings.function.retries, 1);
        let error = load("[lamps]\nlumens = 1", &[]).unwrap_err().to_string();
        assert!(error.contains("\"lamps.lumens\"; did you mean \"lamp\""), "{error}");
        let error = load("", &[("TINTYPE_LAMPS", "1")]).unwrap_err().to_string();
        assert!(error.contains("unknown setting \"lamps\""), "{error}");
    }

    #[test]
    fn unusable_values_are_errors_with_advice() {
        for (file, part) in [
            ("function = 5", "function: invalid type: integer `5`, expected struct Function"),
            ("limits = \"none\"", "limits: invalid type: string \"none\", expected struct Limits"),
            ("trigger = [5]", "trigger: invalid type: integer `5`, expected struct Trigger"),
            ("[limits]\nsource_bytes = \"100 potatoes\"", "limits.source_bytes"),
            ("[function]\nretries = 3", "0 to 2"),
            ("[function]\nretries = \"many\"", "function.retries: invalid type"),
            ("[function]\nmax_event_age = \"7h\"", "60s to 6h"),
            ("[[trigger]]\n[[trigger.rendition]]\nsize = \"big\"", "not a box"),
            ("[[trigger]]\n[[trigger.rendition]]\nkey = \"thumb\"", "{key}"),
            ("[[trigger]]\n[[trigger.rendition]]\nquality = 0", "1 to 100"),
            ("[[trigger]]\nbucket = \"UPPER\"", "bucket name"),
            ("[[trigger]]\n[[trigger.rendition]]\nsharpen = 101", "0 to 100"),
            ("[[trigger]]\n[[trigger.rendition]]\nmetadata = \"all\"", "none, copyright"),
            ("[[trigger]]\n[[trigger.rendition]]\ndensities = []", "at least one"),
            ("[[trigger]]\n[[trigger.rendition]]\ndensities = [1, 5]", "1 to 4"),
            ("[[trigger]]\n[[trigger.rendition]]\ndensities = [2, 2]", "twice"),
            ("[[trigger]]\n[[trigger.rendition]]\nanimate = true\nformat = \"jpeg\"", "animate = false"),
            (
                "[[trigger]]\n[[trigger.rendition]]\nwatermark = { opacity = 5 }",
                "trigger.rendition.watermark.image",
            ),
            ("[[trigger]]\n[[trigger.rendition]]\nwatermark = { image = \"no/such.png\" }", "no/such.png"),
            (
                "[[trigger]]\n[[trigger.rendition]]\nwatermark = { image = \"data:image/png;base64,AAAA\" }",
                "watermark.image",
            ),
            ("[function]\nmemory_mb = 512\ntotal_memory_mb = 100", "total_memory_mb"),
            ("[function]\nmemory_mb = 512\ntotal_memory_mb = 680", "write at least 683"),
            (
                "[function]\ntotal_memory_mb = 256\n[limits]\nsource_bytes = \"65 MiB\"",
                "or at least 260 there",
            ),
        ] {
            let error = load(file, &[]).unwrap_err().to_string();
            assert!(error.contains(part), "{file}: {error}");
        }
    }

    #[test]
    fn densities_are_renditions_of_their_own() {
        let file = "[[trigger]]\n[[trigger.rendition]]\nsize = \"x100\"\ndensities = [1, 2, 3]\nsharpen = 20\nmetadata = \"copyright\"";
        let renditions = &load(file, &[]).unwrap().triggers[0].renditions;
        let written: Vec<_> =
            renditions.iter().map(|one| (one.key.to_string(), one.spec.size.to_string())).collect();
        let pair = |key: &str, size: &str| (key.to_owned(), size.to_owned());
        assert_eq!(
            written,
            [pair("thumb_{key}", "x100"), pair("thumb_{key}@2x", "x200"), pair("thumb_{key}@3x", "x300")]
        );
        assert!(renditions.iter().all(|one| one.spec.sharpen == 20));
        let too_large = "[[trigger]]\n[[trigger.rendition]]\nsize = \"40000\"\ndensities = [1, 2]";
        assert!(load(too_large, &[]).unwrap_err().to_string().contains("65500"));
    }

    #[test]
    fn defaults_fit_the_available_memory() {
        let settings = load("[function]\ntotal_memory_mb = 256", &[]).unwrap();
        assert_eq!(settings.function.memory_mb, 192);
        assert_eq!((settings.limits.memory_bytes, settings.limits.source_bytes), (192 << 20, 64 << 20));
        let settings = load("[function]\ntotal_memory_mb = 4096", &[]).unwrap();
        assert_eq!((settings.limits.memory_bytes, settings.limits.source_bytes), (512 << 20, 100 << 20));
    }

    #[test]
    fn a_file_that_is_not_toml_is_an_error_with_its_line() {
        let error = load("function = \n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }

    #[test]
    fn settings_are_what_the_sections_declare() {
        let schema = Schema::of::<Written>(FOREIGN);
        let keys: Vec<_> = schema.keys().collect();
        for key in
            ["function.retry_delays", "limits.source_bytes", "trigger.suffixes", "trigger.rendition.size"]
        {
            assert!(keys.contains(&key), "{key} is not in {keys:?}");
        }
        assert!(schema.is_list("trigger") && schema.is_list("trigger.rendition"));
        assert!(!schema.is_list("function") && !schema.is_list("trigger.suffixes"));
    }
}
