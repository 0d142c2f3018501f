//! The sections `[[api.signing_key]]`: secrets that URLs are signed with.

use std::fmt;

use serde::Deserialize;
use tintype_pipeline::settings::{Check, SettingsError};

/// A secret that URLs are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its name, for those who rotate keys.
    pub name: String,
    secret: String,
}

impl SigningKey {
    /// With a secret of at least 16 characters, which is not checked here.
    #[must_use]
    pub fn new(name: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { name: name.into(), secret: secret.into() }
    }

    pub(crate) const fn secret(&self) -> &str {
        self.secret.as_str()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A signing key as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "struct ApiSigningKey")]
pub(super) struct SigningKeySection {
    name: String,
    secret: String,
}

impl fmt::Debug for SigningKeySection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeySection").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The shortest secret, in characters, so that it cannot be guessed from a URL that it signed.
const SHORTEST_SECRET: usize = 16;

pub(super) fn keys(check: &Check, written: Vec<SigningKeySection>) -> Result<Vec<SigningKey>, SettingsError> {
    let mut keys: Vec<SigningKey> = Vec::with_capacity(written.len());
    for SigningKeySection { name, secret } in written {
        // The secret itself is never in a message.
        let fail = |setting: &str, text: &str| check.fail(setting, format!("key \"{name}\": {text}"));
        if name.is_empty() {
            return fail("api.signing_key.name", "write a name, for example the month it was made in");
        }
        if keys.iter().any(|other| other.name == name) {
            return fail("api.signing_key.name", "the name is taken by another signing key");
        }
        if keys.iter().any(|other| other.secret == secret) {
            return fail("api.signing_key.secret", "another signing key has the same secret");
        }
        if secret.chars().count() < SHORTEST_SECRET {
            return fail(
                "api.signing_key.secret",
                "write at least 16 characters, as from \"openssl rand -hex 32\"",
            );
        }
        keys.push(SigningKey { name, secret });
    }
    Ok(keys)
}
