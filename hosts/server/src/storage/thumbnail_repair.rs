//! Thumbnails whose file is corrupt or missing are rendered again. Nothing is removed: a corrupt one is there until a
//! whole one takes its place.

use std::io::{self, ErrorKind};

use tintype_pipeline::{
    fingerprint::SOURCE_ETAG, is_thumbnail_of, source_of, store::Location, trigger::Trigger,
};

use super::{
    Backfill, Cause, Objects, StoreFault,
    object_file::{self, Unreadable},
    reading::verify,
};
use crate::{disk::is_corruption, ledger::ObjectRecord};

/// Thumbnails up to this size are verified whole; of larger ones the head.
pub const VERIFIED_BYTES: u64 = 4 << 20;

impl Objects {
    /// What is wrong with an object's file, if anything. Of what is larger than `most` bytes only the head is read.
    ///
    /// # Errors
    /// The ledger cannot be read, or the disk does not give the file now, which is no corruption.
    pub fn corruption(&self, at: &Location, most: u64) -> Result<Option<String>, StoreFault> {
        loop {
            let Some(record) = self.head(at)? else { return Ok(None) };
            let why = self.corruption_of(&record, most)?;
            // A file that is gone, or another's, may have been replaced meanwhile.
            if why.is_none() || self.head(at)?.is_some_and(|now| now.order == record.order) {
                return Ok(why);
            }
        }
    }

    fn corruption_of(&self, record: &ObjectRecord, most: u64) -> io::Result<Option<String>> {
        let file = match self.publisher.files.open(record.order) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Some("its file is missing".into()));
            }
            Err(error) if is_corruption(&error) => return Ok(Some(error.to_string())),
            opened => opened?,
        };
        match object_file::read(file.as_ref()) {
            Err(Unreadable::Corrupt(why)) => Ok(Some(why)),
            Err(Unreadable::Disk(error)) if is_corruption(&error) => Ok(Some(error.to_string())),
            Err(Unreadable::Disk(error)) => Err(error),
            Ok(header) if header.record != *record => Ok(Some("its file belongs to another version".into())),
            Ok(_) if record.size > most => Ok(None),
            Ok(_) => verify(file.as_ref(), record),
        }
    }

    /// A row as the function sees it: a corrupt thumbnail is of no version of its source, so that it is rendered again and
    /// replaced.
    pub(super) fn verified(&self, at: &Location, mut record: ObjectRecord) -> ObjectRecord {
        if source_of(&record.headers.metadata).is_none() {
            return record;
        }
        match self.corruption(at, VERIFIED_BYTES) {
            Ok(None) => {}
            Ok(Some(why)) => {
                tracing::warn!(object = %at, why, "a thumbnail is corrupt: it counts as none");
                record.headers.metadata.remove(SOURCE_ETAG);
            }
            Err(error) => tracing::warn!(object = %at, %error, "a thumbnail cannot be verified"),
        }
        record
    }
}

impl Backfill {
    /// Has a thumbnail that was found corrupt rendered again, if a trigger makes it and its source is no dead letter;
    /// returns whether that is under way. Copies of thumbnails are left alone.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn repair_thumbnail(&self, at: &Location) -> Result<bool, StoreFault> {
        let objects = &self.objects;
        let Some(record) = objects.head(at)? else { return Ok(false) };
        let Some(Some(source)) = source_of(&record.headers.metadata) else { return Ok(false) };
        let triggers = objects.triggers();
        let makes = |trigger: &&Trigger| trigger.created && is_thumbnail_of(trigger, &source, at);
        let Some(trigger) = triggers.iter().find(makes) else { return Ok(false) };
        // What the function takes for whole it would not render, and so where it left this one behind for another name.
        if objects.corruption(at, VERIFIED_BYTES)?.is_none() {
            return Ok(false);
        }
        let object = match objects.head(&source) {
            Ok(Some(object)) => object,
            Ok(None) | Err(StoreFault::NoSuchBucket(_)) => return Ok(false),
            Err(fault) => return Err(fault),
        };
        if self.current_thumbnails(trigger, &source, &object)?.is_some() {
            return Ok(false);
        }
        if self.enqueuer.is_queued(&source)? {
            return Ok(true);
        }
        if self.enqueuer.is_dead_lettered(&source, &object.etag)? {
            return Ok(false);
        }
        match self.enqueue(&source, Cause::new("ObjectCreated:Mend", String::new())) {
            Err(StoreFault::NoSuchKey(_)) => Ok(false),
            enqueued => enqueued,
        }
    }
}
