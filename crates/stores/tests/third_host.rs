//! A third host of public APIs only: 1,000 events of an in-memory queue, some of which fail.

use std::{collections::VecDeque, sync::Arc, sync::Mutex, time::Instant};

use async_trait::async_trait;
use tintype_pipeline::{
    Attempts, Call, Conclusion, Delivery, Disposition, EventSource, Location, ObjectKey, Reason, RetryPolicy,
    Stop, Store as _, Thumbnails,
    event::{Kind, Record},
    store::{Condition, Put, StoreError},
    trigger::Trigger,
};
use tintype_stores::MemoryStore;

#[derive(Clone, Default)]
struct Queue(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    ready: VecDeque<(Record, Attempts)>,
    retries: usize,
    dead_letters: Vec<Reason>,
}

struct LeasedEvent(Queue, Record, Attempts);

#[async_trait]
impl EventSource for Queue {
    type Delivery = LeasedEvent;

    /// Ends once the queue is empty: a worker that returns an event polls again.
    async fn next(&self) -> Result<Option<LeasedEvent>, StoreError> {
        let event = self.0.lock().unwrap().ready.pop_front();
        Ok(event.map(|(record, attempts)| LeasedEvent(self.clone(), record, attempts)))
    }
}

#[async_trait]
impl Delivery for LeasedEvent {
    fn record(&self) -> Result<&Record, &str> {
        Ok(&self.1)
    }

    fn attempts(&self) -> Attempts {
        self.2
    }

    async fn settle(&mut self, conclusion: Conclusion) -> Result<(), StoreError> {
        let mut state = self.0.0.lock().unwrap();
        match conclusion.disposition {
            Disposition::Ack => {}
            Disposition::DeadLetter(reason) => state.dead_letters.push(reason),
            Disposition::RetryAfter(_) | Disposition::Defer(_) => {
                state.retries += 1;
                let attempts = Attempts { failed: self.2.failed + 1, ..self.2 };
                state.ready.push_back((self.1.clone(), attempts));
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_thousand_events() {
    const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    let (store, queue) = (MemoryStore::with_buckets(&["in", "out"]), Queue::default());
    for n in 0..1000 {
        let at = Location { bucket: "in".into(), key: ObjectKey::new(&n.to_string()).unwrap() };
        let bytes = if n % 10 == 9 { "no image".into() } else { GIF.into() };
        let (condition, metadata) = (Condition::Any, [].into());
        let put = Put { at: at.clone(), condition, bytes, content_type: "image/gif".into(), metadata };
        store.put(put).await.unwrap();
        let record = Record::new(Kind::Created, "ObjectCreated:Put", at);
        queue.0.lock().unwrap().ready.push_back((record, Attempts::default()));
    }
    let trigger = Trigger {
        bucket: "in".into(),
        destination: "out".into(),
        suffixes: tintype_pipeline::Suffixes::EVERY_KEY,
        ..Trigger::default()
    };
    let thumbnails = Thumbnails::new(Default::default(), 64 << 20, 2).unwrap();
    let policy = RetryPolicy { retries: 2, delays: vec![] };
    let work = async || {
        while let Some(mut event) = queue.next().await.unwrap() {
            // Keys that end in 1 time out once, those that end in 2 each time.
            let (key, failed) = (event.1.key.as_str(), event.2.failed);
            let times_out = key.ends_with('2') || (key.ends_with('1') && failed == 0);
            let stop = if times_out { Stop::never().by(Instant::now()) } else { Stop::never() };
            let call = Call { triggers: std::slice::from_ref(&trigger), stop: &stop };
            let attempt = thumbnails.attempt(call, &policy, &store, &mut event).await;
            attempt.settle(&mut event).await.unwrap();
        }
    };
    tokio::join!(work(), work(), work(), work());
    assert_eq!(store.list("out", "thumb_", None, 1000).await.unwrap().objects.len(), 800);
    let state = queue.0.lock().unwrap();
    let dead = |reason| state.dead_letters.iter().filter(|of| **of == reason).count();
    assert_eq!((dead(Reason::Unsupported), dead(Reason::Stopped), state.retries), (100, 100, 300));
}
