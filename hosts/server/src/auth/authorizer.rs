//! Who may do what: the one place that decides.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Weak},
};

use tintype_pipeline::{
    store::{Location, ObjectKey},
    trigger::Trigger,
};
use tintype_policy::{self as policy, BucketAccess, PublicAccessBlock, evaluate};

use super::{
    ACCOUNT, AccessKeys, Action, Client, FUNCTION, Principal, RequestContext, Resource,
    request_context::texts,
};
use crate::storage::{BucketEntry, ObjectAccess, Objects, Storage, StoreFault};

/// Whether a principal may take an action on a resource.
type Rule = dyn Fn(&Principal, Action, &Resource<'_>, &RequestContext) -> Decision + Send + Sync;

/// Decides on every request to either port; cheap to clone.
#[derive(Clone)]
pub struct Authorizer {
    decide: Arc<Rule>,
    keys: Option<Arc<AccessKeys>>,
    store: Option<Arc<Storage>>,
    /// Of buckets whose own was never changed.
    default_block: PublicAccessBlock,
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").finish_non_exhaustive()
    }
}

/// A decision, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decision {
    is_allowed: bool,
    rule: String,
    /// A statement denies; otherwise, if it is not allowed, none allows.
    is_denied: bool,
    /// The resource's bucket is not there, which says why nothing allows it.
    is_without_bucket: bool,
}

impl Decision {
    fn new(is_allowed: bool, rule: impl Into<String>) -> Self {
        Self { is_allowed, rule: rule.into(), is_denied: false, is_without_bucket: false }
    }
}

/// A principal may not take an action on a resource, in S3's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("User {name} is not authorized to perform: {action} on resource: \"{resource}\"")]
pub struct Denied {
    /// Who.
    pub principal: Principal,
    /// The bucket, if there is none of its name.
    pub missing_bucket: Option<String>,
    name: String,
    action: Action,
    resource: String,
}

impl Authorizer {
    /// By policies: the root key may do everything, another access key what its rights and the buckets' owners allow; the
    /// HTTP port's principals what they are for.
    #[must_use]
    pub fn new(keys: Arc<AccessKeys>, store: Arc<Storage>, default_block: PublicAccessBlock) -> Self {
        let (of_rule, of_names) = (keys.clone(), store.clone());
        let decide = move |principal: &Principal,
                           action: Action,
                           resource: &Resource<'_>,
                           context: &RequestContext| {
            let (keys, store) = (&of_rule, &store);
            let buckets = Buckets { store, default_block };
            let Some(id) = principal.access_key_id() else {
                return match (principal, resource) {
                    (Principal::Anonymous, Resource::Bucket(_) | Resource::Object { .. }) => {
                        buckets.decide(policy::Principal::Anonymous, &[], action, resource, context)
                    }
                    (Principal::Public, Resource::Object { .. }) => {
                        buckets.decide_for_public(action, resource, context)
                    }
                    _ => fixed(principal, action),
                };
            };
            if keys.is_root(id) {
                return Decision::new(true, "the root key may do everything");
            }
            match keys.key(id) {
                Some(key) => buckets.decide(key.principal(), key.policies(), action, resource, context),
                None => Decision::new(false, "denied: the access key was removed"),
            }
        };
        Self { decide: Arc::new(decide), keys: Some(keys), store: Some(of_names), default_block }
    }

    /// Whether there is no access key but the root key, so that programs of this machine are trusted without one.
    pub(super) fn is_root_alone(&self) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.is_root_alone())
    }

    /// For the function alone. Weakly: the store owns what asks this.
    #[must_use]
    pub fn of_function(store: Weak<Storage>, default_block: PublicAccessBlock) -> Self {
        let decide =
            move |_: &Principal, action: Action, resource: &Resource<'_>, context: &RequestContext| {
                match store.upgrade() {
                    Some(store) => {
                        let buckets = Buckets { store: &store, default_block };
                        buckets.decide_for_function(action, resource, context)
                    }
                    None => Decision::new(false, "denied: the server is shutting down"),
                }
            };
        Self { decide: Arc::new(decide), keys: None, store: None, default_block }
    }

    /// Without a store: only the root key may do anything on S3.
    #[must_use]
    pub fn root_only(root_access_key_id: &str) -> Self {
        let root = root_access_key_id.to_owned();
        let decide = move |principal: &Principal, action: Action, _: &Resource<'_>, _: &RequestContext| {
            match principal.access_key_id() {
                Some(id) => Decision::new(*id == *root, "the root key alone may do anything"),
                None => fixed(principal, action),
            }
        };
        Self { decide: Arc::new(decide), keys: None, store: None, default_block: PublicAccessBlock::ALL }
    }

    /// By a rule of its own.
    pub fn by(rule: impl Fn(&Principal, Action, &Resource<'_>) -> bool + Send + Sync + 'static) -> Self {
        let decide =
            move |principal: &Principal, action: Action, resource: &Resource<'_>, _: &RequestContext| {
                Decision::new(rule(principal, action, resource), "a rule of its own")
            };
        Self { decide: Arc::new(decide), keys: None, store: None, default_block: PublicAccessBlock::ALL }
    }

    /// What is blocked of buckets whose own PublicAccessBlock was never changed.
    #[must_use]
    pub const fn default_block(&self) -> PublicAccessBlock {
        self.default_block
    }

    /// # Errors
    /// The function may not do this with an object; why.
    pub fn authorize_function(&self, access: ObjectAccess, at: &Location) -> Result<(), String> {
        let action = match access {
            ObjectAccess::Read => Action::GetObject,
            ObjectAccess::Write => Action::PutObject,
            ObjectAccess::Delete => Action::DeleteObject,
        };
        // It comes from nowhere: what conditions ask about its network has no value.
        let context = RequestContext::new(Client::default(), &http::HeaderMap::new());
        let decided = self.authorize(&Principal::Function, action, &at.into(), &context);
        decided.map_err(|denied| denied.to_string())
    }

    /// Whether a principal is an access key other than the root key, whose rights are by object.
    #[must_use]
    pub fn is_limited(&self, principal: &Principal) -> bool {
        let pair = principal.access_key_id().zip(self.keys.as_ref());
        pair.is_some_and(|(id, keys)| !keys.is_root(id))
    }

    /// The name of the key that a principal is, which owns buckets; `None` of the root key and whoever has no key.
    #[must_use]
    pub fn owner(&self, principal: &Principal) -> Option<String> {
        let id = principal.access_key_id()?;
        Some(self.keys.as_ref()?.key(id)?.name.clone())
    }

    /// How keys of a bucket begin that policies name, of a principal or the bucket, which may allow it something.
    pub(super) fn named_prefixes(&self, principal: &Principal, bucket: &str) -> BTreeSet<String> {
        let (Some(keys), Some(store)) = (&self.keys, &self.store) else { return BTreeSet::new() };
        let Some(key) = principal.access_key_id().and_then(|id| keys.key(id)) else { return BTreeSet::new() };
        let entry = store.buckets.entry(bucket);
        let of_bucket = entry.as_ref().and_then(|entry| entry.policy.as_ref());
        let policies = key.policies().iter().chain(of_bucket);
        policies.flat_map(|policy| policy.prefixes(bucket, Some(&key.name))).collect()
    }

    /// Whether there is a bucket of this name, or a trigger names one; reads no disk.
    pub(super) fn is_bucket(&self, name: &str) -> bool {
        self.store.as_ref().is_some_and(|store| {
            let of_trigger = |trigger: &Trigger| trigger.bucket == name || trigger.destination == name;
            store.buckets.entry(name).is_some() || store.notifications.triggers().iter().any(of_trigger)
        })
    }

    /// Whether a principal may see the names of all buckets, and not just of its own.
    #[must_use]
    pub fn sees_all_buckets(&self, principal: &Principal, context: &RequestContext) -> bool {
        self.allows(principal, Action::ListAllMyBuckets, &Resource::Buckets, context)
    }

    /// Whether a principal may take an action, where that only changes what an answer shows: nothing is logged.
    #[must_use]
    pub fn allows(
        &self,
        principal: &Principal,
        action: Action,
        resource: &Resource<'_>,
        context: &RequestContext,
    ) -> bool {
        (self.decide)(principal, action, resource, context).is_allowed
    }

    /// Decides, and logs what is denied or changes something (target `audit`).
    ///
    /// # Errors
    /// The principal may not take this action on this resource.
    pub fn authorize(
        &self,
        principal: &Principal,
        action: Action,
        resource: &Resource<'_>,
        context: &RequestContext,
    ) -> Result<(), Denied> {
        let decision = (self.decide)(principal, action, resource, context);
        if decision.is_allowed {
            self.log_allowed(principal, action, resource, &decision.rule);
            return Ok(());
        }
        let (name, written) = (self.name(principal), resource.to_string());
        log(principal, &name, action, &written, &decision, None);
        let missing = resource.bucket().filter(|_| decision.is_without_bucket);
        Err(Denied {
            principal: principal.clone(),
            missing_bucket: missing.map(str::to_owned),
            name,
            action,
            resource: written,
        })
    }

    /// Logs what a principal may do by a rule, if it changes something.
    pub(super) fn log_allowed(
        &self,
        principal: &Principal,
        action: Action,
        resource: &Resource<'_>,
        rule: &str,
    ) {
        if changes(action) {
            let decision = Decision::new(true, rule);
            log(principal, &self.name(principal), action, &resource.to_string(), &decision, None);
        }
    }

    /// Logs that a principal, which may, has changed an access key.
    pub(super) fn log_key_change(&self, principal: &Principal, change: &str, key: &str) {
        let decision = Decision::new(true, "it may administer keys");
        let resource = format!("arn:aws:iam::{ACCOUNT}:user/{key}");
        let action = Action::AdministerKeys;
        log(principal, &self.name(principal), action, &resource, &decision, Some(change));
    }

    /// A principal as the log names it.
    fn name(&self, principal: &Principal) -> String {
        self.owner(principal).unwrap_or_else(|| principal.to_string())
    }
}

/// Writes a line of the audit log.
fn log(
    principal: &Principal,
    name: &str,
    action: Action,
    resource: &str,
    decision: &Decision,
    change: Option<&str>,
) {
    tracing::info!(
        target: "audit",
        request_id = crate::request_id::current(),
        principal = name,
        access_key_id = principal.access_key_id(),
        action = action.name(),
        resource,
        change,
        decision = if decision.is_allowed { "allow" } else { "deny" },
        rule = decision.rule,
        "audit"
    );
}

/// Whether an action changes something, so that decisions on it are logged.
fn changes(action: Action) -> bool {
    const VERBS: [&str; 8] = ["Abort", "Administer", "Bypass", "Create", "Delete", "Put", "Restore", "Write"];
    let verb = action.name().split_once(':').map_or("", |(_, name)| name);
    VERBS.iter().any(|beginning| verb.starts_with(beginning))
}

/// What principals without an access key may do.
fn fixed(principal: &Principal, action: Action) -> Decision {
    use Action::{Administer, AdministerKeys, InvokeApi, Read, Write};
    let is_allowed = match principal {
        Principal::Anonymous | Principal::AccessKey(_) | Principal::Function => false,
        Principal::Public | Principal::Guest | Principal::ApiKey(_) => action == InvokeApi,
        Principal::Session => matches!(action, Read | Write | Administer | AdministerKeys),
        // A key outlasts the trust in programs of this machine, so that it takes a key to add one.
        Principal::LocalProgram => matches!(action, InvokeApi | Read | Write | Administer),
    };
    Decision::new(
        is_allowed,
        if is_allowed { "it is what the principal is for" } else { "denied: no statement allows it" },
    )
}

/// The buckets that decisions are about.
struct Buckets<'a> {
    store: &'a Storage,
    default_block: PublicAccessBlock,
}

impl Buckets<'_> {
    /// Decides by policies: those of a principal, and those of the resource's bucket.
    fn decide(
        &self,
        principal: policy::Principal<'_>,
        identities: &[policy::Policy],
        action: Action,
        resource: &Resource<'_>,
        context: &RequestContext,
    ) -> Decision {
        // Who owns it, and what it says, does not matter to who may create it.
        let name = resource.bucket().filter(|_| action != Action::CreateBucket);
        let entry = name.and_then(|name| self.store.buckets.entry(name));
        let of_bucket = entry.as_ref().and_then(|entry| entry.policy.as_ref());
        let existing_tags = match resource {
            Resource::Object { bucket, key }
                if identities.iter().chain(of_bucket).any(|policy| policy.reads_tags(action)) =>
            {
                self.tags(bucket, key)
            }
            _ => Vec::new(),
        };
        let (existing_tags, request_tags) = (texts(&existing_tags), texts(&context.request_tags));
        let request = policy::Request {
            principal,
            action,
            resource: resource.of_policies(),
            context: policy::Context {
                existing_tags: &existing_tags,
                request_tags: &request_tags,
                ..context.of_policies()
            },
        };
        let bucket = name.zip(entry.as_deref()).map(|(name, entry)| self.access(name, entry));
        if let (Some(entry), Some(bucket)) = (&entry, &bucket)
            && entry.is_unreadable
            && bucket.owner != principal
        {
            let decision = Decision::new(false, "denied: the bucket's policy cannot be read");
            return Decision { is_denied: true, ..decision };
        }
        let decide = |identity| evaluate(&request, identity, bucket.as_ref());
        // A deny of any of its policies wins; then an allow of any is enough.
        let mut decision = decide(None);
        for identity in identities {
            if matches!(decision, policy::Decision::DeniedBy(_)) {
                break;
            }
            let next = decide(Some(identity));
            if matches!(next, policy::Decision::DeniedBy(_)) || !decision.is_allowed() {
                decision = next;
            }
        }
        if let (policy::Decision::NotAllowed, Some(bucket), Resource::Object { bucket: name, key }) =
            (&decision, &bucket, resource)
            && matches!(action, Action::GetObject | Action::GetObjectVersion)
            && !bucket.block.ignore_public_acls
            && entry.as_ref().is_some_and(|entry| !entry.are_acls_disabled)
            && let Some(acl) = self.of_object(name, key, Objects::acl)
            && acl.allows_read(&principal)
        {
            return Decision::new(true, format!("allowed by ACL of the object, {acl}"));
        }
        Decision {
            is_denied: matches!(decision, policy::Decision::DeniedBy(_)),
            // Where nothing may become public unless a bucket says so, who has no key does not learn which there are.
            is_without_bucket: name.is_some()
                && entry.is_none()
                && (principal != policy::Principal::Anonymous
                    || self.default_block == PublicAccessBlock::default()),
            ..Decision::new(decision.is_allowed(), decision.to_string())
        }
    }

    /// The tags of an object, which policies ask about. An object that is not there has none, nor has one whose tags cannot
    /// be read; then it cannot be read either.
    fn tags(&self, bucket: &str, key: &str) -> Vec<(String, String)> {
        self.of_object(bucket, key, Objects::tags).unwrap_or_default()
    }

    /// Reads the ledger on the thread that decides, which may be one that serves connections.
    fn of_object<T>(
        &self,
        bucket: &str,
        key: &str,
        read: impl FnOnce(&Objects, &Location) -> Result<T, StoreFault>,
    ) -> Option<T> {
        let at = Location { bucket: bucket.to_owned(), key: ObjectKey::new(key).ok()? };
        let read = || read(&self.store.objects, &at).ok();
        let serves = tokio::runtime::Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread);
        if serves { tokio::task::block_in_place(read) } else { read() }
    }

    /// Images that the setting `api.public` opens are everybody's, unless a bucket's policy denies them to everybody.
    fn decide_for_public(
        &self,
        action: Action,
        resource: &Resource<'_>,
        context: &RequestContext,
    ) -> Decision {
        let allowed = || Decision::new(true, "allowed by the setting api.public");
        // Cached answers ask, too: most buckets have no policy, and so none that denies anything.
        let entry = resource.bucket().and_then(|name| self.store.buckets.entry(name));
        let has_policy = entry.is_some_and(|entry| entry.policy.is_some() || entry.is_unreadable);
        if action == Action::GetObject && !has_policy {
            return allowed();
        }
        let decision = self.decide(policy::Principal::Anonymous, &[], action, resource, context);
        if decision.is_denied || action != Action::GetObject { decision } else { allowed() }
    }

    /// The function reads the sources of triggers, and reads, writes and deletes in their destinations, unless a bucket's
    /// policy denies it. (As a policy in JSON this would be too long for very many triggers.)
    fn decide_for_function(
        &self,
        action: Action,
        resource: &Resource<'_>,
        context: &RequestContext,
    ) -> Decision {
        let principal = policy::Principal::User { account: ACCOUNT, name: FUNCTION };
        let decision = self.decide(principal, &[], action, resource, context);
        if decision.is_allowed || decision.is_denied {
            return decision;
        }
        let triggers = self.store.notifications.triggers();
        let is =
            |of: fn(&Trigger) -> &str| triggers.iter().any(|trigger| Some(of(trigger)) == resource.bucket());
        let is_destination = is(|trigger| &trigger.destination);
        let is_allowed = match action {
            Action::GetObject => is_destination || is(|trigger| &trigger.bucket),
            Action::PutObject | Action::DeleteObject => is_destination,
            _ => false,
        };
        match is_allowed {
            true => Decision::new(true, "the function reads sources and writes thumbnails"),
            false => decision,
        }
    }

    /// What a bucket says about who may do what.
    fn access<'p>(&self, name: &'p str, entry: &'p BucketEntry) -> BucketAccess<'p> {
        let owner = match &entry.owner {
            Some(name) => policy::Principal::User { account: ACCOUNT, name },
            None => policy::Principal::Root { account: ACCOUNT },
        };
        let block = entry.public_access_block.unwrap_or(self.default_block);
        BucketAccess { name, owner, policy: entry.policy.as_ref(), acls: &entry.acls, block }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> RequestContext {
        RequestContext::new(Client::default(), &http::HeaderMap::new())
    }

    #[test]
    fn the_root_key_may_do_everything_and_another_nothing() {
        let authorizer = Authorizer::root_only("root");
        let resource = Resource::Object { bucket: "in", key: "a.jpg" };
        let authorize = |id: &str, action| {
            authorizer.authorize(&Principal::AccessKey(id.into()), action, &resource, &context())
        };
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
            Principal::Public,
            Principal::Guest,
            Principal::LocalProgram,
            Principal::ApiKey("shop".into()),
            Principal::Session,
        ] {
            let decided =
                authorizer.authorize(&principal, Action::ListAllMyBuckets, &Resource::Buckets, &context());
            assert!(decided.is_err());
        }
    }

    #[test]
    fn what_is_written_or_deleted_is_logged_and_what_is_read_is_not() {
        for action in [
            Action::PutObject,
            Action::DeleteObject,
            Action::CreateBucket,
            Action::AbortMultipartUpload,
            Action::PutBucketPolicy,
            Action::Write,
            Action::AdministerKeys,
        ] {
            assert!(changes(action), "{action}");
        }
        for action in [Action::GetObject, Action::ListBucket, Action::InvokeApi, Action::Read] {
            assert!(!changes(action), "{action}");
        }
    }
}
