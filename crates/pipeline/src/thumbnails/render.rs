//! The second stage: bytes of a source to bytes of its thumbnails, a plain function on a thread for CPU work.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use bytes::Bytes;
use tintype_engine::{self as engine, Header, Limits, Scratch, Spec, Thumbnail};

use super::{
    Thumbnails,
    fetch::{Placed, Source},
    stopped, stopwatch,
};
use crate::{
    budget::{MemoryBudget, Reservation},
    outcome::{Failure, Reason, Stages},
    stop::Stop,
};

/// Renders within bounds on one image and on all at once. Clones share the memory.
#[derive(Debug, Clone)]
pub struct Renderer {
    limits: Limits,
    budget: MemoryBudget,
}

impl Renderer {
    /// With bounds on one image, and on all at once.
    #[must_use]
    pub const fn new(limits: Limits, budget: MemoryBudget) -> Self {
        Self { limits, budget }
    }

    /// The bounds on one image.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Memory of all images at once.
    #[must_use]
    pub const fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Waits until there is memory to render an image with this header.
    pub async fn admit(&self, header: &Header, specs: &[Spec]) -> Reservation {
        self.budget.render(engine::estimate(header, specs).min(self.limits.memory_bytes)).await
    }

    /// Renders on this thread; adds the time of each stage to `stages`. A panic in the engine is this image's error
    /// and nobody else's.
    ///
    /// # Errors
    /// What is wrong with the image, or that it was stopped.
    pub fn render(
        &self,
        bytes: &[u8],
        specs: &[Spec],
        stop: &Stop,
        scratch: &mut Scratch,
        stages: &mut Stages,
    ) -> Result<Vec<Thumbnail>, Failure> {
        let is_due = || stop.is_due();
        let result = guarded(|| stopwatch::render(bytes, specs, &self.limits, &is_due, scratch, stages));
        if result.as_ref().is_err_and(|failure| failure.reason == Reason::Internal) {
            *scratch = Scratch::default();
        }
        result
    }
}

/// The properties of an image, from its header alone; a panic in reading it is its error and nobody else's.
///
/// # Errors
/// What is wrong with it.
pub fn probe(bytes: &[u8]) -> Result<Header, Failure> {
    guarded(|| engine::probe(bytes))
}

fn guarded<T>(work: impl FnOnce() -> Result<T, engine::Error>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Ok(result?),
        Err(panic) => {
            let words = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(Failure::new(Reason::Internal, format!("the engine panicked on this picture: {words}")))
        }
    }
}

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
