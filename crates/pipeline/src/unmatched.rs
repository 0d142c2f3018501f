//! Why no trigger takes an object.

use std::fmt;

use crate::{event::Kind, trigger::Trigger};

/// The most prefixes that a reason names.
const NAMED_PREFIXES: usize = 8;

/// The first condition that no trigger's filter meets. Displayed for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmatched {
    /// No trigger watches its bucket.
    Bucket,
    /// Its bucket is where thumbnails are written, and no trigger watches it.
    Destination,
    /// Its key begins with none of these.
    Prefix(Vec<String>),
    /// No trigger that watches its bucket and prefix takes names with this extension; `None`: without one.
    Suffix(Option<String>),
    /// No trigger whose filter passes its key is called for events of this type.
    EventType(String),
}

impl Unmatched {
    /// Why none of `triggers` takes a key; `None`: one does.
    #[must_use]
    pub fn of(triggers: &[Trigger], bucket: &str, key: &str) -> Option<Self> {
        let mut below: Vec<&Trigger> = triggers.iter().filter(|trigger| trigger.bucket == bucket).collect();
        if below.is_empty() {
            let is_destination = triggers.iter().any(|trigger| trigger.destination == bucket);
            return Some(if is_destination { Self::Destination } else { Self::Bucket });
        }
        if !below.iter().any(|trigger| key.starts_with(&trigger.prefix)) {
            let mut prefixes: Vec<_> =
                below.iter().take(NAMED_PREFIXES).map(|trigger| trigger.prefix.clone()).collect();
            if below.len() > NAMED_PREFIXES {
                prefixes.push("…".to_owned());
            }
            return Some(Self::Prefix(prefixes));
        }
        below.retain(|trigger| key.starts_with(&trigger.prefix));
        if below.iter().any(|trigger| trigger.suffixes.matches(key)) {
            return None;
        }
        let name = key.rsplit('/').next().unwrap_or_default();
        Some(Self::Suffix(name.rsplit_once('.').map(|(_, extension)| extension.to_owned())))
    }

    /// The same for the creation of an object under S3's name for it, such as `ObjectCreated:Put`.
    #[must_use]
    pub fn of_created(triggers: &[Trigger], bucket: &str, key: &str, event: &str) -> Option<Self> {
        Self::of(triggers, bucket, key).or_else(|| {
            let mut passing = triggers.iter().filter(|trigger| trigger.matches(bucket, key));
            let is_called = passing.any(|trigger| trigger.wants_event(Kind::Created, event));
            (!is_called).then(|| Self::EventType(event.to_owned()))
        })
    }
}

impl fmt::Display for Unmatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket => f.write_str("no trigger watches this bucket"),
            Self::Destination => {
                f.write_str("this bucket is where thumbnails are written; no trigger watches it")
            }
            Self::Prefix(prefixes) => write!(f, "triggers take keys below {} only", prefixes.join(", ")),
            Self::Suffix(Some(extension)) => write!(f, "no trigger takes .{extension}"),
            Self::Suffix(None) => f.write_str("no trigger takes names without an extension"),
            Self::EventType(event) => write!(f, "no trigger that takes this key is called for {event}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::CreatedTypes;

    #[test]
    fn what_no_trigger_takes_has_a_reason() {
        let trigger = |prefix: &&str| Trigger { prefix: (*prefix).into(), ..Trigger::default() };
        let Trigger { bucket, destination, .. } = Trigger::default();
        let why = |prefixes: &[&str], bucket: &str, key: &str| {
            let triggers: Vec<_> = prefixes.iter().map(trigger).collect();
            Unmatched::of(&triggers, bucket, key).map(|why| why.to_string())
        };
        for (prefixes, bucket, key, expected) in [
            (&[""][..], &bucket, "a/scan.v2.txt", "no trigger takes .txt"),
            (&[""], &bucket, "a.d/README", "no trigger takes names without an extension"),
            (&["raw/", "in/"], &bucket, "a.jpg", "triggers take keys below raw/, in/ only"),
            (&["raw/", "in/"], &bucket, "raw/a.txt", "no trigger takes .txt"),
            (&[], &bucket, "a.jpg", "no trigger watches this bucket"),
            (
                &[""],
                &destination,
                "a.jpg",
                "this bucket is where thumbnails are written; no trigger watches it",
            ),
        ] {
            assert_eq!(why(prefixes, bucket, key).as_deref(), Some(expected), "{prefixes:?} {bucket} {key}");
        }
        assert_eq!(why(&["raw/"], &bucket, "raw/a.JPG"), None);
    }

    #[test]
    fn an_upload_of_another_type_is_ignored_too() {
        let puts = CreatedTypes::of("s3:ObjectCreated:Put");
        let triggers = [Trigger { created_types: puts, ..Trigger::default() }];
        let why = |event| Unmatched::of_created(&triggers, &triggers[0].bucket, "a.jpg", event);
        assert_eq!(why("ObjectCreated:Put"), None);
        assert_eq!(why("ObjectCreated:Copy"), Some(Unmatched::EventType("ObjectCreated:Copy".into())));
    }
}
