//! What is known of one object, gathered from where it stands: the object, its event, its dead letter, its
//! last result, its history. The page shows it, `tintype status` prints it.

use serde::Serialize;
use tintype_pipeline::Location;

use super::{Inner, advice::advice};
use crate::{
    history::{Entry, Search},
    queue::{DeadLetter, DeadLetterFilter, EventRecord, ResultRecord},
    storage::{ObjectRecord, StoreFault},
};

/// Attempts of one object that are told.
const MOST: usize = 100;
/// Objects up to so many bytes are read whole, to tell whether they are damaged; of larger ones the head.
const VERIFIED_BYTES: u64 = 64 << 20;

/// How it stands with an object's thumbnails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// They are there, made from the current version.
    Made,
    /// They are still to be made.
    Pending,
    /// They could not be made.
    Failed,
    /// None is wanted: no trigger matches, or the function passed the object over.
    Ignored,
    /// They were made, but are gone or of an earlier version, and nothing waits.
    Outdated,
    /// There is no such object, or nothing is known of an attempt.
    Unknown,
}

/// Everything that is known of one object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Story {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) state: State,
    /// What whoever asks can do now.
    pub(super) advice: String,
    pub(super) object: Option<Known>,
    pub(super) thumbnails: Vec<Made>,
    /// Its event, if one waits or is under way.
    pub(super) event: Option<EventRecord>,
    pub(super) dead_letter: Option<DeadLetter>,
    /// What last became of it.
    pub(super) result: Option<ResultRecord>,
    /// Attempts of the last 15 days, newest first.
    pub(super) history: Vec<Entry>,
    /// Whether a trigger matches its bucket and key.
    pub(super) wanted: bool,
}

/// The current version of an object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Known {
    pub(super) size: u64,
    pub(super) etag: String,
    pub(super) modified_ms: i64,
    pub(super) content_type: Option<String>,
    /// What is wrong with its stored bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) damage: Option<String>,
}

impl From<ObjectRecord> for Known {
    fn from(head: ObjectRecord) -> Self {
        Self {
            size: head.size,
            etag: head.etag,
            modified_ms: head.modified_ms,
            content_type: head.headers.content_type,
            damage: None,
        }
    }
}

/// A thumbnail that is there.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) etag: String,
}

impl Story {
    /// Gathers it.
    pub(super) fn of(inner: &Inner, at: &Location) -> anyhow::Result<Self> {
        let object = match inner.store.objects.head(at) {
            Err(StoreFault::NoSuchBucket(_)) => None,
            other => other?,
        };
        let result = inner.queue.result(at)?;
        let event = inner.queue.event_of(at)?;
        let of_it = DeadLetterFilter { object: Some(at.clone()), ..DeadLetterFilter::default() };
        // One of an earlier version says nothing of this one.
        let current =
            |letter: &DeadLetter| result.as_ref().is_none_or(|result| result.event <= letter.event.id);
        let dead_letter = inner.queue.dead_letters(&of_it)?.into_iter().find(current);
        // The rest is told even if the database of measurements cannot be read.
        let history = match inner.history.recorder() {
            Some(recorder) => {
                let search = Search { object: Some((&at.bucket, at.key.as_str())), failed: false };
                recorder.search(MOST, &search).unwrap_or_default()
            }
            None => Vec::new(),
        };
        let triggers = inner.store.notifications.triggers();
        let mut matching = triggers.iter().filter(|trigger| trigger.matches(&at.bucket, at.key.as_str()));
        let wanted = matching.clone().next().is_some();
        // What is there decides, not what is remembered: thumbnails may have been deleted since, or been made by a
        // request that waited for them.
        let current = match (&object, matching.find(|trigger| trigger.created)) {
            (Some(object), Some(trigger)) => inner.store.backfill.current_thumbnails(trigger, at, object)?,
            _ => None,
        };
        let is_made = current.is_some();
        let remembered = || result.iter().flat_map(|result| result.renditions.clone()).collect();
        let mut thumbnails = Vec::new();
        for place in current.unwrap_or_else(remembered) {
            let made = match inner.store.objects.head(&place) {
                Err(StoreFault::NoSuchBucket(_)) => None,
                other => other?,
            };
            if let Some(made) = made {
                let (bucket, key) = (place.bucket, place.key.to_string());
                thumbnails.push(Made { bucket, key, size: made.size, etag: made.etag });
            }
        }
        let outcome = result.as_ref().map(|result| result.outcome.as_str());
        let state = match (&event, &dead_letter, outcome) {
            (Some(_), ..) => State::Pending,
            _ if is_made => State::Made,
            (None, Some(_), _) | (None, None, Some("failed")) => State::Failed,
            (None, None, Some("ignored" | "removed")) if object.is_some() => State::Ignored,
            _ if object.is_some() && !wanted => State::Ignored,
            (None, None, Some("made" | "up_to_date")) if object.is_some() => State::Outdated,
            _ => State::Unknown,
        };
        let mut object = object.map(Known::from);
        if let Some(object) = &mut object {
            // A disk that does not answer now says nothing about what is on it.
            object.damage = inner.store.objects.corruption(at, VERIFIED_BYTES).unwrap_or_default();
        }
        let mut story = Self {
            bucket: at.bucket.clone(),
            key: at.key.to_string(),
            state,
            advice: String::new(),
            object,
            thumbnails,
            event,
            dead_letter,
            result,
            history,
            wanted,
        };
        story.advice = advice(inner, at, &story)?;
        Ok(story)
    }
}
