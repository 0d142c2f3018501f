//! A message of many records becomes as many messages of one: each then has a lease and retries of its own, and any worker
//! takes it. Otherwise one worker would hold all of them, and one record to be tried again would bring back them all.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tintype_pipeline::{event::Part, store::StoreError};
use tokio_util::sync::CancellationToken;

use crate::{Broker, Message, delivery::Heartbeat};

/// Records of one message that are worked on as they came.
pub(crate) const MOST_TOGETHER: usize = 16;
/// Messages published at once.
const AT_ONCE: usize = 32;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FanOut {
    /// Its records are messages of their own, and it is acknowledged.
    Published,
    /// The broker takes no events from this worker.
    Refused,
}

/// Publishes the records of a message, under its lease, and acknowledges it. Where that ends half-way it is delivered again, and
/// some records twice: the broker drops a second one where it knows ids, and otherwise it is found up to date.
pub(crate) async fn publish(
    message: &Arc<dyn Message>,
    broker: &dyn Broker,
    parts: &[Part],
    stop: &CancellationToken,
) -> Result<FanOut, StoreError> {
    let heartbeat = Heartbeat::start(message.clone());
    let events: Vec<_> = parts.iter().map(|part| Bytes::from(part.raw.to_string())).collect();
    let publish = |(index, event)| broker.publish(event, Some(format!("{}-{index}", message.id())));
    let all = stream::iter(events.into_iter().enumerate()).map(publish).buffer_unordered(AT_ONCE);
    let all = all.try_for_each(|()| async { Ok(()) });
    let published = tokio::select! {
        () = stop.cancelled() => Err(StoreError::Unavailable("the worker is stopping".into())),
        published = all => published,
    };
    drop(heartbeat);
    match published {
        Ok(()) => {
            message.acknowledge().await?;
            tracing::info!(
                id = message.id(),
                records = parts.len(),
                "the records of a message are messages of their own now"
            );
            Ok(FanOut::Published)
        }
        Err(error) if !stop.is_cancelled() => {
            tracing::warn!(
                id = message.id(), records = parts.len(), %error,
                "the records of a message could not be published one by one, so this worker works on all of them; it needs the \
                 right to publish events"
            );
            Ok(FanOut::Refused)
        }
        Err(error) => {
            message.retry_after(std::time::Duration::ZERO).await?;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{
            Mutex, PoisonError,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use async_trait::async_trait;
    use serde_json::{Value, json};
    use tintype_pipeline::{Conclusion, Delivery as _, Disposition, EventSource as _, Outcome};

    use super::*;
    use crate::{Backlog, DeadLetter, Intake, IntakeSettings};

    /// A queue in memory.
    #[derive(Default)]
    struct Queue {
        bodies: Mutex<VecDeque<Bytes>>,
        ids: Mutex<Vec<String>>,
        refuses: bool,
        counts: Arc<Counts>,
    }

    #[derive(Default)]
    struct Counts {
        acknowledged: AtomicUsize,
        returned: AtomicUsize,
        extended: AtomicUsize,
    }

    impl Queue {
        fn bodies(&self) -> std::sync::MutexGuard<'_, VecDeque<Bytes>> {
            self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    struct Queued(Bytes, Arc<Counts>);

    #[async_trait]
    impl Message for Queued {
        fn id(&self) -> &str {
            "queued"
        }
        fn body(&self) -> &[u8] {
            &self.0
        }
        fn deliveries(&self) -> u32 {
            1
        }
        fn published_ms(&self) -> Option<i64> {
            None
        }
        fn lease(&self) -> Duration {
            Duration::from_secs(30)
        }
        async fn extend(&self) -> Result<(), StoreError> {
            self.1.extended.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        async fn acknowledge(&self) -> Result<(), StoreError> {
            self.1.acknowledged.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        async fn retry_after(&self, _: Duration) -> Result<(), StoreError> {
            self.1.returned.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    #[async_trait]
    impl Broker for Queue {
        async fn receive(&self, most: usize) -> Result<Vec<Arc<dyn Message>>, StoreError> {
            let mut bodies = self.bodies();
            let count = most.min(bodies.len());
            Ok(bodies
                .drain(..count)
                .map(|body| Arc::new(Queued(body, self.counts.clone())) as Arc<dyn Message>)
                .collect())
        }
        async fn publish(&self, event: Bytes, id: Option<String>) -> Result<(), StoreError> {
            // As slow as a broker far away: longer than a lease for all of them.
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.refuses {
                return Err(StoreError::Denied("no right to publish".into()));
            }
            self.ids.lock().unwrap_or_else(PoisonError::into_inner).extend(id);
            self.bodies().push_back(event);
            Ok(())
        }
        async fn dead_letter(&self, _: &DeadLetter) -> Result<(), StoreError> {
            Ok(())
        }
        async fn backlog(&self) -> Result<Option<Backlog>, StoreError> {
            Ok(None)
        }
    }

    const RECORDS: usize = 10_000;

    fn queue_of_one_message(refuses: bool) -> Arc<Queue> {
        let record = |number: usize| json!({"eventVersion": "2.1", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "in"}, "object": {"key": format!("{number}.jpg")}}});
        let event = json!({"Records": (0..RECORDS).map(record).collect::<Vec<Value>>()});
        let queue = Queue { refuses, ..Queue::default() };
        queue.bodies().push_back(event.to_string().into());
        Arc::new(queue)
    }

    fn intake(queue: &Arc<Queue>) -> Intake {
        let settings = IntakeSettings {
            default_bucket: "in".into(),
            max_age: Duration::from_secs(3600),
            unrendered: 4,
            stop: CancellationToken::new(),
        };
        Intake::new(queue.clone(), settings, true)
    }

    fn done() -> Conclusion {
        let (renditions, steps) = (Vec::new(), Vec::new());
        Conclusion { disposition: Disposition::Ack, outcome: Outcome::UpToDate, renditions, steps }
    }

    #[tokio::test(start_paused = true)]
    async fn the_records_of_a_large_message_are_shared_by_workers() {
        let queue = queue_of_one_message(false);
        let (one, other) = (intake(&queue), intake(&queue));
        let mut keys = std::collections::BTreeSet::new();
        for number in 0..RECORDS {
            let intake = if number % 2 == 0 { &one } else { &other };
            let mut delivery = intake.next().await.unwrap().unwrap();
            keys.insert(delivery.record().unwrap().key.to_string());
            delivery.settle(done()).await.unwrap();
        }
        assert_eq!(keys.len(), RECORDS, "each record once");
        let counts = &queue.counts;
        assert_eq!(
            counts.acknowledged.load(Ordering::Relaxed),
            RECORDS + 1,
            "each by itself, and the message they came in"
        );
        assert!(counts.extended.load(Ordering::Relaxed) >= 10, "its lease was renewed meanwhile");
        let ids: std::collections::BTreeSet<_> = queue.ids.lock().unwrap().iter().cloned().collect();
        assert_eq!(ids.len(), RECORDS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_may_not_publish_works_on_all_of_them_under_one_lease() {
        let queue = queue_of_one_message(true);
        let intake = intake(&queue);
        for number in 0..RECORDS {
            let mut delivery = intake.next().await.unwrap().unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(queue.counts.acknowledged.load(Ordering::Relaxed), 0, "{number}");
            delivery.settle(done()).await.unwrap();
        }
        assert_eq!(queue.counts.acknowledged.load(Ordering::Relaxed), 1);
        // 1,000 s under leases of 30 s.
        assert!(queue.counts.extended.load(Ordering::Relaxed) >= 90);
        tokio::time::sleep(Duration::from_secs(100)).await;
        let extended = queue.counts.extended.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(queue.counts.extended.load(Ordering::Relaxed), extended, "not after it is settled");
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_taken_while_others_are_written() {
        let queue = Arc::new(Queue::default());
        for number in 0..10 {
            let event = json!({"key": format!("{number}.jpg")});
            queue.bodies().push_back(event.to_string().into());
        }
        let intake = intake(&queue);
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(intake.next().await.unwrap().unwrap());
        }
        let waiting = tokio::time::timeout(Duration::from_secs(60), intake.next()).await;
        assert!(waiting.is_err(), "four are to be rendered");
        taken[0].rendered();
        let fifth = tokio::time::timeout(Duration::from_secs(60), intake.next()).await;
        taken.push(fifth.unwrap().unwrap().unwrap());
        drop(taken.pop());
        assert!(tokio::time::timeout(Duration::from_secs(60), intake.next()).await.is_ok());
    }
}
