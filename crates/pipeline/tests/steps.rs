//! Steps that follow a commit of renditions.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use tintype_engine::Limits;
use tintype_pipeline::{
    Attempts, Call, Conclusion, Delivery, Disposition, Failure, Location, ObjectKey, Outcome, Reason,
    RetryPolicy, Step, Stop, Store, Thumbnails,
    event::{Kind, Record},
    store::{Condition, Put, StoreError},
    trigger::Trigger,
};
use tintype_stores::MemoryStore;

/// Fails once, then writes a description beside the thumbnail.
struct Describe(AtomicU32);

#[async_trait]
impl Step for Describe {
    fn name(&self) -> &'static str {
        "describe"
    }

    async fn run(&self, store: &dyn Store, record: &Record) -> Result<Outcome, Failure> {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(Failure::new(Reason::Internal, "the model answered nonsense"));
        }
        let description = at("out", &format!("{}.txt", record.key));
        store.put(put(description, b"a red dot")).await?;
        Ok(Outcome::Rendered)
    }
}

struct TestDelivery<'a> {
    record: Record,
    attempts: Attempts,
    queue: &'a mut VecDeque<(Record, Attempts)>,
}

#[async_trait]
impl Delivery for TestDelivery<'_> {
    fn record(&self) -> Result<&Record, &str> {
        Ok(&self.record)
    }

    fn attempts(&self) -> Attempts {
        self.attempts
    }

    async fn settle(&mut self, conclusion: Conclusion) -> Result<(), StoreError> {
        self.queue.extend(conclusion.steps.into_iter().map(|step| (step, Attempts::default())));
        if let Disposition::RetryAfter(_) = conclusion.disposition {
            let attempts = Attempts { failed: self.attempts.failed + 1, ..self.attempts };
            self.queue.push_back((self.record.clone(), attempts));
        }
        Ok(())
    }
}

fn at(bucket: &str, key: &str) -> Location {
    Location { bucket: bucket.into(), key: ObjectKey::new(key).unwrap() }
}

fn put(at: Location, bytes: &'static [u8]) -> Put {
    let (condition, metadata) = (Condition::Any, [].into());
    Put { at, condition, bytes: bytes.into(), content_type: String::new(), metadata }
}

#[tokio::test]
async fn a_step_follows_a_commit_as_an_event_of_its_own() {
    const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    let store = MemoryStore::with_buckets(&["in", "out"]);
    store.put(put(at("in", "dot.gif"), GIF)).await.unwrap();
    let triggers = [Trigger { bucket: "in".into(), destination: "out".into(), ..Trigger::default() }];
    let thumbnails = Thumbnails::new(Limits::default(), 64 << 20, 1).unwrap();
    let thumbnails = thumbnails.with_step(Arc::new(Describe(AtomicU32::new(0))));
    let policy = RetryPolicy { retries: 2, delays: Vec::new() };
    let (created, stop) =
        (Record::new(Kind::Created, "ObjectCreated:Put", at("in", "dot.gif")), Stop::never());
    let mut queue = VecDeque::from([(created.clone(), Attempts::default())]);
    let mut outcomes = Vec::new();
    while let Some((record, attempts)) = queue.pop_front() {
        let kind = record.kind;
        let mut delivery = TestDelivery { record, attempts, queue: &mut queue };
        let call = Call { triggers: &triggers, stop: &stop };
        let attempt = thumbnails.attempt(call, &policy, &store, &mut delivery).await;
        outcomes.push((kind, attempt.report.outcome.name()));
        attempt.settle(&mut delivery).await.unwrap();
    }
    let step = Kind::Step("describe");
    assert_eq!(outcomes, [(Kind::Created, "made"), (step, "failed"), (step, "made")]);
    assert!(store.head(&at("out", "dot.gif.txt")).await.unwrap().is_some());

    // An attempt may have ended between commit and settlement: steps follow current thumbnails, too.
    let mut delivery = TestDelivery { record: created, attempts: Attempts::default(), queue: &mut queue };
    let call = Call { triggers: &triggers, stop: &stop };
    let attempt = thumbnails.attempt(call, &policy, &store, &mut delivery).await;
    assert_eq!(attempt.report.outcome, Outcome::UpToDate);
    attempt.settle(&mut delivery).await.unwrap();
    assert_eq!(queue.len(), 1);
}
