//! What an action is taken on.

use std::fmt;

use tintype_pipeline::store::Location;
use tintype_policy as policy;

/// The resource of a request. Its text is its ARN on S3, and a route's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// All buckets.
    Buckets,
    /// A bucket, by its name.
    Bucket(&'a str),
    /// An object.
    Object {
        /// Its bucket.
        bucket: &'a str,
        /// Its key.
        key: &'a str,
    },
    /// A route of the HTTP port, by the request's path.
    Route(&'a str),
}

impl<'a> Resource<'a> {
    /// The bucket it is or lies in.
    #[must_use]
    pub const fn bucket(&self) -> Option<&'a str> {
        match *self {
            Self::Bucket(bucket) | Self::Object { bucket, .. } => Some(bucket),
            Self::Buckets | Self::Route(_) => None,
        }
    }

    /// As policies name it.
    pub(super) const fn of_policies(&self) -> policy::Resource<'a> {
        match *self {
            Self::Buckets => policy::Resource::Service,
            Self::Bucket(bucket) => policy::Resource::Bucket(bucket),
            Self::Object { bucket, key } => policy::Resource::Object { bucket, key },
            Self::Route(_) => policy::Resource::Route,
        }
    }
}

impl<'a> From<&'a Location> for Resource<'a> {
    fn from(at: &'a Location) -> Self {
        Self::Object { bucket: &at.bucket, key: at.key.as_str() }
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Buckets => f.write_str("arn:aws:s3:::*"),
            Self::Bucket(bucket) => write!(f, "arn:aws:s3:::{bucket}"),
            Self::Object { bucket, key } => write!(f, "arn:aws:s3:::{bucket}/{key}"),
            Self::Route(path) => f.write_str(path),
        }
    }
}
