//! What an operator can do about an object now.

use tintype_pipeline::{Location, ThumbnailStatus};

use super::{Admin, ObjectStatus, Refusal};
use crate::{auth::Visibility, storage::StoreFault};

/// In a sentence or two.
pub(super) fn next_steps(admin: &Admin, at: &Location, known: &ObjectStatus) -> Result<String, Refusal> {
    if let Some(why) = known.object.as_ref().and_then(|object| object.corruption.as_ref()) {
        return Ok(format!(
            "the stored file of the object itself is corrupt ({why}): upload it again, or restore the file from a backup; \
             tintype check --scrub finds all others"
        ));
    }
    let why = known.result.as_ref().and_then(|result| result.why.as_deref());
    Ok(match (known.status, &known.dead_letter) {
        (ThumbnailStatus::Current, None) => "nothing to do".into(),
        (ThumbnailStatus::Current, Some(dead_letter)) => format!(
            "nothing to do: its thumbnails are there; tintype dead-letters purge {}",
            dead_letter.event.id
        ),
        (ThumbnailStatus::Pending, _) => {
            match known.event.as_ref().and_then(|event| event.last_error.as_ref()) {
                Some(error) => {
                    format!("fix the cause, unless it is temporary ({error}); it is retried automatically")
                }
                None => "wait; ask again in a few seconds".into(),
            }
        }
        (ThumbnailStatus::Failed, Some(dead_letter)) => {
            about_dead_letter(&dead_letter.reason, dead_letter.event.id, known.object.is_some())
        }
        (ThumbnailStatus::Failed, None) => "upload it again, or press \"Render again\" in the console".into(),
        (ThumbnailStatus::Ignored, _) => match why.filter(|_| known.wanted) {
            Some(why) => format!("nothing to do: a trigger matches, but no thumbnail is rendered of it ({why})"),
            None => format!(
                "if a thumbnail is wanted, let a trigger match \"{}\" in bucket \"{}\"{}",
                at.key,
                at.bucket,
                known.ignored.as_ref().map_or_else(String::new, |why| format!(" ({why})")),
            ),
        },
        (ThumbnailStatus::Stale, _) => {
            "a thumbnail is gone, corrupt, or of an earlier version: tintype backfill renders all that are missing, \
             tintype invoke or another upload this one"
                .into()
        }
        (ThumbnailStatus::Missing, _) => "tintype invoke, or another upload, renders its thumbnails".into(),
        (ThumbnailStatus::Unknown, _) => about_no_object(admin, at, known)?,
    })
}

fn about_dead_letter(reason: &str, id: u64, has_object: bool) -> String {
    if !has_object {
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
        "archived" => "restore it from its archive, or upload it again".into(),
        "key_too_long" => "upload it under a shorter key, or shorten the rendition's key template".into(),
        "damaged" => {
            "the stored file is corrupt: upload it again; tintype check --scrub finds all others".into()
        }
        _ => format!("when the cause is fixed: tintype dead-letters redrive {id}"),
    }
}

fn about_no_object(admin: &Admin, at: &Location, known: &ObjectStatus) -> Result<String, Refusal> {
    if known.result.is_some() || !known.history.is_empty() {
        let orphans = match known.thumbnails.is_empty() {
            true => "",
            false => {
                "; its thumbnails remain: tintype orphans lists all such, and with --delete removes them"
            }
        };
        return Ok(format!("it is gone: deleted, or lost; upload it again if it is wanted{orphans}"));
    }
    let (store, visibility) = (&admin.parts.store, Visibility::current());
    if let Err(StoreFault::NoSuchBucket(bucket)) = store.objects.head(at) {
        let buckets = store.buckets.list()?.into_iter().map(|(name, _)| name);
        let buckets: Vec<_> = buckets.filter(|name| visibility.shows_bucket(name)).collect();
        return Ok(format!("there is no bucket \"{bucket}\"; there are {}", buckets.join(", ")));
    }
    for trigger in admin.triggers().iter() {
        let there = Location { bucket: trigger.destination.clone(), key: at.key.clone() };
        if visibility.shows(&there)
            && let Ok(Some(_)) = store.objects.head(&there)
        {
            return Ok(format!(
                "that is the key of an object in bucket \"{}\", where thumbnails are: ask for the key of its source",
                trigger.destination
            ));
        }
    }
    Ok("check the key's spelling; keys are case-sensitive".into())
}
