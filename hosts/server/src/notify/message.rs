//! An event as S3 sends it, and for webhooks the URLs whose answers it makes stale.
//! Source: AWS, "Event message structure" (S3).

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tintype_api::{
    image_url::{ImageUrl, at_each_density},
    settings::ApiSettings,
    signed_url::encoded_path,
};
use tintype_pipeline::{
    clock::rfc3339,
    trigger::{default_trigger, find_trigger},
};

use crate::{
    settings::{Notify, NotifyTarget},
    storage::{Notifications, OutboxRecord},
};

/// The region that events name.
const REGION: &str = "us-east-1";
/// Who owns the buckets, and caused an event without an access key's name.
const ROOT: &str = "root";

/// The event of a row, as S3 has it.
pub(super) fn event(section: &str, number: u64, record: &OutboxRecord) -> Value {
    let mut object = json!({
        "key": encoded_path(&record.key).replace("%20", "+"),
        "sequencer": format!("{number:016X}"),
    });
    // S3 says neither of what is gone.
    if !record.removed {
        object["size"] = record.size.into();
        object["eTag"] = record.etag.clone().into();
    }
    json!({
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": rfc3339(record.time_ms),
        "eventName": record.name,
        "userIdentity": {"principalId": record.access_key.as_deref().unwrap_or(ROOT)},
        // The outbox has no addresses; readers expect the member.
        "requestParameters": {"sourceIPAddress": ""},
        "responseElements": {"x-amz-request-id": record.request_id},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": section,
            "bucket": {
                "name": record.bucket,
                "ownerIdentity": {"principalId": ROOT},
                "arn": format!("arn:aws:s3:::{}", record.bucket),
            },
            "object": object,
        },
    })
}

/// Which URLs an event makes stale.
pub(super) struct Purge {
    /// As it is now.
    api: Arc<ArcSwap<ApiSettings>>,
    /// What their paths follow.
    base: String,
    is_wanted: bool,
    notifications: Arc<Notifications>,
}

impl Purge {
    /// For a target of the settings.
    pub(super) fn new(
        api: Arc<ArcSwap<ApiSettings>>,
        notify: &Notify,
        notifications: Arc<Notifications>,
    ) -> Self {
        let (base, is_wanted) = match &notify.target {
            NotifyTarget::Webhook(webhook) => (webhook.public_url.clone().unwrap_or_default(), true),
            NotifyTarget::Queue(_) => (String::new(), false),
        };
        Self { api, base, is_wanted, notifications }
    }

    /// The body of a message: the event, and for webhooks the URLs of its images: the plain one, and each preset's at each
    /// pixel ratio, in the path and in the query.
    pub(super) fn body(&self, section: &str, number: u64, record: &OutboxRecord) -> Value {
        let mut body = json!({"Records": [event(section, number, record)]});
        if self.is_wanted {
            let triggers = self.notifications.triggers();
            if find_trigger(&triggers, &record.bucket, None).is_some() {
                let is_default =
                    default_trigger(&triggers).is_some_and(|trigger| trigger.bucket == record.bucket);
                body["purge"] = self.urls(&record.bucket, &record.key, is_default).into();
            }
        }
        body
    }

    fn urls(&self, bucket: &str, key: &str, is_default: bool) -> Vec<String> {
        let (api, of_bucket) =
            (self.api.load(), |url: ImageUrl| if is_default { url } else { url.with("bucket", bucket) });
        let resource = api.path();
        let mut urls = vec![of_bucket(ImageUrl::of_key(&resource, key))];
        for preset in &api.presets {
            let by_path = of_bucket(ImageUrl::of_preset(&resource, &preset.name, key));
            let by_query = of_bucket(ImageUrl::of_key(&resource, key).with("preset", preset.name.as_str()));
            // Keys that no path can have are in the query in both.
            let is_one = by_path == by_query;
            for url in std::iter::once(by_path).chain((!is_one).then_some(by_query)) {
                urls.extend(at_each_density(preset, &url).map(|(url, _)| url));
            }
        }
        urls.iter().map(|url| format!("{}{}", self.base, url.unsigned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use tintype_pipeline::event::{Event, Kind, parse};

    use super::*;

    fn record(removed: bool) -> OutboxRecord {
        OutboxRecord {
            removed,
            replaced: false,
            name: if removed { "ObjectRemoved:Delete" } else { "ObjectCreated:Put" }.into(),
            bucket: "in".into(),
            key: "raw/a b+\u{fc}\u{1}\u{ffff}.jpg".into(),
            etag: "0123".into(),
            size: 5,
            time_ms: 0,
            request_id: "r".into(),
            access_key: Some("camera".into()),
        }
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        for removed in [false, true] {
            let body = json!({"Records": [event("x", 255, &record(removed))]});
            let written = &body["Records"][0];
            assert_eq!(written["requestParameters"]["sourceIPAddress"], "");
            assert_eq!(written["s3"]["bucket"]["ownerIdentity"]["principalId"], "root");
            assert!(body.to_string().is_ascii(), "{body}");
            let Event::Records(mut parts) = parse(body.to_string().as_bytes(), "other", 1).unwrap() else {
                panic!("{body}");
            };
            let part = parts.remove(0);
            assert_eq!(part.occurred_ms, Some(0));
            let read = part.record.unwrap();
            assert_eq!(read.kind, if removed { Kind::Removed } else { Kind::Created });
            assert_eq!((read.bucket.as_str(), read.key.as_str()), ("in", record(removed).key.as_str()));
            assert_eq!(read.etag.as_deref(), (!removed).then_some("0123"));
            assert_eq!(read.size, (!removed).then_some(5));
            assert_eq!(read.sequencer.unwrap().0, "00000000000000FF");
        }
    }
}
