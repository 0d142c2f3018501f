//! Who sends a request to the HTTP port, under one version of the settings.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use tintype_api::{Access, Permission};

use super::{
    Client, Clients, KeyVerifier, OpenSession, Principal, Sessions, TooManyGuesses, api_keys::ApiKeys,
};
use crate::settings::Settings;

/// Turns the credentials of a request into a principal.
#[derive(Debug)]
pub struct Authenticator {
    clients: Clients,
    api_keys: ApiKeys,
    verifier: Arc<KeyVerifier>,
    sessions: Arc<Sessions>,
}

impl Authenticator {
    /// Under these settings; access keys and sessions outlive them.
    #[must_use]
    pub fn new(settings: &Settings, verifier: Arc<KeyVerifier>, sessions: Arc<Sessions>) -> Self {
        let (clients, api_keys) = (Clients::new(settings), ApiKeys::new(&settings.api.keys));
        Self { clients, api_keys, verifier, sessions }
    }

    /// What is known of a request's sender before any credentials.
    pub fn client<B>(&self, request: &Request<B>) -> Client {
        let mut client = self.clients.client(request);
        // With access keys others are meant to call, as with API keys: see `Settings::trusts_loopback`.
        client.is_trusted &= self.verifier.keys().is_root_alone();
        client
    }

    /// The session by which a request's sender is this principal, if it is by one.
    #[must_use]
    pub fn open_session(&self, principal: &Principal, headers: &HeaderMap) -> Option<OpenSession> {
        self.sessions.open_session(principal, headers)
    }

    /// The sender of a request to a route. Which credentials count depends on what the route demands.
    ///
    /// # Errors
    /// Too many wrong ones were sent. Sessions and API keys that are valid are never refused for it.
    pub fn principal(
        &self,
        access: Access,
        client: Client,
        headers: &HeaderMap,
    ) -> Result<Principal, TooManyGuesses> {
        // Keys are administered with a key, whoever asks; if one was sent, it counts.
        let of_keys = access == Access::Login(Permission::Keys);
        if client.is_trusted && !(of_keys && headers.contains_key(header::AUTHORIZATION)) {
            return Ok(Principal::LocalProgram);
        }
        let key = self.api_keys.principal(headers);
        let principal = match access {
            Access::Anyone => return Ok(Principal::Anonymous),
            Access::ApiKey => match key {
                None if client.is_guest => Some(Principal::Guest),
                // Browsers send the access key that they were given for the console with requests of foreign pages, too.
                None if !is_of_a_browser(headers) => self.verifier.principal(client, headers)?,
                key => key,
            },
            Access::Login(_) => match (self.sessions.principal(headers), key) {
                (None, key) => self.verifier.principal(client, headers)?.or(key),
                (session, _) => session,
            },
        };
        match principal {
            None => self.api_keys.count_wrong(client, headers).map(|()| Principal::Anonymous),
            Some(principal) => Ok(principal),
        }
    }
}

/// Whether a request was sent with credentials that count. One with wrong ones is refused, also where none are needed.
pub(crate) fn has_credentials(headers: &HeaderMap) -> bool {
    headers.contains_key("x-api-key")
        || headers.contains_key(header::AUTHORIZATION) && !is_of_a_browser(headers)
}

/// Whether a page may have caused a request: browsers mark what pages send, and pages cannot remove the marks.
/// Source: W3C, Fetch Metadata Request Headers.
fn is_of_a_browser(headers: &HeaderMap) -> bool {
    // Over plain HTTP beyond loopback browsers send no Sec-Fetch-*, and with images no Origin.
    let is_mark = |name: &HeaderName| {
        [header::ORIGIN, header::REFERER].contains(name) || name.as_str().starts_with("sec-fetch-")
    };
    let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    headers.keys().any(is_mark) || agent.is_some_and(|agent| agent.starts_with(b"Mozilla/"))
}
