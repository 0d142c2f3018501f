//! Who sends a request, and what it may do. Authentication yields a [`Principal`]: of signed requests in `s3`, of the
//! HTTP port in [`Authenticator`]. [`Authorizer::authorize`] is the one place that decides: `s3` asks it for each
//! operation, `http` for each route.

mod action;
mod api_keys;
mod authenticator;
mod authorizer;
mod client;
mod credentials;
mod forwarded;
mod local_trust;
mod principal;
mod resource;
mod root_key;
mod sessions;

pub use action::Action;
pub use authenticator::Authenticator;
pub use authorizer::{Authorizer, Denied};
pub use client::{Client, Peer};
pub use credentials::{ACCESS_KEY_ID, Credentials, SECRET_ACCESS_KEY, token};
pub use local_trust::is_forwarded;
pub use principal::Principal;
pub use resource::Resource;
pub use root_key::RootKey;
pub use sessions::Sessions;
