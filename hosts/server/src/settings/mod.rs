//! The server's settings: its own sections, the API's and the pipeline's, each validated by its owner.

mod access;
mod dead_letters;
mod listen;
mod logs;
mod notify;
mod storage;

use std::path::PathBuf;

pub use access::AccessKey;
pub use dead_letters::DeadLetters;
pub use listen::{Listen, Proxies, Tls, socket_address};
pub use logs::Logs;
pub use notify::{Notify, NotifyEvents, NotifyTarget, Webhook};
use serde::Deserialize;
pub use storage::Storage;
use tintype_alt_text::{AltTextSection, AltTextSettings};
use tintype_api::{
    Public,
    settings::{ApiSection, ApiSettings, PresetSection},
};
use tintype_engine::Limits;
use tintype_pipeline::{
    settings::{
        Foreign, Function, FunctionSection, LimitsSection, Schema, SettingsError, Sources, TriggerSection,
        WrittenSetting, triggers,
    },
    trigger::{Trigger, default_trigger},
};
use tintype_worker::{StoreSection, StoreSettings, WorkerSection, WorkerSettings};

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
    /// What holds of every bucket.
    pub storage: Storage,
    /// Which bucket events are sent where.
    pub notify: Vec<Notify>,
    /// Which model describes images; none: nothing does.
    pub alt_text: Option<AltTextSettings>,
    /// Access keys.
    pub access: Vec<AccessKey>,
    /// The HTTP API.
    pub api: ApiSettings,
    /// Logging.
    pub logs: Logs,
    /// Those that are not left at their defaults, with their origin.
    pub written: Vec<WrittenSetting>,
    /// The store of `tintype worker`.
    pub store: StoreSettings,
    /// Where `tintype worker` has its events from.
    pub worker: WorkerSettings,
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
    storage: storage::StorageSection,
    notify: Vec<notify::NotifySection>,
    alt_text: AltTextSection,
    access: Vec<access::AccessSection>,
    api: ApiSection,
    preset: Vec<PresetSection>,
    logs: logs::LogsSection,
    store: StoreSection,
    worker: WorkerSection,
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
        let triggers = triggers(&check, raw.trigger)?;
        let default_bucket = default_trigger(&triggers).map(|trigger| trigger.bucket.as_str());
        Ok(Self {
            notify: notify::sections(&check, raw.notify, default_bucket)?,
            triggers,
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
            storage: raw.storage.validate(),
            alt_text: raw.alt_text.validate(&check)?,
            access: access::keys(&check, raw.access)?,
            api: raw.api.validate(&check, raw.preset)?,
            logs: raw.logs.validate(&check)?,
            written: check.written(),
            store: raw.store.validate(&check)?,
            worker: raw.worker.validate(&check)?,
        })
    }

    /// The trigger whose bucket is meant where none is named.
    #[must_use]
    pub fn default_trigger(&self) -> Option<&Trigger> {
        default_trigger(&self.triggers)
    }

    /// The settings in which `other` differs and that are read at the start only.
    #[must_use]
    pub fn that_need_a_restart(&self, other: &Self) -> Vec<&'static str> {
        let Self {
            data,
            sandbox,
            listen,
            function,
            limits,
            triggers,
            dead_letters,
            storage,
            notify,
            alt_text,
            access: _,
            api: _,
            logs,
            written: _,
            // Those of `tintype worker`, which reads nothing again.
            store: _,
            worker: _,
        } = self;
        let addresses =
            |listen: &Listen| (listen.s3, listen.http, listen.s3_unix.clone(), listen.http_unix.clone());
        let differ = [
            ("data", *data != other.data),
            ("sandbox", *sandbox != other.sandbox),
            ("[listen] s3, http, s3_unix, http_unix", addresses(listen) != addresses(&other.listen)),
            ("[function]", *function != other.function),
            ("[limits]", *limits != other.limits),
            ("[[trigger]]", *triggers != other.triggers),
            ("[dead_letters]", *dead_letters != other.dead_letters),
            ("[storage]", *storage != other.storage),
            ("[[notify]]", *notify != other.notify),
            ("[alt_text]", *alt_text != other.alt_text),
            ("[logs]", *logs != other.logs),
        ];
        differ.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// Whether a request from this machine may need no credentials: once there are keys or proxies to name, somebody
    /// else is meant to call, and a proxy on this machine cannot be told from its users.
    #[must_use]
    pub fn trusts_loopback(&self) -> bool {
        self.listen.trust_loopback
            && self.listen.trusted_proxies.is_empty()
            && self.api.keys.is_empty()
            && self.access.is_empty()
            && self.api.public == Public::None
            && self.api.signing_keys.is_empty()
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
    fn what_needs_a_restart_is_named() {
        let before = load("", &[]).unwrap();
        let changed = |file: &str| before.that_need_a_restart(&load(file, &[]).unwrap());
        assert!(changed("[api]\nmax_side = 100\n[listen]\ntrust_loopback = false").is_empty());
        assert_eq!(changed("[[trigger]]\n[[trigger.rendition]]\nsize = \"64\""), ["[[trigger]]"]);
        assert_eq!(changed("[[notify]]\ntarget = \"https://cdn.example\""), ["[[notify]]"]);
        assert_eq!(changed("data = \"./other\"\n[limits]\nwork = 5"), ["data", "[limits]"]);
    }

    #[test]
    fn an_address_may_be_a_port_of_this_machine() {
        let s3 = |address: &str| {
            load(&format!("[listen]\ns3 = \"{address}\""), &[]).map(|all| all.listen.s3.to_string())
        };
        for address in ["localhost:9001", ":9001", "9001", "127.0.0.1:9001"] {
            assert_eq!(s3(address).unwrap(), "127.0.0.1:9001", "{address}");
        }
        assert_eq!(s3("[::1]:9001").unwrap(), "[::1]:9001");
        for address in ["localhost", "localhost9001", "+9001", "90010", "", ":", "example.com:9001"] {
            assert!(s3(address).unwrap_err().to_string().contains("127.0.0.1:9000"), "{address}");
        }
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
        let access = "[[access]]\nname = \"camera\"\naccess_key_id = \"TTCAMERA\"\nsecret_access_key = \"0123456789abcdef\"\n";
        assert!(!trusts(access));
        let long = format!("[listen]\ns3_unix = \"/{}\"", "a".repeat(103));
        assert!(load(&long, &[]).unwrap_err().to_string().contains("at most 103"));
        let from_env = load("", &[("TINTYPE_LISTEN__TRUST_LOOPBACK", "false")]).unwrap();
        assert!(!from_env.trusts_loopback());
        let proxies = load("", &[("TINTYPE_LISTEN__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]")]).unwrap();
        assert!(proxies.listen.trusted_proxies.contains([10, 1, 2, 3].into()));
    }

    #[test]
    fn access_keys_are_read_strictly_and_show_no_secret() {
        let key = |more: &str| {
            load(
                &format!(
                    "[[access]]\nname = \"camera\"\naccess_key_id = \"TTCAMERA\"\nsecret_access_key = \"0123456789secret\"\n{more}"
                ),
                &[],
            )
        };
        let settings =
            key("allow = [\"write:in/raw/\"]\npreset = \"operator\"\ndaily_bytes = \"1 GiB\"").unwrap();
        assert_eq!(settings.access[0].daily_bytes, Some(1 << 30));
        assert!(!format!("{settings:?}").contains("0123456789secret"));
        for (more, part) in [
            ("allow = [\"wirte:in\"]", "access.allow: key \"camera\": "),
            ("preset = \"operater\"", "did you mean"),
            ("policy = \"{}\"", "access.policy"),
            ("former_access_key_id = \"TTOLD\"", "or neither"),
            (
                "[[access]]\nname = \"camera\"\naccess_key_id = \"TTB\"\nsecret_access_key = \"0123456789secret\"",
                "the name is taken",
            ),
            (
                "[[access]]\nname = \"b\"\naccess_key_id = \"TTCAMERA\"\nsecret_access_key = \"0123456789secret\"",
                "the id is taken",
            ),
            (
                "[[access]]\nname = \"b\"\naccess_key_id = \"TTB\"\nsecret_access_key = \"short\"",
                "write at least 16",
            ),
        ] {
            let error = key(more).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("0123456789secret"), "{more}: {error}");
        }
    }

    #[test]
    fn the_error_of_invalid_toml_names_the_line() {
        let error = load("data = \n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
