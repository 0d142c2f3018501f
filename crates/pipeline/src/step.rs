//! What follows once renditions are committed.

use async_trait::async_trait;

use crate::{
    event::Record,
    outcome::{Failure, Outcome},
    store::Store,
};

/// Work that follows a commit, such as describing the image. It has an event of its own, with its own attempts
/// and dead letters, and runs on no render thread: it never holds up a thumbnail.
#[async_trait]
pub trait Step: Send + Sync {
    /// Its name in events.
    fn name(&self) -> &'static str;

    /// Does it for one object, whose renditions are there; again for an event that is delivered again.
    ///
    /// # Errors
    /// It could not be done.
    async fn run(&self, store: &dyn Store, record: &Record) -> Result<Outcome, Failure>;
}
