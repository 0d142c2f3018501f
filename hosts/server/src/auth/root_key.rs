//! Whether a client presents the root key, by HTTP Basic authentication (RFC 7617) or in a form. Wrong keys are delayed.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use tokio::sync::{Mutex, Semaphore};

use super::{Credentials, Principal};

/// A wrong key is answered only after this long, one at a time.
const DELAY: Duration = Duration::from_millis(500);
/// Requests with a wrong key that are delayed at once.
const MAX_DELAYED: usize = 16;

/// The root key. One for the whole server, so that guesses on different routes wait for each other.
#[derive(Debug)]
pub struct RootKey {
    credentials: Credentials,
    turn: Mutex<()>,
    delayed: Semaphore,
}

impl RootKey {
    /// The key with these credentials.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, turn: Mutex::default(), delayed: Semaphore::new(MAX_DELAYED) }
    }

    /// Its id and secret.
    pub const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Whether these are the root key's id and secret. The answer to others is delayed.
    pub async fn verify(&self, access_key_id: &str, secret: &str) -> bool {
        let Credentials { access_key_id: id, .. } = &self.credentials;
        let is_right = is_equal(access_key_id, id) & is_equal(secret, self.credentials.secret_access_key());
        if !is_right {
            self.delay().await;
            tracing::warn!("a wrong access key was refused");
        }
        is_right
    }

    /// The principal of a request with the root key by HTTP Basic: its id as the user, its secret as the password.
    pub(super) async fn principal(&self, headers: &HeaderMap) -> Option<Principal> {
        let (id, secret) = basic(headers)?;
        self.verify(&id, &secret).await.then(|| Principal::AccessKey(id.into()))
    }

    /// Returns after [`DELAY`], one request after the other; at once where many are delayed, which would use up the
    /// port's connections.
    async fn delay(&self) {
        let Ok(_permit) = self.delayed.try_acquire() else { return };
        let _turn = self.turn.lock().await;
        tokio::time::sleep(DELAY).await;
    }
}

/// Whether two texts are equal, in a time that does not depend on where they differ.
fn is_equal(a: &str, b: &str) -> bool {
    let different = a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && different == 0
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_key() -> RootKey {
        RootKey::new(Credentials::new("id", "s:ecret"))
    }

    fn with(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, authorization.parse().unwrap())])
    }

    #[tokio::test(start_paused = true)]
    async fn the_root_key_is_admitted_by_basic_authentication_and_nothing_else() {
        let root_key = root_key();
        for good in ["Basic aWQ6czplY3JldA==", "basic  aWQ6czplY3JldA=="] {
            assert!(root_key.principal(&with(good)).await.is_some(), "{good}");
        }
        for bad in
            ["", "Basic", "Basic aWQ6czplY3JldA", "Basic aWQ6cw==", "Bearer aWQ6czplY3JldA==", "Basic !"]
        {
            assert!(root_key.principal(&with(bad)).await.is_none(), "{bad}");
        }
        assert!(root_key.principal(&HeaderMap::new()).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_keys_are_answered_one_after_the_other() {
        let (root_key, begin) = (root_key(), tokio::time::Instant::now());
        let wrong = with("Basic aWQ6cw==");
        let answers =
            futures::join!(root_key.verify("id", "s"), root_key.verify("", ""), root_key.principal(&wrong));
        assert_eq!(answers, (false, false, None));
        // The clock is paused: only waiting moves it.
        assert!(begin.elapsed() >= 3 * DELAY);
    }
}
