//! The settings of the function on Lambda: the pipeline's and the API's. One file may serve every host, so the sections
//! of other hosts are ignored.

use std::sync::Arc;

use serde::Deserialize;
use tintype_api::settings::{ApiSection, ApiSettings, PresetSection};
use tintype_engine::Limits;
use tintype_pipeline::{
    settings::{
        Foreign, Function, FunctionSection, LimitsSection, SettingsError, Sources, TriggerSection, triggers,
    },
    trigger::{Trigger, default_trigger},
};

const FOREIGN: Foreign = Foreign {
    // Those of other hosts, too: an environment may be shared as well as a file.
    variables: &["TINTYPE_CONFIG", "TINTYPE_ACCESS_KEY_ID", "TINTYPE_SECRET_ACCESS_KEY", "TINTYPE_SERVER"],
    sections: &[
        "data",
        "sandbox",
        "listen",
        "dead_letters",
        "storage",
        "notify",
        "access",
        "logs",
        "store",
        "worker",
        "alt_text",
    ],
};

/// The settings of the function.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The function's bounds.
    pub function: Function,
    /// Bounds on one image.
    pub limits: Limits,
    /// What to make of what.
    pub triggers: Arc<Vec<Trigger>>,
    /// The HTTP API.
    pub api: ApiSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    function: FunctionSection,
    limits: LimitsSection,
    trigger: Option<Vec<TriggerSection>>,
    api: ApiSection,
    preset: Vec<PresetSection>,
}

impl Settings {
    /// Merges the sources (environment over file over defaults) and validates the result.
    ///
    /// # Errors
    /// The first setting that is unknown, of the wrong kind or unusable.
    pub fn load(sources: Sources) -> Result<Self, SettingsError> {
        let (written, check) = sources.read::<Written>(FOREIGN)?;
        let function = written.function.validate(&check)?;
        Ok(Self {
            triggers: Arc::new(triggers(&check, written.trigger)?),
            limits: written.limits.validate(&check, &function)?,
            function,
            api: written.api.validate(&check, written.preset)?,
        })
    }

    /// The trigger whose bucket is meant where none is named.
    #[must_use]
    pub fn default_trigger(&self) -> Option<&Trigger> {
        default_trigger(&self.triggers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::load(Sources { file: Some(("tintype.toml".into(), file.into())), env, flags: vec![] })
    }

    #[test]
    fn sections_of_other_hosts_are_ignored() {
        let file = "data = 5\nsandbox = \"?\"\n[listen]\ns4 = 1\n[dead_letters]\n[storage]\n[[access]]\nname = \"camera\"\n[logs]\n[store]\nregion = \"eu\"\n\
                    [worker]\nsource = \"poll\"\n[[notify]]\nbucket = \"in\"\n[function]\nname = \"F\"\n\
                    [api]\nstage = \"s\"";
        let env = [
            ("TINTYPE_DATA", "/data"),
            ("TINTYPE_LISTEN__S3", "nowhere"),
            ("TINTYPE_WORKER__STREAM", "tintype"),
            ("TINTYPE_SERVER", "http://127.0.0.1"),
            ("TINTYPE_API__RESOURCE", "r"),
        ];
        let settings = load(file, &env).unwrap();
        assert_eq!((settings.function.name.as_str(), settings.api.stage.as_str()), ("F", "s"));
        assert_eq!(settings.api.resource, "r");
    }

    #[test]
    fn unknown_settings_name_the_nearest() {
        for (file, part) in [
            ("[api]\nstages = \"s\"", "unknown setting \"api.stages\"; did you mean \"api.stage\"?"),
            ("[functions]\ntimeout_s = 5", "did you mean \"function.timeout_s\"?"),
        ] {
            let error = load(file, &[]).unwrap_err().to_string();
            assert!(error.starts_with("tintype.toml: ") && error.contains(part), "{error}");
        }
        let error = load("", &[("TINTYPE_API__STAGES", "s")]).unwrap_err();
        assert_eq!(error.origin, "environment variable TINTYPE_API__STAGES");
        let error = load("", &[("TINTYPE_API__RATE", "0")]).unwrap_err();
        assert_eq!(error.origin, "environment variable TINTYPE_API__RATE");
    }
}
