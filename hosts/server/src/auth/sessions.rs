//! Logins at the console: whoever presents the root key gets a token, which its browser sends as a cookie.

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, header};

use super::{Client, Principal, RootKey, token};

const COOKIE: &str = "tintype_session";
/// How long a session lasts.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Sessions at once; the oldest makes room.
const MAX_SESSIONS: usize = 1000;

/// The sessions by their tokens, and until when each is valid. `Debug` shows no token.
pub struct Sessions {
    root_key: Arc<RootKey>,
    valid_until: Mutex<HashMap<String, Instant>>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Sessions {
    /// None yet; the root key opens them.
    #[must_use]
    pub fn new(root_key: Arc<RootKey>) -> Self {
        Self { root_key, valid_until: Mutex::default() }
    }

    /// The `Set-Cookie` of a new session; `None` if this is not the root key.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub async fn log_in(
        &self,
        access_key_id: &str,
        secret: &str,
        client: Client,
    ) -> io::Result<Option<String>> {
        if !self.root_key.verify(access_key_id, secret).await {
            return Ok(None);
        }
        self.open().map(|token| Some(set_cookie(client, &token, LIFETIME)))
    }

    /// Ends a request's session; the `Set-Cookie` that removes its cookie.
    pub fn log_out(&self, headers: &HeaderMap, client: Client) -> String {
        if let Some(token) = sent_token(headers) {
            self.lock().remove(token);
        }
        set_cookie(client, "", Duration::ZERO)
    }

    /// The principal of a request's session, if that is valid.
    pub(super) fn principal(&self, headers: &HeaderMap) -> Option<Principal> {
        let is_valid = self.lock().get(sent_token(headers)?).is_some_and(|until| *until > Instant::now());
        is_valid.then_some(Principal::Session)
    }

    fn open(&self) -> io::Result<String> {
        let token = token()?;
        let mut sessions = self.lock();
        let now = Instant::now();
        sessions.retain(|_, until| *until > now);
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, until)| **until).map(|(token, _)| token.clone());
            oldest.and_then(|token| sessions.remove(&token));
        }
        sessions.insert(token.clone(), now + LIFETIME);
        Ok(token)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.valid_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A cookie that was set over TLS is sent over nothing else.
fn set_cookie(client: Client, token: &str, lifetime: Duration) -> String {
    let (seconds, secure) = (lifetime.as_secs(), if client.is_encrypted { "; Secure" } else { "" });
    format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

fn sent_token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Credentials;

    fn with(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, cookie.parse().unwrap())])
    }

    #[test]
    fn cookies_are_read() {
        assert_eq!(sent_token(&with("a=b; tintype_session=abc; c=d")), Some("abc"));
        assert_eq!(sent_token(&HeaderMap::new()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_end() {
        let sessions = Sessions::new(Arc::new(RootKey::new(Credentials::new("id", "secret"))));
        assert_eq!(sessions.log_in("id", "other", Client::default()).await.unwrap(), None);
        let cookie = sessions.log_in("id", "secret", Client::default()).await.unwrap().unwrap();
        let session = with(cookie.split(';').next().unwrap());
        assert_eq!(sessions.principal(&session), Some(Principal::Session));
        for other in [with("tintype_session=other"), with("tintype_session="), HeaderMap::new()] {
            assert_eq!(sessions.principal(&other), None);
        }
        let removed = sessions.log_out(&session, Client { is_encrypted: true, ..Client::default() });
        assert!(removed.contains("Max-Age=0") && removed.ends_with("; Secure"), "{removed}");
        assert_eq!(sessions.principal(&session), None);
    }
}
