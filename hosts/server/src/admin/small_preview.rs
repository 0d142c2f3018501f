//! `/preview`: an image small enough for a gallery: a thumbnail that is stored, or else one rendered now and cached.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::State,
    http::{Method, header},
    response::{IntoResponse as _, Response},
};
use lru::LruCache;
use serde::{Deserialize, Serialize};
use tintype_api::{Deadline, Permission};
use tintype_engine::{OutputFormat, Size, Spec};
use tintype_pipeline::{Location, source_of};

use super::{
    Admin, Fields, Refusal, Request,
    try_render::{failed, refused},
};
use crate::{
    auth::{Action, caller},
    storage::ObjectRecord,
};

/// Stored thumbnails up to so many bytes are small enough as they are.
const SMALL_BYTES: u64 = 40 << 10;
/// The most bytes of a stored thumbnail that stands in where none is small.
const LARGEST_BYTES: u64 = 120 << 10;
/// The box of those that are rendered for a page.
const SIDE: u32 = 320;
/// For one of them.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of rendered previews in memory.
const CACHE_BYTES: usize = 16 << 20;
/// What a cached preview takes beside its bytes, about.
const ENTRY_BYTES: usize = 300;

/// What is shown for an object that is no image.
const NO_IMAGE: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"64\" height=\"48\" viewBox=\"0 0 64 48\">\
     <path d=\"M22 8h14l8 8v24H22z\" fill=\"none\" \
     stroke=\"#8a8178\" stroke-width=\"2\" stroke-linejoin=\"round\"/><path d=\"M36 8v8h8M27 24h12M27 30h12\" fill=\"none\" stroke=\"#8a8178\" \
     stroke-width=\"2\"/></svg>";

/// One object.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PreviewRequest {
    /// Its bucket; none: that of the first trigger.
    bucket: Option<String>,
    /// Its key.
    key: String,
    /// Differs by version, for the browser's cache.
    v: Option<String>,
}

/// Answered as bytes.
impl Request for PreviewRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/preview";
    const PERMISSION: Permission = Permission::Read;
    type Answer = ();
}

/// Rendered previews by version of their source; `None` for what cannot be rendered.
pub(super) struct PreviewCache {
    entries: Mutex<Entries>,
}

/// An object and its ETag.
type Version = (Location, String);

/// What an entry takes, about.
fn weight((at, etag): &Version, preview: Option<&Bytes>) -> usize {
    at.bucket.len() + at.key.as_str().len() + etag.len() + preview.map_or(0, Bytes::len) + ENTRY_BYTES
}

struct Entries {
    by_version: LruCache<Version, Option<Bytes>>,
    bytes: usize,
}

impl PreviewCache {
    pub(super) fn new() -> Self {
        Self { entries: Mutex::new(Entries { by_version: LruCache::unbounded(), bytes: 0 }) }
    }

    fn find(&self, at: &Location, etag: &str) -> Option<Option<Bytes>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.by_version.get(&(at.clone(), etag.to_owned())).cloned()
    }

    fn insert(&self, at: Location, etag: String, preview: Option<Bytes>) {
        let key = (at, etag);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.bytes += weight(&key, preview.as_ref());
        if let Some(old) = entries.by_version.put(key.clone(), preview) {
            entries.bytes -= weight(&key, old.as_ref());
        }
        while entries.bytes > CACHE_BYTES
            && let Some((key, old)) = entries.by_version.pop_lru()
        {
            entries.bytes -= weight(&key, old.as_ref());
        }
    }
}

/// What there is of an object.
enum Found {
    /// A stored thumbnail.
    Stored(Vec<u8>),
    /// Nothing small of this version.
    Etag(String),
}

pub(super) async fn preview(
    State(admin): State<Admin>,
    Fields(request): Fields<PreviewRequest>,
) -> Result<Response, Refusal> {
    let at = admin.location(request.bucket.as_deref(), &request.key)?;
    caller::authorize(Action::GetObject, &at).map_err(Refusal::forbidden)?;
    let looked_for = at.clone();
    let etag = match admin.blocking(move |admin| admin.small_thumbnail(&looked_for)).await? {
        Found::Stored(bytes) => return Ok(image(Some(bytes.into()))),
        Found::Etag(etag) => etag,
    };
    let cache = &admin.parts.preview_cache;
    if let Some(known) = cache.find(&at, &etag) {
        return Ok(image(known));
    }
    let size = Size { width: Some(SIDE), height: Some(SIDE) };
    let spec = Spec { size, format: OutputFormat::WebP, quality: 72, ..Spec::default() };
    let rendered = admin.parts.dispatcher.preview(at.clone(), spec, Deadline::after(TIMEOUT)).await;
    let preview = match rendered.map_err(refused)? {
        Ok(thumbnail) => Some(Bytes::from(thumbnail.bytes)),
        Err(failure) if failure.reason.is_permanent() => None,
        Err(failure) => return Err(failed(failure)),
    };
    cache.insert(at, etag, preview.clone());
    Ok(image(preview))
}

/// An answer that never is anything that could run.
fn image(preview: Option<Bytes>) -> Response {
    let known =
        preview.and_then(|bytes| Some((tintype_engine::probe(&bytes).ok()?.format.media_type(), bytes)));
    let (kind, bytes) = known.unwrap_or(("image/svg+xml", Bytes::from_static(NO_IMAGE.as_bytes())));
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "private, max-age=3600"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (header::CONTENT_DISPOSITION, "inline"),
    ];
    (headers, bytes).into_response()
}

impl Admin {
    /// A small stored thumbnail of an object, or the object itself if it is one.
    fn small_thumbnail(&self, at: &Location) -> Result<Found, Refusal> {
        let Some(object) = self.head(at)? else {
            return Err(Refusal::not_found("there is no such object"));
        };
        let mut stored = Vec::new();
        if source_of(&object.headers.metadata).is_some() {
            stored.push((object.size, at.clone()));
        }
        let triggers = self.triggers();
        let mut created = triggers.iter().filter(|trigger| trigger.created);
        if let Some(trigger) = created.find(|trigger| trigger.matches(&at.bucket, at.key.as_str())) {
            for at in self.parts.store.backfill.current_thumbnails(trigger, at, &object)?.unwrap_or_default()
            {
                if let Some(ObjectRecord { size, .. }) = self.head(&at)? {
                    stored.push((size, at));
                }
            }
        }
        let small = stored.iter().filter(|(size, _)| *size <= SMALL_BYTES).max_by_key(|(size, _)| *size);
        let least = stored.iter().min_by_key(|(size, _)| *size).filter(|(size, _)| *size <= LARGEST_BYTES);
        if let Some((_, at)) = small.or(least)
            && let Some(thumbnail) = self.parts.store.objects.open(at)?
            && thumbnail.record.size <= LARGEST_BYTES
            && let Ok(bytes) = thumbnail.bytes()
        {
            return Ok(Found::Stored(bytes));
        }
        Ok(Found::Etag(object.etag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_previews_are_bounded_by_their_bytes() {
        let cache = PreviewCache::new();
        let at = |n: usize| Location {
            bucket: "in".into(),
            key: tintype_pipeline::ObjectKey::new(&n.to_string()).unwrap(),
        };
        let megabyte = || Some(Bytes::from(vec![0; 1 << 20]));
        for n in 0..40 {
            cache.insert(at(n), "e".into(), megabyte());
        }
        assert!(cache.find(&at(0), "e").is_none() && cache.find(&at(39), "e").is_some());
        assert!(cache.find(&at(39), "another").is_none());
        // One of the same version takes the place of the other.
        (0..40).for_each(|_| cache.insert(at(39), "e".into(), None));
        let entries = cache.entries.lock().unwrap();
        let held: usize = entries.by_version.iter().map(|(key, one)| weight(key, one.as_ref())).sum();
        assert_eq!(entries.bytes, held);
        assert!(held <= CACHE_BYTES);
    }
}
