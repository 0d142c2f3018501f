//! What a request is: where it is sent, and what it is answered.

use axum::http::{Method, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use tintype_api::Permission;

use super::{Admin, Refusal};

/// A request, its fields as they are in a query (GET) or form (POST). Commands send it, the server reads it.
pub trait Request: Serialize + DeserializeOwned + Send + 'static {
    /// Its method.
    const METHOD: Method;
    /// Its path.
    const PATH: &'static str;
    /// What the sender must be allowed to do.
    const PERMISSION: Permission;
    /// The status of an answer.
    const STATUS: StatusCode = StatusCode::OK;
    /// Fields of the answer by JSON pointer, each with the name that earlier versions gave it.
    const FORMER_NAMES: &'static [(&'static str, &'static str)] = &[];
    /// What is answered.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
}

/// A request that is answered as one piece of JSON.
pub trait Handle: Request {
    /// Answers it. Blocks on the disk: see [`Admin::blocking`].
    ///
    /// # Errors
    /// It is invalid, or what it needs cannot be read or written.
    fn handle(self, admin: &Admin) -> Result<Self::Answer, Refusal>;
}

/// A request that is answered in pages.
pub trait PagedRequest: Request + Sized {
    /// The request for the page after `answer`; `None`: it was the last.
    fn next(&self, answer: &Self::Answer) -> Option<Self>;
}
