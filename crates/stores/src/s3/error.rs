//! S3's errors as [`StoreError`].
//! Source: AWS, "Error responses" (Amazon S3 API Reference).

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use tintype_pipeline::{Location, store::StoreError};

/// A failed call, before its meaning for the function is known.
#[derive(Debug)]
pub(super) struct ServiceError {
    /// The HTTP status, if there was an answer.
    status: Option<u16>,
    /// S3's code, such as `NoSuchKey`; responses without a body (to HEAD) have none.
    code: Option<String>,
    /// A message for humans.
    message: String,
}

impl<E> From<SdkError<E, HttpResponse>> for ServiceError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
        let message = match error.as_service_error() {
            Some(error) => error.message().unwrap_or("no message").to_owned(),
            None => chain(&error),
        };
        Self { status, code, message }
    }
}

/// An error with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl std::fmt::Display for ServiceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl ServiceError {
    /// There is no object (or, where the response has no code, no object or no bucket).
    pub(super) fn is_absent(&self) -> bool {
        self.status == Some(404) && self.code.as_deref() != Some("NoSuchBucket")
    }

    /// A condition does not hold, or another writer wrote the same object concurrently.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self.status, Some(412 | 409)) && self.code.as_deref() != Some("OperationAborted")
    }

    /// The object has no byte of the range.
    pub(super) fn is_range_unsatisfiable(&self) -> bool {
        self.status == Some(416)
    }

    /// No answer came, or none that was whole.
    pub(super) const fn is_unanswered(&self) -> bool {
        self.status.is_none()
    }

    /// S3 was refused the KMS key: codes of KMS, or an ordinary refusal that names the missing right.
    fn is_of_key(&self) -> bool {
        self.code.as_deref().is_some_and(|code| code.starts_with("KMS."))
            || self.status == Some(403) && self.message.contains("kms:")
    }

    /// Another writer wrote the same object concurrently, so that the condition was not decided.
    pub(super) fn is_concurrent_write(&self) -> bool {
        self.status == Some(409) && self.code.as_deref() == Some("ConditionalRequestConflict")
    }

    /// As an error of the port.
    pub(super) fn at(self, at: &Location) -> StoreError {
        if self.is_conflict() {
            return StoreError::Conflict(at.clone());
        }
        let status = self.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let code = self.code.as_deref().unwrap_or_default();
        match (self.status, code) {
            (_, "NoSuchBucket") => StoreError::NoSuchBucket(at.bucket.clone()),
            (_, "InvalidObjectState") => StoreError::Archived(at.clone()),
            _ if self.is_of_key() => StoreError::KeyRefused(format!(
                "the KMS key of {at} cannot be used ({status} {code}): {}; the key must be enabled, and let the function's role \
                 kms:Decrypt and kms:GenerateDataKey (parameter KmsKeyArn)",
                self.message
            )),
            (Some(403), _) => StoreError::Denied(format!(
                "S3 refused {at} ({code}): {}; the function's role needs s3:GetObject and s3:ListBucket on both buckets \
                 and s3:PutObject on the destination",
                self.message
            )),
            _ => StoreError::Unavailable(format!(
                "S3 could not serve {at} ({status} {code}): {}",
                self.message
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_pipeline::{Failure, ObjectKey, Reason};

    #[test]
    fn refusals_have_the_reason_that_says_what_to_do() {
        let at = Location { bucket: "in".into(), key: ObjectKey::new("a.jpg").unwrap() };
        let cases = [
            (403, "AccessDenied", "Access Denied", Reason::Denied),
            (
                403,
                "AccessDenied",
                "User: role is not authorized to perform: kms:Decrypt on resource: k",
                Reason::KeyRefused,
            ),
            (400, "KMS.DisabledException", "the key is disabled", Reason::KeyRefused),
            (400, "KMS.KMSInvalidStateException", "it is pending deletion", Reason::KeyRefused),
            (
                403,
                "InvalidObjectState",
                "The operation is not valid for the object's storage class",
                Reason::Archived,
            ),
            (404, "NoSuchBucket", "", Reason::Missing),
            (503, "SlowDown", "Please reduce your request rate.", Reason::Unavailable),
        ];
        for (status, code, message, reason) in cases {
            let error =
                ServiceError { status: Some(status), code: Some(code.into()), message: message.into() };
            let failure = Failure::from(error.at(&at));
            assert_eq!(failure.reason, reason, "{code}: {message}");
            assert!(
                failure.message.contains(message) || reason == Reason::Archived || reason == Reason::Missing
            );
        }
    }
}
