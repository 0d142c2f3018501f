//! One record of a message, and the settlement of the message once all of its records are done.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tintype_pipeline::{
    Attempts, Committed, Conclusion, Delivery, Disposition, Failure, Outcome, Reason, RetryPolicy, Store,
    clock::now_ms,
    event::{Part, Record},
    store::{Put, SourceVersion, StoreError},
};
use tokio::{sync::OwnedSemaphorePermit, task::AbortHandle};

use crate::{Broker, DeadLetter, Message};

/// The reason of events that failed until they were too old for another attempt.
const TOO_OLD: &str = "event_age";
/// An event that is delivered more often ends the processes that attempt it, or is never settled.
const MOST_DELIVERIES: u32 = 100;

/// A record taken for one attempt. Dropped without being settled, its message is delivered again once its lease is over.
pub struct MessageDelivery {
    pub(crate) part: Part,
    index: usize,
    /// See [`Delivery::is_first`].
    is_first: bool,
    request_id: String,
    lease: Arc<Lease>,
    /// A place among the events that are to be rendered; see [`MessageDelivery::rendered`].
    slot: Option<OwnedSemaphorePermit>,
}

/// How a record is settled.
#[derive(Debug, Clone)]
enum Verdict {
    Done,
    RetryAfter(Duration),
    Dead(DeadLetter),
}

/// Why an event gets no other attempt.
#[derive(Debug, Clone)]
pub struct Exhausted {
    /// What is reported.
    pub failure: Failure,
    /// The reason in the dead letter.
    reason: &'static str,
}

/// The verdicts on the records of a message.
#[derive(Debug)]
struct Verdicts {
    /// Of each record, once there is one; taken with the last.
    of: Vec<Option<Verdict>>,
    /// Records without one.
    open: usize,
}

/// A message under a lease that is renewed until it is settled, or until nobody holds it.
pub(crate) struct Lease {
    message: Arc<dyn Message>,
    broker: Arc<dyn Broker>,
    max_age: Duration,
    verdicts: Mutex<Verdicts>,
    heartbeat: Heartbeat,
}

/// Renews a lease three times in its duration, until dropped or stopped.
pub(crate) struct Heartbeat(AbortHandle);

impl Heartbeat {
    pub(crate) fn start(message: Arc<dyn Message>) -> Self {
        Self(tokio::spawn(renew(message)).abort_handle())
    }

    fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for MessageDelivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageDelivery").field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

impl Lease {
    /// The deliveries of a message's records. `writes_first`: whether fresh uploads may be written before their
    /// destination is looked at.
    pub(crate) fn deliveries(
        message: Arc<dyn Message>,
        broker: Arc<dyn Broker>,
        parts: Vec<Part>,
        max_age: Duration,
        writes_first: bool,
    ) -> Vec<MessageDelivery> {
        let deliveries = message.deliveries();
        let request_id = format!("{}-{deliveries}", message.id());
        let heartbeat = Heartbeat::start(message.clone());
        let verdicts = Mutex::new(Verdicts { of: vec![None; parts.len()], open: parts.len() });
        let lease = Arc::new(Self { message, broker, max_age, verdicts, heartbeat });
        let records = parts.into_iter().enumerate();
        let delivery = |(index, part): (usize, Part)| MessageDelivery {
            is_first: writes_first && deliveries <= 1 && !part.is_repeated,
            part,
            index,
            request_id: request_id.clone(),
            lease: lease.clone(),
            slot: None,
        };
        records.map(delivery).collect()
    }

    /// Ends the lease, so that another worker gets the message at once.
    pub(crate) async fn release(&self) -> Result<(), StoreError> {
        self.heartbeat.stop();
        self.message.retry_after(Duration::ZERO).await
    }

    /// Notes a verdict; settles the message with the last one. Dead letters are sent only once nothing is left to retry, so
    /// that each failure becomes one dead letter, not one for each attempt.
    async fn settle(&self, index: usize, verdict: Verdict) -> Result<(), StoreError> {
        let Some(verdicts) = self.note(index, verdict)? else { return Ok(()) };
        let settled = self.settle_message(verdicts).await;
        self.heartbeat.stop();
        settled
    }

    /// Returns all verdicts with the last one.
    fn note(&self, index: usize, verdict: Verdict) -> Result<Option<Vec<Option<Verdict>>>, StoreError> {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = verdicts.of.get_mut(index) else {
            return Err(StoreError::Unavailable(
                "its message was settled before, or the attempt was stopped while it was".into(),
            ));
        };
        if place.replace(verdict).is_none() {
            verdicts.open -= 1;
        }
        Ok((verdicts.open == 0).then(|| std::mem::take(&mut verdicts.of)))
    }

    async fn settle_message(&self, verdicts: Vec<Option<Verdict>>) -> Result<(), StoreError> {
        let mut dead = Vec::new();
        let mut retry_after: Option<Duration> = None;
        for verdict in verdicts.into_iter().flatten() {
            match verdict {
                Verdict::Done => {}
                Verdict::RetryAfter(delay) => {
                    retry_after = Some(retry_after.map_or(delay, |known| known.max(delay)));
                }
                Verdict::Dead(letter) => dead.push(letter),
            }
        }
        if let Some(delay) = retry_after {
            return self.message.retry_after(delay).await;
        }
        for letter in dead {
            if let Err(error) = self.broker.dead_letter(&letter).await {
                // The event must not be lost; the next attempt fails the same way and tries again.
                self.message.retry_after(RetryPolicy::backoff(self.message.deliveries())).await?;
                return Err(error);
            }
        }
        self.message.acknowledge().await
    }
}

async fn renew(message: Arc<dyn Message>) {
    loop {
        tokio::time::sleep(message.lease() / 3).await;
        if let Err(error) = message.extend().await {
            tracing::warn!(id = message.id(), %error, "a lease could not be renewed; the event may be delivered again");
        }
    }
}

impl MessageDelivery {
    /// Names the attempt in logs and dead letters.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Milliseconds since 1970 when the object was written; where the event does not say so, when it was published.
    #[must_use]
    pub fn occurred_ms(&self) -> Option<i64> {
        self.part.occurred_ms.or_else(|| self.lease.message.published_ms())
    }

    /// Deliveries of the message including this one.
    #[must_use]
    pub fn deliveries(&self) -> u32 {
        self.lease.message.deliveries()
    }

    /// Why the event is to become a dead letter before another attempt: it was delivered too often, or again although it
    /// is too old. An event that ends the process of its attempt is never settled after one.
    #[must_use]
    pub fn exhausted(&self) -> Option<Exhausted> {
        let deliveries = self.deliveries();
        if deliveries > MOST_DELIVERIES {
            let message = format!(
                "the event was delivered {deliveries} times and never settled: the store was away for long, or every attempt ended with its process; see the log of the workers, and send the event again once the cause is removed"
            );
            let failure = Failure::new(Reason::Internal, message);
            return Some(Exhausted { reason: failure.reason.name(), failure });
        }
        let age = self.excess_age().filter(|_| deliveries > 1)?;
        let failure = Failure::new(Reason::Stopped, self.too_old(age, "not known to this worker"));
        Some(Exhausted { reason: TOO_OLD, failure })
    }

    /// Settles the event as a dead letter without an attempt.
    ///
    /// # Errors
    /// As those of [`Delivery::settle`].
    pub async fn give_up(&self, why: &Exhausted) -> Result<(), StoreError> {
        let letter = self.letter(why.reason, why.failure.message.clone());
        self.lease.settle(self.index, Verdict::Dead(letter)).await
    }

    pub(crate) fn in_slot(self, slot: Option<OwnedSemaphorePermit>) -> Self {
        Self { slot, ..self }
    }

    /// Nothing of it is to be rendered any more: another event may take its place.
    pub(crate) fn rendered(&mut self) {
        self.slot = None;
    }

    pub(crate) fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    fn letter(&self, reason: &str, message: String) -> DeadLetter {
        DeadLetter {
            id: format!("{}-{}", self.lease.message.id(), self.index),
            request_id: self.request_id.clone(),
            event: self.part.raw.clone(),
            reason: reason.to_owned(),
            message,
        }
    }

    /// How long the event has waited, if it is older than allowed.
    fn excess_age(&self) -> Option<Duration> {
        let published = self.lease.message.published_ms()?;
        let age = Duration::from_millis(u64::try_from(now_ms() - published).unwrap_or(0));
        (age > self.lease.max_age).then_some(age)
    }

    fn too_old(&self, age: Duration, last: &str) -> String {
        format!(
            "the event is {} s old, more than function.max_event_age ({} s) allows; last error: {last}",
            age.as_secs(),
            self.lease.max_age.as_secs(),
        )
    }

    fn verdict(&self, conclusion: &Conclusion) -> Verdict {
        let failure = match &conclusion.outcome {
            Outcome::Failed(failure) => Some(failure),
            Outcome::Rendered | Outcome::UpToDate | Outcome::Removed | Outcome::Ignored(_) => None,
        };
        match (conclusion.disposition, failure) {
            (Disposition::Ack, _) | (Disposition::DeadLetter(_), None) => Verdict::Done,
            (Disposition::DeadLetter(reason), Some(failure)) => {
                Verdict::Dead(self.letter(reason.name(), failure.message.clone()))
            }
            // A shutdown.
            (Disposition::Defer(Duration::ZERO), _) => Verdict::RetryAfter(Duration::ZERO),
            (Disposition::RetryAfter(delay) | Disposition::Defer(delay), failure) => {
                match self.excess_age() {
                    None => Verdict::RetryAfter(delay),
                    Some(age) => {
                        let last = failure.map_or("none", |failure| failure.message.as_str());
                        Verdict::Dead(self.letter(TOO_OLD, self.too_old(age, last)))
                    }
                }
            }
        }
    }
}

#[async_trait]
impl Delivery for MessageDelivery {
    fn record(&self) -> Result<&Record, &str> {
        self.part.record.as_ref().map_err(String::as_str)
    }

    /// Brokers count deliveries, not how each ended: an attempt that ended with its worker, or was deferred, counts as
    /// a failed one, too, once the event fails in a way that is counted.
    fn attempts(&self) -> Attempts {
        let earlier = self.deliveries().saturating_sub(1);
        Attempts { failed: earlier, deferred: earlier, timed_out: 0 }
    }

    fn is_first(&self) -> bool {
        self.is_first
    }

    async fn extend(&mut self) -> Result<(), StoreError> {
        // The heartbeat does it.
        Ok(())
    }

    async fn commit(
        &mut self,
        store: &dyn Store,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
        conclusion: Conclusion,
    ) -> Result<Committed, StoreError> {
        self.rendered();
        let etags = store.put_all(puts, source).await?;
        Ok(Committed { etags, settled: self.settle(conclusion).await })
    }

    async fn settle(&mut self, conclusion: Conclusion) -> Result<(), StoreError> {
        self.rendered();
        if let Some(step) = conclusion.steps.first() {
            return Err(StoreError::Unavailable(format!(
                "this source takes no event of {}: start the worker without this step",
                step.name
            )));
        }
        let verdict = self.verdict(&conclusion);
        self.lease.settle(self.index, verdict).await
    }
}

#[cfg(test)]
mod tests {
    use tintype_pipeline::{
        EventSource as _,
        store::{Condition, Location, ObjectKey, Put, Store as _},
    };
    use tintype_stores::MemoryStore;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        Intake, IntakeSettings,
        poll::{Poll, PollSettings},
    };

    #[tokio::test(start_paused = true)]
    async fn an_event_of_too_many_deliveries_is_given_up() {
        let store = Arc::new(MemoryStore::with_buckets(&["in", "out"]));
        let at = Location { bucket: "in".into(), key: ObjectKey::new("a.jpg").unwrap() };
        let bytes = bytes::Bytes::from_static(b"x");
        let (content_type, metadata) = (String::new(), [].into());
        store.put(Put { at, condition: Condition::Any, bytes, content_type, metadata }).await.unwrap();
        let settings = PollSettings {
            sources: vec![("in".into(), String::new())],
            destination: "out".into(),
            interval: Duration::from_secs(60),
        };
        let settings_of_intake = IntakeSettings {
            default_bucket: "in".into(),
            max_age: Duration::from_secs(6 * 3600),
            unrendered: 1,
            stop: CancellationToken::new(),
        };
        let poll = Arc::new(Poll::new(store.clone(), settings));
        let intake = Intake::new(poll.clone(), settings_of_intake, true);
        for _ in 0..MOST_DELIVERIES {
            let delivery = intake.next().await.unwrap().unwrap();
            assert!(delivery.exhausted().is_none());
            delivery.lease.release().await.unwrap();
        }
        let delivery = intake.next().await.unwrap().unwrap();
        let why = delivery.exhausted().unwrap();
        assert_eq!((why.reason, delivery.deliveries()), ("internal", MOST_DELIVERIES + 1));
        delivery.give_up(&why).await.unwrap();
        let key = format!(".tintype/dead-letters/{}.json", delivery.letter("", String::new()).id);
        let letter = Location { bucket: "out".into(), key: ObjectKey::new(&key).unwrap() };
        assert!(store.head(&letter).await.unwrap().is_some());
        assert_eq!(poll.backlog().await.unwrap().unwrap().messages, 0);
        assert!(delivery.give_up(&why).await.is_err(), "it was settled");
    }
}
