//! Dead letters at a broker: the event unchanged, so that it can be sent again, with the reason in attributes named as
//! in Lambda's own dead letters.
//! Source: AWS, "Dead-letter queues" (Lambda).

use serde_json::Value;

/// In bytes, as in Lambda's own dead letters.
const LONGEST_MESSAGE: usize = 1024;
/// As in Lambda's own dead letters: the invocation itself succeeded.
const ERROR_CODE: &str = "200";

/// An event that failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The same for every dead letter of one record of one message.
    pub id: String,
    /// The attempt that failed.
    pub request_id: String,
    /// The event of one record, or a message that was none.
    pub event: Value,
    /// The class of the failure.
    pub reason: String,
    /// What happened, and what to do.
    pub message: String,
}

impl DeadLetter {
    /// The attributes by name, type in SQS, and value.
    #[must_use]
    pub fn attributes(&self) -> [(&'static str, &'static str, String); 4] {
        [
            ("RequestID", "String", self.request_id.clone()),
            ("ErrorCode", "Number", ERROR_CODE.to_owned()),
            ("ErrorMessage", "String", shortened(&legal(&self.message), LONGEST_MESSAGE).to_owned()),
            ("Reason", "String", self.reason.clone()),
        ]
    }

    /// The event as text of at most `longest` bytes. A longer one is truncated, so that at least the reason is delivered.
    #[must_use]
    pub fn body(&self, longest: usize) -> String {
        let text = match &self.event {
            // A message that was no JSON is sent unchanged.
            Value::String(text) if !text.is_empty() => legal(text),
            // Two characters are legal in JSON but not in SQS; escapes avoid them.
            other => other.to_string().replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"),
        };
        shortened(&text, longest).to_owned()
    }
}

/// SQS refuses control characters other than tab and line ends; keys may contain any.
fn legal(text: &str) -> String {
    let illegal =
        |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r') || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.replace(illegal, "\u{fffd}")
}

fn shortened(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn letter(event: Value, message: &str) -> DeadLetter {
        let (id, request_id, reason) = ("1".into(), "r".into(), "malformed".into());
        DeadLetter { id, request_id, event, reason, message: message.into() }
    }

    #[test]
    fn a_body_is_the_unchanged_event() {
        let body = |event: &Value| letter(event.clone(), "").body(1 << 20);
        let event = json!({"Records": [{"s3": {"object": {"key": "a+b\u{1}.jpg"}}}]});
        assert_eq!(serde_json::from_str::<Value>(&body(&event)).unwrap(), event);
        let event = json!({"key": "a\u{fffe}b\u{ffff}.jpg"});
        assert!(!body(&event).contains(['\u{fffe}', '\u{ffff}']));
        assert_eq!(serde_json::from_str::<Value>(&body(&event)).unwrap(), event);
        assert_eq!(body(&json!("not json")), "not json");
        assert_eq!(body(&json!("")), "\"\"", "SQS refuses an empty body");
    }

    #[test]
    fn characters_and_sizes_that_sqs_refuses_are_removed() {
        let message = |text: &str| letter(json!(1), text).attributes()[2].2.clone();
        assert_eq!(message("a\u{0}b\tc"), "a\u{fffd}b\tc");
        assert_eq!(message(&"ü".repeat(900)).len(), 1024);
        assert_eq!(letter(json!("x".repeat(2 << 20)), "").body(1 << 20).len(), 1 << 20);
    }
}
