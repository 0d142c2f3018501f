//! API keys: whom a request's `X-Api-Key` names.

use std::{collections::HashMap, sync::Arc};

use http::HeaderMap;
use sha2::{Digest as _, Sha256};
use tintype_api::settings::ApiKey;

use super::Principal;

/// The keys in force: names by the digest of the secret, so that the time of a look-up depends on no secret.
#[derive(Debug)]
pub(super) struct ApiKeys {
    names: HashMap<[u8; 32], Arc<str>>,
}

impl ApiKeys {
    /// The keys of the settings.
    pub(super) fn new(keys: &[ApiKey]) -> Self {
        Self { names: keys.iter().map(|key| (digest(&key.key), key.name.as_str().into())).collect() }
    }

    /// The principal of the key that a request was sent with, if it is known.
    pub(super) fn principal(&self, headers: &HeaderMap) -> Option<Principal> {
        if self.names.is_empty() {
            return None;
        }
        let sent = headers.get("x-api-key")?.to_str().ok()?;
        self.names.get(&digest(sent)).cloned().map(Principal::ApiKey)
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_and_another_does_not() {
        let key = ApiKey { name: "shop".into(), key: "secret".into(), rate: None, daily: None };
        let keys = ApiKeys::new(&[key]);
        let with = |secret: &str| {
            let name = http::HeaderName::from_static("x-api-key");
            HeaderMap::from_iter([(name, secret.parse().unwrap())])
        };
        assert_eq!(keys.principal(&with("secret")), Some(Principal::ApiKey("shop".into())));
        for headers in [HeaderMap::new(), with("secre"), with("secret2"), with("")] {
            assert_eq!(keys.principal(&headers), None);
        }
        assert_eq!(ApiKeys::new(&[]).principal(&with("secret")), None);
    }
}
