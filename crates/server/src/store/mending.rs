//! Thumbnails whose file is damaged or gone: taken out, so that they are made anew. Of a source nothing can be: whoever
//! reads it is told.

use tintype_function::{is_thumbnail_of, source_of, store::Location};

use super::{Cause, DiskStore, StoreFault, objects::event, queue_event};
use crate::ledger::ObjectRecord;

impl DiskStore {
    /// What is wrong with an object's stored bytes, if anything; all of them are read.
    ///
    /// # Errors
    /// Disk or ledger cannot be read.
    pub fn damage(&self, at: &Location) -> Result<Option<String>, StoreFault> {
        let read = || match self.open_object(at)? {
            Some(object) => object.read_all(|_| Ok(())),
            None => Ok(()),
        };
        match read() {
            Err(StoreFault::Damaged(_, why)) => Ok(Some(why)),
            other => other.map(|()| None),
        }
    }

    /// Whether an object is a thumbnail that is not whole. Of what is larger than `most` bytes only the beginning is read.
    pub(super) fn is_broken_thumbnail(
        &self,
        at: &Location,
        record: &ObjectRecord,
        most: u64,
    ) -> Result<bool, StoreFault> {
        if source_of(&record.headers.metadata).is_none() {
            return Ok(false);
        }
        if record.size <= most {
            return Ok(self.damage(at)?.is_some());
        }
        match self.open_object(at) {
            Err(StoreFault::Damaged(..)) => Ok(true),
            opened => opened.map(|_| false),
        }
    }

    /// Takes out a thumbnail that is not whole and queues its source, if there still is one: without it, what is left of
    /// the thumbnail is all there is. Copies that somebody made of it elsewhere are left alone. Answers whether it did.
    ///
    /// # Errors
    /// Disk or ledger cannot be read or written.
    pub fn mend(&self, at: &Location) -> Result<bool, StoreFault> {
        let Some(record) = self.head_object(at)? else { return Ok(false) };
        let Some(Some(source)) = source_of(&record.headers.metadata) else { return Ok(false) };
        let triggers = self.triggers();
        if !triggers.iter().any(|trigger| is_thumbnail_of(trigger, &source, at)) {
            return Ok(false);
        }
        let Some(why) = self.damage(at)? else { return Ok(false) };
        let order = self.take_order();
        let cause = Cause { event: "ObjectCreated:Mend", request_id: String::new() };
        let (place, damaged) = (at.clone(), record.order);
        let taken_out = self.ledger.submit(Vec::new(), move |changes| {
            let is_there = changes.object(&place)?.is_some_and(|now| now.order == damaged);
            let Some(object) = changes.object(&source)?.filter(|_| is_there) else { return Ok(None) };
            changes.remove_object(&place)?;
            changes.put_trash(damaged)?;
            let queued = queue_event(changes, &triggers, &event(order, &source, &object, &cause, false))?;
            Ok::<_, StoreFault>(Some(queued))
        });
        let Some(queued) = taken_out.wait()? else { return Ok(false) };
        tracing::error!(object = %at, why, "a thumbnail was damaged: it is removed, and made anew");
        self.unlink(&[damaged]);
        if queued {
            self.event_queued();
        }
        Ok(true)
    }
}
