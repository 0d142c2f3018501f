//! `/retry`: an object's thumbnails are rendered again.

use axum::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tintype_api::Permission;

use super::{Admin, Handle, Refusal, Request};
use crate::{
    queue::DeadLetterFilter,
    request_id,
    storage::{Cause, StoreFault},
};

/// Redrives an object's dead letters; if there are none, enqueues an event as if the object had just been put.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryRequest {
    /// The object's bucket; none: that of the first trigger.
    pub bucket: Option<String>,
    /// The object's key.
    pub key: String,
}

/// That it was enqueued.
#[derive(Debug, Serialize, Deserialize)]
pub struct RetryAnswer {
    /// In words.
    pub message: String,
    /// The bucket that was meant.
    pub bucket: String,
}

impl Request for RetryRequest {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/retry";
    const PERMISSION: Permission = Permission::Admin;
    const STATUS: StatusCode = StatusCode::ACCEPTED;
    type Answer = RetryAnswer;
}

impl Handle for RetryRequest {
    fn handle(self, admin: &Admin) -> Result<RetryAnswer, Refusal> {
        let at = admin.location(self.bucket.as_deref(), &self.key)?;
        let (queue, backfill) = (&admin.parts.queue, &admin.parts.store.backfill);
        let of_object = DeadLetterFilter { object: Some(at.clone()), ..DeadLetterFilter::default() };
        // That it could not be described is no reason not to render it.
        let rendered =
            queue.dead_letters(&of_object)?.into_iter().filter(|letter| !letter.event.is_alt_text());
        let ids: Vec<u64> = rendered.map(|letter| letter.event.id).collect();
        let is_queued = if ids.is_empty() {
            let cause = Cause::new("ObjectCreated:Retry", request_id::current());
            match backfill.enqueue(&at, cause) {
                Err(StoreFault::NoSuchKey(_)) => false,
                queued => queued?,
            }
        } else {
            queue.redrive(&DeadLetterFilter { ids: Some(ids), ..DeadLetterFilter::default() })? > 0
        };
        match is_queued {
            true => Ok(RetryAnswer { message: "queued again".into(), bucket: at.bucket }),
            false => Err(Refusal::not_found("there is no such object, or no trigger wants it")),
        }
    }
}
