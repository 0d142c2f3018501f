//! API keys: who may call, how often, and how much a day. As API Gateway's usage plans do it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    middleware::Next,
    response::Response,
};
use sha2::{Digest as _, Sha256};
use tintype_api::message;
use tintype_function::settings::ApiKey;

use super::{Gateway, access::Caller, throttle::TokenBucket, throttled};

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Requests of one day: its number since 1970, and how many there were.
type Used = Arc<Mutex<(u64, u64)>>;

/// The keys in force. None: everybody may call.
#[derive(Debug)]
pub(super) struct Keys {
    /// By the digest of the secret: looking one up tells nothing of another by the time it takes.
    known: HashMap<[u8; 32], Key>,
}

#[derive(Debug)]
struct Key {
    name: Arc<str>,
    bucket: Option<TokenBucket>,
    daily: Option<u64>,
    used: Used,
}

/// Why a key does not open.
#[derive(Debug, PartialEq, Eq)]
enum Closed {
    Unknown,
    TooFast(Duration),
    UsedUp(Duration),
}

impl Keys {
    /// The keys of the settings; what was used today under the settings `before` counts on, by name.
    pub(super) fn new(keys: &[ApiKey], before: Option<&Self>) -> Self {
        let used = |name: &str| -> Used {
            let before = before.into_iter().flat_map(|keys| keys.known.values());
            before.filter(|key| *key.name == *name).map(|key| key.used.clone()).next().unwrap_or_default()
        };
        let known = keys.iter().map(|key| {
            let bucket = key.rate.map(|(rate, burst)| TokenBucket::new(rate, burst));
            let used = used(&key.name);
            (digest(&key.key), Key { name: key.name.as_str().into(), bucket, daily: key.daily, used })
        });
        Self { known: known.collect() }
    }

    /// The name of the key that a request was sent with; `None` if none is needed.
    fn open(&self, headers: &HeaderMap, now: Duration) -> Result<Option<Arc<str>>, Closed> {
        if self.known.is_empty() {
            return Ok(None);
        }
        let sent = headers.get("x-api-key").and_then(|value| value.to_str().ok()).ok_or(Closed::Unknown)?;
        let key = self.known.get(&digest(sent)).ok_or(Closed::Unknown)?;
        key.take(now)?;
        Ok(Some(key.name.clone()))
    }

    /// A request that was refused further on uses up no quota.
    fn give_back(&self, name: &str, now: Duration) {
        let Some(key) = self.known.values().find(|key| *key.name == *name) else { return };
        let mut used = key.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.0 == now.as_secs() / DAY {
            used.1 = used.1.saturating_sub(1);
        }
    }
}

impl Key {
    fn take(&self, now: Duration) -> Result<(), Closed> {
        let day = now.as_secs() / DAY;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.0 != day {
            *used = (day, 0);
        }
        if self.daily.is_some_and(|most| used.1 >= most) {
            return Err(Closed::UsedUp(Duration::from_secs(DAY - now.as_secs() % DAY)));
        }
        if let Some(bucket) = &self.bucket {
            bucket.take().map_err(Closed::TooFast)?;
        }
        used.1 += 1;
        Ok(())
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

pub(super) async fn check(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let inner = &gateway.inner;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // API Gateway's words, each.
    match inner.keys.open(request.headers(), now) {
        Ok(None) => next.run(request).await,
        Ok(Some(name)) => {
            let mut response = next.run(request).await;
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                inner.keys.give_back(&name, now);
            }
            response.extensions_mut().insert(Caller(name));
            response
        }
        Err(Closed::Unknown) => message(StatusCode::FORBIDDEN, "Forbidden"),
        Err(Closed::TooFast(wait)) => throttled(&inner.parts.instruments, "Too Many Requests", wait),
        Err(Closed::UsedUp(wait)) => throttled(&inner.parts.instruments, "Limit Exceeded", wait),
    }
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
        let keys = Keys::new(&[key("shop", "secret", None, None)], None);
        assert_eq!(keys.open(&with("secret"), NOON).unwrap().as_deref(), Some("shop"));
        for headers in [HeaderMap::new(), with("secre"), with("secret2"), with("")] {
            assert_eq!(keys.open(&headers, NOON), Err(Closed::Unknown));
        }
        assert_eq!(Keys::new(&[], None).open(&HeaderMap::new(), NOON), Ok(None));
    }

    #[test]
    fn quotas_are_of_the_day_and_outlive_new_settings() {
        let of = |daily| [key("shop", "secret", None, Some(daily))];
        let keys = Keys::new(&of(2), None);
        for _ in 0..2 {
            assert!(keys.open(&with("secret"), NOON).is_ok());
        }
        let wait = Duration::from_secs(DAY / 2);
        assert_eq!(keys.open(&with("secret"), NOON), Err(Closed::UsedUp(wait)));
        let changed = Keys::new(&of(3), Some(&keys));
        assert!(changed.open(&with("secret"), NOON).is_ok());
        assert_eq!(changed.open(&with("secret"), NOON), Err(Closed::UsedUp(wait)));
        assert!(changed.open(&with("secret"), NOON + wait).is_ok());
    }

    #[test]
    fn a_refused_request_uses_up_no_quota() {
        let keys = Keys::new(&[key("shop", "secret", Some((1, 1)), Some(5))], None);
        assert!(keys.open(&with("secret"), NOON).is_ok());
        assert!(matches!(keys.open(&with("secret"), NOON), Err(Closed::TooFast(_))));
        let used = keys.known.values().next().unwrap().used.lock().unwrap().1;
        assert_eq!(used, 1);
    }
}
