//! API keys: whom a request's `X-Api-Key` names.

use std::{collections::HashMap, sync::Arc};

use http::HeaderMap;
use sha2::{Digest as _, Sha256};
use tintype_api::settings::ApiKey;

use super::{Client, Principal, TooManyGuesses, login_throttle::LoginThrottle};

/// The keys in force: names by the digest of the secret, so that the time of a look-up depends on no secret.
#[derive(Debug)]
pub struct ApiKeys {
    names: HashMap<[u8; 32], Arc<str>>,
    throttle: LoginThrottle,
}

impl ApiKeys {
    /// The keys of the settings.
    #[must_use]
    pub fn new(keys: &[ApiKey]) -> Self {
        let names = keys.iter().map(|key| (digest(&key.key), key.name.as_str().into())).collect();
        Self { names, throttle: LoginThrottle::default() }
    }

    /// The principal of the key that a request was sent with, if it is known.
    #[must_use]
    pub fn principal(&self, headers: &HeaderMap) -> Option<Principal> {
        self.names.get(&digest(self.sent(headers)?)).cloned().map(Principal::ApiKey)
    }

    /// Counts the key of a request that is not known, if it has one. Known ones are never refused, so this does not slow
    /// guesses down; the length of keys forbids them.
    ///
    /// # Errors
    /// Too many wrong ones were sent.
    pub fn count_wrong(&self, client: Client, headers: &HeaderMap) -> Result<(), TooManyGuesses> {
        self.sent(headers).map_or(Ok(()), |_| self.throttle.attempt(client, || false).map(drop))
    }

    /// The key that a request was sent with, if any is known.
    fn sent<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        headers.get("x-api-key").filter(|_| !self.names.is_empty())?.to_str().ok()
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
        let client = Client { address: Some([192, 0, 2, 1].into()), ..Client::default() };
        assert!(keys.count_wrong(client, &HeaderMap::new()).is_ok());
        while keys.count_wrong(client, &with("secre")).is_ok() {}
        assert!(keys.count_wrong(client, &HeaderMap::new()).is_ok());
        assert!(keys.principal(&with("secret")).is_some());
        assert_eq!(ApiKeys::new(&[]).principal(&with("secret")), None);
    }
}
