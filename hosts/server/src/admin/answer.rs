//! Answers as JSON, and refusals.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tintype_api::message;

use super::Request;

/// An answer as it is served: with the names that earlier versions gave its fields beside today's.
#[must_use]
pub fn to_json<R: Request>(answer: &R::Answer) -> Value {
    let mut json = serde_json::to_value(answer).unwrap_or_default();
    for (field, former_name) in R::FORMER_NAMES {
        let (parent, name) = field.rsplit_once('/').unwrap_or(("", field));
        if let Some(Value::Object(fields)) = json.pointer_mut(parent)
            && let Some(value) = fields.get(name).cloned()
        {
            fields.insert((*former_name).to_owned(), value);
        }
    }
    json
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// What is wrong, where, and what to do.
    pub message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// The request is not understood.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Its sender may not.
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// What it names is not there.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// It contradicts what is there.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// It can be answered later.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

/// Whatever could not be read or written: the disk may be back later.
impl<E: std::error::Error + Send + Sync + 'static> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::unavailable(format!("{:#}", anyhow::Error::from(error)))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        message(self.status, self.message)
    }
}
