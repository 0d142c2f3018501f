//! Conditional requests.
//! Source: RFC 9110, section 13; AWS, "Conditional requests".

use s3s::{
    S3Error, S3Result,
    dto::{ETag, ETagCondition, Timestamp},
    s3_error,
};
use tintype_pipeline::store::Condition;

use crate::storage::ObjectRecord;

fn value(etag: &ETag) -> &str {
    etag.value()
}

fn matches(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(expected) => value(expected) == etag,
    }
}

/// The conditions of a read.
pub(super) struct ReadConditions<'a> {
    pub(super) if_match: Option<&'a ETagCondition>,
    pub(super) if_none_match: Option<&'a ETagCondition>,
    pub(super) if_modified_since: Option<&'a Timestamp>,
    pub(super) if_unmodified_since: Option<&'a Timestamp>,
}

/// The conditions that a copy puts on its source, of either of its requests.
macro_rules! copy_source_conditions {
    ($input:expr) => {
        &$crate::s3::conditions::ReadConditions {
            if_match: $input.copy_source_if_match.as_ref(),
            if_none_match: $input.copy_source_if_none_match.as_ref(),
            if_modified_since: $input.copy_source_if_modified_since.as_ref(),
            if_unmodified_since: $input.copy_source_if_unmodified_since.as_ref(),
        }
    };
}
pub(super) use copy_source_conditions;

pub(super) fn check_copy_source(conditions: &ReadConditions<'_>, source: &ObjectRecord) -> S3Result<()> {
    match conditions.evaluate(source) {
        Verdict::Met => Ok(()),
        _ => Err(precondition_failed()),
    }
}

/// S3's message.
pub(super) fn precondition_failed() -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

/// The result of a read's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Met,
    NotModified,
    Failed,
}

/// Dates in HTTP have whole seconds.
fn seconds(timestamp: &Timestamp) -> i64 {
    time::OffsetDateTime::from(timestamp.clone()).unix_timestamp()
}

impl ReadConditions<'_> {
    /// An ETag takes precedence over a date (RFC 9110, section 13.2.2).
    pub(super) fn evaluate(&self, object: &ObjectRecord) -> Verdict {
        let modified = object.modified_ms.div_euclid(1000);
        match (self.if_match, self.if_unmodified_since) {
            (Some(condition), _) if !matches(condition, &object.etag) => return Verdict::Failed,
            (None, Some(date)) if modified > seconds(date) => return Verdict::Failed,
            _ => {}
        }
        match (self.if_none_match, self.if_modified_since) {
            (Some(condition), _) if matches(condition, &object.etag) => Verdict::NotModified,
            (None, Some(date)) if modified <= seconds(date) => Verdict::NotModified,
            _ => Verdict::Met,
        }
    }
}

/// The condition of a write whose input has no fields for it.
pub(super) fn write_headers(headers: &http::HeaderMap) -> S3Result<Condition> {
    let parse = |name: http::HeaderName| {
        let value = headers.get(&name);
        value
            .map(|value| ETagCondition::parse_http_header(value.as_bytes()))
            .transpose()
            .map_err(|error| s3_error!(InvalidArgument, "the header {name} cannot be parsed: {error}"))
    };
    let (if_match, if_none_match) = (parse(http::header::IF_MATCH)?, parse(http::header::IF_NONE_MATCH)?);
    write(if_match.as_ref(), if_none_match.as_ref())
}

/// The condition of a write.
pub(super) fn write(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<Condition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Condition::Any),
        (Some(_), Some(_)) => Err(s3_error!(InvalidRequest, "If-Match and If-None-Match exclude each other")),
        (Some(ETagCondition::Any), None) => Ok(Condition::Matches("*".into())),
        (Some(ETagCondition::ETag(etag)), None) => Ok(Condition::Matches(value(etag).into())),
        (None, Some(ETagCondition::Any)) => Ok(Condition::Absent),
        (None, Some(ETagCondition::ETag(_))) => {
            Err(s3_error!(NotImplemented, "writes take If-None-Match only with the value *"))
        }
    }
}
