//! Steps that follow a commit of renditions.

use async_trait::async_trait;

use crate::{
    event::Record,
    outcome::{Failure, Outcome},
    store::Store,
};

/// Work that follows a commit, such as describing the image. It has its own event, attempts and dead letters, and runs
/// on no render thread, so that it delays no thumbnail.
#[async_trait]
pub trait Step: Send + Sync {
    /// Its name in events.
    fn name(&self) -> &'static str;

    /// Runs the step for one object whose renditions are stored. Must be idempotent: events are delivered at least once.
    ///
    /// # Errors
    /// The step failed.
    async fn run(&self, store: &dyn Store, record: &Record) -> Result<Outcome, Failure>;
}
