//! Thumbnails whose file is damaged or gone: known for what they are, so that they are made anew. Nothing is removed: a
//! damaged one is there until a whole one takes its place.

use std::io::{self, ErrorKind};

use tintype_pipeline::{
    fingerprint::SOURCE_ETAG, is_thumbnail_of, source_of, store::Location, trigger::Trigger,
};

use super::{
    Cause, DiskStore, StoreFault,
    backfill::was_given_up,
    object_file::{self, Unreadable},
    reading::verify,
};
use crate::{disk::is_corruption, ledger::ObjectRecord};

/// Thumbnails up to so many bytes are read whole when it is asked whether they are there; of larger ones the head.
pub(crate) const VERIFIED: u64 = 4 << 20;

impl DiskStore {
    /// What is wrong with an object's file, if anything. Of what is larger than `most` bytes only the head is read.
    ///
    /// # Errors
    /// The ledger cannot be read, or the disk does not give the file now, which says nothing about what is in it.
    pub fn damage(&self, at: &Location, most: u64) -> Result<Option<String>, StoreFault> {
        loop {
            let Some(record) = self.head_object(at)? else { return Ok(None) };
            let why = self.damage_of(&record, most)?;
            // A file that is gone, or another's, may have been replaced meanwhile.
            if why.is_none() || self.head_object(at)?.is_some_and(|now| now.order == record.order) {
                return Ok(why);
            }
        }
    }

    fn damage_of(&self, record: &ObjectRecord, most: u64) -> io::Result<Option<String>> {
        let file = match self.disk.open(&self.folder.object(record.order)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Some("its file is missing".into()));
            }
            Err(error) if is_corruption(&error) => return Ok(Some(error.to_string())),
            opened => opened?,
        };
        match object_file::read(file.as_ref()) {
            Err(Unreadable::Damaged(words)) => Ok(Some(words)),
            Err(Unreadable::Disk(error)) if is_corruption(&error) => Ok(Some(error.to_string())),
            Err(Unreadable::Disk(error)) => Err(error),
            Ok(story) if story.record != *record => Ok(Some("its file belongs to another version".into())),
            Ok(_) if record.size > most => Ok(None),
            Ok(_) => verify(file.as_ref(), record),
        }
    }

    /// A row as the function is to see it: a thumbnail that is not whole is of no version of its source, so that it is made
    /// anew and takes this one's place.
    pub(super) fn as_it_is(&self, at: &Location, mut record: ObjectRecord) -> ObjectRecord {
        if source_of(&record.headers.metadata).is_none() {
            return record;
        }
        match self.damage(at, VERIFIED) {
            Ok(None) => {}
            Ok(Some(why)) => {
                tracing::warn!(object = %at, why, "a thumbnail is damaged: it counts as none");
                record.headers.metadata.remove(SOURCE_ETAG);
            }
            Err(error) => tracing::warn!(object = %at, %error, "a thumbnail cannot be looked at"),
        }
        record
    }

    /// Has a thumbnail that was found damaged made anew, if a trigger makes it and its source was not given up; answers
    /// whether that is under way. Copies that somebody made of thumbnails are nobody's to make.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub fn mend(&self, at: &Location) -> Result<bool, StoreFault> {
        let Some(record) = self.head_object(at)? else { return Ok(false) };
        let Some(Some(source)) = source_of(&record.headers.metadata) else { return Ok(false) };
        let triggers = self.triggers();
        let makes = |trigger: &&Trigger| trigger.created && is_thumbnail_of(trigger, &source, at);
        let Some(trigger) = triggers.iter().find(makes) else { return Ok(false) };
        // What the function takes for whole it would not make, and so where it left this one behind for another name.
        if self.damage(at, VERIFIED)?.is_none() {
            return Ok(false);
        }
        let view = self.ledger.view()?;
        let Some(object) = view.object(&source)? else { return Ok(false) };
        if self.current_thumbnails(trigger, &source, &object)?.is_some() {
            return Ok(false);
        }
        if view.waiting_event(&source, false)?.is_some() {
            return Ok(true);
        }
        if was_given_up(&view, &source, &object)? {
            return Ok(false);
        }
        drop(view);
        match self.queue_again(&source, Cause { event: "ObjectCreated:Mend", request_id: String::new() }) {
            Err(StoreFault::NoSuchKey(_)) => Ok(false),
            queued => queued,
        }
    }
}
