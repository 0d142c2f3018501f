//! The function on an in-memory store: outcomes of records.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use tintype_engine::{Limits, Spec};
use tintype_pipeline::{
    Call, Ignored, Outcome, Reason, Report, Stop, Store, Thumbnails,
    event::{Kind, Record},
    store::{Condition, Location, ObjectKey, Put, SourceVersion, StoreError, Wrapper},
    trigger::{Rendition, Trigger},
};
use tintype_stores::MemoryStore;

const IN: &str = "in-bucket";
const OUT: &str = "out-bucket";

fn png(width: u32, height: u32, gray: u8) -> Bytes {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![gray; (width * height) as usize]).unwrap();
    writer.finish().unwrap();
    out.into()
}

fn at(bucket: &str, key: &str) -> Location {
    Location { bucket: bucket.into(), key: ObjectKey::new(key).unwrap() }
}

fn rendition(key: &str, size: &str) -> Rendition {
    Rendition { key: key.parse().unwrap(), spec: Spec { size: size.parse().unwrap(), ..Spec::default() } }
}

fn trigger(renditions: Vec<Rendition>) -> Trigger {
    Trigger {
        id: None,
        bucket: IN.into(),
        prefix: String::new(),
        suffixes: tintype_pipeline::Suffixes::Listed(vec![".png".into(), ".gif".into(), "/".into()]),
        destination: OUT.into(),
        created: true,
        created_types: tintype_pipeline::event::CreatedTypes::ALL,
        removed: true,
        renditions,
    }
}

fn record(kind: Kind, key: &str) -> Record {
    Record::new(kind, "ObjectCreated:Put", at(IN, key))
}

async fn put(store: &dyn Store, at: Location, bytes: Bytes) -> String {
    let put = Put {
        at,
        condition: Condition::Any,
        bytes,
        content_type: "image/png".into(),
        metadata: std::collections::BTreeMap::default(),
    };
    store.put_all(vec![put], None).await.unwrap().remove(0)
}

async fn handle(store: &dyn Store, triggers: &[Trigger], record: &Record) -> Report {
    function(Limits::default()).handle(Call { triggers, stop: &Stop::never() }, store, record).await
}

fn function(limits: Limits) -> Thumbnails {
    Thumbnails::new(limits, 1 << 30, 1).unwrap()
}

fn store() -> MemoryStore {
    MemoryStore::with_buckets(&[IN, OUT])
}

#[tokio::test]
async fn rendered_then_up_to_date_then_rendered_again() {
    let store = store();
    let triggers = [trigger(vec![rendition("thumb_{key}", "16x16")])];
    let etag = put(&store, at(IN, "a b.png"), png(64, 32, 9)).await;
    let report = handle(&store, &triggers, &record(Kind::Created, "a b.png")).await;
    assert_eq!(report.outcome, Outcome::Rendered);
    let rendition = &report.renditions[0];
    assert_eq!((rendition.at.clone(), rendition.width, rendition.height), (at(OUT, "thumb_a b.png"), 16, 8));
    let stat = store.head(&rendition.at).await.unwrap().unwrap();
    assert_eq!(stat.metadata["tintype-source-etag"], etag);
    assert_eq!(stat.content_type.as_deref(), Some("image/png"));

    let again = handle(&store, &triggers, &record(Kind::Created, "a b.png")).await;
    assert_eq!(again.outcome, Outcome::UpToDate);
    assert_eq!(again.renditions, report.renditions);

    put(&store, at(IN, "a b.png"), png(32, 64, 9)).await;
    let newer = handle(&store, &triggers, &record(Kind::Created, "a b.png")).await;
    assert_eq!(
        (newer.outcome, newer.renditions[0].width, newer.renditions[0].height),
        (Outcome::Rendered, 8, 16)
    );
}

#[tokio::test]
async fn a_changed_setting_renders_only_stale_thumbnails() {
    let store = store();
    put(&store, at(IN, "a.png"), png(64, 64, 9)).await;
    let both = |small| [trigger(vec![rendition("s_{key}", small), rendition("l_{key}", "32x32")])];
    assert_eq!(
        handle(&store, &both("8x8"), &record(Kind::Created, "a.png")).await.outcome,
        Outcome::Rendered
    );
    let counting = Counting { inner: store, puts: AtomicUsize::new(0), before_put: Mutex::new(None) };
    let report = handle(&counting, &both("16x16"), &record(Kind::Created, "a.png")).await;
    assert_eq!(report.outcome, Outcome::Rendered);
    assert_eq!(report.renditions.iter().map(|rendition| rendition.width).collect::<Vec<_>>(), [16, 32]);
    assert_eq!(counting.puts.into_inner(), 1, "only the small one was written");
}

#[tokio::test]
async fn the_extension_follows_the_content_not_the_name() {
    let store = store();
    let triggers = [trigger(vec![rendition("thumb_{key}", "16x16")])];
    // A PNG under a GIF's name.
    put(&store, at(IN, "a.gif"), png(20, 20, 1)).await;
    let report = handle(&store, &triggers, &record(Kind::Created, "a.gif")).await;
    assert_eq!(report.renditions[0].at, at(OUT, "thumb_a.gif"));
    let mut jpeg = triggers;
    jpeg[0].renditions[0].spec.format = tintype_engine::OutputFormat::Jpeg;
    let report = handle(&store, &jpeg, &record(Kind::Created, "a.gif")).await;
    assert_eq!(report.renditions[0].at, at(OUT, "thumb_a.gif.jpg"));
}

#[tokio::test]
async fn a_thumbnail_of_another_source_is_not_overwritten_while_that_source_exists() {
    let store = store();
    let triggers = [trigger(vec![rendition("thumb_{key}", "16x16")])];
    let mut jpeg = triggers.clone();
    jpeg[0].renditions[0].spec.format = tintype_engine::OutputFormat::Jpeg;
    jpeg[0].suffixes = tintype_pipeline::Suffixes::Listed(vec![".png".into(), ".jpg".into()]);
    // The thumbnail of a.png and of a.png.jpg are both thumb_a.png.jpg.
    put(&store, at(IN, "a.png"), png(64, 64, 9)).await;
    let first = handle(&store, &jpeg, &record(Kind::Created, "a.png")).await;
    assert_eq!(first.renditions[0].at, at(OUT, "thumb_a.png.jpg"));
    let thumbnail = store.get(&at(OUT, "thumb_a.png.jpg"), 1 << 20).await.unwrap().unwrap();
    put(&store, at(IN, "a.png.jpg"), thumbnail.bytes).await;
    let refused = handle(&store, &jpeg, &record(Kind::Created, "a.png.jpg")).await;
    match refused.outcome {
        Outcome::Failed(failure) => {
            assert_eq!(failure.reason, Reason::Collision);
            assert!(failure.message.contains("s3://in-bucket/a.png,"), "{}", failure.message);
        }
        other => panic!("{other:?}"),
    }
    store.delete(&at(IN, "a.png"), None).await.unwrap();
    assert_eq!(handle(&store, &jpeg, &record(Kind::Created, "a.png.jpg")).await.outcome, Outcome::Rendered);
}

#[tokio::test]
async fn records_without_work_are_ignored() {
    let store = store();
    let triggers = [trigger(vec![rendition("thumb_{key}", "16x16")])];
    put(&store, at(IN, "a.txt"), Bytes::from_static(b"x")).await;
    put(&store, at(IN, "photos/"), Bytes::new()).await;
    let outcome = async |key| handle(&store, &triggers, &record(Kind::Created, key)).await.outcome;
    assert_eq!(outcome("a.txt").await, Outcome::Ignored(Ignored::NoTrigger));
    assert_eq!(outcome("photos/").await, Outcome::Ignored(Ignored::FolderMarker));

    // A thumbnail copied into the source bucket, metadata and all.
    put(&store, at(IN, "a.png"), png(64, 64, 9)).await;
    assert_eq!(outcome("a.png").await, Outcome::Rendered);
    let thumbnail = store.get(&at(OUT, "thumb_a.png"), 1 << 20).await.unwrap().unwrap();
    let copy = Put {
        at: at(IN, "copy.png"),
        condition: Condition::Any,
        bytes: thumbnail.bytes,
        content_type: "image/png".into(),
        metadata: thumbnail.stat.metadata,
    };
    store.put_all(vec![copy], None).await.unwrap();
    assert_eq!(outcome("copy.png").await, Outcome::Ignored(Ignored::Thumbnail));
}

#[tokio::test]
async fn failures_are_classified() {
    let store = store();
    let triggers = [trigger(vec![rendition("thumb_{key}", "16x16")])];
    let whole = png(64, 64, 9);
    put(&store, at(IN, "cut.png"), whole.slice(..whole.len() - 30)).await;
    put(&store, at(IN, "text.png"), Bytes::from_static(b"hello, this is not an image")).await;
    put(&store, at(IN, "empty.png"), Bytes::new()).await;
    let longest = format!("{}.png", "k".repeat(1016));
    put(&store, at(IN, &longest), whole).await;
    for (key, reason) in [
        ("cut.png", Reason::Malformed),
        ("text.png", Reason::Unsupported),
        ("empty.png", Reason::Unsupported),
        ("nowhere.png", Reason::Missing),
        (longest.as_str(), Reason::KeyTooLong),
    ] {
        match handle(&store, &triggers, &record(Kind::Created, key)).await.outcome {
            Outcome::Failed(failure) => {
                assert_eq!(failure.reason, reason, "{key}: {}", failure.message);
                assert!(failure.message.len() > 20 && reason.is_permanent(), "{key}: {}", failure.message);
            }
            other => panic!("{key}: {other:?}"),
        }
    }
    assert!(store.list(OUT, "", None, 10).await.unwrap().objects.is_empty());

    let small = Limits { source_bytes: 50, ..Limits::default() };
    put(&store, at(IN, "large.png"), png(64, 64, 3)).await;
    let large = record(Kind::Created, "large.png");
    let never = Stop::never();
    let report = function(small).handle(Call { triggers: &triggers, stop: &never }, &store, &large).await;
    assert!(matches!(report.outcome, Outcome::Failed(failure) if failure.reason == Reason::TooLarge));
    let now = Stop::never().by(std::time::Instant::now());
    let call = Call { triggers: &triggers, stop: &now };
    let report = function(Limits::default()).handle(call, &store, &large).await;
    assert!(matches!(report.outcome, Outcome::Failed(failure) if failure.reason == Reason::Stopped));
}

#[tokio::test]
async fn the_newest_version_wins_over_a_slow_writer() {
    let store = store();
    let triggers = [trigger(vec![rendition("thumb_{key}", "16x16")])];
    put(&store, at(IN, "a.png"), png(64, 32, 9)).await;
    // Just before the thumbnail of the first version is written, a second version is put, and another worker renders
    // its thumbnail first.
    let newer = png(32, 64, 9);
    let racing = Counting { inner: store, puts: AtomicUsize::new(0), before_put: Mutex::new(Some(newer)) };
    let report = handle(&racing, &triggers, &record(Kind::Created, "a.png")).await;
    assert!(matches!(report.outcome, Outcome::Rendered | Outcome::UpToDate), "{:?}", report.outcome);
    let stat = racing.inner.head(&at(OUT, "thumb_a.png")).await.unwrap().unwrap();
    let source = racing.inner.head(&at(IN, "a.png")).await.unwrap().unwrap();
    assert_eq!(stat.metadata["tintype-source-etag"], source.etag);
    assert_eq!(
        (stat.metadata["tintype-width"].as_str(), stat.metadata["tintype-height"].as_str()),
        ("8", "16")
    );
}

#[tokio::test]
async fn a_thumbnail_that_others_keep_changing_ends_the_attempt() {
    let triggers = [trigger(vec![rendition("thumb_{key}", "16x16")])];
    let store = Contended(store());
    put(&store.0, at(IN, "a.png"), png(64, 32, 9)).await;
    match handle(&store, &triggers, &record(Kind::Created, "a.png")).await.outcome {
        Outcome::Failed(failure) => {
            assert_eq!(failure.reason, Reason::Contended);
            assert!(failure.message.contains("16 times"), "{}", failure.message);
        }
        other => panic!("{other:?}"),
    }
}

/// Another writer is always first.
struct Contended(MemoryStore);

#[async_trait]
impl Wrapper for Contended {
    fn inner(&self) -> &dyn Store {
        &self.0
    }

    async fn put_all(&self, puts: Vec<Put>, _: Option<&SourceVersion>) -> Result<Vec<String>, StoreError> {
        Err(StoreError::Conflict(puts[0].at.clone()))
    }
}

#[tokio::test]
async fn a_removal_is_mirrored_only_while_the_source_is_gone() {
    let store = store();
    let triggers = [trigger(vec![rendition("thumb_{key}", "16x16")])];
    put(&store, at(IN, "a.png"), png(64, 64, 9)).await;
    handle(&store, &triggers, &record(Kind::Created, "a.png")).await;
    let late = handle(&store, &triggers, &record(Kind::Removed, "a.png")).await;
    assert_eq!(late.outcome, Outcome::Ignored(Ignored::NothingToRemove));
    assert!(store.head(&at(OUT, "thumb_a.png")).await.unwrap().is_some());
    store.delete(&at(IN, "a.png"), None).await.unwrap();
    assert_eq!(handle(&store, &triggers, &record(Kind::Removed, "a.png")).await.outcome, Outcome::Removed);
    assert!(store.head(&at(OUT, "thumb_a.png")).await.unwrap().is_none());
    // A foreign object under the thumbnail's name is not removed.
    put(&store, at(OUT, "thumb_a.png"), Bytes::from_static(b"mine")).await;
    assert_eq!(handle(&store, &triggers, &record(Kind::Removed, "a.png")).await.outcome, Outcome::Removed);
    assert!(store.head(&at(OUT, "thumb_a.png")).await.unwrap().is_some());
}

/// A store that counts writes, and runs a concurrent writer before the first one.
struct Counting {
    inner: MemoryStore,
    puts: AtomicUsize,
    /// A newer source that is put and rendered before the first write.
    before_put: Mutex<Option<Bytes>>,
}

#[async_trait]
impl Wrapper for Counting {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    async fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> Result<Vec<String>, StoreError> {
        let newer = self.before_put.lock().unwrap().take();
        if let (Some(newer), Some(source)) = (newer, source) {
            put(&self.inner, source.at.clone(), newer).await;
            let triggers = [trigger(vec![rendition("thumb_{key}", "16x16")])];
            let key = source.at.key.as_str().to_owned();
            let newer = handle(&self.inner, &triggers, &record(Kind::Created, &key)).await;
            assert_eq!(newer.outcome, Outcome::Rendered);
        }
        self.puts.fetch_add(puts.len(), Ordering::Relaxed);
        self.inner.put_all(puts, source).await
    }
}
