//! The third stage: writing the thumbnails, unless another writer was first.

use std::time::Instant;

use tintype_engine::Thumbnail;

use super::{
    Run,
    fetch::{Placement, up_to_date},
};
use crate::{
    event::Record,
    fingerprint::FOCAL,
    outcome::{Failure, Outcome, RenditionReport},
    store::{Location, Put, StoreError},
    target::{Target, check_collision, put, remove},
    trigger::Trigger,
};

/// What is reported of a thumbnail to be written.
#[derive(Clone)]
struct Rendered {
    /// Its target.
    index: usize,
    width: u32,
    height: u32,
    note: Option<String>,
}

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
        let started = Instant::now();
        let committed = self.write_all(trigger, at, placement, thumbnails, steps).await;
        self.progress.stages.write += started.elapsed();
        committed
    }

    async fn write_all(
        &mut self,
        trigger: &Trigger,
        at: &Location,
        mut placement: Placement<'_>,
        thumbnails: Vec<Thumbnail>,
        steps: Vec<Record>,
    ) -> Result<Option<Outcome>, Failure> {
        let (thumbnails, mut puts): (Vec<_>, Vec<_>) = placement
            .stale
            .iter()
            .zip(thumbnails)
            .map(|(index, thumbnail)| {
                let rendered = Rendered {
                    index: *index,
                    width: thumbnail.width,
                    height: thumbnail.height,
                    note: thumbnail.note.clone(),
                };
                let (target, focal) = (&placement.targets[*index], placement.focals[*index]);
                (rendered, put(target, thumbnail, &placement.version, placement.hops, focal))
            })
            .unzip();
        self.progress.puts.clone_from(&puts);
        if placement.is_fresh {
            // Where nothing was, nothing newer was replaced, and the event of a newer version finds this thumbnail. Only
            // a removal that was mirrored just before finds nothing any more.
            let source = trigger.removed.then_some(&placement.version);
            match self.write(puts.clone(), source, steps.clone()).await {
                Ok(etags) => return Ok(Some(self.rendered(&placement, &thumbnails, &puts, etags))),
                Err(StoreError::Conflict(other)) if other != *at => {}
                Err(StoreError::Conflict(_)) => return self.overtaken(trigger, at).await,
                Err(error) => return Err(error.into()),
            }
            puts = self.over_the_present(&mut placement, puts, at).await?;
            if puts.is_empty() {
                return Ok(Some(up_to_date(&mut self.progress, &placement.targets)));
            }
        }
        match self.write(puts.clone(), Some(&placement.version), steps).await {
            Ok(etags) => Ok(Some(self.rendered(&placement, &thumbnails, &puts, etags))),
            Err(StoreError::Conflict(_)) => self.overtaken(trigger, at).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Looks at what a fresh upload's thumbnails would replace; returns those to write over it.
    async fn over_the_present(
        &mut self,
        placement: &mut Placement<'_>,
        puts: Vec<Put>,
        at: &Location,
    ) -> Result<Vec<Put>, Failure> {
        for target in &mut placement.targets {
            target.stat = self.store.head(&target.at).await?;
            check_collision(self.store, target, at).await?;
        }
        let Placement { targets, version, .. } = placement;
        // All targets of a fresh upload are written, so the two lists match.
        let is_current = |(target, put): &(&Target<'_>, Put)| {
            let focal = target.stat.as_ref().and_then(|stat| stat.metadata.get(FOCAL));
            target.is_current(at, &version.etag) && focal == put.metadata.get(FOCAL)
        };
        let pairs = targets.iter().zip(puts).filter(|pair| !is_current(pair));
        Ok(pairs.map(|(target, put)| Put { condition: target.condition(), ..put }).collect())
    }

    /// Reports what was written; targets that were current have their reports already.
    fn rendered(
        &mut self,
        placement: &Placement<'_>,
        thumbnails: &[Rendered],
        puts: &[Put],
        etags: Vec<String>,
    ) -> Outcome {
        let mut reports: Vec<_> = placement.targets.iter().map(Target::report).collect();
        for (put, etag) in puts.iter().zip(etags) {
            let bytes = put.bytes.len() as u64;
            let of_put = thumbnails.iter().find(|rendered| placement.targets[rendered.index].at == put.at);
            if let Some(Rendered { index, width, height, note }) = of_put.cloned() {
                reports[index] =
                    Some(RenditionReport { at: put.at.clone(), width, height, bytes, etag, note });
            }
        }
        self.progress.renditions = reports.into_iter().flatten().collect();
        Outcome::Rendered
    }

    /// Another writer was first. A store without transactions may have written after the source was removed and the
    /// removal mirrored.
    async fn overtaken(&mut self, trigger: &Trigger, at: &Location) -> Result<Option<Outcome>, Failure> {
        if trigger.removed && self.store.head(at).await?.is_none() {
            remove(self.store, trigger, at).await?;
            if self.store.head(at).await?.is_none() {
                return Ok(Some(Outcome::Removed));
            }
        }
        Ok(None)
    }
}
