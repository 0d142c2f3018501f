//! Who may do what. Every way to the store asks here, once a signature has been verified: operations, each key of a list,
//! the source of a copy, and forms.

use s3s::{S3Result, s3_error};

/// Whoever signed a request. Made only where a signature was verified, and passed along with the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principal {
    pub(super) access_key_id: String,
}

/// The rights there are: the root key may do everything, nobody else anything.
#[derive(Debug, Clone)]
pub(super) struct Authorizer {
    root_access_key_id: String,
}

impl Authorizer {
    pub(super) fn new(root_access_key_id: &str) -> Self {
        Self { root_access_key_id: root_access_key_id.to_owned() }
    }

    /// # Errors
    /// `AccessDenied`: the principal may not take this action (`s3:GetObject`) on this resource (`bucket` or `bucket/key`).
    pub(super) fn authorize(&self, principal: &Principal, action: &str, resource: &str) -> S3Result<()> {
        if principal.access_key_id == self.root_access_key_id {
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
        let authorizer = Authorizer::new("root");
        let ask = |id: &str| {
            let principal = Principal { access_key_id: id.into() };
            authorizer.authorize(&principal, "s3:GetObject", "in/a.jpg")
        };
        assert!(ask("root").is_ok());
        assert!(ask("other").unwrap_err().to_string().contains("s3:GetObject"));
    }
}
