//! Canned ACLs, as the statements they stand for.
//! Source: AWS, "Access control list (ACL) overview", sections "Canned ACL" and "Mapping of ACL permissions and access
//! policy permissions".

use std::{fmt, str::FromStr};

use serde_json::json;

use crate::{
    Error, Principal, Resource,
    document::{Policy, PolicyKind},
    error::{Fault, quoted},
    pattern::escaped,
    principal::{NamedPrincipal, Principals, is_user_name},
    spelling::suggestion,
};

/// A canned ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CannedAcl {
    /// The owner has full control.
    #[default]
    Private,
    /// And everybody may read.
    PublicRead,
    /// And everybody may read, and put objects into a bucket. (Of an object S3 knows no right to write.)
    PublicReadWrite,
    /// And whoever signs requests with a valid key may read.
    AuthenticatedRead,
    /// The bucket's owner may read; here, as with `private`, since the bucket's owner owns its objects.
    BucketOwnerRead,
    /// The bucket's owner has full control; as with `private`, for the same reason.
    BucketOwnerFullControl,
}

impl CannedAcl {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Private,
        Self::PublicRead,
        Self::PublicReadWrite,
        Self::AuthenticatedRead,
        Self::BucketOwnerRead,
        Self::BucketOwnerFullControl,
    ];

    /// Its name, as in `x-amz-acl`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::PublicRead => "public-read",
            Self::PublicReadWrite => "public-read-write",
            Self::AuthenticatedRead => "authenticated-read",
            Self::BucketOwnerRead => "bucket-owner-read",
            Self::BucketOwnerFullControl => "bucket-owner-full-control",
        }
    }

    /// Whether it counts as public: it allows everybody something, or all who have a key.
    #[must_use]
    pub const fn is_public(self) -> bool {
        matches!(self, Self::PublicRead | Self::PublicReadWrite | Self::AuthenticatedRead)
    }

    /// Whether an object with this ACL may be read by a principal that is not its owner.
    #[must_use]
    pub fn allows_read(self, principal: &Principal<'_>) -> bool {
        match self {
            Self::PublicRead | Self::PublicReadWrite => true,
            Self::AuthenticatedRead => *principal != Principal::Anonymous,
            Self::Private | Self::BucketOwnerRead | Self::BucketOwnerFullControl => false,
        }
    }

    /// What it stands for on a bucket or an object. The owner's statement is left out if its name can stand in no policy.
    ///
    /// # Errors
    /// It is on neither, or the key is too long for a policy.
    pub fn policy(self, resource: Resource<'_>, owner: &Principal<'_>) -> Result<Policy, Error> {
        let (bucket, arn, read, full) = match resource {
            Resource::Bucket(bucket) => (bucket, escaped(bucket), READ_BUCKET, CONTROL_BUCKET),
            Resource::Object { bucket, key } => {
                (bucket, format!("{}/{}", escaped(bucket), escaped(key)), READ_OBJECT, CONTROL_OBJECT)
            }
            Resource::Service | Resource::Route => {
                return Err(Error::new(Fault::Resource, "ACL", "only buckets and objects have an ACL"));
            }
        };
        let arn = format!("arn:aws:s3:::{arn}");
        let statement = |sid: &str, principal: &str, actions: &[&str]| json!({"Sid": sid, "Effect": "Allow", "Principal": {"AWS": principal}, "Action": actions, "Resource": arn});
        let mut statements = Vec::new();
        if let Some(owner) = arn_of(owner) {
            statements.push(statement("OwnerFullControl", &owner, full));
        }
        match self {
            Self::PublicRead | Self::PublicReadWrite => {
                statements.push(statement("PublicRead", "*", read));
            }
            Self::AuthenticatedRead => statements.push(statement(AUTHENTICATED_READ, "*", read)),
            Self::Private | Self::BucketOwnerRead | Self::BucketOwnerFullControl => {}
        }
        if self == Self::PublicReadWrite && matches!(resource, Resource::Bucket(_)) {
            let objects = json!({"Sid": "PublicWrite", "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": WRITE_BUCKET, "Resource": format!("{arn}/*")});
            statements.push(objects);
        }
        if statements.is_empty() {
            return Ok(Policy::empty_acl(bucket));
        }
        let document = json!({"Version": "2012-10-17", "Statement": statements});
        let mut policy = Policy::parse(document.to_string().as_bytes(), PolicyKind::Acl, Some(bucket))?;
        // A document has no word for this group.
        let of_group =
            policy.statements.iter_mut().filter(|read| read.sid.as_deref() == Some(AUTHENTICATED_READ));
        of_group.for_each(|read| read.principals = Some(Principals::Authenticated));
        Ok(policy)
    }
}

fn arn_of(owner: &Principal<'_>) -> Option<String> {
    let named = match owner {
        Principal::Anonymous => return None,
        Principal::Root { account } => NamedPrincipal::Account((*account).to_owned()),
        Principal::User { account, name } if is_user_name(name) => {
            NamedPrincipal::User { account: (*account).to_owned(), name: (*name).to_owned() }
        }
        Principal::User { .. } => return None,
    };
    let arn = named.arn();
    NamedPrincipal::parse(&arn).is_ok().then_some(arn)
}

/// The statement about whoever has a key.
const AUTHENTICATED_READ: &str = "AuthenticatedRead";
const READ_BUCKET: &[&str] = &["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"];
const WRITE_BUCKET: &[&str] = &["s3:PutObject"];
const READ_OBJECT: &[&str] = &["s3:GetObject", "s3:GetObjectVersion"];
const CONTROL_BUCKET: &[&str] = &[
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:ListBucketMultipartUploads",
    "s3:GetBucketAcl",
    "s3:PutBucketAcl",
];
const CONTROL_OBJECT: &[&str] =
    &["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAcl", "s3:PutObjectAcl"];

impl FromStr for CannedAcl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|acl| acl.name() == text).ok_or_else(|| {
            let near = suggestion(text, Self::ALL.iter().map(|acl| acl.name()));
            Error::new(Fault::Syntax, "x-amz-acl", format!("{} is no canned ACL here{near}", quoted(text)))
        })
    }
}

impl fmt::Display for CannedAcl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
