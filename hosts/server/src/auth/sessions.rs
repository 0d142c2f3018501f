//! Logins at the console: whoever presents the root key, or another that may see the console, gets a token, which its browser sends as a cookie.

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, header};

use super::{
    Client, KeyVerifier, Principal, TooManyGuesses,
    access_keys::{SecretDigest, digest},
    token,
};

const COOKIE: &str = "tintype_session";
/// How long a session lasts.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Sessions at once; the oldest makes room.
const MAX_SESSIONS: usize = 1000;

/// Why somebody cannot log in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// This is no access key, or one that may not see the console.
    #[error("This access key is not known.")]
    WrongKey,
    /// Too many wrong keys were sent before.
    #[error(transparent)]
    TooManyGuesses(#[from] TooManyGuesses),
    /// The system gives no randomness.
    #[error("nobody can log in: {0}")]
    Unavailable(#[from] io::Error),
}

/// Whose session it is, and until when.
#[derive(Debug)]
struct Session {
    access_key_id: Arc<str>,
    /// Of the secret that it was opened with: with another it ends.
    secret: SecretDigest,
    valid_until: Instant,
}

/// The sessions by their tokens. `Debug` shows no token.
pub struct Sessions {
    verifier: Arc<KeyVerifier>,
    by_token: Mutex<HashMap<String, Session>>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Sessions {
    /// None yet; access keys open them.
    #[must_use]
    pub fn new(verifier: Arc<KeyVerifier>) -> Self {
        Self { verifier, by_token: Mutex::default() }
    }

    /// The `Set-Cookie` of a new session.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub fn log_in(&self, access_key_id: &str, secret: &str, client: Client) -> Result<String, LoginError> {
        let is_known = self.verifier.verify(client, access_key_id, secret)?;
        if !is_known || !self.verifier.keys().may_log_in(access_key_id) {
            return Err(LoginError::WrongKey);
        }
        Ok(set_cookie(client, &self.open(access_key_id, secret)?, LIFETIME))
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
        self.of_token(sent_token(headers)?)
    }

    /// The session by which a request's sender is this principal, if it is by one.
    pub(super) fn open_session(
        self: &Arc<Self>,
        principal: &Principal,
        headers: &HeaderMap,
    ) -> Option<OpenSession> {
        let token = sent_token(headers)?;
        let is_by_it = self.of_token(token).as_ref() == Some(principal);
        is_by_it.then(|| OpenSession { sessions: self.clone(), token: token.to_owned() })
    }

    fn of_token(&self, token: &str) -> Option<Principal> {
        let sessions = self.lock();
        let session = sessions.get(token)?;
        let id = &session.access_key_id;
        let keys = self.verifier.keys();
        let is_valid = session.valid_until > Instant::now() && keys.secret_digest(id) == Some(session.secret);
        is_valid.then(|| match keys.is_root(id) {
            true => Principal::Session,
            // What it may do is decided at each request, as its rights are then.
            false => Principal::AccessKey(id.clone()),
        })
    }

    fn open(&self, access_key_id: &str, secret: &str) -> io::Result<String> {
        let token = token()?;
        let mut sessions = self.lock();
        let now = Instant::now();
        sessions.retain(|_, session| session.valid_until > now);
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.valid_until);
            let oldest = oldest.map(|(token, _)| token.clone());
            oldest.and_then(|token| sessions.remove(&token));
        }
        let session = Session {
            access_key_id: access_key_id.into(),
            secret: digest(secret),
            valid_until: now + LIFETIME,
        };
        sessions.insert(token.clone(), session);
        Ok(token)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session of a request that is still being answered. `Debug` shows no token.
#[derive(Clone)]
pub struct OpenSession {
    sessions: Arc<Sessions>,
    token: String,
}

impl OpenSession {
    /// Whether it has neither ended nor been ended.
    pub(super) fn is_valid(&self) -> bool {
        self.sessions.of_token(&self.token).is_some()
    }
}

impl fmt::Debug for OpenSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSession").finish_non_exhaustive()
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
    use crate::{
        auth::{AccessKeys, Credentials},
        settings::Settings,
    };
    use tintype_pipeline::settings::Sources;

    fn with(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, cookie.parse().unwrap())])
    }

    #[test]
    fn cookies_are_read() {
        assert_eq!(sent_token(&with("a=b; tintype_session=abc; c=d")), Some("abc"));
        assert_eq!(sent_token(&HeaderMap::new()), None);
    }

    #[test]
    fn a_session_ends_with_the_secret_that_opened_it() {
        let settings = |secret: &str| {
            let file = format!(
                "[[access]]\nname = \"ops\"\naccess_key_id = \"TTOPS\"\nsecret_access_key = \"{secret}\"\npreset = \"operator\"\n"
            );
            Settings::load(Sources { file: Some(("test".into(), file)), ..Sources::default() }).unwrap()
        };
        let keys = Arc::new(AccessKeys::root_only(Credentials::new("id", "secret")));
        keys.apply(&settings("first-secret-of-ops")).unwrap();
        let sessions = Sessions::new(Arc::new(KeyVerifier::new(keys.clone())));
        let cookie = sessions.log_in("TTOPS", "first-secret-of-ops", Client::default()).unwrap();
        let session = with(cookie.split(';').next().unwrap());
        let sessions = Arc::new(sessions);
        let principal = Principal::AccessKey("TTOPS".into());
        let open = sessions.open_session(&principal, &session).unwrap();
        assert!(sessions.open_session(&Principal::Session, &session).is_none());
        for _ in 0..2 {
            assert!(open.is_valid());
            assert_eq!(sessions.principal(&session), Some(Principal::AccessKey("TTOPS".into())));
            keys.apply(&settings("first-secret-of-ops")).unwrap();
        }
        keys.apply(&settings("second-secret-of-ops")).unwrap();
        assert_eq!(sessions.principal(&session), None);
        assert!(!open.is_valid());
    }

    #[test]
    fn sessions_end() {
        let keys = Arc::new(AccessKeys::root_only(Credentials::new("id", "secret")));
        let sessions = Sessions::new(Arc::new(KeyVerifier::new(keys)));
        assert!(matches!(sessions.log_in("id", "other", Client::default()), Err(LoginError::WrongKey)));
        let cookie = sessions.log_in("id", "secret", Client::default()).unwrap();
        while !matches!(sessions.log_in("id", "", Client::default()), Err(LoginError::TooManyGuesses(_))) {}
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
