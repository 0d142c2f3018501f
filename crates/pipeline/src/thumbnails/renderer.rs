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

    /// Waits until there is memory to render an image of so many bytes with this header, that of a process to decode it included.
    pub async fn admit(&self, header: &Header, source_bytes: u64, specs: &[Spec]) -> Reservation {
        self.budget.render(self.memory(header, source_bytes, specs)).await
    }

    fn memory(&self, header: &Header, source_bytes: u64, specs: &[Spec]) -> u64 {
        let estimate = engine::estimate(header, specs).min(self.limits.memory_bytes);
        let overhead = match engine::foreign::decodes(header.format) {
            true => self.foreign.overhead(source_bytes),
            false => 0,
        };
        estimate.saturating_add(overhead)
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

#[cfg(test)]
mod tests {
    use tintype_engine::{
        Error, Format,
        foreign::{Job, Output},
    };

    use super::*;

    #[derive(Debug)]
    struct Elsewhere;

    impl ForeignDecoder for Elsewhere {
        fn decode(&self, _: &Job<'_>, _: &dyn Fn() -> bool, _: &mut dyn Output) -> Result<(), Error> {
            Err(Error::Unavailable("not needed".into()))
        }
        fn overhead(&self, source_bytes: u64) -> u64 {
            1000 + source_bytes
        }
    }

    fn png() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = png::Encoder::new(&mut bytes, 8, 8).write_header().unwrap();
        writer.write_image_data(&[0; 64]).unwrap();
        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn the_memory_of_processes_that_decode_is_reserved() {
        let here = Renderer::new(Limits::default(), MemoryBudget::new(1 << 30));
        let elsewhere = here.clone().with_foreign_decoder(Arc::new(Elsewhere));
        let svg = br#"<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>"#;
        for (bytes, more) in [(&svg[..], 1000 + 5), (&png()[..], 0)] {
            let header = probe(bytes).unwrap();
            assert_eq!(header.format == Format::Svg, more > 0);
            let specs = [Spec::default()];
            assert_eq!(elsewhere.memory(&header, 5, &specs), here.memory(&header, 5, &specs) + more);
        }
    }
}
