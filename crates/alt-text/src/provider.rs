//! The port to models: a request out, an answer back.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A question about one image.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The instructions.
    pub system: &'a str,
    /// The question.
    pub user: &'a str,
    /// A JPEG without metadata.
    pub image: &'a [u8],
}

/// A POST of JSON. `Debug` shows neither headers nor body.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// The URL.
    pub url: String,
    /// Headers beside Content-Length and Host, in lower case; they may hold secrets.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The header Retry-After, as it came.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportError {
    /// None came in time.
    TimedOut,
    /// The server cannot be reached, or broke off; in words that hold no secret.
    Unreachable(String),
    /// Its answer is longer than is read.
    TooLong,
}

/// Carries requests to a model.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends a request and reads the whole answer, of at most `most` bytes, within `timeout`.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn send(
        &self,
        request: HttpRequest,
        most: usize,
        timeout: Duration,
    ) -> Result<HttpAnswer, TransportError>;
}

/// Tokens of requests and answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Of requests.
    pub input: u64,
    /// Of answers.
    pub output: u64,
}

impl Tokens {
    /// Both.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// With others.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self { input: self.input.saturating_add(more.input), output: self.output.saturating_add(more.output) }
    }
}

/// What a model wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Its text.
    pub text: String,
    /// What it took, where the provider says so.
    pub tokens: Option<Tokens>,
}

/// A provider of models.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Its name in settings and sidecars.
    fn name(&self) -> &'static str;

    /// The request that asks.
    ///
    /// # Errors
    /// There are no credentials, in words.
    async fn request(&self, ask: &Ask<'_>) -> Result<HttpRequest, String>;

    /// What the model wrote, from the body of a successful answer.
    ///
    /// # Errors
    /// The body is not what the provider's answers are, in words.
    fn completion(&self, body: &[u8]) -> Result<Completion, String>;

    /// A secret that its requests carry as it is: some providers repeat it in errors.
    fn secret(&self) -> Option<&str> {
        None
    }

    /// Whether requests are different from now on, because a request was refused with this body: it is then sent again.
    fn adapts(&self, refusal: &[u8]) -> bool {
        let _ = refusal;
        false
    }
}

/// The longest message of a failure, in characters.
const LONGEST_MESSAGE: usize = 300;

/// A message for logs and pages: bounded, on one line.
pub(crate) fn bounded(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_MESSAGE).collect()
}

/// Where and how JSON is not what was expected, without a word of it.
pub(crate) fn fault(error: &serde_json::Error) -> String {
    format!("{:?} error at line {}, column {}", error.classify(), error.line(), error.column())
}

/// The message of an error's body, for logs: bounded, on one line, without the secret.
pub(crate) fn error_message(body: &[u8], secret: Option<&str>) -> String {
    let text = error_text(body);
    // Before it is cut, or a part of the secret may be left.
    match secret.filter(|secret| !secret.is_empty()) {
        Some(secret) => bounded(&text.replace(secret, "***")),
        None => bounded(&text),
    }
}

/// The message of an error's body, as it is.
pub(crate) fn error_text(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Body {
        #[serde(alias = "Message")]
        message: Option<String>,
        error: Option<serde_json::Value>,
    }
    let body: Option<Body> = serde_json::from_slice(body).ok();
    let text = body.and_then(|body| {
        let nested = body.error.as_ref().and_then(|error| error.get("message").unwrap_or(error).as_str());
        body.message.clone().or_else(|| nested.map(str::to_owned))
    });
    text.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_errors_are_short_and_on_one_line() {
        assert_eq!(error_message(br#"{"error": {"message": "no such\nmodel"}}"#, None), "no such model");
        assert_eq!(error_message(br#"{"error": "loading"}"#, None), "loading");
        assert_eq!(error_message(br#"{"message": "denied"}"#, None), "denied");
        assert_eq!(error_message(br#"{"Message": "denied"}"#, None), "denied");
        assert_eq!(error_message(b"<html>", None), "");
        let long = format!("{{\"message\": \"{}\"}}", "a".repeat(1000));
        assert_eq!(error_message(long.as_bytes(), None).len(), 300);
        let echoed = format!("{{\"message\": \"{}key-123 is wrong\"}}", "a".repeat(297));
        assert_eq!(error_message(echoed.as_bytes(), Some("key-123")), format!("{}***", "a".repeat(297)));
    }

    #[test]
    fn faults_of_json_repeat_no_word_of_it() {
        #[derive(Debug, Deserialize)]
        struct Number {
            #[serde(rename = "n")]
            _n: u64,
        }
        let error = serde_json::from_str::<Number>("{\"n\": \"words of the provider\"}").unwrap_err();
        assert!(error.to_string().contains("words"));
        let told = fault(&error);
        assert!(told.contains("line 1") && !told.contains("words"), "{told}");
    }
}
