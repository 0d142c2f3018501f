//! The pipeline's source of events over any broker.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;
use tintype_pipeline::{
    EventSource,
    event::{self, Event, Part},
    store::StoreError,
};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    Broker, Message, MessageDelivery,
    delivery::{Heartbeat, Lease},
    fan_out::{self, FanOut},
};

/// A message from this length on may have many records, which take long to publish one by one.
const LARGE: usize = 8 << 10;
/// After a failure of the broker.
const PAUSE: Duration = Duration::from_secs(1);

/// How events are taken.
#[derive(Debug, Clone)]
pub struct IntakeSettings {
    /// The bucket of `{"key": "photo.jpg"}`.
    pub default_bucket: String,
    /// A failing event older than this becomes a dead letter instead of being retried.
    pub max_age: Duration,
    /// Events taken at once whose thumbnails are not rendered yet. What is rendered and being written does not count.
    pub unrendered: usize,
    /// No more is taken once it is cancelled.
    pub stop: CancellationToken,
}

/// Takes as many messages as there are workers waiting, and hands out their records.
pub struct Intake {
    broker: Arc<dyn Broker>,
    settings: IntakeSettings,
    /// Whether fresh uploads may be written before their destination is looked at.
    writes_first: bool,
    unrendered: Arc<Semaphore>,
    waiting: AtomicUsize,
    ready: Mutex<VecDeque<MessageDelivery>>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A worker that waits, counted until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Intake {
    /// Over a broker. `writes_first`: whether fresh uploads may be written before their destination is looked at; only
    /// over stores that honour conditions.
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>, settings: IntakeSettings, writes_first: bool) -> Self {
        let unrendered = Arc::new(Semaphore::new(settings.unrendered.max(1)));
        let (waiting, ready) = (AtomicUsize::new(0), Mutex::default());
        Self { broker, settings, writes_first, unrendered, waiting, ready }
    }

    /// Ends the leases of what was received and not taken, so that other workers get it at once.
    pub async fn release(&self) {
        let ready = std::mem::take(&mut *self.ready.lock().await);
        let mut released: Vec<Arc<Lease>> = Vec::new();
        for delivery in ready {
            let lease = delivery.lease();
            if released.iter().any(|known| Arc::ptr_eq(known, lease)) {
                continue;
            }
            if let Err(error) = lease.release().await {
                tracing::warn!(%error, "an event that was not begun could not be returned; it is delivered again after its lease");
            }
            released.push(lease.clone());
        }
    }

    /// The records of a message; none of one that could not be settled, which is delivered again.
    async fn split_or_leave(&self, message: Arc<dyn Message>) -> Vec<MessageDelivery> {
        self.split(message).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "an event without records could not be acknowledged");
            Vec::new()
        })
    }

    /// The records of a message. One that cannot be read is a record that failed. Those of a message with many become
    /// messages of their own, for any worker.
    async fn split(&self, message: Arc<dyn Message>) -> Result<Vec<MessageDelivery>, StoreError> {
        let body = message.body();
        let parts = match event::parse(body, &self.settings.default_bucket, event::MOST_RECORDS) {
            Ok(Event::Records(parts)) => parts,
            Ok(Event::Test) => Vec::new(),
            Err(why) => {
                let text = || Value::String(String::from_utf8_lossy(body).into_owned());
                let raw = serde_json::from_slice(body).unwrap_or_else(|_| text());
                vec![Part { message_id: None, record: Err(why), is_repeated: false, occurred_ms: None, raw }]
            }
        };
        if parts.is_empty() {
            message.acknowledge().await?;
            return Ok(Vec::new());
        }
        if parts.len() > fan_out::MOST_TOGETHER {
            match fan_out::publish(&message, self.broker.as_ref(), &parts, &self.settings.stop).await? {
                FanOut::Published => return Ok(Vec::new()),
                FanOut::Refused => {}
            }
        }
        let writes_first = self.writes_first;
        Ok(Lease::deliveries(message, self.broker.clone(), parts, self.settings.max_age, writes_first))
    }
}

#[async_trait]
impl EventSource for Intake {
    type Delivery = MessageDelivery;

    /// One worker receives for all that wait; the others wait for it.
    async fn next(&self) -> Result<Option<MessageDelivery>, StoreError> {
        let slot = tokio::select! {
            () = self.settings.stop.cancelled() => return Ok(None),
            // The semaphore is never closed.
            slot = self.unrendered.clone().acquire_owned() => slot.ok(),
        };
        let _waiting = Waiting::new(&self.waiting);
        let mut ready = self.ready.lock().await;
        loop {
            if self.settings.stop.is_cancelled() {
                return Ok(None);
            }
            if let Some(delivery) = ready.pop_front() {
                return Ok(Some(delivery.in_slot(slot)));
            }
            let receiving = self.broker.receive(self.waiting.load(Ordering::Relaxed).max(1));
            let received = tokio::select! {
                () = self.settings.stop.cancelled() => return Ok(None),
                received = receiving => received,
            };
            let received = match received {
                Ok(received) => received,
                Err(error) => {
                    // Under the lock: the others would only meet the same.
                    tokio::select! {
                        () = self.settings.stop.cancelled() => {}
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                    return Err(error);
                }
            };
            let (large, small): (Vec<_>, Vec<_>) =
                received.into_iter().partition(|message| message.body().len() >= LARGE);
            for message in small {
                ready.extend(self.split_or_leave(message).await);
            }
            if large.is_empty() {
                continue;
            }
            // Others work meanwhile, and those that wait for their turn here remain leased.
            drop(ready);
            let held: Vec<_> =
                large.into_iter().map(|message| (Heartbeat::start(message.clone()), message)).collect();
            for (heartbeat, message) in held {
                drop(heartbeat);
                let deliveries = self.split_or_leave(message).await;
                self.ready.lock().await.extend(deliveries);
            }
            ready = self.ready.lock().await;
        }
    }
}
