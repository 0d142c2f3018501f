//! The section `api` of the settings: the HTTP API.

mod preset;
mod signing_key;

use std::{fmt, time::Duration};

pub use preset::{Preset, PresetFormat, PresetSection};
use serde::Deserialize;
pub use signing_key::SigningKey;
use signing_key::SigningKeySection;
use tintype_engine::Size;
use tintype_pipeline::settings::{Amount, Check, SettingsError};

use crate::{
    public::Public,
    route_table::{Route, RoutePath},
    routes::rows,
};

/// The HTTP API.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// First part of the path.
    pub stage: String,
    /// Second part of the path.
    pub resource: String,
    /// Origins whose pages may call it; `*`: all.
    pub cors_origins: Vec<String>,
    /// Largest request body, in bytes.
    pub max_body: u64,
    /// A request ends with 504 after this long.
    pub timeout: Duration,
    /// Requests a second, on average.
    pub rate: u32,
    /// Requests at once above the average.
    pub burst: u32,
    /// Seconds a thumbnail may be cached by clients and by the response cache; 0: not at all.
    pub cache_ttl_s: u32,
    /// Bytes that the response cache may hold.
    pub cache_bytes: u64,
    /// Bytes on disk that the host may hold of what requests had rendered; 0: none.
    pub disk_cache_bytes: u64,
    /// What GET and HEAD of images may do without a key.
    pub public: Public,
    /// Seconds that a preset's image, or one by a signed URL, may be cached by clients.
    pub max_age_s: u32,
    /// Seconds after that in which they may show it while they ask again.
    pub stale_while_revalidate_s: u32,
    /// The largest side of a requested thumbnail, in pixels.
    pub max_side: u32,
    /// The highest quality of a requested thumbnail.
    pub max_quality: u8,
    /// Where clients reach the S3 endpoint, without a slash at its end; `None`: where it listens.
    pub s3_url: Option<String>,
    /// API keys; where there are any, every request needs one.
    pub keys: Vec<ApiKey>,
    /// Rates of single routes.
    pub routes: Vec<RouteRate>,
    /// Keys that URLs are signed with; the first signs, and any verifies.
    pub signing_keys: Vec<SigningKey>,
    /// Renditions by name, rendered on request.
    pub presets: Vec<Preset>,
}

impl ApiSettings {
    /// The path of the resource, `/{stage}/{resource}`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/{}/{}", self.stage, self.resource)
    }

    /// Bytes that the bodies of all concurrent requests may have together; no single body may exceed it.
    pub const ALL_BODIES: u64 = 256 << 20;
}

/// An API key and its limits.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name, for logs.
    pub name: String,
    /// The secret that requests send as `X-Api-Key`.
    pub key: String,
    /// Requests a second and at once above that; `None`: the account's.
    pub rate: Option<(u32, u32)>,
    /// Requests a day (UTC); `None`: any number.
    pub daily: Option<u64>,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("name", &self.name)
            .field("rate", &self.rate)
            .field("daily", &self.daily)
            .finish_non_exhaustive()
    }
}

/// The rate of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRate {
    /// Its method.
    pub method: String,
    /// Its path below the resource, as in the route table; empty: the resource itself.
    pub path: String,
    /// Requests a second.
    pub rate: u32,
    /// Requests at once above that.
    pub burst: u32,
}

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "struct Api")]
pub struct ApiSection {
    stage: Option<String>,
    resource: Option<String>,
    cors_origins: Option<Vec<String>>,
    max_body: Option<Amount>,
    timeout_s: Option<u64>,
    rate: Option<u32>,
    burst: Option<u32>,
    cache_ttl_s: Option<u32>,
    cache_bytes: Option<Amount>,
    disk_cache_bytes: Option<Amount>,
    public: Option<String>,
    max_age_s: Option<u32>,
    stale_while_revalidate_s: Option<u32>,
    max_side: Option<u32>,
    max_quality: Option<u8>,
    s3_url: Option<String>,
    key: Vec<KeySection>,
    route: Vec<RouteSection>,
    signing_key: Vec<SigningKeySection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "struct ApiKey")]
struct KeySection {
    name: String,
    key: String,
    rate: Option<u32>,
    burst: Option<u32>,
    daily: Option<u64>,
}

impl fmt::Debug for KeySection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "struct ApiRoute")]
struct RouteSection {
    route: String,
    rate: u32,
    burst: u32,
}

impl ApiSection {
    /// Validates the section, and the presets beside it.
    ///
    /// # Errors
    /// The first setting that is unusable.
    pub fn validate(self, check: &Check, presets: Vec<PresetSection>) -> Result<ApiSettings, SettingsError> {
        let segment = |setting, text: Option<String>, default: &str| {
            let text = text.unwrap_or_else(|| default.to_owned());
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if text.is_empty() || !text.chars().all(legal) {
                return check
                    .fail(setting, format!("\"{text}\" is no path segment: letters, digits, - and _"));
            }
            Ok(text)
        };
        let cors_origins = self.cors_origins.unwrap_or_default();
        for origin in &cors_origins {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if origin != "*" && !host.is_some_and(|host| !host.is_empty() && !host.contains('/')) {
                return check.fail(
                "api.cors_origins",
                format!(
                    "\"{origin}\" is no origin; write scheme and host like \"https://shop.example\", or \"*\""
                ),
            );
            }
        }
        Ok(ApiSettings {
            stage: segment("api.stage", self.stage, "dev1")?,
            resource: segment("api.resource", self.resource, "myimage")?,
            cors_origins,
            max_body: check.within(
                "api.max_body",
                check.bytes("api.max_body", self.max_body, 10 << 20)?,
                1,
                ApiSettings::ALL_BODIES,
            )?,
            timeout: Duration::from_secs(check.within(
                "api.timeout_s",
                self.timeout_s.unwrap_or(29),
                1,
                900,
            )?),
            rate: check.within("api.rate", self.rate.unwrap_or(10_000), 1, 1_000_000)?,
            burst: check.within("api.burst", self.burst.unwrap_or(5_000), 1, 1_000_000)?,
            cache_ttl_s: check.within("api.cache_ttl_s", self.cache_ttl_s.unwrap_or(300), 0, 3600)?,
            cache_bytes: check.bytes("api.cache_bytes", self.cache_bytes, 64 << 20)?,
            disk_cache_bytes: check.bytes("api.disk_cache_bytes", self.disk_cache_bytes, 256 << 20)?,
            public: check.parse("api.public", self.public, Public::None)?,
            max_age_s: check.within("api.max_age_s", self.max_age_s.unwrap_or(300), 0, YEAR_S)?,
            stale_while_revalidate_s: check.within(
                "api.stale_while_revalidate_s",
                self.stale_while_revalidate_s.unwrap_or(86_400),
                0,
                YEAR_S,
            )?,
            max_side: check.within("api.max_side", self.max_side.unwrap_or(4096), 1, Size::MAX)?,
            max_quality: check.within("api.max_quality", self.max_quality.unwrap_or(100), 1, 100)?,
            s3_url: s3_url(check, self.s3_url)?,
            keys: keys(check, self.key)?,
            routes: routes(check, self.route)?,
            signing_keys: signing_key::keys(check, self.signing_key)?,
            presets: preset::presets(check, presets)?,
        })
    }
}

/// A year, which caches take for ever.
const YEAR_S: u32 = 31_536_000;

/// The shortest API key, in characters (API Gateway's bound), so that keys cannot be guessed.
const SHORTEST_KEY: usize = 20;

fn s3_url(check: &Check, url: Option<String>) -> Result<Option<String>, SettingsError> {
    let Some(url) = url else { return Ok(None) };
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if !host.is_some_and(|host| !host.is_empty() && !host.contains(['?', '#', ' '])) {
        return check
            .fail("api.s3_url", format!("\"{url}\" is no URL; write one like \"https://s3.example\""));
    }
    Ok(Some(url.trim_end_matches('/').to_owned()))
}

fn keys(check: &Check, written: Vec<KeySection>) -> Result<Vec<ApiKey>, SettingsError> {
    let mut keys: Vec<ApiKey> = Vec::with_capacity(written.len());
    for KeySection { name, key, rate, burst, daily } in written {
        // The key itself is never in a message.
        let fail = |setting: &str, text: &str| check.fail(setting, format!("key \"{name}\": {text}"));
        if keys.iter().any(|other| other.name == name) {
            return fail("api.key.name", "the name is taken by another key");
        }
        if keys.iter().any(|other| other.key == key) {
            return fail("api.key.key", "another key has the same text");
        }
        if key.len() < SHORTEST_KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return fail(
                "api.key.key",
                "write at least 20 visible ASCII characters, as from \"openssl rand -hex 20\"",
            );
        }
        let rate = match (rate, burst) {
            (None, None) => None,
            (Some(rate), burst) if rate > 0 => Some((rate, burst.unwrap_or(rate).max(1))),
            _ => return fail("api.key.rate", "write at least 1, and with a burst a rate"),
        };
        keys.push(ApiKey { name, key, rate, daily });
    }
    Ok(keys)
}

fn routes(check: &Check, written: Vec<RouteSection>) -> Result<Vec<RouteRate>, SettingsError> {
    let route = |RouteSection { route, rate, burst }: RouteSection| {
        let (method, path) = route.split_once(' ').unwrap_or((&route, "/"));
        let path = path.trim_end_matches('/');
        let rows = rows();
        let below = |row: &Route<_>| match row.path {
            RoutePath::Resource(below) => Some(below),
            RoutePath::Root(_) => None,
        };
        let has_method = rows.iter().any(|row| below(row).is_some() && row.method == method);
        if !has_method || !rows.iter().any(|row| below(row) == Some(path)) {
            return check.fail(
                "api.route.route",
                format!(
                    "\"{route}\" is no route; write one like \"POST /\", \"GET /info\" or \"POST /uploads\""
                ),
            );
        }
        Ok(RouteRate {
            method: method.into(),
            path: path.into(),
            rate: check.within("api.route.rate", rate, 1, 1_000_000)?,
            burst: check.within("api.route.burst", burst, 1, 1_000_000)?,
        })
    };
    written.into_iter().map(route).collect()
}

#[cfg(test)]
mod tests {
    use tintype_pipeline::settings::{Foreign, Sources};

    use super::*;

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Written {
        api: ApiSection,
        preset: Vec<PresetSection>,
    }

    fn load(file: &str, env: &[(&str, &str)]) -> Result<ApiSettings, SettingsError> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let sources = Sources { file: Some(("tintype.toml".into(), file.into())), env, flags: vec![] };
        let (written, check) = sources.read::<Written>(Foreign::default())?;
        written.api.validate(&check, written.preset)
    }

    #[test]
    fn unusable_values_are_errors_with_advice() {
        for (file, part) in [
            ("api = 5", "api: invalid type: integer `5`, expected struct Api"),
            ("[api]\nkey = [5]", "api.key: invalid type: integer `5`, expected struct ApiKey"),
            ("[api]\nroute = [5]", "api.route: invalid type: integer `5`, expected struct ApiRoute"),
            ("[api]\nmax_body = \"257 MiB\"", "api.max_body"),
            ("[[api.key]]\nname = \"shop\"\nkey = \"short\"", "api.key.key: key \"shop\": write at least 20"),
            ("[api]\npublic = \"preset\"", "did you mean \"presets\"?"),
            ("[api]\nmax_age_s = 31536001", "api.max_age_s: 31536001 is out of range"),
            ("preset = [5]", "preset: invalid type: integer `5`, expected struct Preset"),
            ("[[preset]]\nname = \"card\"\nsizes = \"5\"", "did you mean \"preset.size\"?"),
            ("[[preset]]\nsize = \"5\"", "missing field `name`"),
            ("[[preset]]\nname = \"info\"", "preset.name: \"info\" is reserved"),
            ("[[preset]]\nname = \"a/b\"", "preset.name: \"a/b\" is no name"),
            ("[[preset]]\nname = \"a\"\n[[preset]]\nname = \"a\"", "preset.name: \"a\" is taken"),
            ("[[preset]]\nname = \"card\"\nsize = \"big\"", "preset.size: size \"big\" is not a box"),
            ("[[preset]]\nname = \"card\"\nquality = 101", "preset.quality: 101 is out of range"),
            (
                "[[preset]]\nname = \"card\"\nformat = \"jpg\"",
                "preset.format: format \"jpg\" is not one of auto, same",
            ),
            ("[[preset]]\nname = \"card\"\nsharpen = 101", "preset.sharpen: 101"),
            ("[[preset]]\nname = \"card\"\nanimate = true\nformat = \"png\"", "animate = false"),
            ("[[preset]]\nname = \"card\"\nmax_dpr = 5", "preset.max_dpr: 5 is out of range"),
            ("[[preset]]\nname = \"card\"\nfallback = \"\"", "preset.fallback: "),
            (
                "[[api.signing_key]]\nname = \"a\"\nsecret = \"0123456789abcde\"",
                "api.signing_key.secret: key \"a\": write at least 16",
            ),
            ("[[api.signing_key]]\nname = \"\"\nsecret = \"0123456789abcdef\"", "api.signing_key.name"),
            (
                "[[api.signing_key]]\nname = \"a\"\nsecret = \"0123456789abcdef\"\n[[api.signing_key]]\nname = \"a\"\nsecret = \"0123456789abcdeg\"",
                "api.signing_key.name: key \"a\": the name is taken",
            ),
        ] {
            let error = load(file, &[]).unwrap_err().to_string();
            assert!(error.contains(part), "{file}: {error}");
        }
        let error = load("", &[("TINTYPE_API__RATE", "0")]).unwrap_err();
        assert_eq!(error.origin, "environment variable TINTYPE_API__RATE", "{error}");
    }

    #[test]
    fn variables_set_the_first_key_and_the_first_route() {
        let settings = load(
            "",
            &[
                ("TINTYPE_API__KEY__NAME", "shop"),
                ("TINTYPE_API__KEY__KEY", "0123456789abcdef0123"),
                ("TINTYPE_API__ROUTE__ROUTE", "GET /info"),
                ("TINTYPE_API__ROUTE__RATE", "5"),
                ("TINTYPE_API__ROUTE__BURST", "6"),
            ],
        );
        let settings = settings.unwrap();
        assert_eq!((settings.keys.len(), settings.keys[0].name.as_str()), (1, "shop"));
        let route = &settings.routes[0];
        assert_eq!((route.path.as_str(), route.rate, route.burst), ("/info", 5, 6));
    }
}
