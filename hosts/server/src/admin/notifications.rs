//! `/notifications`: how sending bucket events to the targets of the settings goes.

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tintype_api::Permission;

use super::{Admin, Handle, Refusal, Request};
use crate::auth::Visibility;

/// The targets of the settings, of buckets that whoever asks may list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotificationsRequest {}

/// Targets, in the order of the settings.
#[derive(Debug, Serialize, Deserialize)]
pub struct NotificationList {
    /// The targets.
    pub targets: Vec<NotificationTarget>,
}

/// A target.
#[derive(Debug, Serialize, Deserialize)]
pub struct NotificationTarget {
    /// The name of its section.
    pub name: String,
    /// Where events are sent; of a webhook scheme and host alone.
    pub target: String,
    /// Whose events.
    pub bucket: String,
    /// Events that wait to be sent.
    pub waiting: u64,
    /// Since when the oldest of them waits, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ms: Option<i64>,
    /// Beyond this number the oldest are dropped.
    pub max_waiting: u64,
    /// Events that it has confirmed since the start.
    pub sent: u64,
    /// Since when none could be sent, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since_ms: Option<i64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl Request for NotificationsRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/notifications";
    const PERMISSION: Permission = Permission::Read;
    type Answer = NotificationList;
}

impl Handle for NotificationsRequest {
    fn handle(self, admin: &Admin) -> Result<NotificationList, Refusal> {
        let (outbox, settings) = (&admin.parts.store.outbox, &admin.parts.settings.notify);
        let (mut targets, visibility) = (Vec::new(), Visibility::current());
        // How it goes says something of every key.
        for lane in outbox.lanes().iter().filter(|lane| visibility.lists(&lane.section.bucket, "")) {
            let section = &lane.section;
            let (waiting, oldest_ms) = outbox.waiting_of(&section.name)?;
            let progress = lane.progress();
            let of_settings = settings.iter().find(|notify| notify.name == section.name);
            targets.push(NotificationTarget {
                name: section.name.clone(),
                target: of_settings.map(|notify| notify.target.to_string()).unwrap_or_default(),
                bucket: section.bucket.clone(),
                waiting,
                oldest_ms,
                max_waiting: section.max_waiting,
                sent: progress.sent,
                failing_since_ms: progress.failing_since_ms,
                last_error: progress.last_error,
            });
        }
        Ok(NotificationList { targets })
    }
}
