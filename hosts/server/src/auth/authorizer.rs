//! Who may do what: the one place that decides.

use std::{fmt, sync::Arc};

use super::{Action, Principal, Resource};

/// Whether a principal may take an action on a resource.
type Rule = dyn Fn(&Principal, Action, &Resource<'_>) -> bool + Send + Sync;

/// Decides on every request to either port; cheap to clone.
#[derive(Clone)]
pub struct Authorizer {
    allows: Arc<Rule>,
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").finish_non_exhaustive()
    }
}

/// A principal may not take an action on a resource, in S3's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("User {principal} is not authorized to perform: {action} on resource: \"{resource}\"")]
pub struct Denied {
    /// Who.
    pub principal: Principal,
    action: Action,
    resource: String,
}

impl Authorizer {
    /// The root key may do everything, other access keys nothing; the HTTP port's principals what they are for.
    #[must_use]
    pub fn root_only(root_access_key_id: &str) -> Self {
        let root = root_access_key_id.to_owned();
        Self::by(move |principal, action, _| {
            use Action::{Administer, InvokeApi, Read, UsePublicRoute, Write};
            action == UsePublicRoute
                || match principal {
                    Principal::Anonymous => false,
                    Principal::Guest | Principal::ApiKey(_) => action == InvokeApi,
                    Principal::Session => matches!(action, Read | Write | Administer),
                    Principal::LocalProgram => matches!(action, InvokeApi | Read | Write | Administer),
                    Principal::AccessKey(id) => **id == *root,
                }
        })
    }

    /// By a rule of its own.
    pub fn by(rule: impl Fn(&Principal, Action, &Resource<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self { allows: Arc::new(rule) }
    }

    /// # Errors
    /// The principal may not take this action on this resource.
    pub fn authorize(
        &self,
        principal: &Principal,
        action: Action,
        resource: &Resource<'_>,
    ) -> Result<(), Denied> {
        if (self.allows)(principal, action, resource) {
            return Ok(());
        }
        Err(Denied { principal: principal.clone(), action, resource: resource.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_key_may_do_everything_and_another_nothing() {
        let authorizer = Authorizer::root_only("root");
        let resource = Resource::Object { bucket: "in", key: "a.jpg" };
        let authorize =
            |id: &str, action| authorizer.authorize(&Principal::AccessKey(id.into()), action, &resource);
        for action in [Action::GetObject, Action::InvokeApi, Action::Administer] {
            assert!(authorize("root", action).is_ok());
            assert!(authorize("other", action).is_err());
        }
        assert_eq!(
            authorize("other", Action::GetObject).unwrap_err().to_string(),
            "User other is not authorized to perform: s3:GetObject on resource: \"arn:aws:s3:::in/a.jpg\""
        );
    }

    #[test]
    fn no_principal_of_the_http_port_but_the_root_key_acts_on_s3() {
        let authorizer = Authorizer::root_only("root");
        for principal in [
            Principal::Anonymous,
            Principal::Guest,
            Principal::LocalProgram,
            Principal::ApiKey("shop".into()),
            Principal::Session,
        ] {
            assert!(authorizer.authorize(&principal, Action::ListAllMyBuckets, &Resource::Buckets).is_err());
        }
    }
}
