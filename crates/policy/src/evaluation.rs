//! Decisions.
//! Sources: AWS, "Policy evaluation logic"; "How Amazon S3 authorizes a request".

use std::fmt;

use crate::{
    action::Action,
    condition_key::Context,
    document::{Effect, Policy, PolicyKind, Statement},
    pattern::Variables,
    principal::{Principal, Principals},
    public_access::{PublicAccessBlock, is_public},
    resource::{Resource, ResourceText},
};

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who sends it. Verified.
    pub principal: Principal<'a>,
    /// What it does. A request that does several things is as many requests.
    pub action: Action,
    /// What it does that on.
    pub resource: Resource<'a>,
    /// What conditions read.
    pub context: Context<'a>,
}

/// What a bucket says about who may do what.
#[derive(Debug, Clone, Copy)]
pub struct BucketAccess<'p> {
    /// Its name.
    pub name: &'p str,
    /// Whose bucket it is. A bucket without an owner has an anonymous one.
    pub owner: Principal<'p>,
    /// Its policy.
    pub policy: Option<&'p Policy>,
    /// The bucket's ACL, and the object's; see [`CannedAcl::policy`](crate::CannedAcl::policy).
    pub acls: &'p [Policy],
    /// What of these does not count.
    pub block: PublicAccessBlock,
}

/// A statement that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<'p> {
    /// Where its policy comes from.
    pub policy: PolicyKind,
    /// The statement's place in the policy, from 0.
    pub index: usize,
    /// Its `Sid`: printable ASCII.
    pub sid: Option<&'p str>,
}

/// A decision, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'p> {
    /// A statement allows, and none denies.
    AllowedBy(Rule<'p>),
    /// No statement denies, and the bucket is the principal's own.
    AllowedToOwner,
    /// A statement denies.
    DeniedBy(Rule<'p>),
    /// No statement allows.
    NotAllowed,
}

impl Decision<'_> {
    /// Whether the request may go on.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::AllowedBy(_) | Self::AllowedToOwner)
    }
}

/// Decides. An explicit deny of any policy wins; then an allow of any is enough; a bucket's owner needs none. Anonymous
/// requests are allowed by the bucket only. The bucket, its policy and ACLs must be those of the request's resource, and
/// none of other resources; else nothing is allowed.
#[must_use]
pub fn evaluate<'p>(
    request: &Request<'_>,
    identity: Option<&'p Policy>,
    bucket: Option<&BucketAccess<'p>>,
) -> Decision<'p> {
    let principal = &request.principal;
    if !request.is_coherent() {
        return Decision::NotAllowed;
    }
    let subject = Subject {
        request,
        text: request.resource.into(),
        variables: Variables { username: principal.username() },
    };
    let identity = identity.filter(|_| *principal != Principal::Anonymous);
    let mut allowed = None;
    if let Some(policy) = identity {
        if policy.kind != PolicyKind::Identity {
            return Decision::NotAllowed;
        }
        allowed = subject.decide(policy);
        if let Some(denied @ Decision::DeniedBy(_)) = allowed {
            return denied;
        }
    }
    let Some(bucket) = bucket else { return allowed.unwrap_or(Decision::NotAllowed) };
    if request.resource.bucket() != Some(bucket.name) {
        return Decision::NotAllowed;
    }
    let is_owner = *principal != Principal::Anonymous && *principal == bucket.owner;
    let is_of_account = principal.account().is_some() && principal.account() == bucket.owner.account();
    for policy in bucket.policy.into_iter().chain(bucket.acls) {
        if policy.bucket.as_deref() != Some(bucket.name) || policy.kind == PolicyKind::Identity {
            return Decision::NotAllowed;
        }
        match subject.decide(policy) {
            // So that nobody is locked out of their own bucket.
            Some(Decision::DeniedBy(_)) if is_owner && request.action.is_of_policies() => {}
            Some(denied @ Decision::DeniedBy(_)) => return denied,
            Some(decision) if allowed.is_none() => {
                let is_blocked = match policy.kind {
                    PolicyKind::Acl => bucket.block.ignore_public_acls,
                    _ => bucket.block.restrict_public_buckets && !is_of_account,
                };
                if !(is_blocked && is_public(policy)) {
                    allowed = Some(decision);
                }
            }
            _ => {}
        }
    }
    if is_owner { allowed.or(Some(Decision::AllowedToOwner)) } else { allowed }
        .unwrap_or(Decision::NotAllowed)
}

impl Request<'_> {
    /// Whether the action can be taken on the resource, and the bucket's name cannot be taken for a key.
    fn is_coherent(&self) -> bool {
        let is_name = |bucket: &str| !bucket.is_empty() && !bucket.contains('/');
        self.action.level() == self.resource.level() && self.resource.bucket().is_none_or(is_name)
    }
}

impl Action {
    /// Source: AWS, "PutBucketPolicy": "the root principal in a bucket owner's account can perform …".
    const fn is_of_policies(self) -> bool {
        matches!(self, Self::GetBucketPolicy | Self::PutBucketPolicy | Self::DeleteBucketPolicy)
    }
}

struct Subject<'r> {
    request: &'r Request<'r>,
    text: ResourceText<'r>,
    variables: Variables<'r>,
}

impl Subject<'_> {
    /// The first statement that denies, else the first that allows.
    fn decide<'p>(&self, policy: &'p Policy) -> Option<Decision<'p>> {
        let mut allowed = None;
        for (index, statement) in policy.statements.iter().enumerate() {
            let is_superfluous = statement.effect == Effect::Allow && allowed.is_some();
            if is_superfluous || !self.is_match(statement) {
                continue;
            }
            let rule = Rule { policy: policy.kind, index, sid: statement.sid.as_deref() };
            match statement.effect {
                Effect::Deny => return Some(Decision::DeniedBy(rule)),
                Effect::Allow => allowed = Some(Decision::AllowedBy(rule)),
            }
        }
        allowed
    }

    fn is_match(&self, statement: &Statement) -> bool {
        let Request { principal, action, context, .. } = self.request;
        let is_about = |principals: &Principals| match statement.effect {
            Effect::Allow => principals.allow(principal),
            Effect::Deny => principals.deny(principal),
        };
        statement.actions.contains(*action)
            && !(statement.needs_variable && self.variables.username.is_none())
            && statement.principals.as_ref().is_none_or(is_about)
            && statement.is_not_resource
                != statement.resources.iter().any(|resource| resource.matches(&self.text, self.variables))
            && statement
                .conditions
                .iter()
                .all(|condition| condition.holds(principal, context, self.variables))
    }
}

impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, statement {}", self.policy, self.index)?;
        self.sid.map_or(Ok(()), |sid| write!(f, " ({sid})"))
    }
}

/// For audit lines: `denied by bucket policy, statement 1 (NoPlainHttp)`.
impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllowedBy(rule) => write!(f, "allowed by {rule}"),
            Self::AllowedToOwner => f.write_str("allowed to the bucket's owner"),
            Self::DeniedBy(rule) => write!(f, "denied by {rule}"),
            Self::NotAllowed => f.write_str("denied: no statement allows it"),
        }
    }
}
