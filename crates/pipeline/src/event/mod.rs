//! Events: every shape in which "an object was created (or removed)" reaches the function, parsed into
//! records. Sources: AWS, "Event message structure" (S3); "Using Lambda with Amazon SQS"; "… with Amazon
//! SNS"; "Amazon S3 EventBridge event message structure".

mod other_stores;

use std::cmp::Ordering;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::store::{Location, ObjectKey};

/// What happened to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It was put, copied or completed as a multipart upload.
    Created,
    /// It was deleted.
    Removed,
    /// Its renditions were committed, and the [`Step`](crate::Step) of this name follows.
    Step(&'static str),
    /// Something that needs nothing done: its tags or its storage class changed, for instance.
    Other,
}

/// Types of created objects that a notification may name one by one. Source: AWS, "Event notification types and
/// destinations".
const CREATED: [&str; 4] = [
    "ObjectCreated:Put",
    "ObjectCreated:Post",
    "ObjectCreated:Copy",
    "ObjectCreated:CompleteMultipartUpload",
];

/// A set of types of created objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedTypes(u8);

impl CreatedTypes {
    /// Every type.
    pub const ALL: Self = Self((1 << CREATED.len()) - 1);
    /// No type.
    pub const NONE: Self = Self(0);

    /// Those that a notification's event type names, such as `s3:ObjectCreated:*`.
    #[must_use]
    pub fn of(event: &str) -> Self {
        match event.strip_prefix("s3:") {
            Some("ObjectCreated:*") => Self::ALL,
            Some(name) => Self(CREATED.iter().position(|one| *one == name).map_or(0, |at| 1 << at)),
            None => Self::NONE,
        }
    }

    /// Whether an event of this name is of one of them; names that notifications cannot name are of every set but the
    /// empty one.
    #[must_use]
    pub fn contains(self, name: &str) -> bool {
        match CREATED.iter().position(|one| *one == name) {
            Some(at) => self.0 & (1 << at) != 0,
            None => self != Self::NONE,
        }
    }

    /// Whether there is a type that both have.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl std::ops::BitOr for CreatedTypes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Types of S3's events that need nothing done: they are about objects that stay as they are.
const OTHER_TYPES: [&str; 8] = [
    "IntelligentTiering",
    "LifecycleTransition",
    "ObjectAcl:",
    "ObjectRestore:",
    "ObjectTagging:",
    "ReducedRedundancyLostObject",
    "Replication:",
    "TestEvent",
];

/// Whether S3 has an event type that the function ignores, by its name with or without `s3:`.
#[must_use]
pub fn is_other_type(name: &str) -> bool {
    let name = name.strip_prefix("s3:").unwrap_or(name);
    OTHER_TYPES.iter().any(|one| match one.ends_with(':') {
        true => name.starts_with(one),
        false => name == *one,
    })
}

/// One object named by an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What happened.
    pub kind: Kind,
    /// S3's name for it, such as `ObjectCreated:Put`.
    pub name: String,
    /// The bucket.
    pub bucket: String,
    /// The key, decoded.
    pub key: ObjectKey,
    /// The object's ETag at the time, without quotes.
    pub etag: Option<String>,
    /// Its size in bytes at the time.
    pub size: Option<u64>,
    /// Orders the events of one key.
    pub sequencer: Option<Sequencer>,
}

impl Record {
    /// A record of an object by its location alone; `name` is the S3 event name.
    #[must_use]
    pub fn new(kind: Kind, name: impl Into<String>, at: Location) -> Self {
        let Location { bucket, key } = at;
        Self { kind, name: name.into(), bucket, key, etag: None, size: None, sequencer: None }
    }

    /// Whether a store sent it for an object just written, so that there is most likely no thumbnail yet; not for events
    /// that a person or a backfill caused.
    #[must_use]
    pub fn is_upload(&self) -> bool {
        let name = self.name.strip_prefix("s3:").unwrap_or(&self.name);
        let cause = name.strip_prefix("ObjectCreated:").unwrap_or_default();
        self.kind == Kind::Created && UPLOADS.contains(&cause)
    }
}

/// How an object was written, in S3's events and in those of EventBridge.
const UPLOADS: [&str; 7] =
    ["Put", "Post", "Copy", "CompleteMultipartUpload", "PutObject", "POST Object", "CopyObject"];

/// Orders the events of one key: hexadecimal text, compared after padding the shorter with zeros on the
/// right (AWS, "Event message structure").
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sequencer(pub String);

impl Sequencer {
    /// Which of two events of one key is the later.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let length = self.0.len().max(other.0.len());
        let padded =
            |text: &str| text.bytes().chain(std::iter::repeat(b'0')).take(length).collect::<Vec<_>>();
        padded(&self.0.to_ascii_uppercase()).cmp(&padded(&other.0.to_ascii_uppercase()))
    }
}

/// A record, or why a part of the event could not be read as one. A bad part never hides the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The SQS message it came in, for partial batch failures.
    pub message_id: Option<String>,
    /// The record, or what is wrong with it.
    pub record: Result<Record, String>,
    /// Whether the message it came in was received before.
    pub is_repeated: bool,
    /// Milliseconds since 1970 when it happened, where the event says so.
    pub occurred_ms: Option<i64>,
    /// Its source: an event of this part alone, which can be sent again.
    pub raw: Value,
}

impl Part {
    fn new(message: Message<'_>, record: Result<Record, String>, raw: Value) -> Self {
        let time =
            raw.pointer("/Records/0/eventTime").or_else(|| raw.get("time")).or_else(|| raw.get("eventTime"));
        let time = time.and_then(Value::as_str);
        let occurred = time.and_then(|time| OffsetDateTime::parse(time, &Rfc3339).ok());
        let occurred_ms =
            occurred.and_then(|time| i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok());
        let message_id = message.id.map(str::to_owned);
        Self { message_id, record, is_repeated: message.is_repeated, occurred_ms, raw }
    }
}

/// The SQS message around a part.
#[derive(Debug, Clone, Copy, Default)]
struct Message<'a> {
    id: Option<&'a str>,
    is_repeated: bool,
}

impl<'a> Message<'a> {
    /// The message that an element of an SQS batch is, inside `outer`.
    fn of(record: &'a Value, outer: Self) -> Self {
        let received = record.pointer("/attributes/ApproximateReceiveCount").and_then(Value::as_str);
        Self {
            id: text(record, "messageId").ok().or(outer.id),
            is_repeated: outer.is_repeated || received.is_some_and(|count| count != "1"),
        }
    }
}

/// An event, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `s3:TestEvent`, sent when a notification is set up: nothing to do.
    Test,
    /// The objects named.
    Records(Vec<Part>),
}

/// The most envelopes that may be nested (SNS in SQS is two).
const MAX_NESTING: u32 = 3;

/// The most records of an event from AWS: messages of the largest batch that SQS gives to a function (AWS,
/// "Creating and configuring an Amazon SQS event source mapping").
pub const MOST_RECORDS: usize = 10_000;

/// Parses an event of any known shape with at most so many records. `default_bucket` is the bucket meant by
/// `{"key": "photo.jpg"}`.
///
/// # Errors
/// The event is not JSON, has no known shape, or has more records.
pub fn parse(json: &[u8], default_bucket: &str, most: usize) -> Result<Event, String> {
    let value: Value =
        serde_json::from_slice(json).map_err(|error| format!("the event is not JSON: {error}"))?;
    let mut parts = Parts { list: Vec::new(), most, is_over: false };
    if collect(&value, default_bucket, Message::default(), MAX_NESTING, &mut parts)? {
        return Ok(Event::Test);
    }
    match parts.is_over {
        true => Err(format!("the event has more than {most} records; send fewer at a time")),
        false => Ok(Event::Records(parts.list)),
    }
}

/// The parts found so far, bounded: each takes much more memory than its JSON.
struct Parts {
    list: Vec<Part>,
    most: usize,
    is_over: bool,
}

impl Parts {
    /// Adds a part, built only where there is room for it.
    fn push(&mut self, part: impl FnOnce() -> Part) {
        if self.list.len() < self.most {
            self.list.push(part());
        } else {
            self.is_over = true;
        }
    }
}

/// Adds the records of one envelope; returns whether it was a test event.
fn collect(
    value: &Value,
    default_bucket: &str,
    message: Message<'_>,
    nesting: u32,
    parts: &mut Parts,
) -> Result<bool, String> {
    if value.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok(true);
    }
    // An on-failure destination of Lambda receives the failed event inside an envelope.
    if let (Some(failed), true) = (value.get("requestPayload"), nesting > 0) {
        return collect(failed, default_bucket, message, nesting - 1, parts);
    }
    // A notification of SNS in a message of SQS carries the event as text.
    if let (Some("Notification"), Some(Value::String(inner))) =
        (value.get("Type").and_then(Value::as_str), value.get("Message"))
    {
        if nesting == 0 {
            return Err("envelopes are nested too deep".to_owned());
        }
        let inner: Value =
            serde_json::from_str(inner).map_err(|error| format!("the SNS message is not JSON: {error}"))?;
        return collect(&inner, default_bucket, message, nesting - 1, parts);
    }
    if value.get("detail-type").is_some() {
        parts.push(|| Part::new(message, event_bridge(value), value.clone()));
        return Ok(false);
    }
    if let Some(record) = other_stores::record(value) {
        parts.push(|| Part::new(message, record, value.clone()));
        return Ok(false);
    }
    if let Some(key) = value.get("key") {
        parts.push(|| Part::new(message, direct(value, key, default_bucket), value.clone()));
        return Ok(false);
    }
    let records = value.get("Records").ok_or_else(|| {
        "the event has neither \"Records\" (S3, SQS, SNS), \"detail-type\" (EventBridge) nor \"key\" (direct)".to_owned()
    })?;
    let records = records.as_array().ok_or("\"Records\" is not a list")?;
    for record in records {
        let inner = if let Some(body) = record.get("body") {
            Some((body, Message::of(record, message)))
        } else {
            record.pointer("/Sns/Message").map(|inner| (inner, message))
        };
        let Some((inner, message)) = inner else {
            parts.push(|| Part::new(message, s3_record(record), json!({"Records": [record]})));
            continue;
        };
        let whole = inner;
        let outcome = inner
            .as_str()
            .ok_or_else(|| "the message is not text".to_owned())
            .and_then(|inner| {
                serde_json::from_str(inner).map_err(|error| format!("the message is not JSON: {error}"))
            })
            .and_then(|inner: Value| {
                if nesting == 0 {
                    return Err("envelopes are nested too deep".to_owned());
                }
                collect(&inner, default_bucket, message, nesting - 1, parts)
            });
        if let Err(fault) = outcome {
            parts.push(|| Part::new(message, Err(fault), whole.clone()));
        }
    }
    Ok(false)
}

fn s3_record(record: &Value) -> Result<Record, String> {
    // Major versions are compared for equality, minor ones are compatible (AWS, "Event message structure").
    if let Some(version) = record.get("eventVersion").and_then(Value::as_str)
        && version.split('.').next() != Some("2")
    {
        return Err(format!("eventVersion \"{version}\" is not 2.x"));
    }
    let name = text(record, "eventName")?;
    let bucket =
        record.pointer("/s3/bucket/name").and_then(Value::as_str).ok_or("s3.bucket.name is missing")?;
    let object = record.pointer("/s3/object").ok_or("s3.object is missing")?;
    Ok(Record {
        kind: kind(name)?,
        name: name.to_owned(),
        bucket: bucket.to_owned(),
        key: form_decoded(text(object, "key")?)?,
        etag: text(object, "eTag").ok().map(unquoted),
        size: object.get("size").and_then(Value::as_u64),
        sequencer: text(object, "sequencer").ok().map(|text| Sequencer(text.to_owned())),
    })
}

fn kind(name: &str) -> Result<Kind, String> {
    let name = name.strip_prefix("s3:").unwrap_or(name);
    if name.starts_with("ObjectCreated:") {
        Ok(Kind::Created)
    } else if name.starts_with("ObjectRemoved:") || name.starts_with("LifecycleExpiration:") {
        Ok(Kind::Removed)
    } else if is_other_type(name) {
        Ok(Kind::Other)
    } else {
        Err(format!("eventName \"{name}\" is neither ObjectCreated nor ObjectRemoved"))
    }
}

/// EventBridge sends the key as it is, not URL-encoded.
fn event_bridge(value: &Value) -> Result<Record, String> {
    let (kind, name) = match text(value, "detail-type")? {
        "Object Created" => (Kind::Created, "ObjectCreated"),
        "Object Deleted" => (Kind::Removed, "ObjectRemoved"),
        // Source: AWS, "Using EventBridge", the events of S3.
        other @ ("Object Access Tier Changed"
        | "Object ACL Updated"
        | "Object Restore Completed"
        | "Object Restore Expired"
        | "Object Restore Initiated"
        | "Object Storage Class Changed"
        | "Object Tags Added"
        | "Object Tags Deleted") => (Kind::Other, other),
        other => {
            return Err(format!(
                "detail-type \"{other}\" is neither \"Object Created\" nor \"Object Deleted\""
            ));
        }
    };
    let detail = value.get("detail").ok_or("detail is missing")?;
    let object = detail.get("object").ok_or("detail.object is missing")?;
    Ok(Record {
        kind,
        name: format!("{name}:{}", text(detail, "reason").unwrap_or("EventBridge")),
        bucket: detail
            .pointer("/bucket/name")
            .and_then(Value::as_str)
            .ok_or("detail.bucket.name is missing")?
            .into(),
        key: ObjectKey::new(text(object, "key")?)?,
        etag: text(object, "etag").ok().map(unquoted),
        size: object.get("size").and_then(Value::as_u64),
        sequencer: text(object, "sequencer").ok().map(|text| Sequencer(text.to_owned())),
    })
}

/// `{"key": "photo.jpg"}`, as a test event is written by hand; the key is not decoded.
fn direct(value: &Value, key: &Value, default_bucket: &str) -> Result<Record, String> {
    Ok(Record {
        kind: Kind::Created,
        name: "ObjectCreated:Direct".into(),
        bucket: text(value, "bucket").unwrap_or(default_bucket).into(),
        key: ObjectKey::new(key.as_str().ok_or("\"key\" is not text")?)?,
        etag: None,
        size: None,
        sequencer: None,
    })
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, String> {
    value.get(name).and_then(Value::as_str).ok_or_else(|| format!("\"{name}\" is missing"))
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

/// Decodes a key as S3 writes it in events: `application/x-www-form-urlencoded`, so `+` is a space.
fn form_decoded(key: &str) -> Result<ObjectKey, String> {
    let spaced = key.replace('+', " ");
    let decoded = percent_decode_str(&spaced)
        .decode_utf8()
        .map_err(|_| format!("the key \"{key}\" does not decode to UTF-8"))?;
    ObjectKey::new(&decoded)
}

/// Encodes a key as S3 writes it in events.
#[must_use]
pub fn form_encoded(key: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const ESCAPED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/').remove(b' ');
    utf8_percent_encode(key, ESCAPED).to_string().replace(' ', "+")
}

#[cfg(test)]
mod tests {
    use super::*;
    fn s3(key: &str) -> Value {
        json!({"Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "in"}, "object": {"key": key, "size": 3, "eTag": "abc", "sequencer": "0055AED6"}}
        }]})
    }

    fn keys(value: &Value) -> Vec<String> {
        match parse(value.to_string().as_bytes(), "in", MOST_RECORDS).unwrap() {
            Event::Test => vec!["test".into()],
            Event::Records(parts) => parts
                .into_iter()
                .map(|part| {
                    part.record
                        .map_or_else(|error| format!("error: {error}"), |record| record.key.to_string())
                })
                .collect(),
        }
    }

    #[test]
    fn keys_are_form_decoded_except_from_event_bridge() {
        assert_eq!(keys(&s3("Medium-input%2830%29/photo+1%2B2.jpg")), ["Medium-input(30)/photo 1+2.jpg"]);
        assert_eq!(keys(&s3("a%2Fb.jpg")), ["a/b.jpg"]);
        let bridge = json!({"detail-type": "Object Created", "detail": {"bucket": {"name": "in"}, "object": {"key": "a+b%20c.jpg"}}});
        assert_eq!(keys(&bridge), ["a+b%20c.jpg"]);
    }

    #[test]
    fn envelopes() {
        let direct = s3("a.jpg").to_string();
        let alone = json!({"Type": "Notification", "Message": direct});
        let sns = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": direct}}]});
        let sqs = json!({"Records": [{"messageId": "m1", "eventSource": "aws:sqs", "body": direct}]});
        let both = json!({"Records": [{"messageId": "m2", "body": json!({"Type": "Notification", "Message": direct}).to_string()}]});
        let failed =
            json!({"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": s3("a.jpg")});
        for event in [alone, sns, sqs, both, failed, json!({"key": "a.jpg"})] {
            assert_eq!(keys(&event), ["a.jpg"]);
        }
        assert_eq!(keys(&json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "in"})), ["test"]);
    }

    #[test]
    fn every_record_is_parsed_and_a_bad_one_hides_no_other() {
        let mut event = s3("a.jpg");
        let records = event["Records"].as_array_mut().unwrap();
        records.push(json!({"eventName": "ObjectCreated:Put"}));
        records.push(s3("b.jpg")["Records"][0].clone());
        let mut batch = json!({"Records": [{"messageId": "1", "body": "not json"}]});
        batch["Records"].as_array_mut().unwrap().push(json!({"messageId": "2", "body": event.to_string()}));
        let found = keys(&batch);
        assert_eq!(found.len(), 4);
        assert!(found[0].starts_with("error: the message is not JSON"));
        assert_eq!((found[1].as_str(), found[3].as_str()), ("a.jpg", "b.jpg"));
        assert!(found[2].contains("s3.bucket.name is missing"));
    }

    #[test]
    fn each_part_holds_its_source_and_its_time() {
        let mut event = s3("a.jpg");
        let mut second = s3("b.jpg")["Records"][0].clone();
        second["eventTime"] = "2026-01-02T03:04:05.678Z".into();
        event["Records"].as_array_mut().unwrap().push(second.clone());
        let batch = json!({"Records": [
            {"messageId": "1", "body": event.to_string()},
            {"messageId": "2", "body": "not json"},
        ]});
        let Event::Records(parts) = parse(batch.to_string().as_bytes(), "in", 3).unwrap() else {
            panic!("records")
        };
        assert_eq!(
            parts.iter().map(|part| part.raw.clone()).collect::<Vec<_>>(),
            [s3("a.jpg"), json!({"Records": [second]}), json!("not json")]
        );
        assert_eq!(
            parts.iter().map(|part| part.occurred_ms).collect::<Vec<_>>(),
            [None, Some(1_767_323_045_678), None]
        );
    }

    #[test]
    fn an_unknown_shape_or_version_is_an_error() {
        assert!(parse(b"{}", "in", 1).unwrap_err().contains("Records"));
        assert!(parse(b"{", "in", 1).unwrap_err().contains("not JSON"));
        let mut event = s3("a.jpg");
        event["Records"][0]["eventVersion"] = "3.0".into();
        assert!(keys(&event)[0].contains("eventVersion"));
    }

    #[test]
    fn too_many_records_are_refused_without_being_held() {
        let many = json!({"Records": vec![json!({}); 10]});
        let nested = json!({"Records": [
            {"messageId": "1", "body": many.to_string()},
            {"messageId": "2", "body": many.to_string()},
        ]});
        for (event, count) in [(many, 10), (nested, 20)] {
            let text = event.to_string();
            let Ok(Event::Records(parts)) = parse(text.as_bytes(), "in", count) else { panic!("records") };
            assert_eq!(parts.len(), count);
            let refused = parse(text.as_bytes(), "in", count - 1).unwrap_err();
            assert!(refused.contains(&format!("more than {} records", count - 1)), "{refused}");
        }
    }

    #[test]
    fn sequencers_are_padded_on_the_right() {
        let order = |a: &str, b: &str| Sequencer(a.into()).order(&Sequencer(b.into()));
        assert_eq!(order("0055", "00550000"), Ordering::Equal);
        assert_eq!(order("0056", "00550001"), Ordering::Greater);
        assert_eq!(order("005a", "005B"), Ordering::Less);
    }

    #[test]
    fn encoding_and_decoding_are_inverse() {
        for key in ["a b+c.jpg", "Medium-input(30)/photo 1+2.jpg", "ü/日本.png", "100%/&=?#", "a//b/"] {
            assert_eq!(form_decoded(&form_encoded(key)).unwrap().to_string(), key);
        }
        assert_eq!(form_encoded("a b+c/d.jpg"), "a+b%2Bc/d.jpg");
    }
}
