//! The third stage: writing the thumbnails, unless another writer was first.

use std::time::Instant;

use tintype_engine::Thumbnail;

use super::{Run, fetch::Placement};
use crate::{
    event::Record,
    outcome::{Failure, Outcome, RenditionReport},
    store::{Location, Put, StoreError},
    target::{Target, put, remove},
    trigger::Trigger,
};

impl Run<'_, '_> {
    /// Writes thumbnails over the versions that `fetch` saw, and settles the event with them. `None` if another writer
    /// was first: the caller starts again from the current source.
    pub(super) async fn commit(
        &mut self,
        trigger: &Trigger,
        at: &Location,
        placement: Placement<'_>,
        thumbnails: Vec<Thumbnail>,
        steps: Vec<Record>,
    ) -> Result<Option<Outcome>, Failure> {
        let Placement { version, hops, targets, stale } = placement;
        let writing = Instant::now();
        // Targets that are current have their reports already.
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
                Ok(Some(Outcome::Rendered))
            }
            Err(StoreError::Conflict(_)) => {
                // A store without transactions may have written after the source was removed and the removal mirrored.
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
