//! The second stage: a source that was fetched, rendered on a thread for CPU work.

use std::time::Instant;

use bytes::Bytes;
use tintype_engine::{Header, Spec, Thumbnail};

use super::{
    Thumbnails,
    fetch::{Placed, Source},
    stopped,
};
use crate::{
    budget::Reservation,
    outcome::{Failure, Stages},
    stop::Stop,
};

impl Thumbnails {
    /// Renders what is stale of a source that was fetched, and lets go of its bytes.
    pub(super) async fn rendered<'a>(
        &self,
        source: Source<'a>,
        stop: &Stop,
        stages: &mut Stages,
    ) -> Result<(Vec<Thumbnail>, Placed<'a>), Failure> {
        let Source { bytes, header, memory, placed } = source;
        let specs = placed.stale.iter().map(|index| placed.targets[*index].rendition.spec.clone()).collect();
        let thumbnails = self.on_a_thread(bytes, Some(memory), &header, specs, stop, stages).await?;
        Ok((thumbnails, placed))
    }

    /// Waits for memory and a thread, and renders there. `source_memory`, which `bytes` hold, is free afterwards.
    pub(super) async fn on_a_thread(
        &self,
        bytes: Bytes,
        source_memory: Option<Reservation>,
        header: &Header,
        specs: Vec<Spec>,
        stop: &Stop,
        stages: &mut Stages,
    ) -> Result<Vec<Thumbnail>, Failure> {
        let waiting = Instant::now();
        let memory = stop.bound(self.renderer.admit(header, &specs)).await.ok_or_else(stopped)?;
        stages.wait += waiting.elapsed();
        let (renderer, stop) = (self.renderer.clone(), stop.clone());
        let rendering = self.threads.run(move |scratch| {
            let mut spent = Stages::default();
            let result = renderer.render(&bytes, &specs, &stop, scratch, &mut spent);
            drop((bytes, source_memory, memory));
            (result, spent)
        });
        let (result, spent) = rendering.await?;
        stages.add(&spent);
        result
    }
}
