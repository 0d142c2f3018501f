//! Settings, in two layers: what was written (file, environment, flags; all optional) becomes what is
//! usable (typed, validated, every value present). Both hosts read the same document.

mod api;
mod known;
mod listen;
mod merge;
mod units;
mod usable;
mod written;

pub use api::{Api, ApiKey, RouteRate};
pub use known::KEYS;
pub use listen::{Listen, Proxies, Tls};
pub use merge::{Override, Sources};
pub use usable::{DEFAULT_DATA, DeadLetters, Function, LogFormat, Logs, Sandbox, Settings};

/// A setting that cannot be used: what is wrong, where it was written, what to do.
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

impl Settings {
    /// Merges the sources (flags over environment over file over defaults) and validates the result.
    ///
    /// # Errors
    /// The first setting that is unknown, of the wrong kind or unusable.
    pub fn load(sources: Sources) -> Result<Self, SettingsError> {
        let (document, origins) = sources.merged()?;
        known::check(&document, &origins)?;
        let written: written::Written = serde_path_to_error::deserialize(document).map_err(|error| {
            // Elements of lists share their list's name.
            let path: Vec<String> = error.path().to_string().split('.').map(without_index).collect();
            let path = path.join(".");
            SettingsError::new(origins.of(&path), format!("{path}: {}", error.inner().message()))
        })?;
        usable::validate(written, &origins)
    }
}

/// A part of a path as serde tells it: `trigger[0]` is `trigger`.
fn without_index(part: &str) -> String {
    part.split('[').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::load(Sources { file: Some(("tintype.toml".into(), file.into())), env, flags: vec![] })
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
    fn unusable_values_say_what_to_write() {
        for (file, part) in [
            ("[limits]\nsource_bytes = \"100 potatoes\"", "limits.source_bytes"),
            ("[function]\nretries = 3", "0 to 2"),
            ("[function]\nretries = \"many\"", "function.retries: invalid type"),
            ("[function]\nmax_event_age = \"7h\"", "60s to 6h"),
            ("[[trigger]]\n[[trigger.rendition]]\nsize = \"big\"", "not a box"),
            ("[[trigger]]\n[[trigger.rendition]]\nkey = \"thumb\"", "{key}"),
            ("[[trigger]]\n[[trigger.rendition]]\nquality = 0", "1 to 100"),
            ("[listen]\ns3 = \"nowhere\"", "listen.s3"),
            ("[listen]\ntrust_loopback = \"no\"", "listen.trust_loopback: invalid type"),
            (
                "[listen]\ntrusted_proxies = [\"proxy.example\"]",
                "listen.trusted_proxies: \"proxy.example\" is no address",
            ),
            ("[listen]\ntrusted_proxies = \"10.0.0.1\"", "listen.trusted_proxies: invalid type"),
            ("[listen]\ntrusted_proxies = [\"unix\"]", "set listen.http_unix"),
            ("[listen]\nhttp_unix = \"/run/tintype/\"", "listen.http_unix: \"/run/tintype/\" is no file"),
            ("[listen]\nhttp_unix = \"/a\"\ns3_unix = \"/a\"", "a socket of its own"),
            ("[[trigger]]\nbucket = \"UPPER\"", "bucket name"),
            ("[function]\nmemory_mb = 512\ntotal_memory_mb = 100", "total_memory_mb"),
            ("[api]\nmax_body = \"257 MiB\"", "api.max_body"),
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
    fn loopback_is_trusted_until_somebody_else_is_named() {
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
        let by_variable = load("", &[("TINTYPE_LISTEN__TRUST_LOOPBACK", "false")]).unwrap();
        assert!(!by_variable.trusts_loopback());
        let proxies = load("", &[("TINTYPE_LISTEN__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]")]).unwrap();
        assert!(proxies.listen.trusted_proxies.contain([10, 1, 2, 3].into()));
    }

    #[test]
    fn defaults_fit_into_the_memory_there_is() {
        let settings = load("[function]\ntotal_memory_mb = 256", &[]).unwrap();
        assert_eq!(settings.function.memory_mb, 192);
        assert_eq!((settings.limits.memory_bytes, settings.limits.source_bytes), (192 << 20, 64 << 20));
        let settings = load("[function]\ntotal_memory_mb = 4096", &[]).unwrap();
        assert_eq!((settings.limits.memory_bytes, settings.limits.source_bytes), (512 << 20, 100 << 20));
    }

    #[test]
    fn a_file_that_is_not_toml_says_where() {
        let error = load("data = \n", &[]).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
