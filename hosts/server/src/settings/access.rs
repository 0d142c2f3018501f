//! The section `access`: access keys that are in the settings.

use std::fmt;

use serde::Deserialize;
use tintype_pipeline::settings::{Amount, Check, SettingsError};
use tintype_policy::{Grant, Policy, Preset};

/// The shortest secret in characters, so that it cannot be guessed.
const SHORTEST_SECRET: usize = 16;

/// An access key. `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Its name.
    pub name: String,
    /// Ids and secrets: one pair, or two while clients change from one to the other.
    pub pairs: Vec<(String, String)>,
    /// Rights in the short form, `ACTION:BUCKET[/PREFIX]`.
    pub allow: Vec<String>,
    /// Rights by the name of a preset.
    pub preset: Option<String>,
    /// Rights as an identity policy in JSON.
    pub policy: Option<String>,
    /// Bytes it may upload in a day (UTC); none: any number.
    pub daily_bytes: Option<u64>,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "struct AccessKey")]
pub(super) struct AccessSection {
    name: String,
    access_key_id: String,
    secret_access_key: String,
    former_access_key_id: Option<String>,
    former_secret_access_key: Option<String>,
    allow: Option<Vec<String>>,
    preset: Option<String>,
    policy: Option<String>,
    daily_bytes: Option<Amount>,
}

impl fmt::Debug for AccessSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Validates all of them.
pub(super) fn keys(check: &Check, written: Vec<AccessSection>) -> Result<Vec<AccessKey>, SettingsError> {
    let mut keys: Vec<AccessKey> = Vec::with_capacity(written.len());
    for section in written {
        let key = section.validate(check)?;
        let fail = |setting, text: &str| check.fail(setting, format!("key \"{}\": {text}", key.name));
        if keys.iter().any(|other| other.name == key.name) {
            return fail("access.name", "the name is taken by another key");
        }
        let times = |id: &String| {
            let all = keys.iter().chain([&key]).flat_map(|key| &key.pairs);
            all.filter(|(other, _)| other == id).count()
        };
        if key.pairs.iter().any(|(id, _)| times(id) > 1) {
            return fail("access.access_key_id", "the id is taken by another key");
        }
        keys.push(key);
    }
    Ok(keys)
}

impl AccessSection {
    fn validate(self, check: &Check) -> Result<AccessKey, SettingsError> {
        let name = self.name;
        // A secret itself is never in a message.
        let fail = |setting: &str, text: String| check.fail(setting, format!("key \"{name}\": {text}"));
        let is_name = |c: u8| c.is_ascii_alphanumeric() || b"+=,.@-_".contains(&c);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_name) {
            return fail("access.name", "write 1 to 64 letters, digits and any of +=,.@-_".into());
        }
        let mut pairs = Vec::new();
        match (self.former_access_key_id, self.former_secret_access_key) {
            (Some(id), Some(secret)) => pairs.push((id, secret)),
            (None, None) => {}
            _ => {
                let both = "write both former_access_key_id and former_secret_access_key, or neither";
                return fail("access.former_access_key_id", both.into());
            }
        }
        pairs.push((self.access_key_id, self.secret_access_key));
        for (id, secret) in &pairs {
            // Credentials of Signature Version 4 are parted by slashes.
            let is_id = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
            if !(3..=128).contains(&id.len()) || !id.bytes().all(is_id) {
                return fail("access.access_key_id", "write 3 to 128 letters, digits and any of -_.".into());
            }
            if secret.len() < SHORTEST_SECRET || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
                let text = format!(
                    "write at least {SHORTEST_SECRET} visible ASCII characters, as from \"openssl rand -hex 20\""
                );
                return fail("access.secret_access_key", text);
            }
        }
        let allow = self.allow.unwrap_or_default();
        if let Some(error) = allow.iter().find_map(|text| text.parse::<Grant>().err()) {
            return fail("access.allow", error.to_string());
        }
        if let Some(error) = self.preset.as_ref().and_then(|name| name.parse::<Preset>().err()) {
            return fail("access.preset", error.to_string());
        }
        if let Some(error) = self.policy.as_ref().and_then(|text| Policy::identity(text.as_bytes()).err()) {
            return fail("access.policy", error.to_string());
        }
        let daily_bytes = match self.daily_bytes {
            None => None,
            written => Some(check.bytes("access.daily_bytes", written, 0)?),
        };
        Ok(AccessKey { name, pairs, allow, preset: self.preset, policy: self.policy, daily_bytes })
    }
}
