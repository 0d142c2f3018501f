//! Who may do what. Every way to the store asks here, once a signature has been verified: operations, each key of a list,
//! the source of a copy, and forms.

use std::sync::Arc;

use s3s::{S3Result, s3_error};
use tintype_pipeline::store::Location;

/// Whoever signed a request. Made only where a signature was verified, and passed along with the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The access key that the request was signed with.
    pub access_key_id: String,
}

/// Whether a principal may take an action on a resource.
type Rule = dyn Fn(&Principal, &str, &str) -> bool + Send + Sync;

/// The one place that decides.
#[derive(Clone)]
pub struct Authorizer {
    allows: Arc<Rule>,
}

impl std::fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorizer").finish_non_exhaustive()
    }
}

/// An object as rights name it.
pub(super) fn object(at: &Location) -> String {
    format!("{}/{}", at.bucket, at.key.as_str())
}

impl Authorizer {
    /// The root key may do everything, nobody else anything.
    #[must_use]
    pub fn root_only(root_access_key_id: &str) -> Self {
        let root = root_access_key_id.to_owned();
        Self::by(move |principal, _, _| principal.access_key_id == root)
    }

    /// By a rule of principal, action (`s3:GetObject`) and resource (`bucket` or `bucket/key`).
    pub fn by(rule: impl Fn(&Principal, &str, &str) -> bool + Send + Sync + 'static) -> Self {
        Self { allows: Arc::new(rule) }
    }

    /// # Errors
    /// `AccessDenied`: the principal may not take this action (`s3:GetObject`) on this resource (`bucket` or `bucket/key`).
    pub(super) fn authorize(&self, principal: &Principal, action: &str, resource: &str) -> S3Result<()> {
        if (self.allows)(principal, action, resource) {
            return Ok(());
        }
        Err(s3_error!(
            AccessDenied,
            "User {} is not authorized to perform: {action} on resource: \"arn:aws:s3:::{resource}\"",
            principal.access_key_id
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_key_may_do_everything_and_another_nothing() {
        let authorizer = Authorizer::root_only("root");
        let ask = |id: &str| {
            let principal = Principal { access_key_id: id.into() };
            authorizer.authorize(&principal, "s3:GetObject", "in/a.jpg")
        };
        assert!(ask("root").is_ok());
        assert!(ask("other").unwrap_err().to_string().contains("s3:GetObject"));
    }
}
