//! Spans as the body of a request to an OpenTelemetry collector.
//! Source: OpenTelemetry, "OTLP Specification", OTLP/HTTP in JSON; ids are hexadecimal there.

use serde_json::{Value, json};

/// A part of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Its trace: 32 hexadecimal digits.
    pub trace_id: String,
    /// Its own id: 16 hexadecimal digits.
    pub span_id: String,
    /// The id of its parent span; empty for the root span of an event.
    pub parent_span_id: String,
    /// Its name.
    pub name: String,
    /// Microseconds since 1970 when it began.
    pub begin_us: i64,
    /// Microseconds since 1970 when it ended.
    pub end_us: i64,
    /// Its attributes.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
}

impl Attribute {
    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => json!({"stringValue": text}),
            // 64-bit integers are text in protobuf's JSON.
            Self::Number(number) => json!({"intValue": number.to_string()}),
        }
    }
}

/// `SPAN_KIND_INTERNAL` and `SPAN_KIND_CONSUMER`, `STATUS_CODE_OK` and `STATUS_CODE_ERROR`.
const INTERNAL: u8 = 1;
const CONSUMER: u8 = 5;
const OK: u8 = 1;
const ERROR: u8 = 2;

/// An `ExportTraceServiceRequest` of these spans, of a function of a service.
#[must_use]
pub fn request(service: &str, version: &str, function: &str, spans: &[Span]) -> Value {
    let text = |text: &str| Attribute::Text(text.to_owned());
    let resource =
        [("service.name", text(service)), ("service.version", text(version)), ("faas.name", text(function))];
    json!({
        "resourceSpans": [{
            "resource": {"attributes": attributes(&resource)},
            "scopeSpans": [{
                "scope": {"name": service},
                "spans": spans.iter().map(Span::to_json).collect::<Value>(),
            }],
        }],
    })
}

fn attributes(attributes: &[(&'static str, Attribute)]) -> Value {
    attributes.iter().map(|(key, value)| json!({"key": key, "value": value.to_json()})).collect()
}

impl Span {
    fn to_json(&self) -> Value {
        let end_us = self.end_us.max(self.begin_us);
        json!({
            "traceId": self.trace_id,
            "spanId": self.span_id,
            "parentSpanId": self.parent_span_id,
            "name": self.name,
            "kind": if self.parent_span_id.is_empty() { CONSUMER } else { INTERNAL },
            "startTimeUnixNano": (self.begin_us * 1000).to_string(),
            "endTimeUnixNano": (end_us * 1000).to_string(),
            "attributes": attributes(&self.attributes),
            "status": match &self.error {
                Some(message) => json!({"code": ERROR, "message": message}),
                None => json!({"code": OK}),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_valid_otlp_json() {
        let first = Span {
            trace_id: "0123456789abcdef0123456789abcdef".into(),
            span_id: "0123456789abcdef".into(),
            parent_span_id: String::new(),
            name: "upload to thumbnail".into(),
            begin_us: 1_700_000_000_000_000,
            end_us: 1_700_000_000_000_250,
            attributes: vec![
                ("aws.s3.bucket", Attribute::Text("in".into())),
                ("tintype.attempts", Attribute::Number(2)),
            ],
            error: None,
        };
        let second = Span {
            span_id: "fedcba9876543210".into(),
            parent_span_id: first.span_id.clone(),
            end_us: first.begin_us - 1,
            attributes: vec![],
            error: Some("cut short".into()),
            ..first.clone()
        };
        let request = request("tintype", "0.1.0", "Thumbnails", &[first, second]);
        let resource = &request["resourceSpans"][0]["resource"]["attributes"];
        assert_eq!(resource[2], json!({"key": "faas.name", "value": {"stringValue": "Thumbnails"}}));
        let spans = &request["resourceSpans"][0]["scopeSpans"][0]["spans"];
        assert_eq!(spans[0]["startTimeUnixNano"], "1700000000000000000");
        assert_eq!(spans[0]["endTimeUnixNano"], "1700000000000250000");
        assert_eq!(spans[0]["attributes"][1], json!({"key": "tintype.attempts", "value": {"intValue": "2"}}));
        assert_eq!((&spans[0]["kind"], &spans[0]["status"]), (&json!(5), &json!({"code": 1})));
        assert_eq!(spans[1]["parentSpanId"], spans[0]["spanId"]);
        assert_eq!(spans[1]["endTimeUnixNano"], spans[1]["startTimeUnixNano"], "never before its start");
        assert_eq!(spans[1]["status"], json!({"code": 2, "message": "cut short"}));
    }
}
