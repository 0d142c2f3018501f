//! API keys: who may call, how often, and how much a day. As API Gateway's usage plans do it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};
use sha2::{Digest as _, Sha256};
use tintype_api::settings::ApiKey;

use super::{access::Caller, throttle::TokenBucket};
use crate::history::Usage;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// The keys in force. None: everybody may call.
#[derive(Debug)]
pub(super) struct Keys {
    /// By the digest of the secret: the time of a look-up reveals nothing of another.
    known: HashMap<[u8; 32], Key>,
}

#[derive(Debug)]
struct Key {
    name: Arc<str>,
    bucket: Option<Arc<TokenBucket>>,
    daily: Option<u64>,
}

/// Why a key does not open; how long until it does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Closed {
    Unknown,
    TooFast(Duration),
    UsedUp(Duration),
}

/// The key that a request was sent with.
#[derive(Debug)]
pub(super) struct Opened<'a> {
    key: &'a Key,
    usage: &'a Usage,
    /// When it was opened, since 1970.
    at: Duration,
}

impl Opened<'_> {
    /// Names the caller in the answer. A request that was refused further on uses up no quota.
    pub(super) fn mark(&self, response: &mut Response) {
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            self.key.give_back(self.usage, self.at);
        }
        response.extensions_mut().insert(Caller(self.key.name.clone()));
    }
}

impl Keys {
    /// The keys of the settings. One that had the same rate before goes on with what was left of it.
    pub(super) fn new(keys: &[ApiKey], before: Option<&Self>) -> Self {
        let known = keys.iter().map(|key| {
            let digest = digest(&key.key);
            let before = before.and_then(|before| before.known.get(&digest)?.bucket.as_ref());
            let bucket = key.rate.map(|(rate, burst)| TokenBucket::continued(rate, burst, before));
            (digest, Key { name: key.name.as_str().into(), bucket, daily: key.daily })
        });
        Self { known: known.collect() }
    }

    /// Opens by the key that a request was sent with, if one is needed.
    pub(super) fn open<'a>(
        &'a self,
        headers: &HeaderMap,
        usage: &'a Usage,
    ) -> Result<Option<Opened<'a>>, Closed> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.open_at(headers, usage, now)
    }

    fn open_at<'a>(
        &'a self,
        headers: &HeaderMap,
        usage: &'a Usage,
        at: Duration,
    ) -> Result<Option<Opened<'a>>, Closed> {
        if self.known.is_empty() {
            return Ok(None);
        }
        let sent = headers.get("x-api-key").and_then(|value| value.to_str().ok()).ok_or(Closed::Unknown)?;
        let key = self.known.get(&digest(sent)).ok_or(Closed::Unknown)?;
        key.take(usage, at)?;
        Ok(Some(Opened { key, usage, at }))
    }
}

impl Key {
    fn take(&self, usage: &Usage, now: Duration) -> Result<(), Closed> {
        let day = now.as_secs() / DAY;
        if self.daily.is_some_and(|most| !usage.take(&self.name, day, most)) {
            return Err(Closed::UsedUp(Duration::from_secs(DAY - now.as_secs() % DAY)));
        }
        let taken = self.bucket.as_ref().map_or(Ok(()), |bucket| bucket.take());
        taken.map_err(|wait| {
            self.give_back(usage, now);
            Closed::TooFast(wait)
        })
    }

    fn give_back(&self, usage: &Usage, now: Duration) {
        if self.daily.is_some() {
            usage.give_back(&self.name, now.as_secs() / DAY);
        }
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, secret: &str, rate: Option<(u32, u32)>, daily: Option<u64>) -> ApiKey {
        ApiKey { name: name.into(), key: secret.into(), rate, daily }
    }

    fn with(secret: &str) -> HeaderMap {
        let name = http::HeaderName::from_static("x-api-key");
        HeaderMap::from_iter([(name, secret.parse().unwrap())])
    }

    const NOON: Duration = Duration::from_secs(20_000 * DAY + DAY / 2);

    #[test]
    fn a_key_opens_and_another_does_not() {
        let (keys, usage) = (Keys::new(&[key("shop", "secret", None, None)], None), Usage::default());
        let opened = keys.open_at(&with("secret"), &usage, NOON).unwrap().unwrap();
        assert_eq!(&*opened.key.name, "shop");
        for headers in [HeaderMap::new(), with("secre"), with("secret2"), with("")] {
            assert_eq!(keys.open_at(&headers, &usage, NOON).unwrap_err(), Closed::Unknown);
        }
        assert!(Keys::new(&[], None).open_at(&HeaderMap::new(), &usage, NOON).unwrap().is_none());
    }

    #[test]
    fn quotas_are_of_the_day_and_outlive_new_settings() {
        let of = |daily| Keys::new(&[key("shop", "secret", None, Some(daily))], None);
        let (keys, usage) = (of(2), Usage::default());
        for _ in 0..2 {
            assert!(keys.open_at(&with("secret"), &usage, NOON).is_ok());
        }
        let wait = Duration::from_secs(DAY / 2);
        assert_eq!(keys.open_at(&with("secret"), &usage, NOON).unwrap_err(), Closed::UsedUp(wait));
        let changed = of(3);
        assert!(changed.open_at(&with("secret"), &usage, NOON).is_ok());
        assert_eq!(changed.open_at(&with("secret"), &usage, NOON).unwrap_err(), Closed::UsedUp(wait));
        assert!(changed.open_at(&with("secret"), &usage, NOON + wait).is_ok());
    }

    #[test]
    fn a_refused_request_uses_up_no_quota() {
        let of = |before| Keys::new(&[key("shop", "secret", Some((1, 1)), Some(2))], before);
        let (first, usage) = (of(None), Usage::default());
        assert!(first.open_at(&with("secret"), &usage, NOON).is_ok());
        // Nor do new settings refill its rate.
        let keys = of(Some(&first));
        for _ in 0..3 {
            let refused = keys.open_at(&with("secret"), &usage, NOON).unwrap_err();
            assert!(matches!(refused, Closed::TooFast(_)), "{refused:?}");
        }
    }
}
