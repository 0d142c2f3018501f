//! The function with everything it needs, built once a process.

use std::sync::{Mutex, PoisonError};

use tintype_engine::Scratch;
use tintype_pipeline::{
    Call, Failure, Location, Outcome, Reason, Report, Thumbnails, event::Record, outcome::Stages,
};

use crate::{
    clients,
    dead_letters::DeadLetters,
    deadline::Deadline,
    environment::{Aws, Environment},
    report::Reporter,
    s3_store::S3Store,
    settings::Settings,
};

/// The function, its store, and where it tells what became of things.
pub struct Function {
    pub(crate) settings: Settings,
    pub(crate) aws: Aws,
    pub(crate) takes_uploads: bool,
    pub(crate) store: S3Store,
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) reporter: Reporter,
    thumbnails: Thumbnails,
    /// Lambda gives a process one invocation at a time; this is its buffers.
    scratch: Mutex<Scratch>,
}

impl Function {
    /// Builds the parts.
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        let Environment { settings, aws, function_name, memory_bytes, dead_letter_queue, takes_uploads } =
            environment;
        Self {
            store: S3Store::new(clients::s3(&aws)),
            dead_letters: dead_letter_queue.map(|queue| DeadLetters::new(clients::sqs(&aws), queue)),
            reporter: Reporter::new(function_name),
            thumbnails: Thumbnails::new(settings.limits, memory_bytes),
            settings,
            aws,
            takes_uploads,
            scratch: Mutex::default(),
        }
    }

    /// Runs the function on one record, until the deadline.
    pub(crate) async fn handle(&self, record: &Record, deadline: Deadline) -> Report {
        let handled = self
            .call(deadline, async |thumbnails, call| Ok(thumbnails.handle(call, &self.store, record).await));
        match handled.await {
            Ok(report) => report,
            Err(failure) => {
                let source = Some(Location { bucket: record.bucket.clone(), key: record.key.clone() });
                Report { source, outcome: Outcome::Failed(failure), ..empty_report() }
            }
        }
    }

    /// Does `work` with the function, until the deadline.
    pub(crate) async fn call<T>(
        &self,
        deadline: Deadline,
        work: impl AsyncFnOnce(&Thumbnails, &mut Call<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let stop = || deadline.has_come();
        let mut scratch = std::mem::take(&mut *self.scratch.lock().unwrap_or_else(PoisonError::into_inner));
        let mut call = Call { triggers: &self.settings.triggers, stop: &stop, scratch: &mut scratch };
        let done = deadline.bound(work(&self.thumbnails, &mut call)).await;
        *self.scratch.lock().unwrap_or_else(PoisonError::into_inner) = scratch;
        done.unwrap_or_else(|| {
            Err(Failure::new(
                Reason::Stopped,
                "the function's time was used up waiting for S3; it will be tried again. If it happens often, raise \
                 the function's time-out",
            ))
        })
    }
}

fn empty_report() -> Report {
    Report {
        source: None,
        outcome: Outcome::UpToDate,
        renditions: Vec::new(),
        source_bytes: 0,
        stages: Stages::default(),
        total: std::time::Duration::ZERO,
    }
}
