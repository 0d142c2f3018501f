//! What an action is taken on, and which of it a statement names.
//! Source: AWS, "IAM JSON policy elements: Resource"; "Policy resources for Amazon S3".

use crate::{
    action::{ActionSet, Level},
    pattern::{Pattern, Syntax, Variables},
};

const S3_ARN: &str = "arn:aws:s3:::";

/// What an action is taken on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// All buckets.
    Service,
    /// A bucket, by its name.
    Bucket(&'a str),
    /// An object.
    Object {
        /// Its bucket.
        bucket: &'a str,
        /// Its key, decoded.
        key: &'a str,
    },
    /// A route of the HTTP port. Only `*` names it.
    Route,
}

impl<'a> Resource<'a> {
    /// What actions can be taken on it.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Self::Service => Level::Service,
            Self::Bucket(_) => Level::Bucket,
            Self::Object { .. } => Level::Object,
            Self::Route => Level::Route,
        }
    }

    /// The bucket it is or lies in.
    #[must_use]
    pub const fn bucket(&self) -> Option<&'a str> {
        match *self {
            Self::Bucket(bucket) | Self::Object { bucket, .. } => Some(bucket),
            Self::Service | Self::Route => None,
        }
    }
}

/// A resource of a request, and what patterns are matched against.
pub(crate) enum ResourceText<'a> {
    Service,
    Route,
    Bucket(&'a str),
    Object(String),
}

impl<'a> From<Resource<'a>> for ResourceText<'a> {
    fn from(resource: Resource<'a>) -> Self {
        match resource {
            Resource::Service => Self::Service,
            Resource::Route => Self::Route,
            Resource::Bucket(bucket) => Self::Bucket(bucket),
            Resource::Object { bucket, key } => Self::Object([bucket, "/", key].concat()),
        }
    }
}

/// A resource that a statement names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamedResource {
    /// `*`: whatever there is, routes, too.
    Everything,
    /// `arn:aws:s3:::` and this.
    S3(Pattern),
}

impl NamedResource {
    /// # Errors
    /// What is wrong, and what to do.
    pub(crate) fn parse(text: &str, variables: bool) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Everything);
        }
        let written = crate::error::quoted(text);
        let name = text.strip_prefix(S3_ARN).ok_or_else(|| {
            format!("{written} is no resource; write `{S3_ARN}BUCKET` or `{S3_ARN}BUCKET/KEY`")
        })?;
        if name.is_empty() || name.starts_with('/') {
            return Err(format!("{written} names no bucket; write `{S3_ARN}BUCKET` or `{S3_ARN}BUCKET/KEY`"));
        }
        Pattern::new(name, Syntax { wildcards: true, variables }).map(Self::S3)
    }

    /// Whether it lies in this bucket, whatever else its pattern could match.
    pub(crate) fn is_in(&self, bucket: &str) -> bool {
        let Self::S3(pattern) = self else { return false };
        let name = pattern.text().split('/').next().unwrap_or_default();
        Pattern::new(name, Syntax { wildcards: true, variables: true })
            .is_ok_and(|name| name.matches(bucket, Variables::default()))
    }

    /// The actions that can be taken on something it matches.
    pub(crate) fn actions(&self) -> ActionSet {
        let Self::S3(pattern) = self else { return ActionSet::ALL };
        if pattern.text().contains('/') {
            return ActionSet::at(Level::Object);
        }
        let bucket = ActionSet::at(Level::Bucket);
        // `*` and `?` match `/`, too.
        match pattern.text() {
            "*" => ActionSet::S3,
            text if text.contains(['*', '?']) => bucket.union(ActionSet::at(Level::Object)),
            _ => bucket,
        }
    }

    pub(crate) fn matches(&self, text: &ResourceText<'_>, variables: Variables<'_>) -> bool {
        match (self, text) {
            (Self::Everything, _) => true,
            (Self::S3(_), ResourceText::Route) => false,
            (Self::S3(pattern), ResourceText::Service) => pattern.is_everything(),
            (Self::S3(pattern), ResourceText::Bucket(bucket)) => pattern.matches(bucket, variables),
            (Self::S3(pattern), ResourceText::Object(object)) => pattern.matches(object, variables),
        }
    }

    pub(crate) fn has_variable(&self) -> bool {
        matches!(self, Self::S3(pattern) if pattern.has_variable())
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Everything => "*".into(),
            Self::S3(pattern) => format!("{S3_ARN}{}", pattern.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> NamedResource {
        NamedResource::parse(text, true).unwrap()
    }

    #[test]
    fn resources_lie_in_a_bucket_by_what_precedes_the_slash() {
        for (text, expected) in [
            ("arn:aws:s3:::in", true),
            ("arn:aws:s3:::in/*", true),
            ("arn:aws:s3:::*", true),
            ("arn:aws:s3:::i?/a", true),
            ("arn:aws:s3:::other/*", false),
            ("arn:aws:s3:::in*x", false),
            ("arn:aws:s3:::${aws:username}/*", false),
            ("arn:aws:s3:::IN/*", false),
            ("*", false),
        ] {
            assert_eq!(named(text).is_in("in"), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_resource_is_refused() {
        for text in [
            "",
            "in",
            "arn:aws:s3:::",
            "arn:aws:s3:::/a",
            "arn:aws:s3:us-east-1::in",
            "arn:aws:s3:*",
            "arn:*",
            "**",
            "arn:aws:sqs:::q",
            "arn:aws:s3:::in/${aws:userid}",
        ] {
            assert!(NamedResource::parse(text, true).is_err(), "{text}");
        }
    }
}
