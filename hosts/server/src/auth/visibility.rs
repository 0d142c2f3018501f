//! What a caller sees: of which objects and buckets routes may name anything. Whoever uses the console without an access key
//! of limited rights sees everything, as does a key that may administer (`tintype:Administer`). Another sees an object if
//! it may get it, or list its key.

use std::{collections::BTreeSet, sync::Arc, time::SystemTime};

use tintype_pipeline::{Reason, store::Location};

use super::{Action, Caller, RequestContext, Resource, caller};

/// What stands in place of a text that names a bucket which the caller does not see.
const CONCEALED: &str = "it is about a bucket that this access key may not see";

/// What stands in place of the message of a collision, which names the other source.
const COLLISION: &str = "the thumbnail's name is taken by another source's thumbnail, which would be overwritten; rename this one";

/// What a caller sees, by the rights it has at each question; cheap to clone.
#[derive(Debug, Clone)]
pub struct Visibility {
    /// `None`: it is not known who asks, who sees nothing.
    caller: Option<Arc<Caller>>,
}

impl Visibility {
    /// Of whom the current task serves.
    #[must_use]
    pub fn current() -> Self {
        Self { caller: caller::current() }
    }

    /// Of a caller.
    #[must_use]
    pub const fn of(caller: Arc<Caller>) -> Self {
        Self { caller: Some(caller) }
    }

    /// Whether it sees everything, so that nothing has to be left out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| {
            let at = Resource::Route("");
            !caller.is_limited() || caller.may(Action::Administer, &at, &now(caller))
        })
    }

    /// Whether it sees an object: its name, its status, its attempts.
    #[must_use]
    pub fn shows(&self, at: &Location) -> bool {
        self.shows_key(&at.bucket, at.key.as_str())
    }

    /// The same of an object by its names; one without any is nobody's but of those who see everything.
    #[must_use]
    pub fn shows_key(&self, bucket: &str, key: &str) -> bool {
        self.is_whole() || self.sees_key(bucket, key)
    }

    /// The same for many objects of one answer.
    pub fn shows_keys(&self) -> impl Fn(&str, &str) -> bool {
        let is_whole = self.is_whole();
        move |bucket, key| is_whole || self.sees_key(bucket, key)
    }

    /// Whether it sees a bucket's name: it may list, get or put something in it.
    #[must_use]
    pub fn shows_bucket(&self, bucket: &str) -> bool {
        self.is_whole()
            || self.may(Action::ListBucket, &Resource::Bucket(bucket), None)
            || self.named_prefixes(bucket).iter().any(|prefix| self.acts_below(bucket, prefix))
    }

    /// Whether it sees that something is set for keys of a bucket that begin so: what it may do lies there, or above.
    #[must_use]
    pub fn shows_prefix(&self, bucket: &str, prefix: &str) -> bool {
        let is_near = |named: &String| {
            (named.starts_with(prefix) || prefix.starts_with(named.as_str()))
                && self.acts_below(bucket, named)
        };
        self.is_whole() || self.lists(bucket, prefix) || self.named_prefixes(bucket).iter().any(is_near)
    }

    /// Whether it may list the keys of a bucket that begin so.
    #[must_use]
    pub fn lists(&self, bucket: &str, prefix: &str) -> bool {
        self.is_whole() || self.may(Action::ListBucket, &Resource::Bucket(bucket), Some(prefix))
    }

    /// The folders below a prefix that it may list, where it may not list the prefix itself.
    #[must_use]
    pub fn folders(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let mut folders = BTreeSet::new();
        for named in self.named_prefixes(bucket) {
            if named.len() > prefix.len() && named.starts_with(prefix) && self.lists(bucket, &named) {
                let end = named[prefix.len()..].find('/').map_or(named.len(), |at| prefix.len() + at + 1);
                folders.insert(named[..end].to_owned());
            }
        }
        folders.into_iter().collect()
    }

    /// The prefixes below one that it may list, where it may not list that itself; in order, none within another.
    #[must_use]
    pub fn listed_below(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let mut listed: Vec<String> = Vec::new();
        for named in self.named_prefixes(bucket) {
            let is_within = listed.last().is_some_and(|last| named.starts_with(last.as_str()));
            if !is_within && named.starts_with(prefix) && self.lists(bucket, &named) {
                listed.push(named);
            }
        }
        listed
    }

    /// A text about something that it sees, such as the reason of a failure; not if that names a bucket that it does not see,
    /// or the object that another collides with.
    #[must_use]
    pub fn text(&self, text: String) -> String {
        if self.is_whole() {
            return text;
        }
        if text.contains(Reason::COLLISION_WORDS) {
            return COLLISION.into();
        }
        let is_hidden = |name: &str| self.is_bucket(name) && !self.shows_bucket(name);
        if possible_buckets(&text).any(is_hidden) { CONCEALED.into() } else { text }
    }

    fn sees_key(&self, bucket: &str, key: &str) -> bool {
        // Listing first: whether it may be got may take the object's tags and its ACL, which are on disk.
        !bucket.is_empty()
            && (self.may(Action::ListBucket, &Resource::Bucket(bucket), Some(key)) || self.gets(bucket, key))
    }

    fn gets(&self, bucket: &str, key: &str) -> bool {
        self.may(Action::GetObject, &Resource::Object { bucket, key }, None)
    }

    /// Whether it may list, get or put what begins so.
    fn acts_below(&self, bucket: &str, prefix: &str) -> bool {
        self.may(Action::ListBucket, &Resource::Bucket(bucket), Some(prefix))
            || self.gets(bucket, prefix)
            || self.may(Action::PutObject, &Resource::Object { bucket, key: prefix }, None)
    }

    fn may(&self, action: Action, resource: &Resource<'_>, listed: Option<&str>) -> bool {
        self.caller.as_ref().is_some_and(|caller| {
            let context = RequestContext { prefix: listed.map(str::to_owned), ..now(caller) };
            caller.may(action, resource, &context)
        })
    }

    fn named_prefixes(&self, bucket: &str) -> BTreeSet<String> {
        self.caller.as_ref().map(|caller| caller.named_prefixes(bucket)).unwrap_or_default()
    }

    fn is_bucket(&self, name: &str) -> bool {
        self.caller.as_ref().is_none_or(|caller| caller.is_bucket(name))
    }
}

/// The parts of a text that may name a bucket: set off as names are in messages, or unlike a word of them.
fn possible_buckets(text: &str) -> impl Iterator<Item = &str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let is_mark = |c: char| matches!(c, '"' | '`' | '/' | ':');
    let mut from = 0;
    let parts = std::iter::from_fn(move || {
        let begin = from + text[from..].find(is_of_name)?;
        let end = text[begin..].find(|c: char| !is_of_name(c)).map_or(text.len(), |length| begin + length);
        from = end;
        let (before, after) = (&text[..begin], &text[end..]);
        // A full stop is the sentence's.
        let name = text[begin..end].trim_matches(|c: char| matches!(c, '-' | '.' | '_'));
        let is_marked =
            before.ends_with("bucket ") || before.ends_with(is_mark) || after.starts_with(is_mark);
        let is_word = name.chars().all(|c| c.is_ascii_alphabetic());
        Some((name, is_marked || !is_word))
    });
    parts.filter_map(|(name, may_be_one)| may_be_one.then_some(name))
}

/// The caller's context at this time: a stream lasts for longer than a policy may allow.
fn now(caller: &Caller) -> RequestContext {
    RequestContext { time: SystemTime::now(), ..caller.context().clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_found_where_messages_name_them_and_words_are_not_buckets() {
        let found = |text: &'static str| possible_buckets(text).collect::<Vec<_>>();
        assert_eq!(found("bucket \"images\" does not exist; create it first"), ["images"]);
        assert_eq!(found("s3://images/a b.jpg does not exist"), ["s3", "images", "a", "b.jpg"]);
        assert_eq!(
            found("on resource: \"arn:aws:s3:::images/a\""),
            ["resource", "arn", "aws", "s3", "images", "a"]
        );
        assert_eq!(found("(bucket images: prefix)"), ["images"]);
        assert_eq!(found("it goes to my-images."), ["my-images"]);
        assert!(found("of the images none can be read").is_empty());
        assert!(found("").is_empty());
        assert!(found("… – é").is_empty());
    }
}
