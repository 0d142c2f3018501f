//! Source bytes to thumbnail bytes: plain functions, for CPU threads.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tintype_engine::{
    self as engine, ForeignDecoder, Header, Limits, Scratch, Spec, Thumbnail, foreign::InProcess,
};

use super::stopwatch;
use crate::{
    budget::{MemoryBudget, Reservation},
    outcome::{Failure, Reason, Stages},
    stop::Stop,
};

/// Renders within bounds on one image and on all at once. Clones share the memory budget.
#[derive(Debug, Clone)]
pub struct Renderer {
    limits: Limits,
    budget: MemoryBudget,
    foreign: Arc<dyn ForeignDecoder>,
}

impl Renderer {
    /// With bounds on one image, and on all at once. Decoders of other projects run on the thread that renders.
    #[must_use]
    pub fn new(limits: Limits, budget: MemoryBudget) -> Self {
        Self { limits, budget, foreign: Arc::new(InProcess::default()) }
    }

    /// With decoders of other projects elsewhere.
    #[must_use]
    pub fn with_foreign_decoder(self, foreign: Arc<dyn ForeignDecoder>) -> Self {
        Self { foreign, ..self }
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

    /// Renders on this thread; adds the time of each stage to `stages`. A panic in the engine fails this image alone.
    ///
    /// # Errors
    /// The image is invalid, or the render was stopped.
    pub fn render(
        &self,
        bytes: &[u8],
        specs: &[Spec],
        stop: &Stop,
        scratch: &mut Scratch,
        stages: &mut Stages,
    ) -> Result<Vec<Thumbnail>, Failure> {
        let is_due = || stop.is_due();
        let result = guarded(|| {
            stopwatch::render(&*self.foreign, bytes, specs, &self.limits, &is_due, scratch, stages)
        });
        if result.as_ref().is_err_and(|failure| failure.reason == Reason::Internal) {
            *scratch = Scratch::default();
        }
        result
    }
}

/// The properties of an image, from its header alone; a panic fails this image alone.
///
/// # Errors
/// The image is invalid.
pub fn probe(bytes: &[u8]) -> Result<Header, Failure> {
    guarded(|| engine::probe(bytes))
}

fn guarded<T>(work: impl FnOnce() -> Result<T, engine::Error>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Ok(result?),
        Err(panic) => {
            let message = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(Failure::new(Reason::Internal, format!("the engine panicked on this image: {message}")))
        }
    }
}
