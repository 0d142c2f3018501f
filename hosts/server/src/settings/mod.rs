//! The server's settings: its own sections, the API's and the pipeline's, each validated by its owner.

mod dead_letters;
mod listen;
mod logs;

use std::path::PathBuf;

pub use dead_letters::DeadLetters;
pub use listen::{Listen, Proxies, Tls};
pub use logs::Logs;
use serde::Deserialize;
use tintype_api::settings::{ApiSection, ApiSettings};
use tintype_engine::Limits;
use tintype_pipeline::{
    settings::{
        Foreign, Function, FunctionSection, LimitsSection, Schema, SettingsError, Sources, TriggerSection,
        triggers,
    },
    trigger::{Trigger, default_trigger},
};

/// The default data folder.
pub const DEFAULT_DATA: &str = "./tintype-data";

const FOREIGN: Foreign = Foreign {
    variables: &["TINTYPE_CONFIG", "TINTYPE_ACCESS_KEY_ID", "TINTYPE_SECRET_ACCESS_KEY", "TINTYPE_SERVER"],
    sections: &[],
};

/// The validated settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder.
    pub data: PathBuf,
    /// Whether the serving process enters a sandbox.
    pub sandbox: Sandbox,
    /// Where to listen.
    pub listen: Listen,
    /// The function's limits and retries.
    pub function: Function,
    /// Limits of one image.
    pub limits: Limits,
    /// The buckets to watch and the renditions to create.
    pub triggers: Vec<Trigger>,
    /// The retention of dead letters.
    pub dead_letters: DeadLetters,
    /// The HTTP API.
    pub api: ApiSettings,
    /// Logging.
    pub logs: Logs,
}

/// Whether the serving process enters a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// As far as the kernel supports it.
    Auto,
    /// No.
    Off,
    /// Completely, or the server does not start.
    Require,
}

/// The settings as written: all optional, only their types checked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSettings {
    data: Option<String>,
    sandbox: Option<String>,
    listen: listen::ListenSection,
    function: FunctionSection,
    limits: LimitsSection,
    trigger: Option<Vec<TriggerSection>>,
    dead_letters: dead_letters::DeadLettersSection,
    api: ApiSection,
    logs: logs::LogsSection,
}

impl Settings {
    /// The settings that there are.
    #[must_use]
    pub fn schema() -> Schema {
        Schema::of::<RawSettings>(FOREIGN)
    }

    /// Merges the sources (flags over environment over file over defaults) and validates the result.
    ///
    /// # Errors
    /// The first setting that is unknown, of the wrong type or invalid.
    pub fn load(sources: Sources) -> Result<Self, SettingsError> {
        let (raw, check) = sources.read::<RawSettings>(FOREIGN)?;
        let function = raw.function.validate(&check)?;
        Ok(Self {
            triggers: triggers(&check, raw.trigger)?,
            data: raw.data.unwrap_or_else(|| DEFAULT_DATA.into()).into(),
            sandbox: match raw.sandbox.as_deref() {
                None | Some("auto") => Sandbox::Auto,
                Some("off") => Sandbox::Off,
                Some("require") => Sandbox::Require,
                Some(other) => {
                    return check.fail("sandbox", format!("\"{other}\" is not auto, off or require"));
                }
            },
            listen: raw.listen.validate(&check)?,
            limits: raw.limits.validate(&check, &function)?,
            function,
            dead_letters: raw.dead_letters.validate(&check)?,
            api: raw.api.validate(&check)?,
            logs: raw.logs.validate(&check)?,
        })
    }

    /// The trigger whose bucket is meant where none is named.
    #[must_use]
    pub fn default_trigger(&self) -> Option<&Trigger> {
        default_trigger(&self.triggers)
    }

    /// Whether a request from this machine may need no credentials: once there are keys or proxies to name, somebody
    /// else is meant to call, and a proxy on this machine cannot be told from its users.
    #[must_use]
    pub fn trusts_loopback(&self) -> bool {
        self.listen.trust_loopback && self.listen.trusted_proxies.is_empty() && self.api.keys.is_empty()
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
    fn the_environment_overrides_the_file() {
        let settings = load(
            "[function]\ntimeout_s = 5",
            &[
                ("TINTYPE_FUNCTION__TIMEOUT_S", "20"),
                ("TINTYPE_DATA", "/tmp/x"),
                ("SOURCE_BUCKET", "in-bucket"),
                ("THUMBNAIL_SIZE", "300x200"),
            ],
        )
        .unwrap();
        assert_eq!(settings.function.timeout.as_secs(), 20);
        assert_eq!(settings.data.to_str(), Some("/tmp/x"));
        assert_eq!(settings.triggers[0].bucket, "in-bucket");
        assert_eq!(settings.triggers[0].renditions[0].spec.size.to_string(), "300x200");
    }

    #[test]
    fn an_unknown_setting_names_the_nearest() {
        let message = |file| load(file, &[]).unwrap_err().to_string();
        assert!(message("[function]\ntimeout = 5").contains("\"function.timeout_s\""));
        assert!(message("[functions]\ntimeout_s = 5").contains("\"function.timeout_s\""));
        assert!(message("[[trigger]]\nbuckets = \"a\"").contains("\"trigger.bucket\""));
        let error = load("", &[("TINTYPE_LISTEN__S4", "127.0.0.1:1")]).unwrap_err();
        assert_eq!(error.origin, "environment variable TINTYPE_LISTEN__S4");
        for (name, value) in
            [("TINTYPE_API__RATE", "0"), ("TINTYPE_FUNCTION__TIMEOUT_S", "soon"), ("THUMBNAIL_SIZE", "big")]
        {
            let error = load("", &[(name, value)]).unwrap_err();
            assert_eq!(error.origin, format!("environment variable {name}"), "{error}");
        }
        let error = load("", &[("TINTYPE_LISTEN__S4", "127.0.0.1:1")]).unwrap_err();
        assert!(error.message.contains("\"listen.s3\""), "{error}");
    }

    #[test]
    fn errors_of_invalid_values_say_what_to_write() {
        for (file, part) in [
            ("listen = 5", "listen: invalid type: integer `5`, expected struct Listen"),
            ("dead_letters = 5", "dead_letters: invalid type: integer `5`, expected struct DeadLetters"),
            ("logs = 5", "logs: invalid type: integer `5`, expected struct Logs"),
            ("sandbox = \"on\"", "sandbox: \"on\" is not auto, off or require"),
            ("[listen]\ns3 = \"nowhere\"", "listen.s3"),
            ("[listen]\ntrust_loopback = \"no\"", "listen.trust_loopback: invalid type"),
            (
                "[listen]\ntrusted_proxies = [\"proxy.example\"]",
                "listen.trusted_proxies: \"proxy.example\" is not an address",
            ),
            ("[listen]\ntrusted_proxies = \"10.0.0.1\"", "listen.trusted_proxies: invalid type"),
            ("[listen]\ntrusted_proxies = [\"unix\"]", "set listen.http_unix"),
            ("[listen]\nhttp_unix = \"/run/tintype/\"", "listen.http_unix: \"/run/tintype/\" is not a file"),
            ("[listen]\nhttp_unix = \"/a\"\ns3_unix = \"/a\"", "a socket of its own"),
        ] {
            let error = load(file, &[]).unwrap_err().to_string();
            assert!(error.contains(part), "{file}: {error}");
        }
    }

    #[test]
    fn loopback_is_trusted_until_keys_or_proxies_are_set() {
        let trusts = |file: &str| load(file, &[]).unwrap().trusts_loopback();
        assert!(trusts("") && trusts("[listen]\ntrust_loopback = true\nhttp_unix = \"/run/a.sock\""));
        let key = "[[api.key]]\nname = \"shop\"\nkey = \"0123456789abcdef0123\"\n";
        for file in [
            "[listen]\ntrust_loopback = false",
            "[listen]\ntrust_loopback = true\ntrusted_proxies = [\"127.0.0.1\"]",
            "[listen]\nhttp_unix = \"a.sock\"\ntrusted_proxies = [\"unix\"]",
            key,
            &format!("{key}[listen]\ntrust_loopback = true"),
        ] {
            assert!(!trusts(file), "{file}");
        }
        let long = format!("[listen]\ns3_unix = \"/{}\"", "a".repeat(103));
        assert!(load(&long, &[]).unwrap_err().to_string().contains("at most 103"));
        let from_env = load("", &[("TINTYPE_LISTEN__TRUST_LOOPBACK", "false")]).unwrap();
        assert!(!from_env.trusts_loopback());
        let proxies = load("", &[("TINTYPE_LISTEN__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]")]).unwrap();
        assert!(proxies.listen.trusted_proxies.contains([10, 1, 2, 3].into()));
    }

    #[test]
    fn the_error_of_invalid_toml_names_the_line() {
        let error = load("data = \n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
