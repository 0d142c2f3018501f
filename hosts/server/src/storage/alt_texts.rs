//! Alt text beside thumbnails: sidecars as objects of the destination bucket, and the rows that are searched. Where a
//! model's text is stored its event is settled in the same transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tintype_alt_text::{
    FINGERPRINT, Sidecar, sidecar,
    sidecar::{EDITED, LONGEST, Source},
    sidecar_of,
};
use tintype_pipeline::{
    clock::now_ms,
    fingerprint::SOURCE_ETAG,
    is_first_thumbnail_of, source_of,
    store::{Condition, Location, Put},
    trigger::{Trigger, find_trigger},
};

use super::{
    Backfill, Cause, Listing, Objects, PageRequest, StoreFault,
    objects::{check_condition, place},
    publication::Publication,
};
use crate::{
    ledger::{AltTextRecord, Changes, LedgerError, ObjectRecord, View, Walk, listed_key},
    queue::{AltTextQueue, Described, EventRecord},
};

/// Rows that one step of [`AltTexts::reindex`] looks at.
const PAGE: usize = 1000;
/// For one walk of a search.
const SEARCH_TIME: Duration = Duration::from_secs(5);

/// Enqueues that images are described, in the transactions of their thumbnails.
#[derive(Debug, Clone)]
pub(super) struct AltTextWriter {
    /// `None`: nothing describes images.
    pub(super) triggers: Option<Arc<Vec<Trigger>>>,
}

impl AltTextWriter {
    /// Enqueues it for the first thumbnail of a source; returns whether `record` is one.
    pub(super) fn write(
        &self,
        changes: &Changes<'_>,
        at: &Location,
        record: &ObjectRecord,
        cause: &Cause,
    ) -> Result<bool, LedgerError> {
        let Some(triggers) = &self.triggers else { return Ok(false) };
        let metadata = &record.headers.metadata;
        let (Some(Some(source)), Some(etag)) = (source_of(metadata), metadata.get(SOURCE_ETAG)) else {
            return Ok(false);
        };
        if !triggers.iter().any(|trigger| is_first_thumbnail_of(trigger, &source, at)) {
            return Ok(false);
        }
        AltTextQueue::enqueue(changes, record.order, &source, etag, &cause.request_id)?;
        Ok(true)
    }
}

/// Whether an object with this metadata is a sidecar that this program wrote.
#[must_use]
pub fn is_sidecar(metadata: &BTreeMap<String, String>) -> bool {
    metadata.contains_key(FINGERPRINT)
}

/// Removes the sidecar of a thumbnail that is removed, if its source is gone, too: a thumbnail that is only rendered again keeps
/// it. That may be beside an earlier thumbnail, where the last one was not described yet. Returns the sidecar, for its
/// event, and its row.
pub(super) fn remove_with_thumbnail(
    changes: &Changes<'_>,
    thumbnail: &Location,
    record: &ObjectRecord,
) -> Result<Option<(Location, ObjectRecord)>, LedgerError> {
    let Some(Some(source)) = source_of(&record.headers.metadata) else { return Ok(None) };
    if changes.object(&source)?.is_some() {
        return Ok(None);
    }
    let ours = |at: &Location| -> Result<Option<ObjectRecord>, LedgerError> {
        Ok(changes.object(at)?.filter(|sidecar| is_sidecar(&sidecar.headers.metadata)))
    };
    let mut found = None;
    if let Some(at) = sidecar_of(thumbnail) {
        found = ours(&at)?.map(|sidecar| (at, sidecar));
    }
    if found.is_none()
        && let Some(row) = changes.alt_text(&source)?
    {
        let sidecar = ours(&row.sidecar)?.filter(|sidecar| sidecar.etag == row.etag);
        found = sidecar.map(|sidecar| (row.sidecar, sidecar));
    }
    let Some((at, sidecar)) = found else { return Ok(None) };
    // The row of one beside another thumbnail is needed for that one.
    if changes.alt_text(&source)?.is_some_and(|row| row.sidecar == at) {
        changes.remove_alt_text(&source)?;
    }
    changes.remove_object(&at)?;
    changes.put_trash(sidecar.order)?;
    Ok(Some((at, sidecar)))
}

/// What is to be described, and what is there.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The image.
    pub source: Location,
    /// The ETag of its version.
    pub etag: String,
    /// Where its description is stored.
    pub sidecar: Location,
    /// The description that is there.
    pub present: Present,
}

/// The description that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Present {
    /// None.
    Nothing,
    /// A model's.
    Described {
        /// What it is of and by.
        fingerprint: String,
        /// The sidecar's ETag.
        etag: String,
    },
    /// A person's, or an object that this program did not write: it stays.
    Edited {
        /// The sidecar's ETag.
        etag: String,
    },
}

/// The stored description of an image.
#[derive(Debug, Clone)]
pub struct StoredAltText {
    /// The sidecar.
    pub at: Location,
    /// Its contents.
    pub sidecar: Sidecar,
    /// Whether it was written of an earlier version of the image.
    pub is_earlier: bool,
}

/// An image that a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its key.
    pub key: String,
    /// Its description, by language.
    pub alt: BTreeMap<String, String>,
}

/// Alt text beside thumbnails.
pub struct AltTexts {
    objects: Arc<Objects>,
    /// Images that wait to be described.
    pub queue: Arc<AltTextQueue>,
}

impl fmt::Debug for AltTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AltTexts").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl AltTexts {
    pub(super) const fn new(objects: Arc<Objects>, queue: Arc<AltTextQueue>) -> Self {
        Self { objects, queue }
    }

    /// What an event is about; `None` if it is of an earlier version, or the thumbnail is not there: then another event
    /// comes with it.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn subject(&self, backfill: &Backfill, event: &EventRecord) -> Result<Option<Subject>, StoreFault> {
        let source = Location { bucket: event.bucket.clone(), key: listed_key(&event.key)? };
        match self.subject_of(backfill, &source)? {
            Some(subject) if subject.etag == event.etag => Ok(Some(subject)),
            _ => Ok(None),
        }
    }

    /// What there is to describe of an object; `None`: it is not there, or has no current thumbnail.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn subject_of(&self, backfill: &Backfill, source: &Location) -> Result<Option<Subject>, StoreFault> {
        let triggers = self.objects.triggers();
        let Some(trigger) = find_trigger(&triggers, &source.bucket, Some(source.key.as_str())) else {
            return Ok(None);
        };
        let Some(record) = self.head(source)? else { return Ok(None) };
        // The others matter to nobody here.
        let first = trigger.renditions.first().cloned().into_iter().collect();
        let trigger = Trigger { renditions: first, ..trigger.clone() };
        let current = backfill.current_thumbnails(&trigger, source, &record)?;
        let thumbnail = current.and_then(|thumbnails| thumbnails.into_iter().next());
        let Some(sidecar) = thumbnail.as_ref().and_then(sidecar_of) else { return Ok(None) };
        let present = self.present(&sidecar)?;
        Ok(Some(Subject { source: source.clone(), etag: record.etag, sidecar, present }))
    }

    fn head(&self, at: &Location) -> Result<Option<ObjectRecord>, StoreFault> {
        match self.objects.head(at) {
            Err(StoreFault::NoSuchBucket(_)) => Ok(None),
            other => other,
        }
    }

    fn present(&self, sidecar: &Location) -> Result<Present, StoreFault> {
        let Some(record) = self.head(sidecar)? else { return Ok(Present::Nothing) };
        let etag = record.etag;
        Ok(match record.headers.metadata.get(FINGERPRINT) {
            None => Present::Edited { etag },
            Some(text) if text == EDITED => Present::Edited { etag },
            Some(fingerprint) => Present::Described { fingerprint: fingerprint.clone(), etag },
        })
    }

    /// The description beside a thumbnail; `None`: there is none, the object there is none, or it is a model's of an
    /// earlier version of the image.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn beside(&self, thumbnail: &Location) -> Result<Option<StoredAltText>, StoreFault> {
        let Some(at) = sidecar_of(thumbnail) else { return Ok(None) };
        let Some((_, sidecar)) = self.read(&at)? else { return Ok(None) };
        let thumbnail = self.head(thumbnail)?;
        let source = thumbnail.and_then(|record| source_of(&record.headers.metadata)).flatten();
        let source = match source {
            Some(source) => self.head(&source)?,
            None => None,
        };
        let is_earlier = match (&sidecar.source, &source) {
            (Some(of), Some(now)) => of.etag != now.etag,
            _ => false,
        };
        let is_shown = sidecar.edited || !is_earlier;
        Ok(is_shown.then_some(StoredAltText { at, sidecar, is_earlier }))
    }

    /// The description at a sidecar's place.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn at(&self, at: &Location) -> Result<Option<StoredAltText>, StoreFault> {
        let read = self.read(at)?;
        Ok(read.map(|(_, sidecar)| StoredAltText { at: at.clone(), sidecar, is_earlier: false }))
    }

    /// The keys of images of a bucket whose description holds every word of `text`, in any case; at most `most`, and those
    /// found in a few seconds. `may` says of which objects anything may be told.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn keys_described_by(
        &self,
        bucket: &str,
        text: &str,
        most: usize,
        may: impl Fn(&Location) -> bool,
    ) -> Result<BTreeSet<String>, StoreFault> {
        let text = text.to_lowercase();
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut keys = BTreeSet::new();
        let holds = |text: &str| words.iter().all(|word| text.contains(word));
        let view = self.objects.publisher.ledger.view()?;
        view.search_alt_texts(bucket, holds, Instant::now() + SEARCH_TIME, |key, record| {
            let source = Location { bucket: bucket.to_owned(), key: listed_key(key)? };
            if is_right(&view, &source, &record)? && may(&source) && may(&record.sidecar) {
                keys.insert(key.to_owned());
            }
            Ok(keys.len() < most)
        })?;
        Ok(keys)
    }

    /// Enqueues that images are described that have current thumbnails and no description, as many as one step looks at;
    /// returns how many, and the key after which to go on.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn describe_missing(
        &self,
        backfill: &Backfill,
        listing: &Listing,
        bucket: &str,
        prefix: &str,
        after: String,
        cause: &Cause,
    ) -> Result<(usize, Option<String>), StoreFault> {
        let request = PageRequest { prefix: prefix.into(), delimiter: String::new(), after, max: PAGE };
        let page = listing.page(bucket, &request)?;
        let mut missing = Vec::new();
        for (key, _) in page.objects {
            let at = Location { bucket: bucket.to_owned(), key: listed_key(&key)? };
            let subject = self.subject_of(backfill, &at)?;
            if let Some(subject) = subject.filter(|subject| subject.present == Present::Nothing) {
                missing.push((subject, self.objects.publisher.files.orders.take()));
            }
        }
        let (count, request_id) = (missing.len(), cause.request_id.clone());
        if count > 0 {
            let pending = self.objects.publisher.ledger.submit(Vec::new(), move |changes| {
                for (subject, order) in &missing {
                    AltTextQueue::enqueue(changes, *order, &subject.source, &subject.etag, &request_id)?;
                }
                Ok::<_, StoreFault>(())
            });
            pending.wait()?;
            self.queue.notify();
        }
        Ok((count, page.next))
    }

    fn read(&self, at: &Location) -> Result<Option<(ObjectRecord, Sidecar)>, StoreFault> {
        let object = match self.objects.open(at) {
            Err(StoreFault::NoSuchBucket(_)) => None,
            other => other?,
        };
        let Some(object) = object.filter(|object| object.record.size <= LONGEST) else { return Ok(None) };
        let sidecar = Sidecar::read(&object.bytes()?).ok();
        Ok(sidecar.map(|sidecar| (object.record, sidecar)))
    }

    /// Stores a model's description and settles its event, in one transaction. Returns whether it was stored: not if a
    /// person was faster, or the source is another by now.
    ///
    /// # Errors
    /// The disk does not take it; the event is then due again.
    pub fn store(
        &self,
        subject: &Subject,
        sidecar: &Sidecar,
        fingerprint: &str,
        described: Described,
    ) -> Result<bool, StoreFault> {
        let condition = match &subject.present {
            Present::Nothing => Condition::Absent,
            Present::Described { etag, .. } | Present::Edited { etag } => Condition::Matches(etag.clone()),
        };
        match self.put(subject, sidecar, fingerprint, condition, Some(described.clone())) {
            Ok(()) => Ok(true),
            Err(StoreFault::PreconditionFailed(_) | StoreFault::NoSuchKey(_)) => {
                self.queue.settle(described)?;
                Ok(false)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Brings a person's text to where the thumbnail is now, if its key has changed and nothing is there; returns whether it
    /// did. The ledger knows where the text was.
    ///
    /// # Errors
    /// It cannot be read or stored.
    pub fn bring_along(&self, subject: &Subject) -> Result<bool, StoreFault> {
        if subject.present != Present::Nothing {
            return Ok(false);
        }
        let row = self.objects.publisher.ledger.view()?.alt_text(&subject.source)?;
        let Some(row) = row.filter(|row| row.edited && row.sidecar != subject.sidecar) else {
            return Ok(false);
        };
        let before = self.read(&row.sidecar)?.filter(|(record, _)| record.etag == row.etag);
        let Some((_, sidecar)) = before else { return Ok(false) };
        match self.put(subject, &sidecar, EDITED, Condition::Absent, None) {
            Ok(()) => Ok(true),
            Err(StoreFault::PreconditionFailed(_)) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Removes the sidecar beside an earlier thumbnail with another key, once there is one beside this.
    fn remove_earlier(&self, earlier: Option<AltTextRecord>, now: &Location) {
        let Some(row) = earlier.filter(|row| row.sidecar != *now) else { return };
        let is_ours = |record: ObjectRecord| is_sidecar(&record.headers.metadata);
        let removed = self.head(&row.sidecar).and_then(|record| match record.is_some_and(is_ours) {
            true => {
                let cause = Cause::new("ObjectRemoved:Delete", String::new());
                self.objects.delete(&row.sidecar, Some(&row.etag), cause).map(drop)
            }
            false => Ok(()),
        });
        match removed {
            Ok(()) | Err(StoreFault::PreconditionFailed(_)) => {}
            Err(error) => {
                tracing::warn!(%error, object = %row.sidecar, "an earlier description could not be removed");
            }
        }
    }

    /// Whether at the sidecar's place is an object that neither this program wrote nor is a description.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_foreign(&self, subject: &Subject) -> Result<bool, StoreFault> {
        match self.head(&subject.sidecar)? {
            Some(record) if !is_sidecar(&record.headers.metadata) => {
                Ok(self.read(&subject.sidecar)?.is_none())
            }
            _ => Ok(false),
        }
    }

    /// Stores a person's texts, over whatever is there.
    ///
    /// # Errors
    /// The disk does not take them.
    pub fn edit(&self, subject: &Subject, alt: BTreeMap<String, String>) -> Result<Sidecar, StoreFault> {
        let before = self.read(&subject.sidecar)?.map(|(_, sidecar)| sidecar);
        let sidecar = Sidecar::edited(before, source_entry(subject), alt, now_ms());
        self.put(subject, &sidecar, EDITED, Condition::Any, None)?;
        Ok(sidecar)
    }

    /// Removes what is there and has the image described again.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn describe_again(&self, subject: &Subject, cause: &Cause) -> Result<(), StoreFault> {
        self.objects.delete(&subject.sidecar, None, cause.clone())?;
        let order = self.objects.publisher.files.orders.take();
        let (subject, request_id) = (subject.clone(), cause.request_id.clone());
        let pending = self.objects.publisher.ledger.submit(Vec::new(), move |changes| {
            changes.remove_alt_text(&subject.source)?;
            AltTextQueue::enqueue(changes, order, &subject.source, &subject.etag, &request_id)?;
            Ok::<_, StoreFault>(())
        });
        pending.wait()?;
        self.queue.notify();
        Ok(())
    }

    fn put(
        &self,
        subject: &Subject,
        sidecar: &Sidecar,
        fingerprint: &str,
        condition: Condition,
        described: Option<Described>,
    ) -> Result<(), StoreFault> {
        let earlier = self.objects.publisher.ledger.view()?.alt_text(&subject.source)?;
        let put = Put {
            at: subject.sidecar.clone(),
            condition,
            bytes: sidecar.to_json().into(),
            content_type: sidecar::CONTENT_TYPE.into(),
            metadata: BTreeMap::from([(FINGERPRINT.to_owned(), fingerprint.to_owned())]),
        };
        let (publication, mut rows) = self.objects.finish_all(vec![put], Publication::default())?;
        let Some((at, condition, record)) = rows.pop() else {
            return Err(StoreFault::Unavailable("the sidecar's file was not begun".into()));
        };
        let events = self.objects.events().without_triggers();
        let row = AltTextRecord {
            sidecar: at.clone(),
            etag: record.etag.clone(),
            source_etag: sidecar.source.as_ref().map(|source| source.etag.clone()),
            alt: sidecar.alt.clone(),
            edited: sidecar.edited,
        };
        let (source, etag) = (subject.source.clone(), subject.etag.clone());
        let request_id = described.as_ref().map(|described| described.event.request_id.clone());
        let cause = Cause::new("ObjectCreated:Put", request_id.unwrap_or_default());
        let placed = self.objects.publisher.publish(publication, move |changes| {
            let now = changes.object(&source)?;
            if described.is_some() && now.as_ref().is_none_or(|now| now.etag != etag) {
                return Err(StoreFault::PreconditionFailed(source));
            }
            check_condition(changes, &at, &condition)?;
            if let Some(described) = described {
                described.settle(changes)?;
            }
            let placed = place(changes, &events, &at, record, &cause)?;
            changes.put_alt_text(&source, &row)?;
            Ok(placed)
        })?;
        self.objects.placed(placed);
        self.remove_earlier(earlier, &subject.sidecar);
        Ok(())
    }

    /// Images of a bucket whose key or description holds every word of `text`, in any case: those that are described
    /// first, each by key; at most `most`. `may` says of which objects anything may be told. Returns whether all were
    /// looked at, too: a search ends after a few seconds.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn search(
        &self,
        bucket: &str,
        text: &str,
        most: usize,
        may: impl Fn(&Location) -> bool,
    ) -> Result<(Vec<Found>, bool), StoreFault> {
        let until = Instant::now() + SEARCH_TIME;
        let text = text.to_lowercase();
        let words: Vec<&str> = text.split_whitespace().collect();
        let holds = |text: &str| words.iter().all(|word| text.contains(word));
        let mut found: Vec<Found> = Vec::new();
        let view = self.objects.publisher.ledger.view()?;
        let mut is_whole = view.search_alt_texts(bucket, holds, until, |key, record| {
            let source = Location { bucket: bucket.to_owned(), key: listed_key(key)? };
            if is_right(&view, &source, &record)? && may(&source) && may(&record.sidecar) {
                found.push(Found { key: key.to_owned(), alt: record.alt });
            }
            Ok(found.len() < most)
        })?;
        let described = found.len();
        if described < most {
            view.walk_objects(bucket, b"", |key, _| {
                if Instant::now() >= until {
                    is_whole = false;
                    return Ok(Walk::Stop);
                }
                // Mostly keys are in lower case.
                let is_lower = !key.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii());
                let holds = if is_lower { holds(key) } else { holds(&key.to_lowercase()) };
                if holds && found[..described].binary_search_by(|one| one.key.as_str().cmp(key)).is_err() {
                    let source = Location { bucket: bucket.to_owned(), key: listed_key(key)? };
                    if may(&source) {
                        found.push(Found { key: key.to_owned(), alt: BTreeMap::new() });
                    }
                }
                Ok(if found.len() < most { Walk::Next } else { Walk::Stop })
            })?;
        }
        Ok((found, is_whole))
    }

    /// Makes the rows that are searched equal to the sidecars: after a repair, and where sidecars were written through the
    /// S3 endpoint. Returns how many rows changed.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn reindex(&self) -> Result<usize, StoreFault> {
        let mut changed = 0;
        let mut from = Vec::new();
        loop {
            let view = self.objects.publisher.ledger.view()?;
            let rows = view.alt_texts_from(&from, PAGE)?;
            let Some((last, _)) = rows.last() else { break };
            from = [last.as_slice(), &[0]].concat();
            let mut gone = Vec::new();
            for (key, record) in rows {
                if view.object(&record.sidecar)?.is_none_or(|sidecar| sidecar.etag != record.etag) {
                    gone.push(key);
                }
            }
            drop(view);
            changed += gone.len();
            if !gone.is_empty() {
                let pending = self.objects.publisher.ledger.submit(Vec::new(), move |changes| {
                    gone.iter().try_for_each(|key| changes.remove_alt_text_row(key))
                });
                pending.wait()?;
            }
        }
        let triggers = self.objects.triggers();
        let destinations: BTreeSet<_> = triggers.iter().map(|trigger| trigger.destination.clone()).collect();
        for bucket in destinations {
            changed += self.reindex_bucket(&bucket)?;
        }
        Ok(changed)
    }

    fn reindex_bucket(&self, bucket: &str) -> Result<usize, StoreFault> {
        let mut keys = Vec::new();
        let view = self.objects.publisher.ledger.view()?;
        view.walk_objects(bucket, b"", |key, _| {
            if key.ends_with(".json") {
                keys.push(key.to_owned());
            }
            Ok(Walk::Next)
        })?;
        drop(view);
        let mut changed = 0;
        for key in keys {
            let at = Location { bucket: bucket.to_owned(), key: listed_key(&key)? };
            let thumbnail = Location {
                bucket: bucket.to_owned(),
                key: listed_key(key.strip_suffix(".json").unwrap_or(&key))?,
            };
            // The thumbnail says whose it is; what the document says of it may be anything.
            let Some(record) = self.head(&thumbnail)? else { continue };
            let Some(Some(source)) = source_of(&record.headers.metadata) else { continue };
            let view = self.objects.publisher.ledger.view()?;
            let row = view.alt_text(&source)?;
            if row.is_some_and(|row| row.sidecar == at) {
                continue;
            }
            drop(view);
            let Some((record, sidecar)) = self.read(&at)? else { continue };
            let row = AltTextRecord {
                sidecar: at,
                etag: record.etag,
                source_etag: sidecar.source.map(|source| source.etag),
                alt: sidecar.alt,
                edited: sidecar.edited,
            };
            changed += 1;
            let pending =
                self.objects.publisher.ledger.submit(Vec::new(), move |changes| {
                    Ok::<_, StoreFault>(changes.put_alt_text(&source, &row)?)
                });
            pending.wait()?;
        }
        Ok(changed)
    }
}

/// Whether what is searched of a source is what its sidecar says, of the version that is there or by a person.
fn is_right(view: &View, source: &Location, record: &AltTextRecord) -> Result<bool, LedgerError> {
    let Some(now) = view.object(source)? else { return Ok(false) };
    let is_of_it = record.edited || record.source_etag.as_ref().is_none_or(|etag| *etag == now.etag);
    Ok(is_of_it && view.object(&record.sidecar)?.is_some_and(|sidecar| sidecar.etag == record.etag))
}

fn source_entry(subject: &Subject) -> Source {
    Source {
        bucket: subject.source.bucket.clone(),
        key: subject.source.key.to_string(),
        etag: subject.etag.clone(),
    }
}

impl Subject {
    /// The image as a sidecar names it.
    #[must_use]
    pub fn entry(&self) -> Source {
        source_entry(self)
    }
}
