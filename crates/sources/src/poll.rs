//! Buckets that are polled: for stores that send no events. Every pass lists all of them, and looks at the versions that the last
//! one did not see, whatever their dates: copies may have those of their originals. How far a pass is and what the last one saw
//! are objects, so that a worker continues where another ended.

use std::{
    collections::VecDeque,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tintype_pipeline::{
    Location, ObjectKey, Store,
    clock::now_ms,
    event::form_encoded,
    hex,
    store::{Condition, Put, Stat, StoreError},
};
use tokio::{
    sync::{Mutex, Notify},
    time::Instant,
};

use crate::{
    Backlog, Broker, DeadLetter, Message,
    seen::{self, Listed, Seen},
};

/// Keys of one page.
const PAGE: usize = 1000;
const CHECKPOINT: &str = "poll-checkpoint.json";
const SEEN: &str = "poll-seen.bin";
/// By how much the store's clock may differ from this machine's, for what is not remembered: what was written within is looked
/// at again, and found current.
const CLOCK_DIFFERENCE_MS: i64 = 15 * 60 * 1000;
/// The lease of a message, which is nobody else's.
const LEASE: Duration = Duration::from_secs(3600);
const LARGEST_BODY: usize = 16 << 20;
const JSON: &str = "application/json";

/// What is polled.
#[derive(Debug, Clone)]
pub struct PollSettings {
    /// Buckets and prefixes, none within another.
    pub sources: Vec<(String, String)>,
    /// Where the checkpoint and dead letters are stored, below `.tintype/`.
    pub destination: String,
    /// From the beginning of one pass to that of the next.
    pub interval: Duration,
}

/// How far a pass is. The one before began at `since_ms`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    since_ms: i64,
    /// When the pass under way began; `None` between two.
    began_ms: Option<i64>,
    /// The index of the source under way, and the last key that was done.
    source: usize,
    after: Option<String>,
}

/// Buckets that are polled.
pub struct Poll {
    store: Arc<dyn Store>,
    settings: PollSettings,
    pass: Mutex<Pass>,
    open: Arc<Open>,
}

/// What was listed and is not settled.
#[derive(Default)]
struct Open {
    state: std::sync::Mutex<OpenState>,
    changed: Notify,
}

#[derive(Default)]
struct OpenState {
    count: usize,
    /// Due again at a time.
    retries: Vec<(Instant, Arc<Polled>)>,
}

/// The listing under way.
struct Pass {
    /// `None` before it is read.
    checkpoint: Option<Checkpoint>,
    /// The checkpoint as it is stored.
    stored: Option<Checkpoint>,
    /// What the pass before saw.
    seen: Seen,
    /// Whether it is stored.
    is_seen_stored: bool,
    /// What this pass saw of what it listed.
    saw: Listed,
    /// Its beginning was listed by another process.
    is_resumed: bool,
    /// To be looked at.
    listed: VecDeque<(Location, Stat)>,
    next_pass: Instant,
}

impl Pass {
    fn new() -> Self {
        Self {
            checkpoint: None,
            stored: None,
            seen: Seen::default(),
            is_seen_stored: true,
            saw: Listed::default(),
            is_resumed: false,
            listed: VecDeque::new(),
            next_pass: Instant::now(),
        }
    }
}

impl std::fmt::Debug for Poll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poll").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Poll {
    /// Over a store. Nothing is sent yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, mut settings: PollSettings) -> Self {
        // What is remembered is told apart by this order.
        settings.sources.sort_unstable();
        Self { store, settings, pass: Mutex::new(Pass::new()), open: Arc::default() }
    }

    fn at(&self, name: &str) -> Result<Location, StoreError> {
        let key = ObjectKey::new(&format!(".tintype/{name}")).map_err(StoreError::Corrupt)?;
        Ok(Location { bucket: self.settings.destination.clone(), key })
    }

    async fn read_checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let at = self.at(CHECKPOINT)?;
        let Some(object) = self.store.get(&at, 1 << 16).await? else { return Ok(Checkpoint::default()) };
        let read: Result<Checkpoint, _> = serde_json::from_slice(&object.bytes);
        match read {
            Ok(checkpoint) if checkpoint.source < self.settings.sources.len().max(1) => Ok(checkpoint),
            // Other triggers: everything is looked at again.
            Ok(_) => Ok(Checkpoint::default()),
            Err(error) => {
                tracing::warn!(%at, %error, "the checkpoint cannot be read; every object is looked at again");
                Ok(Checkpoint::default())
            }
        }
    }

    /// Where it cannot be read every object is looked at again.
    async fn read_seen(&self) -> Result<Seen, StoreError> {
        let at = self.at(SEEN)?;
        let read = match self.store.get(&at, seen::LARGEST).await {
            Ok(None) => return Ok(Seen::default()),
            Ok(Some(object)) => Seen::from_bytes(&object.bytes),
            Err(StoreError::TooLarge { .. }) => None,
            Err(error) => return Err(error),
        };
        if read.is_none() {
            tracing::warn!(%at, "what was seen cannot be read; every object is looked at again");
        }
        Ok(read.unwrap_or_default())
    }

    async fn write(&self, name: &str, bytes: Bytes, content_type: &str) -> Result<(), StoreError> {
        let put = Put {
            at: self.at(name)?,
            condition: Condition::Any,
            bytes,
            content_type: content_type.into(),
            metadata: [].into(),
        };
        self.store.put(put).await.map(drop)
    }

    /// Stores how far the pass is, once all that it covers is settled.
    async fn store_progress(&self, pass: &mut Pass) -> Result<(), StoreError> {
        // First, since a checkpoint of a finished pass relies on it.
        if !pass.is_seen_stored {
            self.write(SEEN, pass.seen.to_bytes().into(), "application/octet-stream").await?;
            pass.is_seen_stored = true;
        }
        if let Some(checkpoint) = &pass.checkpoint
            && pass.stored.as_ref() != Some(checkpoint)
        {
            self.write(CHECKPOINT, json!(checkpoint).to_string().into(), JSON).await?;
            pass.stored = Some(checkpoint.clone());
        }
        Ok(())
    }

    /// Lists the next page, once everything of the page before is settled: only then is its end a checkpoint.
    async fn list(&self, pass: &mut Pass) -> Result<(), StoreError> {
        let mut checkpoint = if let Some(checkpoint) = pass.checkpoint.clone() {
            checkpoint
        } else {
            let checkpoint = self.read_checkpoint().await?;
            pass.seen = self.read_seen().await?;
            pass.is_resumed = checkpoint.began_ms.is_some();
            checkpoint
        };
        let began_ms = *checkpoint.began_ms.get_or_insert_with(now_ms);
        if let Some((bucket, prefix)) = self.settings.sources.get(checkpoint.source) {
            let after = checkpoint.after.as_deref().and_then(|key| ObjectKey::new(key).ok());
            let page = self.store.list(bucket, prefix, after.as_ref(), PAGE).await?;
            if let Some((last, _)) = page.objects.last() {
                checkpoint.after = Some(last.to_string());
            }
            if !page.more {
                (checkpoint.source, checkpoint.after) = (checkpoint.source + 1, None);
            }
            let since = checkpoint.since_ms.saturating_sub(CLOCK_DIFFERENCE_MS);
            for (key, stat) in page.objects {
                let at = Location { bucket: bucket.clone(), key };
                pass.saw.add(&at, &stat);
                // Beyond what is remembered, dates must do.
                let may_be_new = pass.seen.covers(&at) || stat.modified_ms >= since;
                if may_be_new && !pass.seen.contains(&at, &stat) {
                    pass.listed.push_back((at, stat));
                }
            }
        }
        if checkpoint.source >= self.settings.sources.len() {
            let seen = std::mem::take(&mut pass.saw).finish(&pass.seen, pass.is_resumed);
            if seen.is_cut() && !pass.seen.is_cut() {
                tracing::warn!(
                    remembered = seen::MOST,
                    "there are more objects than are remembered from one pass to the next: of those listed after them, the ones \
                     with a Last-Modified before the last pass are not noticed"
                );
            }
            pass.is_seen_stored &= seen == pass.seen;
            pass.seen = seen;
            pass.is_resumed = false;
            checkpoint = Checkpoint { since_ms: began_ms, ..Checkpoint::default() };
            pass.next_pass = Instant::now() + self.settings.interval;
        }
        pass.checkpoint = Some(checkpoint);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, OpenState> {
        self.open.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events that are due again.
    fn due(&self, most: usize) -> Vec<Arc<dyn Message>> {
        let mut state = self.lock();
        let now = Instant::now();
        let mut due: Vec<Arc<dyn Message>> = Vec::new();
        state.retries.retain(|(time, polled)| {
            if *time > now || due.len() >= most {
                return true;
            }
            polled.deliveries.fetch_add(1, Ordering::Relaxed);
            due.push(PolledMessage::leased(polled.clone(), &self.open));
            false
        });
        due
    }
}

#[async_trait]
impl Broker for Poll {
    async fn receive(&self, most: usize) -> Result<Vec<Arc<dyn Message>>, StoreError> {
        loop {
            let changed = self.open.changed.notified();
            let due = self.due(most);
            if !due.is_empty() {
                return Ok(due);
            }
            let mut pass = self.pass.lock().await;
            if pass.listed.is_empty() {
                let (is_idle, first_retry) = {
                    let state = self.lock();
                    (state.count == 0, state.retries.iter().map(|(time, _)| *time).min())
                };
                let wait = if is_idle {
                    // All that the checkpoint covers is settled.
                    self.store_progress(&mut pass).await?;
                    pass.next_pass
                } else {
                    first_retry.unwrap_or_else(|| Instant::now() + LEASE)
                };
                if wait > Instant::now() {
                    drop(pass);
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(wait) => {}
                    }
                    continue;
                }
                self.list(&mut pass).await?;
            }
            let count = most.min(pass.listed.len());
            let listed = pass.listed.drain(..count);
            let polled =
                |(at, stat): (Location, Stat)| PolledMessage::leased(Polled::new(&at, &stat), &self.open);
            let taken: Vec<_> = listed.map(polled).collect();
            self.lock().count += taken.len();
            if !taken.is_empty() {
                return Ok(taken);
            }
        }
    }

    async fn publish(&self, _: Bytes, _: Option<String>) -> Result<(), StoreError> {
        Err(StoreError::Denied("a source that polls has no queue for events".into()))
    }

    /// Stores it as an object, since there is no queue.
    async fn dead_letter(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        let attributes = letter.attributes().into_iter();
        let attributes: serde_json::Map<_, _> =
            attributes.map(|(name, _, value)| (name.to_owned(), value.into())).collect();
        let text = json!({"event": letter.body(LARGEST_BODY), "attributes": attributes}).to_string();
        self.write(&format!("dead-letters/{}.json", letter.id), text.into(), JSON).await
    }

    async fn backlog(&self) -> Result<Option<Backlog>, StoreError> {
        Ok(Some(Backlog { messages: self.lock().count as u64, oldest: None }))
    }
}

/// An object that was listed.
struct Polled {
    id: String,
    body: String,
    listed_ms: i64,
    deliveries: AtomicU32,
}

impl Polled {
    fn new(at: &Location, stat: &Stat) -> Arc<Self> {
        let record = json!({"Records": [{
            "eventVersion": "2.1", "eventName": "ObjectCreated:Poll",
            "s3": {"bucket": {"name": at.bucket}, "object": {
                "key": form_encoded(at.key.as_str()), "size": stat.size, "eTag": stat.etag,
            }},
        }]});
        // Names an object of a dead letter, so no key can be part of it.
        let id = hex::encode(&Sha256::digest(format!("{at} {}", stat.etag))[..16]);
        Arc::new(Self { id, body: record.to_string(), listed_ms: now_ms(), deliveries: AtomicU32::new(1) })
    }
}

/// One attempt at it.
struct PolledMessage {
    polled: Arc<Polled>,
    open: Arc<Open>,
}

impl PolledMessage {
    fn leased(polled: Arc<Polled>, open: &Arc<Open>) -> Arc<dyn Message> {
        Arc::new(Self { polled, open: open.clone() })
    }

    fn change(&self, change: impl FnOnce(&mut OpenState)) {
        change(&mut self.open.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.open.changed.notify_waiters();
    }
}

#[async_trait]
impl Message for PolledMessage {
    fn id(&self) -> &str {
        &self.polled.id
    }

    fn body(&self) -> &[u8] {
        self.polled.body.as_bytes()
    }

    fn deliveries(&self) -> u32 {
        self.polled.deliveries.load(Ordering::Relaxed)
    }

    fn published_ms(&self) -> Option<i64> {
        Some(self.polled.listed_ms)
    }

    fn lease(&self) -> Duration {
        LEASE
    }

    async fn extend(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn acknowledge(&self) -> Result<(), StoreError> {
        self.change(|state| state.count -= 1);
        Ok(())
    }

    async fn retry_after(&self, delay: Duration) -> Result<(), StoreError> {
        self.change(|state| state.retries.push((Instant::now() + delay, self.polled.clone())));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tintype_stores::MemoryStore;

    use super::*;

    async fn upload(store: &MemoryStore, key: &str) {
        let at = Location { bucket: "in".into(), key: ObjectKey::new(key).unwrap() };
        let (bytes, content_type) = (Bytes::from_static(b"x"), String::new());
        let put = Put { at, condition: Condition::Any, bytes, content_type, metadata: [].into() };
        store.put(put).await.unwrap();
    }

    fn poll(store: &Arc<MemoryStore>) -> Poll {
        let settings = PollSettings {
            sources: vec![("in".into(), "a/".into()), ("in".into(), "b/".into())],
            destination: "out".into(),
            interval: Duration::from_secs(60),
        };
        Poll::new(store.clone(), settings)
    }

    async fn bodies(poll: &Poll, most: usize) -> Vec<Arc<dyn Message>> {
        poll.receive(most).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_is_resumed_from_its_checkpoint_and_what_is_not_settled_is_polled_again() {
        let store = Arc::new(MemoryStore::with_buckets(&["in", "out"]));
        for number in 0..PAGE + 2 {
            upload(&store, &format!("a/{number:05}.jpg")).await;
        }
        upload(&store, "b/1.jpg").await;
        upload(&store, "c/1.jpg").await;
        let first = poll(&store);
        let page = bodies(&first, usize::MAX).await;
        assert_eq!(page.len(), PAGE);
        for message in &page {
            message.acknowledge().await.unwrap();
        }
        // The next page begins, and with it the checkpoint is stored; the worker ends before it settles that page.
        assert_eq!(bodies(&first, usize::MAX).await.len(), 2);
        let second = poll(&store);
        let page = bodies(&second, usize::MAX).await;
        assert_eq!(page.len(), 2, "the page that was not settled");
        page[0].retry_after(Duration::from_secs(5)).await.unwrap();
        page[1].acknowledge().await.unwrap();
        let again = bodies(&second, usize::MAX).await;
        assert_eq!((again.len(), again[0].deliveries(), again[0].id()), (1, 2, page[0].id()));
        again[0].acknowledge().await.unwrap();
        let last = bodies(&second, usize::MAX).await;
        assert_eq!(last.len(), 1);
        assert!(String::from_utf8_lossy(last[0].body()).contains("b/1.jpg"));
        assert_eq!(second.backlog().await.unwrap().unwrap().messages, 1);
    }

    /// The keys of a whole pass, all of which are settled.
    async fn pass(poll: &Poll) -> Vec<String> {
        let mut keys = Vec::new();
        loop {
            // Nothing comes before the next pass.
            let Ok(page) = tokio::time::timeout(Duration::from_secs(30), bodies(poll, usize::MAX)).await
            else {
                return keys;
            };
            for message in page {
                let body: serde_json::Value = serde_json::from_slice(message.body()).unwrap();
                keys.push(body["Records"][0]["s3"]["object"]["key"].as_str().unwrap().to_owned());
                message.acknowledge().await.unwrap();
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn objects_with_old_dates_are_found_whoever_polls() {
        // Every object of this store is dated 1970.
        let store = Arc::new(MemoryStore::with_buckets(&["in", "out"]));
        for number in 0..3 {
            upload(&store, &format!("a/{number}.jpg")).await;
        }
        let first = poll(&store);
        assert_eq!(pass(&first).await, ["a/0.jpg", "a/1.jpg", "a/2.jpg"]);
        tokio::time::sleep(Duration::from_secs(60)).await;
        upload(&store, "a/00.jpg").await;
        assert_eq!(pass(&first).await, ["a/00.jpg"], "nothing that was seen");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(pass(&first).await, [""; 0]);
        let second = poll(&store);
        assert_eq!(pass(&second).await, [""; 0], "another worker continues");
        upload(&store, "b/1.jpg").await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(pass(&second).await, ["b/1.jpg"]);
        // An overwritten object is another version.
        let at = Location { bucket: "in".into(), key: ObjectKey::new("a/1.jpg").unwrap() };
        let (bytes, content_type) = (Bytes::from_static(b"other"), String::new());
        store
            .put(Put { at, condition: Condition::Any, bytes, content_type, metadata: [].into() })
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(pass(&second).await, ["a/1.jpg"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_is_stored_only_once_it_is_settled_and_looked_at_again_where_it_is_unreadable() {
        let store = Arc::new(MemoryStore::with_buckets(&["in", "out"]));
        upload(&store, "a/1.jpg").await;
        let first = poll(&store);
        assert_eq!(bodies(&first, usize::MAX).await.len(), 1);
        // That worker ends; the object was listed and not settled.
        let second = poll(&store);
        assert_eq!(pass(&second).await, ["a/1.jpg"]);
        let at = Location { bucket: "out".into(), key: ObjectKey::new(".tintype/poll-seen.bin").unwrap() };
        let (bytes, content_type) = (Bytes::from_static(b"something else"), String::new());
        store
            .put(Put { at, condition: Condition::Any, bytes, content_type, metadata: [].into() })
            .await
            .unwrap();
        let third = poll(&store);
        assert_eq!(pass(&third).await, ["a/1.jpg"]);
    }
}
