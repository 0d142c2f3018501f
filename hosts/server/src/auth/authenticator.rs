//! Who sends a request to the HTTP port, under one version of the settings.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use tintype_api::Access;

use super::{Client, Principal, RootKey, Sessions, api_keys::ApiKeys, local_trust::LocalTrust};
use crate::settings::Settings;

/// Turns the credentials of a request into a principal.
#[derive(Debug)]
pub struct Authenticator {
    local_trust: LocalTrust,
    api_keys: ApiKeys,
    root_key: Arc<RootKey>,
    sessions: Arc<Sessions>,
}

impl Authenticator {
    /// Under these settings; root key and sessions outlive them.
    #[must_use]
    pub fn new(settings: &Settings, root_key: Arc<RootKey>, sessions: Arc<Sessions>) -> Self {
        let (local_trust, api_keys) = (LocalTrust::new(settings), ApiKeys::new(&settings.api.keys));
        Self { local_trust, api_keys, root_key, sessions }
    }

    /// What is known of a request's sender before any credentials.
    pub fn client<B>(&self, request: &Request<B>) -> Client {
        self.local_trust.client(request)
    }

    /// The sender of a request to a route. Which credentials count depends on what the route demands.
    pub async fn principal(&self, access: Access, client: Client, headers: &HeaderMap) -> Principal {
        if client.is_trusted {
            return Principal::LocalProgram;
        }
        let principal = match access {
            Access::Anyone => None,
            Access::ApiKey => match self.api_keys.principal(headers) {
                None if client.is_guest => Some(Principal::Guest),
                // Browsers send the root key that they were given for the console with requests of foreign pages, too.
                None if !is_of_a_browser(headers) => self.root_key(headers).await,
                known => known,
            },
            Access::Login(_) => match self.sessions.principal(headers) {
                None => self.root_key(headers).await.or_else(|| self.api_keys.principal(headers)),
                session => session,
            },
        };
        principal.unwrap_or(Principal::Anonymous)
    }

    /// Boxed: the future of a request that needs no root key is to be small.
    async fn root_key(&self, headers: &HeaderMap) -> Option<Principal> {
        Box::pin(self.root_key.principal(headers)).await
    }
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
