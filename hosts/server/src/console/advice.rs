//! What whoever asks about an object can do now.

use tintype_pipeline::Location;

use super::{
    Inner,
    story::{State, Story},
};
use crate::storage::StoreFault;

/// In a sentence or two.
pub(super) fn advice(inner: &Inner, at: &Location, story: &Story) -> anyhow::Result<String> {
    if let Some(why) = story.object.as_ref().and_then(|object| object.damage.as_ref()) {
        return Ok(format!(
            "the stored file of the object itself is damaged ({why}): upload it again, or put the file back from a backup; \
             tintype check --scrub finds whatever else is"
        ));
    }
    let why = story.result.as_ref().and_then(|result| result.why.as_deref());
    Ok(match (story.state, &story.dead_letter) {
        (State::Made, None) => "nothing to do".into(),
        (State::Made, Some(letter)) => {
            format!("nothing to do: its thumbnails are there; tintype dead-letters purge {}", letter.event.id)
        }
        (State::Pending, _) => match story.event.as_ref().and_then(|event| event.last_error.as_ref()) {
            Some(error) => format!("mend the cause, if it is not passing ({error}); it is tried again by itself"),
            None => "wait; ask again in a few seconds".into(),
        },
        (State::Failed, Some(letter)) => given_up(&letter.reason, letter.event.id, story.object.is_some()),
        (State::Failed, None) => "upload it again, or press \"Make it again\" on the page".into(),
        (State::Ignored, _) => match why.filter(|_| story.wanted) {
            Some(why) => format!("nothing to do: a trigger matches, but no thumbnail is made of it ({why})"),
            None => format!(
                "if a thumbnail is wanted, let a trigger match \"{}\" in bucket \"{}\"",
                at.key, at.bucket
            ),
        },
        (State::Outdated, _) => {
            "a thumbnail is gone, damaged, or of an earlier version: tintype backfill makes whatever is missing, \
             tintype invoke or another upload this one"
                .into()
        }
        (State::Unknown, _) if story.object.is_some() => {
            "tintype invoke, or upload it again, makes its thumbnails".into()
        }
        (State::Unknown, _) => nowhere(inner, at, story)?,
    })
}

/// Of a dead letter.
fn given_up(reason: &str, id: u64, is_there: bool) -> String {
    if !is_there {
        return format!(
            "the object is gone; upload it again if it is wanted, and if not: tintype dead-letters purge {id}"
        );
    }
    match reason {
        "malformed" | "unsupported" => {
            "upload another file under this key; trying this one again would end the same".into()
        }
        "too_large" => format!(
            "upload a smaller file under this key, or raise the limit that the reason names, restart, and: \
             tintype dead-letters redrive {id}"
        ),
        "key_too_long" => "upload it under a shorter key, or shorten the rendition's key template".into(),
        "damaged" => {
            "the stored file is damaged: upload it again; tintype check --scrub finds whatever else is".into()
        }
        _ => format!("when the cause is mended: tintype dead-letters redrive {id}"),
    }
}

/// Of an object that is not there.
fn nowhere(inner: &Inner, at: &Location, story: &Story) -> anyhow::Result<String> {
    if story.result.is_some() || !story.history.is_empty() {
        let orphans = match story.thumbnails.is_empty() {
            true => "",
            false => {
                "; its thumbnails are left, as tintype orphans lists them and others, and with --delete removes all of them"
            }
        };
        return Ok(format!("it is gone: deleted, or lost; upload it again if it is wanted{orphans}"));
    }
    if let Err(StoreFault::NoSuchBucket(bucket)) = inner.store.objects.head(at) {
        let buckets = inner.store.buckets.list()?.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        return Ok(format!("there is no bucket \"{bucket}\"; there are {}", buckets.join(", ")));
    }
    for trigger in inner.store.notifications.triggers().iter() {
        let there = Location { bucket: trigger.destination.clone(), key: at.key.clone() };
        if let Ok(Some(_)) = inner.store.objects.head(&there) {
            return Ok(format!(
                "that is the key of an object in bucket \"{}\", where thumbnails are: ask for the key of its source",
                trigger.destination
            ));
        }
    }
    Ok("check the key's spelling; keys are case-sensitive".into())
}
