//! Every setting there is, and the check that nothing else was written.

use super::{SettingsError, merge::Origins};

/// Every setting, by its dotted path; elements of `[[lists]]` share their list's path.
pub const KEYS: &[&str] = &[
    "data",
    "sandbox",
    "listen.s3",
    "listen.http",
    "listen.tls_certificate",
    "listen.tls_key",
    "listen.trust_loopback",
    "listen.trusted_proxies",
    "listen.http_unix",
    "listen.s3_unix",
    "function.name",
    "function.memory_mb",
    "function.total_memory_mb",
    "function.timeout_s",
    "function.concurrency",
    "function.retries",
    "function.retry_delays",
    "function.max_event_age",
    "limits.source_bytes",
    "limits.pixels",
    "limits.frames",
    "limits.tolerant",
    "limits.tolerant_share",
    "trigger.bucket",
    "trigger.prefix",
    "trigger.suffixes",
    "trigger.destination",
    "trigger.mirror_deletes",
    "trigger.rendition.key",
    "trigger.rendition.size",
    "trigger.rendition.fit",
    "trigger.rendition.enlarge",
    "trigger.rendition.format",
    "trigger.rendition.quality",
    "trigger.rendition.gravity",
    "trigger.rendition.background",
    "trigger.rendition.filter",
    "trigger.rendition.effort",
    "dead_letters.max_age",
    "dead_letters.max_count",
    "api.stage",
    "api.resource",
    "api.cors_origins",
    "api.max_body",
    "api.timeout_s",
    "api.rate",
    "api.burst",
    "api.cache_ttl_s",
    "api.cache_bytes",
    "api.max_side",
    "api.max_quality",
    "api.s3_url",
    "api.key.name",
    "api.key.key",
    "api.key.rate",
    "api.key.burst",
    "api.key.daily",
    "api.route.route",
    "api.route.rate",
    "api.route.burst",
    "logs.level",
    "logs.format",
    "logs.otlp",
];

/// Refuses the first setting that is not in [`KEYS`], naming the nearest that is.
pub(super) fn check(document: &toml::Table, origins: &Origins) -> Result<(), SettingsError> {
    walk(document, "", &mut |path| Err(SettingsError::new(origins.of(path), unknown(path))))
}

/// The words for an unknown setting.
pub(super) fn unknown(path: &str) -> String {
    let nearest = crate::spelling::nearest(path, KEYS.iter().copied());
    format!("unknown setting \"{path}\"; did you mean \"{}\"?", nearest.unwrap_or_default())
}

fn walk(
    table: &toml::Table,
    prefix: &str,
    found: &mut impl FnMut(&str) -> Result<(), SettingsError>,
) -> Result<(), SettingsError> {
    for (name, value) in table {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let section =
            KEYS.iter().any(|known| known.starts_with(&path) && known[path.len()..].starts_with('.'));
        match value {
            toml::Value::Table(inner) if section => walk(inner, &path, found)?,
            toml::Value::Array(items) if section => {
                for item in items.iter().filter_map(toml::Value::as_table) {
                    walk(item, &path, found)?;
                }
            }
            toml::Value::Table(inner) if !KEYS.contains(&path.as_str()) => {
                // An unknown section: name its first setting, so that the nearest can be told.
                let path = inner.keys().next().map_or(path.clone(), |first| format!("{path}.{first}"));
                found(&path)?;
            }
            _ if KEYS.contains(&path.as_str()) || section => {}
            _ => found(&path)?,
        }
    }
    Ok(())
}
