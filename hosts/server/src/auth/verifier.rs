//! Whether a client presents an access key's id and secret, by HTTP Basic authentication (RFC 7617) or in a form.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};

use super::{AccessKeys, Client, Principal, TooManyGuesses, login_throttle::LoginThrottle};

/// Verifies pairs of id and secret. One for the whole server, so that guesses on different routes count together.
#[derive(Debug)]
pub struct KeyVerifier {
    keys: Arc<AccessKeys>,
    throttle: LoginThrottle,
}

impl KeyVerifier {
    /// For these keys.
    #[must_use]
    pub fn new(keys: Arc<AccessKeys>) -> Self {
        Self { keys, throttle: LoginThrottle::default() }
    }

    /// The keys.
    pub const fn keys(&self) -> &Arc<AccessKeys> {
        &self.keys
    }

    /// Whether these, sent by this client, are a key's id and secret.
    ///
    /// # Errors
    /// Too many wrong ones were sent.
    pub fn verify(&self, client: Client, access_key_id: &str, secret: &str) -> Result<bool, TooManyGuesses> {
        let is_right = self.throttle.attempt(client, || self.keys.is_pair(access_key_id, secret))?;
        if is_right {
            self.keys.use_now(access_key_id);
        } else {
            tracing::warn!(
                client = client.address.map(tracing::field::display),
                "a wrong access key was refused"
            );
        }
        Ok(is_right)
    }

    /// The principal of a request with a key by HTTP Basic: its id as the user, its secret as the password.
    pub(super) fn principal(
        &self,
        client: Client,
        headers: &HeaderMap,
    ) -> Result<Option<Principal>, TooManyGuesses> {
        let Some((id, secret)) = basic(headers) else { return Ok(None) };
        let is_right = self.verify(client, &id, &secret)?;
        Ok(is_right.then(|| Principal::AccessKey(id.into())))
    }
}

/// Whether two texts are equal, in a time that does not depend on where they differ.
pub(super) fn is_equal(a: &str, b: &str) -> bool {
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
    use crate::auth::Credentials;

    fn verifier() -> KeyVerifier {
        KeyVerifier::new(Arc::new(AccessKeys::root_only(Credentials::new("id", "s:ecret"))))
    }

    fn with(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, authorization.parse().unwrap())])
    }

    #[test]
    fn the_root_key_is_admitted_by_basic_authentication_and_nothing_else() {
        let verifier = verifier();
        for good in ["Basic aWQ6czplY3JldA==", "basic  aWQ6czplY3JldA=="] {
            assert!(verifier.principal(Client::default(), &with(good)).unwrap().is_some(), "{good}");
        }
        for bad in
            ["", "Basic", "Basic aWQ6czplY3JldA", "Basic aWQ6cw==", "Bearer aWQ6czplY3JldA==", "Basic !"]
        {
            assert!(verifier.principal(Client::default(), &with(bad)).unwrap().is_none(), "{bad}");
        }
        assert!(verifier.principal(Client::default(), &HeaderMap::new()).unwrap().is_none());
    }

    #[test]
    fn wrong_keys_count_wherever_they_are_sent() {
        let verifier = verifier();
        let wrong = with("Basic aWQ6cw==");
        while verifier.principal(Client::default(), &wrong).is_ok() {}
        assert!(verifier.verify(Client::default(), "id", "s:ecret").is_err());
        let other = Client { address: Some([192, 0, 2, 1].into()), ..Client::default() };
        assert_eq!(verifier.verify(other, "id", "s:ecret"), Ok(true));
    }
}
