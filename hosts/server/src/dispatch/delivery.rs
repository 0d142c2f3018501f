//! The queue on disk as a source of events.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tintype_pipeline::{
    Attempts, Committed, Conclusion, Delivery, EventSource, Store,
    event::Record,
    store::{Put, SourceVersion, StoreError},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    queue::{DeadLetter, Lease, Next, Queue},
    storage::{DiskPort, StoreFault},
};

/// The queue is looked at at least this often, should the clock or a wake-up go astray.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The queue on disk. Like the store's, its futures wait for the disk on the thread that polls them.
pub(super) struct DiskQueue {
    pub(super) queue: Arc<Queue>,
    pub(super) store: DiskPort,
    /// Something may be due.
    pub(super) wake: Notify,
    /// No more is taken.
    pub(super) draining: CancellationToken,
    /// Called with events that became dead letters without another attempt.
    pub(super) on_dead_letter: Box<dyn Fn(&DeadLetter) + Send + Sync>,
}

/// An event under a lease. Its objects and its settlement are one transaction.
#[derive(Debug)]
pub struct DiskDelivery {
    lease: Arc<Lease>,
    record: Record,
    store: DiskPort,
    is_settled: bool,
}

#[async_trait]
impl EventSource for DiskQueue {
    type Delivery = DiskDelivery;

    /// May be dropped while it waits: an event that is leased is returned at once. Where the queue cannot be read it is
    /// looked at again.
    async fn next(&self) -> Result<Option<DiskDelivery>, StoreError> {
        while !self.draining.is_cancelled() {
            let sleep = match self.queue.lease() {
                Ok(Next::Lease(lease)) if !self.is_watched(&lease) => {
                    match self.queue.dead_letter_without_trigger(&lease) {
                        Ok(dead_letter) => {
                            (self.on_dead_letter)(&dead_letter);
                            tokio::task::yield_now().await;
                            continue;
                        }
                        Err(error) => {
                            tracing::error!(%error, object = %lease.at, "an event could not be settled; it is due again");
                            LONGEST_SLEEP
                        }
                    }
                }
                Ok(Next::Lease(lease)) => {
                    // Where there was one there may be another, for another worker.
                    self.wake.notify_one();
                    return Ok(Some(DiskDelivery::new(*lease, self.store.clone())));
                }
                Ok(Next::DeadLetter(letter, lease)) => {
                    (self.on_dead_letter)(&letter);
                    drop(lease);
                    // There may be very many: others are polled in between.
                    tokio::task::yield_now().await;
                    continue;
                }
                Ok(Next::Wait(time)) => time.min(LONGEST_SLEEP),
                Ok(Next::Empty) => LONGEST_SLEEP,
                Err(error) => {
                    tracing::error!(%error, "the queue cannot be read");
                    LONGEST_SLEEP
                }
            };
            tokio::select! {
                () = self.draining.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
        Ok(None)
    }
}

impl DiskQueue {
    /// Whether a trigger watches the bucket of a leased event: the one that did may have been renamed since.
    fn is_watched(&self, lease: &Lease) -> bool {
        let triggers = self.store.storage().notifications.triggers();
        triggers.iter().any(|trigger| trigger.bucket == lease.at.bucket)
    }
}

impl DiskDelivery {
    /// For an event that was leased.
    #[must_use]
    pub fn new(lease: Lease, store: DiskPort) -> Self {
        Self { record: lease.record(), lease: Arc::new(lease), store, is_settled: false }
    }

    /// Whether nothing is left to be done with the event.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// The lease, which lasts as long as anybody holds it.
    #[must_use]
    pub const fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }
}

#[async_trait]
impl Delivery for DiskDelivery {
    fn record(&self) -> Result<&Record, &str> {
        Ok(&self.record)
    }

    fn attempts(&self) -> Attempts {
        self.lease.attempts()
    }

    async fn settle(&mut self, conclusion: Conclusion) -> Result<(), StoreError> {
        check_steps(&conclusion)?;
        self.lease.queue().settle(&self.lease, &conclusion).map_err(StoreFault::from)?;
        self.is_settled = true;
        Ok(())
    }

    async fn commit(
        &mut self,
        _: &dyn Store,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
        conclusion: Conclusion,
    ) -> Result<Committed, StoreError> {
        check_steps(&conclusion)?;
        self.store.check_puts(&puts)?;
        let settlement = self.lease.settlement();
        let etags = self.store.storage().objects.put_all(puts, source.cloned(), Some(settlement))?;
        self.lease.queue().note_settled(&self.lease);
        self.is_settled = true;
        Ok(Committed { etags, settled: Ok(()) })
    }
}

/// The ledger has no events of steps yet, and the server is started with none: better an error than one that is lost.
fn check_steps(conclusion: &Conclusion) -> Result<(), StoreError> {
    match conclusion.steps.first() {
        None => Ok(()),
        Some(step) => Err(StoreError::Unavailable(format!(
            "the queue on disk takes no event of {}: start the server without this step",
            step.name
        ))),
    }
}
