//! The function with its dependencies, built once a process.

use std::sync::Arc;

use tintype_api::out_of_time;
use tintype_codec_process::CodecProcesses;
use tintype_pipeline::{Call, Failure, Outcome, Report, Stop, Thumbnails, event::Record};
use tintype_sources::sqs::{self, DeadLetterQueue};
use tintype_stores::s3::{Connection, S3Store};

use crate::{environment::Environment, report::Reporter, settings::Settings};

/// The function, its store, dead-letter queue and reporter.
pub struct Function {
    pub(crate) settings: Settings,
    pub(crate) aws: Connection,
    pub(crate) accepts_uploads: bool,
    pub(crate) store: S3Store,
    pub(crate) dead_letters: Option<DeadLetterQueue>,
    pub(crate) reporter: Reporter,
    pub(crate) thumbnails: Thumbnails,
}

impl Function {
    /// Builds the parts.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn new(environment: Environment) -> Result<Self, String> {
        let Environment {
            settings,
            aws,
            function_name,
            memory_bytes,
            dead_letter_queue,
            accepts_uploads,
            custom_metrics,
        } = environment;
        // Lambda runs one invocation at a time in a process.
        let thumbnails = Thumbnails::new(settings.limits, memory_bytes, 1)
            .map_err(|error| format!("the render thread cannot be started: {error}"))?;
        let codecs = CodecProcesses::new(settings.limits.memory_bytes);
        let thumbnails = thumbnails.with_foreign_decoder(Arc::new(codecs));
        Ok(Self {
            store: S3Store::new(&aws),
            dead_letters: dead_letter_queue.map(|queue| DeadLetterQueue::new(sqs::client(&aws, None), queue)),
            reporter: Reporter::new(function_name, custom_metrics),
            thumbnails,
            settings,
            aws,
            accepts_uploads,
        })
    }

    /// The call of one invocation.
    pub(crate) fn call<'a>(&'a self, stop: &'a Stop) -> Call<'a> {
        Call { triggers: &self.settings.triggers, stop }
    }

    /// Handles one record.
    pub(crate) async fn handle(&self, record: &Record, stop: &Stop) -> Report {
        let handling = self.thumbnails.handle(self.call(stop), &self.store, record);
        let handled = self.bound(stop, async { Ok(handling.await) }).await;
        handled.unwrap_or_else(|failure| Report::of(record, Outcome::Failed(failure)))
    }

    /// Bounds waiting for S3 by `stop`. A decoder that cannot be stopped is waited for: Lambda then ends this process,
    /// so that it does not delay the next invocation.
    pub(crate) async fn bound<T>(
        &self,
        stop: &Stop,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        if let Some(done) = stop.bound(work).await {
            return done;
        }
        self.thumbnails.idle().await;
        Err(out_of_time())
    }
}
