//! What an action is taken on.

use std::fmt;

use tintype_pipeline::store::Location;

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
