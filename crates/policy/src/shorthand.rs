//! The short form of identity policies: `ACTION:BUCKET[/PREFIX]`.

use std::{fmt, str::FromStr};

use serde_json::{Value, json};

use crate::{
    Error, Policy,
    error::{Fault, quoted},
    pattern::escaped,
    spelling::suggestion,
};

/// What a short form allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// To read objects, their tags and attributes.
    Read,
    /// To create and replace objects, and to tag them. Not to change who may read them.
    Write,
    /// To delete objects and their tags.
    Delete,
    /// To list objects and, of `*`, buckets.
    List,
    /// Everything in the bucket; of `*`, everything.
    Admin,
}

/// A short form: `write:input-product-images/raw/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    verb: Verb,
    /// None: every bucket.
    bucket: Option<String>,
    prefix: String,
}

impl Verb {
    const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Delete, Self::List, Self::Admin];

    /// Its name: `read`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Admin => "admin",
        }
    }

    const fn object_actions(self) -> &'static [&'static str] {
        match self {
            Self::Read => &[
                "s3:GetObject",
                "s3:GetObjectVersion",
                "s3:GetObjectAttributes",
                "s3:GetObjectVersionAttributes",
                "s3:GetObjectTagging",
                "s3:GetObjectVersionTagging",
            ],
            Self::Write => &[
                "s3:PutObject",
                "s3:PutObjectTagging",
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
            ],
            Self::Delete => &["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:DeleteObjectTagging"],
            Self::List | Self::Admin => &[],
        }
    }
}

impl Grant {
    /// Of a whole bucket.
    ///
    /// # Errors
    /// The bucket's name is none.
    pub fn new(verb: Verb, bucket: &str) -> Result<Self, Error> {
        let written = format!("{}:{bucket}", verb.name());
        match bucket.contains('/') {
            true => {
                Err(Error::new(Fault::Resource, quoted(&written), "write a bucket's name without a prefix"))
            }
            false => Self::parse(verb, bucket, &written),
        }
    }

    fn parse(verb: Verb, place: &str, written: &str) -> Result<Self, Error> {
        let refused = |detail: &str| Error::new(Fault::Resource, quoted(written), detail);
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let is_character = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        let is_name = bucket.len() <= 63
            && bucket.bytes().all(is_character)
            && bucket.starts_with(char::is_alphanumeric)
            && bucket.ends_with(char::is_alphanumeric);
        if !is_name && bucket != "*" {
            return Err(refused("write a bucket's name, or `*` for all of them"));
        }
        if prefix.contains(['*', '?']) {
            return Err(refused("a prefix is how keys begin; write it without `*` and `?`"));
        }
        if place.contains('/') && (bucket == "*" || prefix.is_empty()) {
            return Err(refused("after a bucket's name and a slash, write a prefix, or leave the slash out"));
        }
        if verb == Verb::Admin && !prefix.is_empty() {
            return Err(refused("`admin` is of whole buckets; leave the prefix out"));
        }
        let bucket = (bucket != "*").then(|| bucket.to_owned());
        Ok(Self { verb, bucket, prefix: prefix.to_owned() })
    }

    fn statements(&self) -> Vec<Value> {
        let allow = |actions: &[&str], resources: &[String]| json!({"Effect": "Allow", "Action": actions, "Resource": resources});
        let name = self.bucket.as_deref().unwrap_or("*");
        let bucket = format!("arn:aws:s3:::{name}");
        let prefix = escaped(&self.prefix);
        let objects = format!("{bucket}/{prefix}*");
        match self.verb {
            Verb::Admin if self.bucket.is_none() => vec![allow(&["*"], &["*".into()])],
            Verb::Admin => vec![allow(&["s3:*"], &[bucket, objects])],
            Verb::List => {
                let mut listing = allow(
                    &["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"],
                    std::slice::from_ref(&bucket),
                );
                if !prefix.is_empty() {
                    listing["Condition"] = json!({"StringLike": {"s3:prefix": format!("{prefix}*")}});
                }
                let mut statements = vec![listing, allow(&["s3:GetBucketLocation"], &[bucket])];
                if self.bucket.is_none() {
                    statements.push(allow(&["s3:ListAllMyBuckets"], &["*".into()]));
                }
                statements
            }
            Verb::Read | Verb::Write | Verb::Delete => vec![allow(self.verb.object_actions(), &[objects])],
        }
    }
}

impl Policy {
    /// The identity policy that allows these and nothing else; without any, no policy.
    ///
    /// # Errors
    /// They are too many for one policy.
    pub fn of_grants(grants: &[Grant]) -> Result<Self, Error> {
        Self::of_statements(grants.iter().flat_map(Grant::statements).collect())
    }

    pub(crate) fn of_statements(statements: Vec<Value>) -> Result<Self, Error> {
        let document = json!({"Version": "2012-10-17", "Statement": statements});
        Self::identity(document.to_string().as_bytes())
    }
}

impl FromStr for Grant {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let advice =
            "write ACTION:BUCKET or ACTION:BUCKET/PREFIX; actions are read, write, delete, list and admin";
        let (verb, place) = text
            .split_once(':')
            .ok_or_else(|| Error::new(Fault::Syntax, quoted(text), format!("there is no colon; {advice}")))?;
        let known = Verb::ALL.into_iter().find(|known| known.name() == verb);
        let verb = known.ok_or_else(|| {
            let near = suggestion(verb, Verb::ALL.iter().map(|verb| verb.name()));
            Error::new(Fault::Action, quoted(text), format!("{} is no action{near}; {advice}", quoted(verb)))
        })?;
        Self::parse(verb, place, text)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.verb.name(), self.bucket.as_deref().unwrap_or("*"))?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}
