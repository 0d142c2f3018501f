//! `/gallery`: the images of a bucket with the status of their thumbnails, page by page; `/buckets`: which there are.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tintype_api::Permission;
use tintype_pipeline::{Location, ThumbnailStatus, Unmatched, source_of, trigger::Trigger};

use super::{
    Admin, Handle, PagedRequest, Refusal, Request,
    object_status::{thumbnail_status, unmatched},
};
use crate::{
    auth::{Action, Resource, Visibility, caller},
    queue::ResultRecord,
    storage::{ObjectRecord, PageRequest, is_sidecar},
};

/// Images in one answer, unless another number is asked for.
const DEFAULT_IMAGES: usize = 60;
/// The most images in one answer, and keys that one request may name.
const MAX_IMAGES: usize = 200;
/// The most images that a search finds by their descriptions.
const MAX_DESCRIBED: usize = 10_000;
/// A search looks through keys for so long; then it is answered what was found, and where to go on.
const SEARCH_TIME: Duration = Duration::from_millis(20);

/// The next page of images that meet every condition given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GalleryRequest {
    /// Their bucket; none: that of the first trigger.
    pub bucket: Option<String>,
    /// Of keys that begin so. Unless there are other conditions, keys with a slash after it are rolled up to folders.
    pub prefix: Option<String>,
    /// Of keys that hold this text, or descriptions that hold its words, in any case.
    pub text: Option<String>,
    /// With this status of their thumbnails.
    pub only: Option<GalleryFilter>,
    /// With exactly these keys; then there is one page.
    #[serde(rename = "key")]
    pub keys: Vec<String>,
    /// After this key or folder: where the page before ended.
    pub after: Option<String>,
    /// The most images to be answered.
    pub last: Option<usize>,
}

/// A class of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GalleryFilter {
    /// Whose thumbnails are there.
    Rendered,
    /// Whose event waits or is under way.
    Waiting,
    /// That could not be rendered.
    Failed,
    /// That no trigger takes, or that the function ignored.
    Ignored,
    /// Without current thumbnails, though nothing has failed.
    Missing,
}

impl GalleryFilter {
    /// All, in the order in which they are offered.
    pub const ALL: [Self; 5] = [Self::Rendered, Self::Waiting, Self::Failed, Self::Ignored, Self::Missing];

    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rendered => "rendered",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Ignored => "ignored",
            Self::Missing => "missing",
        }
    }

    const fn passes(self, status: ThumbnailStatus) -> bool {
        use ThumbnailStatus::{Current, Failed, Ignored, Missing, Pending, Stale};
        match self {
            Self::Rendered => matches!(status, Current),
            Self::Waiting => matches!(status, Pending),
            Self::Failed => matches!(status, Failed),
            Self::Ignored => matches!(status, Ignored),
            Self::Missing => matches!(status, Missing | Stale),
        }
    }
}

/// A page of images.
#[derive(Debug, Serialize, Deserialize)]
pub struct GalleryPage {
    /// Their bucket.
    pub bucket: String,
    /// Prefixes that keys were rolled up to, each with the slash at its end.
    pub folders: Vec<String>,
    /// In the order of their keys.
    pub images: Vec<GalleryImage>,
    /// Where the next page begins; `None`: this was the last. A page may be empty before it.
    pub next: Option<String>,
}

/// An object as the gallery shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GalleryImage {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// Milliseconds since 1970.
    pub modified_ms: i64,
    /// The status of all its thumbnails.
    pub status: ThumbnailStatus,
    /// Why it failed or is ignored.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// Of a thumbnail: the object it was rendered from, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<Location>,
    /// Whether it is a thumbnail.
    pub is_thumbnail: bool,
}

impl Request for GalleryRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/gallery";
    const PERMISSION: Permission = Permission::Read;
    type Answer = GalleryPage;
}

impl PagedRequest for GalleryRequest {
    fn next(&self, answer: &GalleryPage) -> Option<Self> {
        Some(Self { after: Some(answer.next.clone()?), ..self.clone() })
    }
}

impl GalleryRequest {
    /// Whether keys are looked through instead of being rolled up to folders.
    #[must_use]
    pub const fn is_search(&self) -> bool {
        self.text.is_some() || self.only.is_some()
    }
}

impl Handle for GalleryRequest {
    fn handle(self, admin: &Admin) -> Result<GalleryPage, Refusal> {
        let bucket = admin.bucket(self.bucket.as_deref())?;
        let mut page = GalleryPage { bucket, folders: Vec::new(), images: Vec::new(), next: None };
        let visibility = Visibility::current();
        match (self.keys.is_empty(), self.is_search()) {
            (false, _) => self.named(admin, &mut page)?,
            // As S3 decides on a listing; where it may not be listed, the way leads to what may.
            _ if !visibility.lists(&page.bucket, self.prefix.as_deref().unwrap_or_default()) => {
                if !visibility.shows_bucket(&page.bucket) {
                    let resource = Resource::Bucket(&page.bucket);
                    let denied =
                        caller::current().map(|caller| caller.authorize(Action::ListBucket, &resource));
                    denied.transpose().map_err(|denied| Refusal::forbidden(denied.to_string()))?;
                }
                let prefix = self.prefix.as_deref().unwrap_or_default();
                match self.is_search() {
                    true => {
                        let prefixes = visibility.listed_below(&page.bucket, prefix);
                        self.search(admin, &mut page, prefixes)?;
                    }
                    false => page.folders = visibility.folders(&page.bucket, prefix),
                }
            }
            (true, false) => self.browse(admin, &mut page)?,
            (true, true) => {
                let prefix = self.prefix.clone().unwrap_or_default();
                self.search(admin, &mut page, vec![prefix])?;
            }
        }
        Ok(page)
    }
}

impl GalleryRequest {
    fn limit(&self) -> usize {
        self.last.unwrap_or(DEFAULT_IMAGES).clamp(1, MAX_IMAGES)
    }

    fn named(self, admin: &Admin, page: &mut GalleryPage) -> Result<(), Refusal> {
        if self.keys.len() > MAX_IMAGES {
            return Err(Refusal::invalid(format!("{} keys at once; at most {MAX_IMAGES}", self.keys.len())));
        }
        let (triggers, visible) = (admin.triggers(), admin.visible_triggers());
        for key in self.keys {
            let at = admin.visible_location(Some(&page.bucket), &key)?;
            if let Some(record) = admin.head(&at)? {
                page.images.push(admin.gallery_image(&triggers, &visible, at, record)?);
            }
        }
        Ok(())
    }

    /// A page of one folder.
    fn browse(self, admin: &Admin, page: &mut GalleryPage) -> Result<(), Refusal> {
        let request = PageRequest {
            max: self.limit(),
            prefix: self.prefix.unwrap_or_default(),
            delimiter: "/".into(),
            after: self.after.unwrap_or_default(),
        };
        let listed = admin.parts.store.listing.page(&page.bucket, &request)?;
        let (triggers, visible) = (admin.triggers(), admin.visible_triggers());
        for (key, record) in listed.objects {
            if !record.is_folder_marker(&key) && !is_sidecar(&record.headers.metadata) {
                let at = admin.location(Some(&page.bucket), &key)?;
                page.images.push(admin.gallery_image(&triggers, &visible, at, record)?);
            }
        }
        page.folders = listed.prefixes;
        page.next = listed.next;
        Ok(())
    }

    /// A page of all keys below the prefixes, which are in order and do not overlap.
    fn search(self, admin: &Admin, page: &mut GalleryPage, prefixes: Vec<String>) -> Result<(), Refusal> {
        let limit = self.limit();
        let (triggers, visible) = (admin.triggers(), admin.visible_triggers());
        let text = self.text.map(|text| text.to_lowercase());
        let described = match &text {
            Some(text) => {
                let alt_texts = &admin.parts.store.alt_texts;
                let may = |at: &Location| caller::allows(Action::GetObject, at);
                alt_texts.keys_described_by(&page.bucket, text, MAX_DESCRIBED, may)?
            }
            None => BTreeSet::new(),
        };
        // From here on: each page is to get on, however long descriptions took.
        let until = Instant::now() + SEARCH_TIME;
        let after = self.after.unwrap_or_default();
        for prefix in prefixes {
            // Those that the pages before have ended.
            if after > prefix && !after.starts_with(&prefix) {
                continue;
            }
            let mut request =
                PageRequest { max: MAX_IMAGES, prefix, after: after.clone(), ..PageRequest::default() };
            loop {
                let listed = admin.parts.store.listing.page(&page.bucket, &request)?;
                for (key, record) in listed.objects {
                    request.after.clone_from(&key);
                    let holds = text.as_ref().is_none_or(|text| key.to_lowercase().contains(text.as_str()))
                        || described.contains(&key);
                    let is_shown = !record.is_folder_marker(&key) && !is_sidecar(&record.headers.metadata);
                    if holds && is_shown {
                        let at = admin.location(Some(&page.bucket), &key)?;
                        let image = admin.gallery_image(&triggers, &visible, at, record)?;
                        if self.only.is_none_or(|only| only.passes(image.status)) {
                            page.images.push(image);
                        }
                    }
                    if page.images.len() == limit || Instant::now() >= until {
                        page.next = Some(request.after);
                        return Ok(());
                    }
                }
                if listed.next.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Admin {
    /// The bucket that a request names; none: that of the first trigger, or the first there is.
    pub(super) fn bucket(&self, name: Option<&str>) -> Result<String, Refusal> {
        if let Some(name) = name.map(str::to_owned).or_else(|| self.default_bucket()) {
            return Ok(name);
        }
        let visibility = Visibility::current();
        let mut buckets = self.parts.store.buckets.list()?.into_iter().map(|(name, _)| name);
        buckets
            .find(|name| visibility.shows_bucket(name))
            .ok_or_else(|| Refusal::not_found("there is no bucket yet"))
    }

    /// `visible` are those of the triggers of which whoever asks sees something.
    fn gallery_image(
        &self,
        triggers: &[Trigger],
        visible: &[Trigger],
        at: Location,
        record: ObjectRecord,
    ) -> Result<GalleryImage, Refusal> {
        let visibility = Visibility::current();
        let source = source_of(&record.headers.metadata);
        let (status, why) = match source {
            Some(_) => (ThumbnailStatus::Current, None),
            None => self.gallery_status(triggers, visible, &at, &record)?,
        };
        Ok(GalleryImage {
            bucket: at.bucket,
            key: at.key.to_string(),
            size: record.size,
            etag: record.etag,
            modified_ms: record.modified_ms,
            status,
            why: why.map(|why| visibility.text(why)),
            is_thumbnail: source.is_some(),
            source: source.flatten().filter(|source| visibility.shows(source)),
        })
    }

    fn gallery_status(
        &self,
        triggers: &[Trigger],
        visible: &[Trigger],
        at: &Location,
        record: &ObjectRecord,
    ) -> Result<(ThumbnailStatus, Option<String>), Refusal> {
        let (store, queue) = (&self.parts.store, &self.parts.queue);
        if Unmatched::of(triggers, &at.bucket, at.key.as_str()).is_some() {
            let why = unmatched(triggers, visible, at);
            return Ok((ThumbnailStatus::Ignored, why.map(|why| why.to_string())));
        }
        if queue.event_of(at)?.is_some() {
            return Ok((ThumbnailStatus::Pending, None));
        }
        let mut matching = triggers.iter().filter(|trigger| trigger.matches(&at.bucket, at.key.as_str()));
        let is_current = match matching.find(|trigger| trigger.created) {
            Some(trigger) => store.backfill.current_thumbnails(trigger, at, record)?.is_some(),
            None => false,
        };
        if is_current {
            return Ok((ThumbnailStatus::Current, None));
        }
        let result = queue.result(at)?;
        let outcome = result.as_ref().map(|ResultRecord { outcome, .. }| outcome.as_str());
        let status = thumbnail_status(outcome, true);
        Ok((status, result.and_then(|result| result.why)))
    }
}

/// All buckets.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BucketsRequest {}

/// The buckets by name.
#[derive(Debug, Serialize, Deserialize)]
pub struct BucketList {
    /// One each.
    pub buckets: Vec<BucketSummary>,
}

/// A bucket and what triggers do with it.
#[derive(Debug, Serialize, Deserialize)]
pub struct BucketSummary {
    /// Its name.
    pub name: String,
    /// Whether a trigger watches it.
    pub is_source: bool,
    /// Whether thumbnails are written to it.
    pub is_destination: bool,
    /// Whether a policy or an ACL gives anybody anything.
    pub is_public: bool,
}

impl Request for BucketsRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/buckets";
    const PERMISSION: Permission = Permission::Read;
    type Answer = BucketList;
}

impl Handle for BucketsRequest {
    fn handle(self, admin: &Admin) -> Result<BucketList, Refusal> {
        let triggers = admin.triggers();
        let buckets = &admin.parts.store.buckets;
        let block = admin.parts.settings.storage.default_block();
        let summary = |name: String| BucketSummary {
            is_source: triggers.iter().any(|trigger| trigger.bucket == name),
            is_destination: triggers.iter().any(|trigger| trigger.destination == name),
            is_public: buckets.entry(&name).is_some_and(|entry| entry.is_public(block)),
            name,
        };
        let visibility = Visibility::current();
        let names = buckets.list()?.into_iter().map(|(name, _)| name);
        let shown = names.filter(|name| visibility.shows_bucket(name));
        Ok(BucketList { buckets: shown.map(summary).collect() })
    }
}
