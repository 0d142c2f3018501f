//! Who sends a request, and what it may do. Authentication yields a [`Principal`]: of signed requests in `s3`, of the
//! HTTP port in [`Authenticator`]. [`Authorizer::authorize`] is the one place that decides: `s3` asks it for each
//! operation, `http` for each route. Of what [`Visibility`] shows routes answer names.

mod access_key;
mod access_keys;
mod api_keys;
mod authenticator;
mod authorizer;
pub mod caller;
mod client;
mod credentials;
mod forwarded;
mod local_trust;
mod login_throttle;
mod principal;
mod request_context;
mod resource;
mod sessions;
mod verifier;
mod visibility;

pub use access_key::{AccessKey, QuotaExceeded, Rights};
pub use access_keys::{ACCOUNT, AccessKeys, KeyError};
pub use api_keys::ApiKeys;
pub use authenticator::Authenticator;
pub(crate) use authenticator::has_credentials;
pub use authorizer::{Authorizer, Denied};
pub use caller::Caller;
pub use client::{Client, Peer, network_of, site_of};
pub use credentials::{ACCESS_KEY_ID, Credentials, SECRET_ACCESS_KEY, token};
pub use forwarded::forwarded_address;
pub use local_trust::{Clients, is_forwarded};
pub use login_throttle::TooManyGuesses;
pub use principal::{FUNCTION, Principal};
pub use request_context::RequestContext;
pub use resource::Resource;
pub use sessions::{LoginError, OpenSession, Sessions};
pub use tintype_policy::Action;
pub use verifier::KeyVerifier;
use verifier::is_equal;
pub use visibility::Visibility;
