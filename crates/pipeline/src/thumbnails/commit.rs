//! The third stage: thumbnails to their places, if nobody was there first.

use std::time::Instant;

use tintype_engine::Thumbnail;

use super::{Run, fetch::Placed};
use crate::{
    event::Record,
    outcome::{Failure, Outcome, RenditionReport},
    store::{Location, Put, StoreError},
    target::{Target, put, remove},
    trigger::Trigger,
};

impl Run<'_, '_> {
    /// Writes thumbnails over what was seen in their places, and settles the event with them. `None` if another
    /// writer was there first: everything is to begin again from the current source.
    pub(super) async fn commit(
        &mut self,
        trigger: &Trigger,
        at: &Location,
        placed: Placed<'_>,
        thumbnails: Vec<Thumbnail>,
        steps: Vec<Record>,
    ) -> Result<Option<Outcome>, Failure> {
        let Placed { version, hops, targets, stale } = placed;
        let writing = Instant::now();
        // Of the targets that are current the reports stand already.
        let mut reports: Vec<_> = targets.iter().map(Target::report).collect();
        let mut puts: Vec<Put> = Vec::with_capacity(stale.len());
        for (index, thumbnail) in stale.iter().zip(thumbnails) {
            reports[*index] = Some(RenditionReport {
                at: targets[*index].at.clone(),
                width: thumbnail.width,
                height: thumbnail.height,
                bytes: thumbnail.bytes.len() as u64,
                etag: String::new(),
            });
            puts.push(put(&targets[*index], thumbnail, &version, hops));
        }
        self.progress.puts.clone_from(&puts);
        let written = self.write(puts, &version, steps).await;
        self.progress.stages.write += writing.elapsed();
        match written {
            Ok(etags) => {
                for (index, etag) in stale.iter().zip(etags) {
                    if let Some(report) = &mut reports[*index] {
                        report.etag = etag;
                    }
                }
                self.progress.renditions = reports.into_iter().flatten().collect();
                Ok(Some(Outcome::Made))
            }
            Err(StoreError::Conflict(_)) => {
                // A store without transactions has written already, perhaps after the object was removed and that was
                // mirrored.
                if trigger.removed && self.store.head(at).await?.is_none() {
                    remove(self.store, trigger, at).await?;
                    if self.store.head(at).await?.is_none() {
                        return Ok(Some(Outcome::Removed));
                    }
                }
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
