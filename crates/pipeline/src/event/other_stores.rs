//! Events of stores that have a shape of their own.
//! Sources: Cloudflare, "Event notifications" (R2); Google, "Pub/Sub notifications for Cloud Storage"; CloudEvents of Eventarc.

use serde_json::Value;

use super::{Kind, Record, text, unquoted};
use crate::store::ObjectKey;

/// The record of an event of R2 or Cloud Storage; `None` if it is of neither.
pub(super) fn record(value: &Value) -> Option<Result<Record, String>> {
    if value.get("action").is_some() && value.get("bucket").is_some_and(Value::is_string) {
        return Some(r2(value));
    }
    if let Some(attributes) = value.pointer("/message/attributes").or_else(|| value.get("attributes"))
        && attributes.get("eventType").is_some()
        && attributes.get("bucketId").is_some()
    {
        return Some(cloud_storage(attributes));
    }
    if text(value, "type").is_ok_and(|kind| kind.starts_with("google.cloud.storage.object.")) {
        return Some(cloud_event(value));
    }
    None
}

/// R2 names its own actions and does not encode keys.
fn r2(value: &Value) -> Result<Record, String> {
    let action = text(value, "action")?;
    let kind = match action {
        "PutObject" | "CopyObject" | "CompleteMultipartUpload" => Kind::Created,
        "DeleteObject" | "LifecycleDeletion" => Kind::Removed,
        other => return Err(format!("action \"{other}\" neither creates nor deletes an object")),
    };
    let object = value.get("object").ok_or("object is missing")?;
    Ok(Record {
        kind,
        name: name(kind, action),
        bucket: text(value, "bucket")?.to_owned(),
        key: ObjectKey::new(text(object, "key")?)?,
        etag: text(object, "eTag").ok().map(unquoted),
        size: object.get("size").and_then(Value::as_u64),
        sequencer: None,
    })
}

/// The attributes of a message of Pub/Sub; its data may be absent. An object that is replaced has two events: the
/// deletion of the older one says by which it was replaced.
fn cloud_storage(attributes: &Value) -> Result<Record, String> {
    let kind = match text(attributes, "eventType")? {
        "OBJECT_FINALIZE" => Kind::Created,
        "OBJECT_DELETE" | "OBJECT_ARCHIVE" => Kind::Removed,
        other => return Err(format!("eventType \"{other}\" neither creates nor deletes an object")),
    };
    Ok(Record {
        kind,
        name: name(kind, "PubSub"),
        bucket: text(attributes, "bucketId")?.to_owned(),
        key: ObjectKey::new(text(attributes, "objectId")?)?,
        etag: None,
        size: None,
        sequencer: None,
    })
}

fn cloud_event(value: &Value) -> Result<Record, String> {
    let kind = match text(value, "type")? {
        "google.cloud.storage.object.v1.finalized" => Kind::Created,
        "google.cloud.storage.object.v1.deleted" | "google.cloud.storage.object.v1.archived" => Kind::Removed,
        other => return Err(format!("type \"{other}\" neither creates nor deletes an object")),
    };
    let data = value.get("data").ok_or("data is missing")?;
    Ok(Record {
        kind,
        name: name(kind, "CloudEvent"),
        bucket: text(data, "bucket")?.to_owned(),
        key: ObjectKey::new(text(data, "name")?)?,
        etag: None,
        // A decimal number as text.
        size: data.get("size").and_then(|size| size.as_u64().or_else(|| size.as_str()?.parse().ok())),
        sequencer: None,
    })
}

fn name(kind: Kind, cause: &str) -> String {
    let group = if kind == Kind::Removed { "ObjectRemoved" } else { "ObjectCreated" };
    format!("{group}:{cause}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> (Kind, String, bool) {
        let record = record(value).unwrap().unwrap();
        (record.kind, format!("{}/{}", record.bucket, record.key), record.is_upload())
    }

    #[test]
    fn r2_and_cloud_storage() {
        let r2 = |action: &str| {
            json!({
                "account": "a", "action": action, "bucket": "in", "eventTime": "2026-01-02T03:04:05.678Z",
                "object": {"key": "a+b%20c.jpg", "size": 65536, "eTag": "c846ff7a18f28c2e262116d6e8719ef0"},
            })
        };
        assert_eq!(read(&r2("PutObject")), (Kind::Created, "in/a+b%20c.jpg".into(), true));
        assert_eq!(read(&r2("DeleteObject")), (Kind::Removed, "in/a+b%20c.jpg".into(), false));
        let attributes = json!({"eventType": "OBJECT_FINALIZE", "bucketId": "in", "objectId": "a b.jpg"});
        let pushed = json!({"message": {"attributes": attributes, "data": "e30="}, "subscription": "s"});
        assert_eq!(read(&pushed), (Kind::Created, "in/a b.jpg".into(), false));
        let event = json!({
            "type": "google.cloud.storage.object.v1.finalized",
            "data": {"bucket": "in", "name": "a b.jpg", "size": "123"},
        });
        assert_eq!(read(&event), (Kind::Created, "in/a b.jpg".into(), false));
        assert_eq!(record(&event).unwrap().unwrap().size, Some(123));
    }

    #[test]
    fn what_creates_and_deletes_nothing_is_an_error_and_other_shapes_are_not_taken() {
        let other = json!({"action": "GetObject", "bucket": "in", "object": {"key": "a"}});
        assert!(record(&other).unwrap().unwrap_err().contains("GetObject"));
        let other =
            json!({"attributes": {"eventType": "OBJECT_METADATA_UPDATE", "bucketId": "in", "objectId": "a"}});
        assert!(record(&other).unwrap().is_err());
        for other in
            [json!({}), json!({"key": "a.jpg"}), json!({"action": 1}), json!({"type": "Notification"})]
        {
            assert!(record(&other).is_none());
        }
    }
}
