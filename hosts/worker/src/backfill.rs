//! Backfill beside any store: an event for each object in a source bucket that a trigger takes, sent to a queue.

use std::sync::Arc;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tintype_pipeline::{
    Location, ObjectKey, Store,
    clock::{now_ms, rfc3339},
    event::form_encoded,
    hex,
    store::Stat,
    trigger::Trigger,
};
use tintype_sources::sqs::{SqsEvent, SqsPublisher};
use tintype_stores::s3::S3Store;
use tokio::{
    sync::Mutex,
    time::{Duration, Instant, sleep_until},
};

use crate::{aws, settings::StoreSettings, source::sqs_client};

/// Keys of one page.
const PAGE: usize = 1000;
/// Batches that are sent at once.
const BATCHES: usize = 8;

/// What to list, and where events go.
#[derive(Debug, Clone)]
pub struct BackfillSettings {
    /// The store.
    pub store: StoreSettings,
    /// Whose source buckets are listed.
    pub triggers: Vec<Trigger>,
    /// Only keys that begin so; empty: every key.
    pub prefix: String,
    /// The URL of the queue; `None`: nothing is sent.
    pub queue: Option<String>,
    /// The most events a second.
    pub rate: Option<f64>,
}

/// How far a backfill is. Everything up to and including `after` is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Where events go.
    pub queue: Option<String>,
    /// Bucket and prefix of each listing.
    pub sources: Vec<(String, String)>,
    /// A digest of what triggers take.
    pub takes: String,
    /// The index of the listing under way; past the last once all are done.
    pub source: usize,
    /// The last key of it that was done.
    pub after: Option<String>,
    /// Objects listed.
    pub listed: u64,
    /// Those that a trigger takes.
    pub taken: u64,
}

/// A backfill that can be run.
pub struct Backfill {
    store: Arc<dyn Store>,
    publisher: Option<SqsPublisher>,
    region: String,
    triggers: Vec<Trigger>,
    rate: Option<f64>,
    checkpoint: Checkpoint,
}

/// Objects of one message batch, with the checkpoint once they are sent.
struct Batch {
    objects: Vec<(Location, Stat)>,
    done: Checkpoint,
}

impl Backfill {
    /// A backfill from the beginning or, where there is one, from the checkpoint of an earlier run. `variable` looks up an
    /// environment variable.
    ///
    /// # Errors
    /// There are no credentials, nothing to list, or the checkpoint is of another backfill.
    pub async fn new(
        settings: BackfillSettings,
        checkpoint: Option<Checkpoint>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let aws = aws::connection(&settings.store, variable).await?;
        let publisher = settings.queue.clone().map(|url| SqsPublisher::new(sqs_client(&aws, &url), url));
        Self::over(Arc::new(S3Store::new(&aws)), publisher, aws.region, settings, checkpoint)
    }

    fn over(
        store: Arc<dyn Store>,
        publisher: Option<SqsPublisher>,
        region: String,
        settings: BackfillSettings,
        checkpoint: Option<Checkpoint>,
    ) -> anyhow::Result<Self> {
        let BackfillSettings { triggers, prefix, queue, rate, .. } = settings;
        let sources = sources(&triggers, &prefix);
        anyhow::ensure!(
            !sources.is_empty(),
            "no trigger of the settings takes keys that begin with \"{prefix}\"; see their prefixes"
        );
        let takes = digest(&triggers.iter().map(takes).collect::<Vec<_>>().join("\n"));
        let is_same =
            |known: &Checkpoint| known.queue == queue && known.sources == sources && known.takes == takes;
        let checkpoint = match checkpoint {
            None => Checkpoint { queue, sources, takes, ..Checkpoint::default() },
            Some(known) if is_same(&known) => known,
            Some(_) => {
                anyhow::bail!(
                    "the checkpoint is of another backfill: of other triggers, another prefix or another queue"
                )
            }
        };
        Ok(Self { store, publisher, region, triggers, rate, checkpoint })
    }

    /// Runs it to its end. `take` is called for each object that a trigger takes, before it is sent, and `progress`
    /// whenever events were sent or a page is done.
    ///
    /// # Errors
    /// A bucket cannot be listed or the queue refuses; what `progress` returns. The last checkpoint holds.
    pub async fn run(
        self,
        mut take: impl FnMut(&Location),
        mut progress: impl FnMut(&Checkpoint) -> anyhow::Result<()>,
    ) -> anyhow::Result<Checkpoint> {
        // When the next batch may be sent.
        let next = Mutex::new(Instant::now());
        let mut checkpoint = self.checkpoint.clone();
        while let Some((bucket, prefix)) = checkpoint.sources.get(checkpoint.source).cloned() {
            let after = checkpoint.after.as_deref().map(ObjectKey::new).transpose();
            let after = after.map_err(anyhow::Error::msg).context("the checkpoint's key")?;
            let page = self.store.list(&bucket, &prefix, after.as_ref(), PAGE).await?;
            let (batches, mut end) = self.batches(&bucket, page.objects, checkpoint);
            if !page.more {
                (end.source, end.after) = (end.source + 1, None);
            }
            batches.iter().flat_map(|batch| &batch.objects).for_each(|(at, _)| take(at));
            let (this, next) = (&self, &next);
            let sending = stream::iter(batches).map(|batch| async move {
                if let Some(rate) = this.rate {
                    // What a pause left undone is not made up for.
                    let mut next = next.lock().await;
                    let at = (*next).max(Instant::now());
                    *next = at + Duration::from_secs_f64(batch.objects.len() as f64 / rate);
                    drop(next);
                    sleep_until(at).await;
                }
                this.send(&batch.objects).await.map(|()| batch.done)
            });
            // In their order, so that a checkpoint leaves nothing out.
            let mut sent = sending.buffered(BATCHES);
            while let Some(done) = sent.try_next().await? {
                progress(&done)?;
            }
            drop(sent);
            progress(&end)?;
            checkpoint = end;
        }
        Ok(checkpoint)
    }

    /// The batches of a page, and the checkpoint after it.
    fn batches(
        &self,
        bucket: &str,
        objects: Vec<(ObjectKey, Stat)>,
        mut at: Checkpoint,
    ) -> (Vec<Batch>, Checkpoint) {
        let (mut batches, mut batch) = (Vec::new(), Vec::new());
        for (key, stat) in objects {
            at.listed += 1;
            at.after = Some(key.to_string());
            let takes = |trigger: &Trigger| trigger.created && trigger.matches(bucket, key.as_str());
            if self.triggers.iter().any(takes) {
                at.taken += 1;
                batch.push((Location { bucket: bucket.to_owned(), key }, stat));
            }
            if batch.len() == SqsPublisher::MOST {
                batches.push(Batch { objects: std::mem::take(&mut batch), done: at.clone() });
            }
        }
        if !batch.is_empty() {
            batches.push(Batch { objects: batch, done: at.clone() });
        }
        (batches, at)
    }

    async fn send(&self, objects: &[(Location, Stat)]) -> anyhow::Result<()> {
        let Some(publisher) = &self.publisher else { return Ok(()) };
        let events: Vec<_> = objects.iter().map(|(at, stat)| self.event(at, stat)).collect();
        Ok(publisher.publish_batch(&events).await?)
    }

    /// An event as S3 sends it. Its time is now: measured from the upload every retry would come too late.
    fn event(&self, at: &Location, stat: &Stat) -> SqsEvent {
        let body = json!({"Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": self.region,
            "eventTime": rfc3339(now_ms()), "eventName": "ObjectCreated:Backfill",
            "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": at.bucket}, "object": {
                "key": form_encoded(at.key.as_str()), "size": stat.size, "eTag": stat.etag,
            }},
        }]});
        SqsEvent {
            id: digest(&format!("{at} {}", stat.etag)),
            group: digest(&at.to_string()),
            body: body.to_string(),
        }
    }
}

fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..16])
}

/// What a trigger takes.
fn takes(trigger: &Trigger) -> String {
    let Trigger { bucket, prefix, suffixes, created, .. } = trigger;
    format!("{bucket:?} {prefix:?} {suffixes:?} {created}")
}

/// Bucket and prefix of each listing: no object is in two of them.
pub(crate) fn sources(triggers: &[Trigger], prefix: &str) -> Vec<(String, String)> {
    let common = |own: &str| {
        if own.starts_with(prefix) {
            Some(own.to_owned())
        } else {
            prefix.starts_with(own).then(|| prefix.to_owned())
        }
    };
    let created = triggers.iter().filter(|trigger| trigger.created);
    let listed = created.filter_map(|trigger| Some((trigger.bucket.clone(), common(&trigger.prefix)?)));
    let mut sources: Vec<_> = listed.collect();
    sources.sort_unstable();
    // A prefix comes right before those that begin with it.
    sources.dedup_by(|later, first| later.0 == first.0 && later.1.starts_with(&first.1));
    sources
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tintype_pipeline::{
        Suffixes,
        store::{Condition, Put},
    };
    use tintype_stores::MemoryStore;

    use super::*;

    fn trigger(bucket: &str, prefix: &str, suffix: &str) -> Trigger {
        let suffixes = Suffixes::from(vec![suffix.to_owned()]);
        Trigger { bucket: bucket.into(), prefix: prefix.into(), suffixes, ..Trigger::default() }
    }

    fn settings(triggers: Vec<Trigger>, prefix: &str) -> BackfillSettings {
        let store = StoreSettings::default();
        BackfillSettings { store, triggers, prefix: prefix.into(), queue: None, rate: None }
    }

    #[test]
    fn no_object_is_listed_twice() {
        let triggers = [trigger("b", "", ".png"), trigger("b", "a/", ".jpg"), trigger("a", "x/", ".jpg")];
        let pair = |bucket: &str, prefix: &str| (bucket.to_owned(), prefix.to_owned());
        assert_eq!(sources(&triggers, ""), [pair("a", "x/"), pair("b", "")]);
        assert_eq!(sources(&triggers, "a/b"), [pair("b", "a/b")]);
        assert_eq!(sources(&triggers[1..], "a"), [pair("b", "a/")]);
        assert_eq!(sources(&triggers[1..], "c"), []);
    }

    async fn store() -> Arc<MemoryStore> {
        let store = Arc::new(MemoryStore::with_buckets(&["in"]));
        let put = |key: String| {
            let at = Location { bucket: "in".into(), key: ObjectKey::new(&key).unwrap() };
            let (bytes, content_type) = (Bytes::from_static(b"x"), String::new());
            store.put(Put { at, condition: Condition::Any, bytes, content_type, metadata: [].into() })
        };
        for number in 0..PAGE + 25 {
            put(format!("a/{number:05}.jpg")).await.unwrap();
        }
        put("a/readme.txt".into()).await.unwrap();
        put("b/1.jpg".into()).await.unwrap();
        store
    }

    fn backfill(store: &Arc<MemoryStore>, checkpoint: Option<Checkpoint>) -> anyhow::Result<Backfill> {
        let triggers = vec![trigger("in", "a/", ".jpg")];
        Backfill::over(store.clone(), None, "us-east-1".into(), settings(triggers, ""), checkpoint)
    }

    #[tokio::test]
    async fn every_object_that_a_trigger_takes_and_no_other() {
        let store = store().await;
        let mut taken = Vec::new();
        let end = backfill(&store, None).unwrap();
        let end = end.run(|at| taken.push(at.to_string()), |_| Ok(())).await.unwrap();
        assert_eq!((taken.len(), end.taken, end.listed), (PAGE + 25, PAGE as u64 + 25, PAGE as u64 + 26));
        assert_eq!((end.source, end.after), (1, None));
        assert!(taken.iter().all(|at| at.contains("/a/") && at.ends_with(".jpg")), "{:?}", taken.last());
    }

    #[tokio::test]
    async fn a_run_continues_after_its_checkpoint() {
        let store = store().await;
        let mut last = None;
        let stopped = backfill(&store, None).unwrap().run(
            |_| {},
            |checkpoint| {
                last = Some(checkpoint.clone());
                anyhow::ensure!(checkpoint.taken < 40, "stopped");
                Ok(())
            },
        );
        assert!(stopped.await.unwrap_err().to_string().contains("stopped"));
        let last = last.unwrap();
        assert_eq!((last.taken, last.after.as_deref()), (40, Some("a/00039.jpg")));
        let mut taken = Vec::new();
        let end = backfill(&store, Some(last.clone())).unwrap();
        let end = end.run(|at| taken.push(at.key.to_string()), |_| Ok(())).await.unwrap();
        assert_eq!((taken.len(), taken[0].as_str()), (PAGE + 25 - 40, "a/00040.jpg"));
        assert_eq!((end.taken, end.listed), (PAGE as u64 + 25, PAGE as u64 + 26));
        let other = Checkpoint { queue: Some("https://sqs.example/1/q".into()), ..last.clone() };
        assert!(backfill(&store, Some(other)).is_err());
        let triggers = vec![trigger("in", "a/", ".png")];
        let of_others = Backfill::over(store, None, "us-east-1".into(), settings(triggers, ""), Some(last));
        assert!(of_others.is_err(), "keys before the checkpoint would be left out");
    }

    #[tokio::test]
    async fn events_are_as_s3_sends_them() {
        let backfill = backfill(&store().await, None).unwrap();
        let at = Location { bucket: "in".into(), key: ObjectKey::new("a/ü +.jpg").unwrap() };
        let metadata = [].into();
        let stat = Stat { size: 5, etag: "e1".into(), content_type: None, metadata, modified_ms: 0 };
        let event = backfill.event(&at, &stat);
        let read: serde_json::Value = serde_json::from_str(&event.body).unwrap();
        assert_eq!(read["Records"][0]["s3"]["object"]["key"], "a/%C3%BC+%2B.jpg");
        assert_eq!(read["Records"][0]["s3"]["object"]["eTag"], "e1");
        let newer = backfill.event(&at, &Stat { etag: "e2".into(), ..stat });
        assert!(event.group == newer.group && event.id != newer.id && event.id.len() <= 128);
    }
}
