//! `/orphans`: thumbnails whose source or rendition is gone, page by page.

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tintype_api::Permission;
use tintype_pipeline::Location;

use super::{Admin, Cursor, Handle, PagedRequest, Refusal, Request};
use crate::{request_id, storage::Cause};

/// The next page of thumbnails.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrphansRequest {
    /// Only of keys that begin so.
    pub prefix: Option<String>,
    /// Also those whose source is there, but of a rendition that no trigger has any more.
    pub stale: bool,
    /// Deletes those found.
    pub delete: bool,
    /// Where the page before ended: its bucket.
    pub after_bucket: Option<String>,
    /// … and its key.
    pub after_key: Option<String>,
}

/// Thumbnails without a source or a rendition.
#[derive(Debug, Serialize, Deserialize)]
pub struct OrphansPage {
    /// Those found.
    pub orphans: Vec<Orphan>,
    /// How many of them were deleted.
    pub removed: u64,
    /// The end of this page; `None`: it was the last.
    pub next: Option<Cursor>,
}

/// A thumbnail that nothing would replace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orphan {
    /// The thumbnail.
    pub thumbnail: Location,
    /// The source it was rendered from.
    pub source: Location,
    /// Whether its source is there, but no trigger renders this thumbnail of it any more.
    #[serde(default)]
    pub stale: bool,
}

impl Request for OrphansRequest {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/orphans";
    const PERMISSION: Permission = Permission::Admin;
    type Answer = OrphansPage;
}

impl PagedRequest for OrphansRequest {
    fn next(&self, answer: &OrphansPage) -> Option<Self> {
        let Cursor { after_bucket, after_key } = answer.next.clone()?;
        Some(Self { after_bucket: Some(after_bucket), after_key: Some(after_key), ..self.clone() })
    }
}

impl Handle for OrphansRequest {
    fn handle(self, admin: &Admin) -> Result<OrphansPage, Refusal> {
        let cause = Cause::new("ObjectRemoved:Delete", request_id::current());
        let after = Cursor::from_fields(self.after_bucket, self.after_key);
        let backfill = &admin.parts.store.backfill;
        let (found, next) = backfill.orphans(&self.prefix.unwrap_or_default(), self.stale, after)?;
        let orphans = found
            .iter()
            .map(|orphan| Orphan {
                thumbnail: orphan.at.clone(),
                source: orphan.source.clone(),
                stale: orphan.is_stale,
            })
            .collect();
        let removed = if self.delete { backfill.remove_orphans(found, &cause)? } else { 0 };
        Ok(OrphansPage { orphans, removed, next: next.map(Cursor::of) })
    }
}
