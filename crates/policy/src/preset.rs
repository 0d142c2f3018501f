//! Identity policies for the usual roles.

use std::str::FromStr;

use serde_json::json;

use crate::{
    Error, Grant, Policy, Verb,
    error::{Fault, quoted},
    spelling::suggestion,
};

/// A usual role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Writes to source buckets.
    Uploader,
    /// Reads and lists destination buckets.
    ThumbnailReader,
    /// Uses API and console in full but for access keys, reads and lists all buckets; changes no bucket's policy.
    Operator,
    /// Creates buckets, which are then its own, and sees no others.
    BucketOwner,
}

impl Preset {
    const ALL: [Self; 4] = [Self::Uploader, Self::ThumbnailReader, Self::Operator, Self::BucketOwner];

    /// Its name: `uploader`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uploader => "uploader",
            Self::ThumbnailReader => "thumbnail-reader",
            Self::Operator => "operator",
            Self::BucketOwner => "bucket-owner",
        }
    }

    /// Its policy for the buckets that triggers name.
    ///
    /// # Errors
    /// A bucket's name is none, there is no bucket to act on, or there are too many for one policy.
    pub fn policy(self, sources: &[&str], destinations: &[&str]) -> Result<Policy, Error> {
        use Verb::{List, Read, Write};
        let (of_sources, of_destinations): (&[Verb], &[Verb]) = match self {
            Self::Uploader => (&[Write], &[]),
            Self::ThumbnailReader => (&[], &[Read, List]),
            Self::Operator => {
                return Policy::of_statements(vec![
                    json!({"Sid": "ApiAndConsole", "Effect": "Allow", "Action": ["execute-api:*", "tintype:Read", "tintype:Write", "tintype:Administer"], "Resource": "*"}),
                    json!({"Sid": "ReadBuckets", "Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}),
                ]);
            }
            Self::BucketOwner => {
                return Policy::of_statements(vec![
                    json!({"Sid": "CreateBuckets", "Effect": "Allow", "Action": "s3:CreateBucket", "Resource": "arn:aws:s3:::*"}),
                ]);
            }
        };
        let pairs = [(sources, of_sources), (destinations, of_destinations)];
        let grants = pairs.into_iter().flat_map(|(buckets, verbs)| {
            buckets.iter().flat_map(|bucket| verbs.iter().map(|verb| Grant::new(*verb, bucket)))
        });
        Policy::of_grants(&grants.collect::<Result<Vec<_>, _>>()?)
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|preset| preset.name() == text).ok_or_else(|| {
            let near = suggestion(text, Self::ALL.iter().map(|preset| preset.name()));
            Error::new(Fault::Syntax, quoted(text), format!("it is no preset{near}"))
        })
    }
}
