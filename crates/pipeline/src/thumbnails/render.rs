//! The second stage: rendering a fetched source.

use std::time::Instant;

use bytes::Bytes;
use tintype_engine::{Header, Spec, Thumbnail};

use super::{
    Thumbnails,
    fetch::{Placement, Source},
    stopped,
};
use crate::{
    budget::Reservation,
    outcome::{Failure, Stages},
    stop::Stop,
};

/// A source with the memory to render it.
pub(super) struct Admitted<'a> {
    source: Source<'a>,
    specs: Vec<Spec>,
    memory: Reservation,
}

impl Thumbnails {
    /// Waits for the memory to render the stale thumbnails of a source.
    pub(super) async fn admitted<'a>(
        &self,
        source: Source<'a>,
        stop: &Stop,
        stages: &mut Stages,
    ) -> Result<Admitted<'a>, Failure> {
        let Placement { targets, stale, focals, .. } = &source.placement;
        let spec = |index: &usize| Spec { focal: focals[*index], ..targets[*index].rendition.spec.clone() };
        let specs: Vec<_> = stale.iter().map(spec).collect();
        let memory = self.admit(&source.header, source.bytes.len(), &specs, stop, stages).await?;
        Ok(Admitted { source, specs, memory })
    }

    /// Renders a source, and frees its bytes.
    pub(super) async fn rendered<'a>(
        &self,
        admitted: Admitted<'a>,
        stop: &Stop,
        stages: &mut Stages,
    ) -> Result<(Vec<Thumbnail>, Placement<'a>), Failure> {
        let Admitted { source: Source { bytes, memory, placement, .. }, specs, memory: of_render } = admitted;
        let thumbnails = self.compute(bytes, specs, (Some(memory), of_render), stop, stages).await?;
        Ok((thumbnails, placement))
    }

    /// Waits for the memory of a render.
    pub(super) async fn admit(
        &self,
        header: &Header,
        source_bytes: usize,
        specs: &[Spec],
        stop: &Stop,
        stages: &mut Stages,
    ) -> Result<Reservation, Failure> {
        let waiting = Instant::now();
        let memory =
            stop.bound(self.renderer.admit(header, source_bytes as u64, specs)).await.ok_or_else(stopped)?;
        stages.wait += waiting.elapsed();
        Ok(memory)
    }

    /// Renders on a CPU thread. `memory`, of the source and of the render, is released afterwards.
    pub(super) async fn compute(
        &self,
        bytes: Bytes,
        specs: Vec<Spec>,
        memory: (Option<Reservation>, Reservation),
        stop: &Stop,
        stages: &mut Stages,
    ) -> Result<Vec<Thumbnail>, Failure> {
        let waiting = Instant::now();
        let permit = stop.bound(self.cpu.acquire()).await.ok_or_else(stopped)?;
        stages.wait += waiting.elapsed();
        let (renderer, stop) = (self.renderer.clone(), stop.clone());
        let rendering = self.cpu.run(permit, move |scratch| {
            stop.begin();
            let mut spent = Stages::default();
            let result = renderer.render(&bytes, &specs, &stop, scratch, &mut spent);
            drop((bytes, memory));
            (result, spent)
        });
        let (result, spent) = rendering.await?;
        stages.add(&spent);
        result
    }
}
