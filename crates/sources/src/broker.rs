//! The port to brokers.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tintype_pipeline::store::StoreError;

use crate::DeadLetter;

/// What waits at a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Messages that wait for their first delivery or for another one.
    pub messages: u64,
    /// How long the oldest has waited, where the broker knows it.
    pub oldest: Option<Duration>,
}

/// Holds messages until they are acknowledged. Where it cannot be reached a call fails with
/// [`StoreError::Unavailable`].
#[async_trait]
pub trait Broker: Send + Sync {
    /// Waits a while for messages, and leases at most `most` of them; none came in time if there are none.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    async fn receive(&self, most: usize) -> Result<Vec<Arc<dyn Message>>, StoreError>;

    /// Stores an event durably, for any worker. One of an `id` that was stored shortly before may be dropped.
    ///
    /// # Errors
    /// As for [`Broker::receive`].
    async fn publish(&self, event: Bytes, id: Option<String>) -> Result<(), StoreError>;

    /// Stores a dead letter durably. One of the same id may be stored once.
    ///
    /// # Errors
    /// As for [`Broker::receive`].
    async fn dead_letter(&self, letter: &DeadLetter) -> Result<(), StoreError>;

    /// What waits; `None` where the broker cannot tell.
    ///
    /// # Errors
    /// As for [`Broker::receive`].
    async fn backlog(&self) -> Result<Option<Backlog>, StoreError>;
}

/// A message under a lease.
#[async_trait]
pub trait Message: Send + Sync {
    /// Names it in logs and dead letters; the same at every delivery.
    fn id(&self) -> &str;

    /// The event.
    fn body(&self) -> &[u8];

    /// Deliveries including this one.
    fn deliveries(&self) -> u32;

    /// Milliseconds since 1970 when it was published.
    fn published_ms(&self) -> Option<i64>;

    /// How long a lease lasts.
    fn lease(&self) -> Duration;

    /// Renews the lease.
    ///
    /// # Errors
    /// The broker cannot be reached, or the lease is over.
    async fn extend(&self) -> Result<(), StoreError>;

    /// Removes the message; returns once the broker has confirmed it.
    ///
    /// # Errors
    /// As for [`Message::extend`]: the message is delivered again.
    async fn acknowledge(&self) -> Result<(), StoreError>;

    /// Ends the lease: the message is delivered again after `delay`.
    ///
    /// # Errors
    /// As for [`Message::extend`].
    async fn retry_after(&self, delay: Duration) -> Result<(), StoreError>;
}
