//! Attempts, dead letters and results of whoever asks: without what it does not see.

use std::sync::Arc;

use tintype_pipeline::store::Location;

use crate::{
    auth::Visibility,
    history::Entry,
    queue::{DeadLetter, EventRecord, ResultRecord},
};

/// An attempt as it is shown; `None`: its source is not.
pub(super) fn entry(visibility: &Visibility, entry: Arc<Entry>) -> Option<Arc<Entry>> {
    if visibility.is_whole() {
        return Some(entry);
    }
    if !visibility.shows_key(&entry.bucket, &entry.key) {
        return None;
    }
    let mut shown = Arc::unwrap_or_clone(entry);
    shown.thumbnails.retain(|thumbnail| visibility.shows_key(&thumbnail.bucket, &thumbnail.key));
    shown.why = visibility.text(shown.why);
    Some(Arc::new(shown))
}

/// Attempts whose sources are shown, as they are shown.
pub(super) fn entries(visibility: &Visibility, entries: Vec<Entry>) -> Vec<Entry> {
    let shown = entries.into_iter().filter_map(|one| entry(visibility, Arc::new(one)));
    shown.map(Arc::unwrap_or_clone).collect()
}

/// A dead letter of an object that is shown.
pub(super) fn dead_letter(visibility: &Visibility, dead_letter: DeadLetter) -> DeadLetter {
    DeadLetter {
        event: event(visibility, dead_letter.event),
        message: visibility.text(dead_letter.message),
        ..dead_letter
    }
}

/// An event of an object that is shown; whose it is, which may be the name of another access key, is an operator's to know.
pub(super) fn event(visibility: &Visibility, event: EventRecord) -> EventRecord {
    if visibility.is_whole() {
        return event;
    }
    let last_error = event.last_error.map(|error| visibility.text(error));
    EventRecord { last_error, group: String::new(), ..event }
}

/// How the event of an object ended that is shown.
pub(super) fn result(visibility: &Visibility, result: ResultRecord) -> ResultRecord {
    let mut renditions = result.renditions;
    renditions.retain(|at: &Location| visibility.shows(at));
    ResultRecord { why: result.why.map(|why| visibility.text(why)), renditions, ..result }
}
