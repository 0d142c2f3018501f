//! `/backfill`: sources without a current thumbnail are enqueued, page by page.

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tintype_api::Permission;
use tintype_pipeline::Location;

use super::{Admin, Handle, PagedRequest, Refusal, Request};
use crate::{
    request_id,
    storage::{self, Cause},
};

/// The next page of sources.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackfillRequest {
    /// Only of keys that begin so.
    pub prefix: Option<String>,
    /// Lists only, enqueues nothing.
    pub dry_run: bool,
    /// Where the page before ended: its bucket.
    pub after_bucket: Option<String>,
    /// … and its key.
    pub after_key: Option<String>,
}

/// What is to be rendered, and counts of the rest.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackfillPage {
    /// Sources without a current thumbnail, whose events were enqueued unless it was a dry run.
    pub stale: Vec<Location>,
    /// How many have current thumbnails.
    pub current: u64,
    /// How many events wait already.
    pub waiting: u64,
    /// How many are dead letters; redriving them tries them again.
    pub dead_lettered: u64,
    /// The end of this page; `None`: it was the last.
    pub next: Option<Cursor>,
}

/// The end of a page over several buckets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cursor {
    /// The bucket.
    pub after_bucket: String,
    /// The last key; empty: none yet.
    pub after_key: String,
}

impl Cursor {
    pub(super) fn of((after_bucket, after_key): storage::Cursor) -> Self {
        Self { after_bucket, after_key }
    }

    /// As two fields of a request have it.
    pub(super) fn from_fields(bucket: Option<String>, key: Option<String>) -> Option<storage::Cursor> {
        Some((bucket?, key.unwrap_or_default()))
    }
}

impl Request for BackfillRequest {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/backfill";
    const PERMISSION: Permission = Permission::Admin;
    const FORMER_NAMES: &'static [(&'static str, &'static str)] = &[("/dead_lettered", "givenUp")];
    type Answer = BackfillPage;
}

impl PagedRequest for BackfillRequest {
    fn next(&self, answer: &BackfillPage) -> Option<Self> {
        let Cursor { after_bucket, after_key } = answer.next.clone()?;
        Some(Self { after_bucket: Some(after_bucket), after_key: Some(after_key), ..self.clone() })
    }
}

impl Handle for BackfillRequest {
    fn handle(self, admin: &Admin) -> Result<BackfillPage, Refusal> {
        let cause = Cause::new("ObjectCreated:Backfill", request_id::current());
        let after = Cursor::from_fields(self.after_bucket, self.after_key);
        let prefix = self.prefix.unwrap_or_default();
        let page = admin.parts.store.backfill.page(&prefix, after, self.dry_run, cause)?;
        let storage::Backfilled { stale, current, waiting, dead_lettered, next, .. } = page;
        Ok(BackfillPage { stale, current, waiting, dead_lettered, next: next.map(Cursor::of) })
    }
}
