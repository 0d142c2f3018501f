//! The actions that policies name, and what each is taken on.
//! Source: AWS, "Actions, resources, and condition keys for Amazon S3", and "for Amazon API Gateway Management V2".

use std::{fmt, sync::LazyLock};

use crate::pattern::{Pattern, Syntax, Variables};

/// What an action is taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// All buckets.
    Service,
    /// A bucket.
    Bucket,
    /// An object.
    Object,
    /// A route of the HTTP port.
    Route,
}

macro_rules! actions {
    ($($level:ident { $($action:ident = $name:literal,)+ })+) => {
        /// An action, named as IAM names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Action {
            $($(#[doc = concat!("`", $name, "`")] $action,)+)+
        }

        impl Action {
            /// Every action.
            pub const ALL: &[Self] = &[$($(Self::$action,)+)+];

            /// Its name: `s3:GetObject`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$action => $name,)+)+ }
            }

            /// What it is taken on.
            #[must_use]
            pub const fn level(self) -> Level {
                match self { $($(Self::$action)|+ => Level::$level,)+ }
            }
        }
    };
}

actions! {
    Service {
        ListAllMyBuckets = "s3:ListAllMyBuckets",
    }
    Bucket {
        CreateBucket = "s3:CreateBucket",
        DeleteBucket = "s3:DeleteBucket",
        DeleteBucketPolicy = "s3:DeleteBucketPolicy",
        DeleteBucketWebsite = "s3:DeleteBucketWebsite",
        GetAccelerateConfiguration = "s3:GetAccelerateConfiguration",
        GetAnalyticsConfiguration = "s3:GetAnalyticsConfiguration",
        GetBucketAcl = "s3:GetBucketAcl",
        GetBucketCors = "s3:GetBucketCORS",
        GetBucketLocation = "s3:GetBucketLocation",
        GetBucketLogging = "s3:GetBucketLogging",
        GetBucketNotification = "s3:GetBucketNotification",
        GetBucketObjectLockConfiguration = "s3:GetBucketObjectLockConfiguration",
        GetBucketOwnershipControls = "s3:GetBucketOwnershipControls",
        GetBucketPolicy = "s3:GetBucketPolicy",
        GetBucketPolicyStatus = "s3:GetBucketPolicyStatus",
        GetBucketPublicAccessBlock = "s3:GetBucketPublicAccessBlock",
        GetBucketRequestPayment = "s3:GetBucketRequestPayment",
        GetBucketTagging = "s3:GetBucketTagging",
        GetBucketVersioning = "s3:GetBucketVersioning",
        GetBucketWebsite = "s3:GetBucketWebsite",
        GetEncryptionConfiguration = "s3:GetEncryptionConfiguration",
        GetIntelligentTieringConfiguration = "s3:GetIntelligentTieringConfiguration",
        GetInventoryConfiguration = "s3:GetInventoryConfiguration",
        GetLifecycleConfiguration = "s3:GetLifecycleConfiguration",
        GetMetricsConfiguration = "s3:GetMetricsConfiguration",
        GetReplicationConfiguration = "s3:GetReplicationConfiguration",
        ListBucket = "s3:ListBucket",
        ListBucketMultipartUploads = "s3:ListBucketMultipartUploads",
        ListBucketVersions = "s3:ListBucketVersions",
        PutAccelerateConfiguration = "s3:PutAccelerateConfiguration",
        PutAnalyticsConfiguration = "s3:PutAnalyticsConfiguration",
        PutBucketAcl = "s3:PutBucketAcl",
        PutBucketCors = "s3:PutBucketCORS",
        PutBucketLogging = "s3:PutBucketLogging",
        PutBucketNotification = "s3:PutBucketNotification",
        PutBucketObjectLockConfiguration = "s3:PutBucketObjectLockConfiguration",
        PutBucketOwnershipControls = "s3:PutBucketOwnershipControls",
        PutBucketPolicy = "s3:PutBucketPolicy",
        PutBucketPublicAccessBlock = "s3:PutBucketPublicAccessBlock",
        PutBucketRequestPayment = "s3:PutBucketRequestPayment",
        PutBucketTagging = "s3:PutBucketTagging",
        PutBucketVersioning = "s3:PutBucketVersioning",
        PutBucketWebsite = "s3:PutBucketWebsite",
        PutEncryptionConfiguration = "s3:PutEncryptionConfiguration",
        PutIntelligentTieringConfiguration = "s3:PutIntelligentTieringConfiguration",
        PutInventoryConfiguration = "s3:PutInventoryConfiguration",
        PutLifecycleConfiguration = "s3:PutLifecycleConfiguration",
        PutMetricsConfiguration = "s3:PutMetricsConfiguration",
        PutReplicationConfiguration = "s3:PutReplicationConfiguration",
    }
    Object {
        AbortMultipartUpload = "s3:AbortMultipartUpload",
        BypassGovernanceRetention = "s3:BypassGovernanceRetention",
        DeleteObject = "s3:DeleteObject",
        DeleteObjectTagging = "s3:DeleteObjectTagging",
        DeleteObjectVersion = "s3:DeleteObjectVersion",
        DeleteObjectVersionTagging = "s3:DeleteObjectVersionTagging",
        GetObject = "s3:GetObject",
        GetObjectAcl = "s3:GetObjectAcl",
        GetObjectAttributes = "s3:GetObjectAttributes",
        GetObjectLegalHold = "s3:GetObjectLegalHold",
        GetObjectRetention = "s3:GetObjectRetention",
        GetObjectTagging = "s3:GetObjectTagging",
        GetObjectTorrent = "s3:GetObjectTorrent",
        GetObjectVersion = "s3:GetObjectVersion",
        GetObjectVersionAcl = "s3:GetObjectVersionAcl",
        GetObjectVersionAttributes = "s3:GetObjectVersionAttributes",
        GetObjectVersionTagging = "s3:GetObjectVersionTagging",
        ListMultipartUploadParts = "s3:ListMultipartUploadParts",
        PutObject = "s3:PutObject",
        PutObjectAcl = "s3:PutObjectAcl",
        PutObjectLegalHold = "s3:PutObjectLegalHold",
        PutObjectRetention = "s3:PutObjectRetention",
        PutObjectTagging = "s3:PutObjectTagging",
        PutObjectVersionAcl = "s3:PutObjectVersionAcl",
        PutObjectVersionTagging = "s3:PutObjectVersionTagging",
        RestoreObject = "s3:RestoreObject",
    }
    Route {
        InvokeApi = "execute-api:Invoke",
        Read = "tintype:Read",
        Write = "tintype:Write",
        Administer = "tintype:Administer",
        AdministerKeys = "tintype:AdministerKeys",
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of actions, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ActionSet(u128);

const _: () = assert!(Action::ALL.len() <= 128);

impl ActionSet {
    /// Every action.
    pub(crate) const ALL: Self = Self(u128::MAX >> (128 - Action::ALL.len()));
    /// What bucket policies may name.
    pub(crate) const S3: Self =
        Self::at(Level::Service).union(Self::at(Level::Bucket)).union(Self::at(Level::Object));

    pub(crate) const fn of(actions: &[Action]) -> Self {
        let mut set = 0;
        let mut at = 0;
        while at < actions.len() {
            set |= 1 << actions[at] as u32;
            at += 1;
        }
        Self(set)
    }

    /// The actions of a level.
    pub(crate) const fn at(level: Level) -> Self {
        let mut set = 0;
        let mut at = 0;
        while at < Action::ALL.len() {
            if Action::ALL[at].level() as u32 == level as u32 {
                set |= 1 << at;
            }
            at += 1;
        }
        Self(set)
    }

    /// Those that a name with wildcards matches, in any case.
    pub(crate) fn named(name: &str) -> Self {
        static NAMES: LazyLock<Vec<String>> =
            LazyLock::new(|| Action::ALL.iter().map(|action| action.name().to_ascii_lowercase()).collect());
        let Ok(pattern) =
            Pattern::new(&name.to_ascii_lowercase(), Syntax { wildcards: true, variables: false })
        else {
            return Self::default();
        };
        let names = NAMES.iter().enumerate();
        let matched = names.filter(|(_, name)| pattern.matches(name, Variables::default()));
        Self(matched.fold(0, |set, (at, _)| set | 1 << at))
    }

    pub(crate) const fn contains(self, action: Action) -> bool {
        self.0 & (1 << action as u32) != 0
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_in_any_case_and_with_wildcards() {
        assert_eq!(ActionSet::named("S3:getOBJECT"), ActionSet::of(&[Action::GetObject]));
        assert_eq!(
            ActionSet::named("s3:?etBucketCors"),
            ActionSet::of(&[Action::GetBucketCors]),
            "PutBucketCORS is no ?et…"
        );
        assert_eq!(ActionSet::named("*"), ActionSet::ALL);
        assert_eq!(ActionSet::named("s3:*"), ActionSet::S3);
        assert!(ActionSet::named("s3:GetObjects").is_empty());
        assert!(ActionSet::named("s3:GetObject ").is_empty());
        assert!(ActionSet::named("").is_empty());
    }

    #[test]
    fn each_action_is_in_its_place() {
        for (at, action) in Action::ALL.iter().enumerate() {
            assert_eq!(*action as usize, at);
            assert_eq!(action.level() == Level::Route, !action.name().starts_with("s3:"));
            assert_eq!(ActionSet::named(action.name()), ActionSet::of(&[*action]));
        }
    }
}
