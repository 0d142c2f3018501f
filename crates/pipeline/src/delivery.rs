//! The ports to event sources.

use async_trait::async_trait;

use crate::{
    disposition::{Attempts, Disposition},
    event::Record,
    outcome::Outcome,
    store::{Location, Put, SourceVersion, Store, StoreError},
};

/// A queue on disk, a broker, or a bucket that is polled. Each event is delivered at least once, until it is settled.
#[async_trait]
pub trait EventSource: Send + Sync {
    /// An event taken for one attempt.
    type Delivery: Delivery;

    /// Waits for the next event that is due; `None` once the source has ended.
    ///
    /// # Errors
    /// The source cannot be read now.
    async fn next(&self) -> Result<Option<Self::Delivery>, StoreError>;
}

/// An event taken for one attempt. Dropped without being settled, it is delivered again.
#[async_trait]
pub trait Delivery: Send {
    /// The record of the event.
    ///
    /// # Errors
    /// Why the message holds no readable record.
    fn record(&self) -> Result<&Record, &str>;

    /// Earlier attempts at the event.
    fn attempts(&self) -> Attempts;

    /// Whether this is the first delivery of an event, over a store behind a network. Of a fresh upload the destination
    /// is then not looked at before it is written: see [`Record::is_upload`].
    fn is_first(&self) -> bool {
        false
    }

    /// Renews the lease for its whole duration; called before work that may take long.
    ///
    /// # Errors
    /// The source cannot be reached.
    async fn extend(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Settles the event by its conclusion.
    ///
    /// # Errors
    /// The source cannot be written; the event is then delivered again.
    async fn settle(&mut self, conclusion: Conclusion) -> Result<(), StoreError>;

    /// Writes objects as [`Store::put_all`] does, and settles the event. In one transaction where queue and store
    /// are one; otherwise the objects come first. Where they are not written nothing is settled.
    ///
    /// # Errors
    /// As those of [`Store::put_all`].
    async fn commit(
        &mut self,
        store: &dyn Store,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
        conclusion: Conclusion,
    ) -> Result<Committed, StoreError> {
        let etags = store.put_all(puts, source).await?;
        Ok(Committed { etags, settled: self.settle(conclusion).await })
    }
}

/// Objects that were written.
#[derive(Debug)]
pub struct Committed {
    /// Their ETags, in order.
    pub etags: Vec<String>,
    /// Whether the event was settled with them; if not, it is delivered again and found up to date.
    pub settled: Result<(), StoreError>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// How the event is settled.
    pub disposition: Disposition,
    /// The outcome of its record.
    pub outcome: Outcome,
    /// The thumbnails.
    pub renditions: Vec<Location>,
    /// Steps that follow: the source queues each as an event of its own.
    pub steps: Vec<Record>,
}
