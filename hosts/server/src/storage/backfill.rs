//! Sources without a current thumbnail are enqueued; thumbnails whose source is gone are removed. Page by page, so that
//! neither memory nor any one transaction grows with the number of objects.

use std::{collections::BTreeSet, ops::RangeInclusive, sync::Arc};

use tintype_pipeline::{
    ThumbnailStatus, current_thumbnails,
    event::Kind,
    is_thumbnail_of, source_of,
    store::{Location, SourceVersion},
    trigger::Trigger,
};

use super::{
    Cause, Listing, Objects, Page, PageRequest, StoreFault, alt_texts::is_sidecar, objects::enqueue,
};
use crate::{
    ledger::{Ledger, ObjectRecord, listed_key},
    queue::Enqueuer,
};

/// Objects looked at in one page, and events in one transaction.
const PAGE: usize = 500;

/// Where a walk over buckets goes on: the bucket, and the key after which.
pub type Cursor = (String, String);

/// What one page of a backfill came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Backfilled {
    /// Sources without a current thumbnail; their events are enqueued unless it was a dry run.
    pub stale: Vec<Location>,
    /// Sources whose thumbnails are current.
    pub current: u64,
    /// Sources whose event waits already.
    pub waiting: u64,
    /// Sources whose event at this version is a dead letter: redriving it tries them again.
    pub dead_lettered: u64,
    /// The ids of the events that were enqueued are in this range.
    pub events: Option<RangeInclusive<u64>>,
    /// Where to go on; `None`: this was the end.
    pub next: Option<Cursor>,
}

/// A thumbnail that nothing would replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The thumbnail.
    pub at: Location,
    /// The source it was rendered from.
    pub source: Location,
    /// Whether its source is there, but no trigger renders this thumbnail of it any more.
    pub is_stale: bool,
    etag: String,
}

/// Finds and enqueues sources without thumbnails, and thumbnails without sources.
#[derive(Debug)]
pub struct Backfill {
    pub(super) objects: Arc<Objects>,
    listing: Arc<Listing>,
    pub(super) enqueuer: Enqueuer,
}

impl Backfill {
    pub(super) const fn new(objects: Arc<Objects>, listing: Arc<Listing>, enqueuer: Enqueuer) -> Self {
        Self { objects, listing, enqueuer }
    }

    fn ledger(&self) -> &Ledger {
        &self.objects.publisher.ledger
    }

    /// Enqueues an event for an object as it stands, as if it had just been put; returns whether a trigger
    /// wants it.
    ///
    /// # Errors
    /// There is no such object, or the ledger cannot be written.
    pub fn enqueue(&self, at: &Location, cause: Cause) -> Result<bool, StoreFault> {
        let order = self.objects.publisher.files.orders.take();
        let (at, events) = (at.clone(), self.objects.events());
        let enqueued = self.ledger().submit(Vec::new(), move |changes| {
            let object = changes.object(&at)?.ok_or_else(|| StoreFault::NoSuchKey(at.clone()))?;
            Ok::<_, StoreFault>(enqueue(changes, &events.queue, order, Kind::Created, &at, &object, &cause)?)
        });
        let enqueued = enqueued.wait()?;
        if enqueued {
            self.enqueuer.notify();
        }
        Ok(enqueued)
    }

    /// Looks at the next page of sources whose keys begin with `prefix`, and enqueues those without a current
    /// thumbnail, unless `dry_run`.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn page(
        &self,
        prefix: &str,
        after: Option<Cursor>,
        dry_run: bool,
        cause: Cause,
    ) -> Result<Backfilled, StoreFault> {
        let triggers = self.objects.triggers();
        let created = || triggers.iter().filter(|trigger| trigger.created);
        let buckets: BTreeSet<&str> = created().map(|trigger| trigger.bucket.as_str()).collect();
        let Some((bucket, page, next)) = self.next_page(&buckets, prefix, after)? else {
            return Ok(Backfilled::default());
        };
        let mut done = Backfilled { next, ..Backfilled::default() };
        let mut queued = Vec::new();
        for (key, record) in page.objects {
            let Some(trigger) = created().find(|trigger| trigger.matches(&bucket, &key)) else { continue };
            let metadata = &record.headers.metadata;
            let is_thumbnail = source_of(metadata).is_some() || is_sidecar(metadata);
            if is_thumbnail || record.is_folder_marker(&key) {
                continue;
            }
            let at = Location { bucket: bucket.clone(), key: listed_key(&key)? };
            match self.status(trigger, &at, &record)? {
                ThumbnailStatus::Current => done.current += 1,
                ThumbnailStatus::Pending => done.waiting += 1,
                ThumbnailStatus::Failed => done.dead_lettered += 1,
                _ => {
                    done.stale.push(at.clone());
                    queued.push((at, self.objects.publisher.files.orders.take()));
                }
            }
        }
        if !dry_run && let (Some((_, first)), Some((_, last))) = (queued.first(), queued.last()) {
            done.events = Some(*first..=*last);
            let events = self.objects.events();
            let pending = self.ledger().submit(Vec::new(), move |changes| {
                let mut count = 0;
                for (at, order) in queued {
                    // Deleted meanwhile: nothing to render.
                    if let Some(object) = changes.object(&at)?
                        && enqueue(changes, &events.queue, order, Kind::Created, &at, &object, &cause)?
                    {
                        count += 1;
                    }
                }
                Ok::<_, StoreFault>(count)
            });
            (0..pending.wait()?).for_each(|_| self.enqueuer.notify());
        }
        Ok(done)
    }

    /// The same if a repair was interrupted before it; returns how many sources were enqueued.
    ///
    /// # Errors
    /// As for [`Self::run_after_repair`].
    pub fn run_if_owed(&self) -> Result<usize, StoreFault> {
        let owes = self.ledger().view()?.owes_backfill()?;
        if owes { self.run_after_repair() } else { Ok(0) }
    }

    /// The end of a repair: enqueues every source without a current thumbnail; returns how many there were.
    ///
    /// # Errors
    /// The ledger cannot be read or written; then it is still to be done.
    pub fn run_after_repair(&self) -> Result<usize, StoreFault> {
        let (mut count, mut next) = (0, None);
        loop {
            let cause = Cause::new("ObjectCreated:Backfill", "check-repair");
            let page = self.page("", next, false, cause)?;
            count += page.stale.len();
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        let pending = self
            .ledger()
            .submit(Vec::new(), |changes| Ok::<_, StoreFault>(changes.set_owes_backfill(false)?));
        pending.wait()?;
        Ok(count)
    }

    /// The thumbnails of an object, if all that a trigger wants are there, rendered from this version.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn current_thumbnails(
        &self,
        trigger: &Trigger,
        at: &Location,
        record: &ObjectRecord,
    ) -> Result<Option<Vec<Location>>, StoreFault> {
        let source = SourceVersion { at: at.clone(), etag: record.etag.clone() };
        let metadata = &record.headers.metadata;
        match current_thumbnails(|at| self.objects.stat(at), trigger, &source, metadata) {
            Ok(current) => Ok(current),
            // A destination that does not exist holds no thumbnails.
            Err(StoreFault::NoSuchBucket(_)) => Ok(None),
            Err(fault) => Err(StoreFault::Unavailable(fault.to_string())),
        }
    }

    fn status(
        &self,
        trigger: &Trigger,
        at: &Location,
        record: &ObjectRecord,
    ) -> Result<ThumbnailStatus, StoreFault> {
        if self.current_thumbnails(trigger, at, record)?.is_some() {
            return Ok(ThumbnailStatus::Current);
        }
        if self.enqueuer.is_queued(at)? {
            return Ok(ThumbnailStatus::Pending);
        }
        Ok(match self.enqueuer.is_dead_lettered(at, &record.etag)? {
            true => ThumbnailStatus::Failed,
            false => ThumbnailStatus::Stale,
        })
    }

    /// Looks at the next page of thumbnails whose keys begin with `prefix`: those whose source is gone, with `stale` also
    /// those of renditions that no trigger has any more, and where to go on.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn orphans(
        &self,
        prefix: &str,
        stale: bool,
        after: Option<Cursor>,
    ) -> Result<(Vec<Orphan>, Option<Cursor>), StoreFault> {
        let triggers = self.objects.triggers();
        let buckets: BTreeSet<&str> = triggers.iter().map(|trigger| trigger.destination.as_str()).collect();
        let Some((bucket, page, next)) = self.next_page(&buckets, prefix, after)? else {
            return Ok((Vec::new(), None));
        };
        let view = self.ledger().view()?;
        let mut orphans = Vec::new();
        for (key, record) in page.objects {
            // Of a very long key only a digest is known: whether its source is gone cannot be known.
            let Some(Some(source)) = source_of(&record.headers.metadata) else { continue };
            let at = Location { bucket: bucket.clone(), key: listed_key(&key)? };
            let has_source = view.object(&source)?.is_some();
            let is_rendered = || triggers.iter().any(|trigger| is_thumbnail_of(trigger, &source, &at));
            let is_stale = stale && has_source && !is_rendered();
            if is_stale || !has_source {
                orphans.push(Orphan { at, source, is_stale, etag: record.etag });
            }
        }
        Ok((orphans, next))
    }

    /// Removes orphans, each only as it was seen; returns how many there were.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn remove_orphans(&self, orphans: Vec<Orphan>, cause: &Cause) -> Result<u64, StoreFault> {
        // A source that has come back may have found its thumbnail current.
        let wanted = orphans
            .into_iter()
            .map(|Orphan { at, source, is_stale, etag }| (at, Some(etag), (!is_stale).then_some(source)));
        let mut removed = 0;
        for result in self.objects.delete_each(wanted, cause) {
            match result {
                Ok(was_there) => removed += u64::from(was_there),
                // Rendered again meanwhile, or its source has come back.
                Err(StoreFault::PreconditionFailed(_)) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(removed)
    }

    /// The next page of objects over several buckets, with its bucket, and where to go on.
    fn next_page(
        &self,
        buckets: &BTreeSet<&str>,
        prefix: &str,
        after: Option<Cursor>,
    ) -> Result<Option<(String, Page, Option<Cursor>)>, StoreFault> {
        let (from, after) = after.unwrap_or_default();
        let mut ahead = buckets.range(from.as_str()..);
        let Some(bucket) = ahead.next().map(|bucket| (*bucket).to_owned()) else { return Ok(None) };
        let request = PageRequest {
            prefix: prefix.into(),
            delimiter: String::new(),
            after: if bucket == from { after } else { String::new() },
            max: PAGE,
        };
        let mut page = match self.listing.page(&bucket, &request) {
            Err(StoreFault::NoSuchBucket(_)) => Page::default(),
            other => other?,
        };
        let next = match page.next.take() {
            Some(key) => Some((bucket.clone(), key)),
            None => ahead.next().map(|bucket| ((*bucket).to_owned(), String::new())),
        };
        Ok(Some((bucket, page, next)))
    }
}
