//! Permanent failures as messages to an SQS queue, in the format of Lambda's own dead-letter queues: the event, with
//! the reason in attributes.
//! Source: AWS, "Dead-letter queues" (Lambda); "SendMessage" (SQS).

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig},
    types::MessageAttributeValue,
};
use serde_json::Value;
use tintype_pipeline::Failure;
use tintype_stores::s3::{ATTEMPTS, Connection, chain, http_client, timeouts};

/// The size limit of SQS, in bytes, less room for the attributes.
const LARGEST_BODY: usize = (1 << 20) - (4 << 10);
/// In bytes, as in Lambda's own dead letters.
const LONGEST_MESSAGE: usize = 1024;
/// As in Lambda's own dead letters: the invocation itself succeeded.
const ERROR_CODE: &str = "200";

/// The dead-letter queue.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    client: Client,
    queue_url: String,
}

impl DeadLetters {
    /// The queue at `queue_url`.
    #[must_use]
    pub(crate) fn new(aws: &Connection, queue_url: String) -> Self {
        let mut config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(aws.region.clone()))
            .credentials_provider(aws.sdk_credentials())
            .http_client(http_client(aws.endpoint.as_deref()))
            .timeout_config(timeouts())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
        config.set_endpoint_url(aws.endpoint.clone());
        Self { client: Client::from_conf(config.build()), queue_url }
    }

    /// Sends the event `raw` with the reason of its failure. The message body can be sent to the function again unchanged.
    ///
    /// # Errors
    /// The queue refused the message. The caller must fail the invocation, or the event is lost.
    pub(crate) async fn send(&self, request_id: &str, raw: &Value, failure: &Failure) -> Result<(), String> {
        let attributes = [
            ("RequestID", "String", request_id),
            ("ErrorCode", "Number", ERROR_CODE),
            ("ErrorMessage", "String", &attribute(&failure.message)),
            ("Reason", "String", failure.reason.name()),
        ];
        let mut request = self.client.send_message().queue_url(&self.queue_url).message_body(body(raw));
        for (name, kind, value) in attributes {
            let value = MessageAttributeValue::builder().data_type(kind).string_value(value).build();
            let value = value.map_err(|error| error.to_string())?;
            request = request.message_attributes(name, value);
        }
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!(
                "the dead-letter queue {} did not accept \"{}\": {}",
                self.queue_url,
                failure.message,
                chain(&error)
            )),
        }
    }
}

/// The event as text. One too large for a message is truncated, so that at least the reason is delivered.
fn body(raw: &Value) -> String {
    let text = match raw {
        // A message that was no JSON is sent unchanged.
        Value::String(text) if !text.is_empty() => legal(text),
        // Two characters are legal in JSON but not in SQS; escapes avoid them.
        other => other.to_string().replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"),
    };
    shortened(&text, LARGEST_BODY).to_owned()
}

fn attribute(text: &str) -> String {
    shortened(&legal(text), LONGEST_MESSAGE).to_owned()
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
    use super::*;
    use serde_json::json;

    #[test]
    fn a_body_is_the_unchanged_event() {
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
        assert_eq!(attribute("a\u{0}b\tc"), "a\u{fffd}b\tc");
        assert_eq!(attribute(&"ü".repeat(900)).len(), 1024);
        assert_eq!(body(&json!("x".repeat(2 << 20))).len(), LARGEST_BODY);
    }
}
