//! Whom the current task serves, for what only learns deep in a request which objects it is about.

use std::{collections::BTreeSet, future::Future, sync::Arc};

use tintype_pipeline::store::Location;

use super::{Action, Authorizer, Denied, OpenSession, Principal, RequestContext, Resource};

tokio::task_local! {
    static CURRENT: Arc<Caller>;
}

/// The sender of a request to the HTTP port.
#[derive(Debug)]
pub struct Caller {
    authorizer: Authorizer,
    /// Who it is.
    pub principal: Principal,
    context: RequestContext,
    session: Option<OpenSession>,
}

impl Caller {
    /// Of an authenticated request.
    #[must_use]
    pub const fn new(authorizer: Authorizer, principal: Principal, context: RequestContext) -> Self {
        Self { authorizer, principal, context, session: None }
    }

    /// By this session.
    #[must_use]
    pub fn with_session(self, session: Option<OpenSession>) -> Self {
        Self { session, ..self }
    }

    /// Whether its rights are by object. Others may use the API for every object.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.authorizer.is_limited(&self.principal)
    }

    /// # Errors
    /// It may not take this action on this object.
    pub fn authorize(&self, action: Action, resource: &Resource<'_>) -> Result<(), Denied> {
        // Not even what is public is answered where a bucket's policy denies it to everybody.
        if !self.is_limited() && self.principal != Principal::Public {
            self.authorizer.log_allowed(&self.principal, action, resource, "its route is for every object");
            return Ok(());
        }
        self.authorizer.authorize(&self.principal, action, resource, &self.context)
    }

    /// Whether it may take this action, where that only changes what an answer shows: nothing is logged.
    #[must_use]
    pub fn allows(&self, action: Action, resource: &Resource<'_>) -> bool {
        !self.is_limited() || self.authorizer.allows(&self.principal, action, resource, &self.context)
    }

    /// What its request gives for the conditions of policies.
    pub(super) const fn context(&self) -> &RequestContext {
        &self.context
    }

    /// Whether it may take this action in this context; nothing is logged.
    pub(super) fn may(&self, action: Action, resource: &Resource<'_>, context: &RequestContext) -> bool {
        self.authorizer.allows(&self.principal, action, resource, context)
    }

    /// How keys of a bucket begin that policies name which may allow it something.
    pub(super) fn named_prefixes(&self, bucket: &str) -> BTreeSet<String> {
        self.authorizer.named_prefixes(&self.principal, bucket)
    }

    /// Whether there is a bucket of this name, or a trigger names one.
    pub(super) fn is_bucket(&self, name: &str) -> bool {
        self.authorizer.is_bucket(name)
    }

    /// Whether it may use routes that demand this now: an answer may last for longer than its session, its key, its key's rights,
    /// or the trust in programs of this machine.
    #[must_use]
    pub fn still_may(&self, action: Action, path: &str) -> bool {
        let now = RequestContext { time: std::time::SystemTime::now(), ..self.context.clone() };
        self.session.as_ref().is_none_or(OpenSession::is_valid)
            && (self.principal != Principal::LocalProgram || self.authorizer.is_root_alone())
            && self.authorizer.allows(&self.principal, action, &Resource::Route(path), &now)
    }

    /// Logs that it has changed an access key: added, rotated, removed.
    pub fn log_key_change(&self, change: &str, key: &str) {
        self.authorizer.log_key_change(&self.principal, change, key);
    }
}

/// Whether the current task's caller may take an action on an object.
///
/// # Errors
/// It may not, or it is not known who it is; in words.
pub fn authorize(action: Action, at: &Location) -> Result<(), String> {
    match current() {
        Some(caller) => caller.authorize(action, &at.into()).map_err(|denied| denied.to_string()),
        None => Err("it is not known who sends the request".to_owned()),
    }
}

/// Whether the current task's caller may take an action on an object; nothing is logged.
#[must_use]
pub fn allows(action: Action, at: &Location) -> bool {
    current().is_some_and(|caller| caller.allows(action, &at.into()))
}

/// Whether the current task's caller may use routes that demand this.
#[must_use]
pub fn may(action: Action, path: &str) -> bool {
    current().is_some_and(|caller| {
        let Caller { authorizer, principal, context, .. } = &*caller;
        authorizer.authorize(principal, action, &Resource::Route(path), context).is_ok()
    })
}

/// Who the current task's caller is.
#[must_use]
pub fn principal() -> Principal {
    current().map_or(Principal::Anonymous, |caller| caller.principal.clone())
}

/// The name of the access key of the current task's caller, if it has one and is not the root key.
#[must_use]
pub fn access_key() -> Option<String> {
    current().and_then(|caller| caller.authorizer.owner(&caller.principal))
}

/// Runs `work`, which serves this caller.
pub async fn serve<F: Future>(caller: Arc<Caller>, work: F) -> F::Output {
    CURRENT.scope(caller, work).await
}

/// `work` for another thread, where it serves the current task's caller.
pub fn carried<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let caller = current();
    move || match caller {
        Some(caller) => CURRENT.sync_scope(caller, work),
        None => work(),
    }
}

/// The caller that the current task serves; `None`: it serves none that is known.
#[must_use]
pub fn current() -> Option<Arc<Caller>> {
    CURRENT.try_with(Arc::clone).ok()
}
