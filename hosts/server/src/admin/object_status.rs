//! `/object`: the status of an object's thumbnails and everything that is known of it: the object, its event, its dead
//! letter, its last result, its attempts.

use std::collections::BTreeMap;

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tintype_api::Permission;
use tintype_pipeline::{Location, ThumbnailStatus, Unmatched, trigger::Trigger};

use super::{Admin, AltText, Handle, ImageFacts, Refusal, Request, next_steps::next_steps, visible_rows};
use crate::{
    auth::{Action, Visibility, caller},
    history::{Entry, Search},
    queue::{DeadLetter, DeadLetterFilter, EventRecord, ResultRecord},
    storage::{ObjectRecord, StoreFault},
};

/// Attempts in one answer.
const MAX_ATTEMPTS: usize = 100;
/// Objects up to so many bytes are read whole to find corruption; of larger ones the head.
const MAX_VERIFIED_BYTES: u64 = 64 << 20;

/// One object.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusRequest {
    /// Its bucket; none: that of the first trigger.
    pub bucket: Option<String>,
    /// Its key.
    pub key: String,
}

/// Everything that is known of one object.
#[derive(Debug, Serialize, Deserialize)]
pub struct ObjectStatus {
    /// The object's bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// The status of all its thumbnails.
    pub status: ThumbnailStatus,
    /// The same by the name of earlier versions: `made`, `outdated`; `unknown` for what is missing.
    pub state: String,
    /// What can be done now, in words.
    pub advice: String,
    /// Its current version.
    pub object: Option<StoredObject>,
    /// Its thumbnails that exist.
    pub thumbnails: Vec<StoredThumbnail>,
    /// Its event, if one waits or is under way.
    pub event: Option<EventRecord>,
    /// Its dead letter, unless that is of an earlier version.
    pub dead_letter: Option<DeadLetter>,
    /// How its last event ended.
    pub result: Option<ResultRecord>,
    /// Attempts of the last 15 days, newest first.
    pub history: Vec<Entry>,
    /// Whether a trigger matches its bucket and key.
    pub wanted: bool,
    /// Why none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
    /// What it shows, or how far describing it is; none: nothing describes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alt_text: Option<AltText>,
}

/// The current version of an object.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredObject {
    /// Bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// Milliseconds since 1970.
    pub modified_ms: i64,
    /// As the upload had it.
    pub content_type: Option<String>,
    /// What its header says; none if it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageFacts>,
    /// `x-amz-meta-…`, names in lower case without that prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Its checksums as S3 states them, by the algorithm's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checksums: BTreeMap<String, String>,
    /// What is wrong with its stored bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corruption: Option<String>,
}

/// A thumbnail that exists.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredThumbnail {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// What its header says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageFacts>,
}

impl Request for StatusRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/object";
    const PERMISSION: Permission = Permission::Read;
    const FORMER_NAMES: &'static [(&'static str, &'static str)] = &[
        ("/dead_letter", "deadLetter"),
        ("/object/modified_ms", "modifiedMs"),
        ("/object/content_type", "contentType"),
        ("/object/corruption", "damage"),
    ];
    type Answer = ObjectStatus;
}

impl Handle for StatusRequest {
    fn handle(self, admin: &Admin) -> Result<ObjectStatus, Refusal> {
        let at = admin.visible_location(self.bucket.as_deref(), &self.key)?;
        let visibility = Visibility::current();
        let (store, queue) = (&admin.parts.store, &admin.parts.queue);
        let object = admin.head(&at)?;
        let result = queue.result(&at)?;
        let event = queue.event_of(&at)?;
        let of_object = DeadLetterFilter { object: Some(at.clone()), ..DeadLetterFilter::default() };
        let is_current = |dead_letter: &DeadLetter| {
            result.as_ref().is_none_or(|result| result.event <= dead_letter.event.id)
        };
        let (described, rendered): (Vec<_>, Vec<_>) =
            queue.dead_letters(&of_object)?.into_iter().partition(|letter| letter.event.is_alt_text());
        let dead_letter = rendered.into_iter().find(is_current);
        // The rest is answered even if the database of measurements cannot be read.
        let history = match admin.parts.history.recorder() {
            Some(recorder) => {
                let search = Search { object: Some((&at.bucket, at.key.as_str())), failed: false };
                recorder.search(MAX_ATTEMPTS, &search).unwrap_or_default()
            }
            None => Vec::new(),
        };
        // Why none takes it names prefixes of others; that one takes it says that it is watched.
        let (triggers, visible) = (admin.triggers(), admin.visible_triggers());
        let mut matching = triggers.iter().filter(|trigger| trigger.matches(&at.bucket, at.key.as_str()));
        let ignored = unmatched(&triggers, &visible, &at).map(|why| why.to_string());
        let wanted = ignored.is_none();
        // The thumbnails that exist decide, not the last result: they may have been deleted since, or rendered by a
        // synchronous request.
        let current = match (&object, matching.find(|trigger| trigger.created)) {
            (Some(object), Some(trigger)) => store.backfill.current_thumbnails(trigger, &at, object)?,
            _ => None,
        };
        let outcome = result.as_ref().map(|result| result.outcome.as_str());
        let status = match (&event, &dead_letter) {
            (Some(_), _) => ThumbnailStatus::Pending,
            _ if current.is_some() => ThumbnailStatus::Current,
            (None, Some(_)) => ThumbnailStatus::Failed,
            (None, None) if object.is_none() => ThumbnailStatus::Unknown,
            (None, None) => thumbnail_status(outcome, wanted),
        };
        let alt_text = match current.as_ref().and_then(|thumbnails| thumbnails.first()) {
            Some(first) => {
                let beside = store.alt_texts.beside(first).unwrap_or_default();
                admin.alt_text(&at, beside.filter(|found| caller::allows(Action::GetObject, &found.at)))?
            }
            None => None,
        };
        let etag = object.as_ref().map(|object| object.etag.as_str());
        let failed = described.into_iter().find(|letter| Some(letter.event.etag.as_str()) == etag);
        let alt_text = alt_text.map(|alt_text| match failed {
            Some(letter) if alt_text.alt.is_empty() && !alt_text.waiting => {
                AltText { failed: Some(letter.message), ..alt_text }
            }
            _ => alt_text,
        });
        let of_result = || result.iter().flat_map(|result| result.renditions.clone()).collect();
        let mut thumbnails = Vec::new();
        for at in current.unwrap_or_else(of_result).into_iter().filter(|at| visibility.shows(at)) {
            if let Some(ObjectRecord { size, etag, .. }) = admin.head(&at)? {
                let may_get = caller::allows(Action::GetObject, &at);
                let image = if may_get { admin.image_facts(&at) } else { None };
                thumbnails.push(StoredThumbnail {
                    bucket: at.bucket,
                    key: at.key.to_string(),
                    size,
                    etag,
                    image,
                });
            }
        }
        // What a listing has not is for whoever may get the object.
        let may_get = caller::allows(Action::GetObject, &at);
        let object = object.map(|record| StoredObject {
            size: record.size,
            etag: record.etag,
            modified_ms: record.modified_ms,
            content_type: record.headers.content_type.filter(|_| may_get),
            image: if may_get { admin.image_facts(&at) } else { None },
            metadata: if may_get { record.headers.metadata } else { BTreeMap::new() },
            checksums: if may_get { record.checksums.values } else { BTreeMap::new() },
            // A disk that does not respond now says nothing about its content.
            corruption: match may_get {
                true => store.objects.corruption(&at, MAX_VERIFIED_BYTES).unwrap_or_default(),
                false => None,
            },
        });
        let mut answer = ObjectStatus {
            bucket: at.bucket.clone(),
            key: at.key.to_string(),
            status,
            state: former_name(status).into(),
            advice: String::new(),
            object,
            thumbnails,
            event: event.map(|event| visible_rows::event(&visibility, event)),
            dead_letter: dead_letter.map(|one| visible_rows::dead_letter(&visibility, one)),
            result: result.map(|result| visible_rows::result(&visibility, result)),
            history: visible_rows::entries(&visibility, history),
            wanted,
            ignored,
            alt_text,
        };
        answer.advice = next_steps(admin, &at, &answer)?;
        Ok(answer)
    }
}

/// The status of an object whose thumbnails are not there and which no event leads to: by how its last event ended, and
/// whether a trigger matches it.
pub(super) fn thumbnail_status(outcome: Option<&str>, is_wanted: bool) -> ThumbnailStatus {
    match outcome {
        Some("failed") => ThumbnailStatus::Failed,
        Some("ignored" | "removed") => ThumbnailStatus::Ignored,
        _ if !is_wanted => ThumbnailStatus::Ignored,
        Some("made" | "up_to_date") => ThumbnailStatus::Stale,
        _ => ThumbnailStatus::Missing,
    }
}

const fn former_name(status: ThumbnailStatus) -> &'static str {
    match status {
        ThumbnailStatus::Current => "made",
        ThumbnailStatus::Stale => "outdated",
        ThumbnailStatus::Missing => "unknown",
        other => other.name(),
    }
}

/// Why none of the triggers takes an object, as far as whoever asks sees them.
pub(super) fn unmatched(triggers: &[Trigger], visible: &[Trigger], at: &Location) -> Option<Unmatched> {
    let (bucket, key) = (at.bucket.as_str(), at.key.as_str());
    match Unmatched::of(triggers, bucket, key)? {
        Unmatched::Prefix(_) => Unmatched::of(visible, bucket, key),
        other => Some(other),
    }
}

impl Admin {
    /// An object's record; none in a bucket that does not exist.
    pub(super) fn head(&self, at: &Location) -> Result<Option<ObjectRecord>, StoreFault> {
        match self.parts.store.objects.head(at) {
            Err(StoreFault::NoSuchBucket(_)) => Ok(None),
            other => other,
        }
    }
}
