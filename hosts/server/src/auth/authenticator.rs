//! Whether a caller presents the root key, by HTTP Basic authentication (RFC 7617) or in a form. Wrong ones wait.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use tokio::sync::{Mutex, Semaphore};

use super::Credentials;

/// A wrong key is answered only after this long, one at a time.
const PENALTY: Duration = Duration::from_millis(500);
/// Callers that wait so at once.
const MOST_WAITING: usize = 16;

/// Checks the root key. One for the whole server, so that guesses on different routes wait for each other.
#[derive(Debug)]
pub struct Authenticator {
    key: Credentials,
    penalty: Mutex<()>,
    /// Places to wait for it.
    waiting: Semaphore,
}

impl Authenticator {
    /// Of the root key.
    #[must_use]
    pub fn new(key: Credentials) -> Self {
        Self { key, penalty: Mutex::default(), waiting: Semaphore::new(MOST_WAITING) }
    }

    /// Whether these are the root key's id and secret. Whoever presents others has to wait for the answer.
    pub async fn knows(&self, access_key_id: &str, secret: &str) -> bool {
        let known = same(access_key_id, &self.key.access_key_id) & same(secret, &self.key.secret);
        if !known {
            self.delay().await;
            tracing::warn!("a wrong access key was refused");
        }
        known
    }

    /// Whether a request carries the root key by HTTP Basic: its id as the user, its secret as the password.
    pub async fn admits(&self, headers: &HeaderMap) -> bool {
        match basic(headers) {
            Some((id, secret)) => self.knows(&id, &secret).await,
            None => false,
        }
    }

    /// Passes after [`PENALTY`], one caller after the other; at once where many wait already, who would fill the
    /// port's connections.
    async fn delay(&self) {
        let Ok(_place) = self.waiting.try_acquire() else { return };
        let _turn = self.penalty.lock().await;
        tokio::time::sleep(PENALTY).await;
    }
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn same(a: &str, b: &str) -> bool {
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

    fn authenticator() -> Authenticator {
        Authenticator::new(Credentials { access_key_id: "id".into(), secret: "s:ecret".into(), file: None })
    }

    fn with(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, authorization.parse().unwrap())])
    }

    #[tokio::test(start_paused = true)]
    async fn the_root_key_is_admitted_by_basic_authentication_and_nothing_else() {
        let authenticator = authenticator();
        for good in ["Basic aWQ6czplY3JldA==", "basic  aWQ6czplY3JldA=="] {
            assert!(authenticator.admits(&with(good)).await, "{good}");
        }
        for bad in
            ["", "Basic", "Basic aWQ6czplY3JldA", "Basic aWQ6cw==", "Bearer aWQ6czplY3JldA==", "Basic !"]
        {
            assert!(!authenticator.admits(&with(bad)).await, "{bad}");
        }
        assert!(!authenticator.admits(&HeaderMap::new()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_keys_are_answered_one_after_the_other() {
        let (authenticator, begin) = (authenticator(), tokio::time::Instant::now());
        let wrong = with("Basic aWQ6cw==");
        let answers = futures::join!(
            authenticator.knows("id", "s"),
            authenticator.knows("", ""),
            authenticator.admits(&wrong)
        );
        assert_eq!(answers, (false, false, false));
        // Of the paused clock, which only waiting moves.
        assert!(begin.elapsed() >= 3 * PENALTY);
    }
}
