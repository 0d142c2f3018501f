//! No setting causes a loop: sets of triggers are either refused or terminate when run, and so do copies of thumbnails
//! among the sources.

use std::{
    collections::VecDeque,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use proptest::prelude::*;
use tintype_engine::{Limits, OutputFormat, Spec};
use tintype_pipeline::{
    Call, Ignored, Outcome, Stop, Store, Thumbnails,
    event::{Kind, Record},
    fingerprint::{HOPS, MAX_HOPS, RECIPE_FINGERPRINT},
    store::{Condition, Location, ObjectKey, Put, SourceVersion, StoreError, Wrapper},
    trigger::{Rendition, Trigger, check_all},
};
use tintype_stores::MemoryStore;

const BUCKETS: [&str; 3] = ["one", "two", "three"];
const PREFIXES: [&str; 7] = ["", "raw/", "raw", "thumb_", "64", "64/", "t/raw/"];
const SUFFIXES: [&str; 7] = [".gif", ".png", "g", "_s.png", ".gif.png", "/x.png", "s"];
const TEMPLATES: [&str; 10] = [
    "thumb_{key}",
    "{key}",
    "{key}_s.png",
    "{dir}{stem}_s{ext}",
    "{dir}t/{name}",
    "t/{key}",
    "{width}/{key}",
    "{width}{key}",
    "{dir}{name}s",
    "raw/{dir}{stem}{ext}",
];

/// A store that drops metadata, so that only the settings' checks prevent loops; records what was written.
struct WithoutMetadata {
    store: MemoryStore,
    written: Mutex<Vec<Location>>,
}

#[async_trait]
impl Wrapper for WithoutMetadata {
    fn inner(&self) -> &dyn Store {
        &self.store
    }

    async fn put_all(
        &self,
        mut puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> Result<Vec<String>, StoreError> {
        puts.iter_mut().for_each(|put| put.metadata.clear());
        let places: Vec<_> = puts.iter().map(|put| put.at.clone()).collect();
        let etags = self.store.put_all(puts, source).await?;
        self.written.lock().unwrap().extend(places);
        Ok(etags)
    }
}

fn at(bucket: &str, key: &str) -> Location {
    Location { bucket: bucket.into(), key: ObjectKey::new(key).unwrap() }
}

/// An image; thumbnails of a GIF have an extension appended.
fn sample_image(is_gif: bool) -> Bytes {
    if is_gif {
        // One red pixel.
        return Bytes::from_static(
            b"GIF89a\x01\0\x01\0\x80\0\0\xff\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;",
        );
    }
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, 2, 2);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[7; 4]).unwrap();
    out.into()
}

fn put(at: Location, bytes: Bytes) -> Put {
    Put {
        at,
        condition: Condition::Any,
        bytes,
        content_type: "image/png".into(),
        metadata: Default::default(),
    }
}

fn record(at: &Location) -> Record {
    Record::new(Kind::Created, "ObjectCreated:Put", at.clone())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

async fn call(store: &dyn Store, triggers: &[Trigger], at: &Location) -> Outcome {
    static FUNCTION: LazyLock<Thumbnails> =
        LazyLock::new(|| Thumbnails::new(Limits::default(), 1 << 30, 2).unwrap());
    FUNCTION.handle(Call { triggers, stop: &Stop::never() }, store, &record(at)).await.outcome
}

/// Puts sources for every trigger and calls the function for them and for all that it writes, as a bucket's
/// notifications do; returns the number of calls that rendered a thumbnail of a thumbnail.
fn rounds(triggers: &[Trigger], most: usize) -> usize {
    run(async {
        let store = WithoutMetadata { store: MemoryStore::with_buckets(&BUCKETS), written: Mutex::default() };
        let mut events = VecDeque::new();
        for trigger in triggers {
            let any = [String::new()];
            let suffixes = trigger.suffixes.in_s3().unwrap_or(&any);
            for suffix in suffixes {
                for (name, is_gif) in [("a", false), ("d/b", true), ("x.gif", true)] {
                    let place = at(&trigger.bucket, &format!("{}{name}{suffix}", trigger.prefix));
                    store.store.put_all(vec![put(place.clone(), sample_image(is_gif))], None).await.unwrap();
                    events.push_back((place, false));
                }
            }
        }
        let mut thumbnails_of_thumbnails = 0;
        while let Some((place, is_thumbnail)) = events.pop_front() {
            call(&store, triggers, &place).await;
            let written = std::mem::take(&mut *store.written.lock().unwrap());
            thumbnails_of_thumbnails += usize::from(is_thumbnail && !written.is_empty());
            if thumbnails_of_thumbnails >= most {
                break;
            }
            events.extend(written.into_iter().map(|place| (place, true)));
        }
        thumbnails_of_thumbnails
    })
}

fn rendition() -> impl Strategy<Value = Rendition> {
    let format = prop::sample::select(vec![
        OutputFormat::Same,
        OutputFormat::Png,
        OutputFormat::Jpeg,
        OutputFormat::WebP,
    ]);
    let size = prop::sample::select(vec!["64x64", "6x6", "128x128"]);
    (prop::sample::select(&TEMPLATES[..]), format, size).prop_filter_map(
        "a template",
        |(key, format, size)| {
            let spec = Spec { size: size.parse().unwrap(), format, ..Spec::default() };
            Some(Rendition { key: key.parse().ok()?, spec })
        },
    )
}

fn trigger() -> impl Strategy<Value = Trigger> {
    (
        prop::sample::select(&BUCKETS[..]),
        prop::sample::select(&PREFIXES[..]),
        prop::sample::subsequence(&SUFFIXES[..], 0..=2),
        prop::sample::select(&BUCKETS[..]),
        prop::collection::vec(rendition(), 1..=2),
        any::<bool>(),
    )
        .prop_map(|(bucket, prefix, suffixes, destination, renditions, removed)| Trigger {
            id: None,
            bucket: bucket.into(),
            prefix: prefix.into(),
            suffixes: suffixes.into_iter().map(str::to_owned).collect(),
            destination: destination.into(),
            created: true,
            created_types: tintype_pipeline::event::CreatedTypes::ALL,
            removed,
            renditions,
        })
}

/// Triggers of the settings, and those added by `PutBucketNotificationConfiguration`, which have the renditions of the
/// first one.
fn triggers() -> impl Strategy<Value = Vec<Trigger>> {
    (prop::collection::vec(trigger(), 1..=3), prop::collection::vec(trigger(), 0..=2)).prop_map(
        |(mut all, set)| {
            let first = all[0].clone();
            all.extend(set.into_iter().enumerate().map(|(index, trigger)| Trigger {
                id: Some(format!("set-{index}")),
                destination: first.destination.clone(),
                renditions: first.renditions.clone(),
                suffixes: trigger.suffixes.in_s3().unwrap_or_default().iter().take(1).cloned().collect(),
                ..trigger
            }));
            all
        },
    )
}

#[test]
fn triggers_are_refused_or_terminate() {
    let (accepted, looping) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let config = ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let result = runner.run(&triggers(), |triggers| {
        match check_all(&triggers) {
            Ok(()) => {
                accepted.fetch_add(1, Ordering::Relaxed);
                prop_assert_eq!(rounds(&triggers, 1), 0, "a thumbnail was rendered of a thumbnail");
            }
            // Some refused sets are run to show that they do loop without the check.
            Err(refusal) if refusal.contains("would loop") && looping.load(Ordering::Relaxed) < 20 => {
                looping.fetch_add(usize::from(rounds(&triggers, 12) == 12), Ordering::Relaxed);
            }
            Err(_) => {}
        }
        Ok(())
    });
    result.unwrap();
    let (accepted, looping) = (accepted.into_inner(), looping.into_inner());
    assert!(accepted >= 100, "only {accepted} sets of triggers were accepted");
    assert!(looping >= 5, "only {looping} of the refused sets really loop");
}

/// A tool that copies every thumbnail back among the sources; returns the number of thumbnails rendered.
fn copied_back(template: &str, rename: impl Fn(&str) -> String, metadata: &[&str]) -> usize {
    run(async {
        let store = MemoryStore::with_buckets(&BUCKETS);
        let triggers = [Trigger {
            id: None,
            bucket: "one".into(),
            prefix: String::new(),
            suffixes: tintype_pipeline::Suffixes::EVERY_KEY,
            destination: "two".into(),
            created: true,
            created_types: tintype_pipeline::event::CreatedTypes::ALL,
            removed: false,
            renditions: vec![Rendition { key: template.parse().unwrap(), spec: Spec::default() }],
        }];
        check_all(&triggers).unwrap();
        let mut source = at("one", "a.png");
        store.put_all(vec![put(source.clone(), sample_image(false))], None).await.unwrap();
        for rendered in 0..100 {
            match call(&store, &triggers, &source).await {
                Outcome::Rendered => {}
                outcome => {
                    assert_eq!(outcome, Outcome::Ignored(Ignored::Thumbnail));
                    return rendered;
                }
            }
            let mut after = None;
            let newest = loop {
                let page = store.list("two", "", after.as_ref(), 1000).await.unwrap();
                let found = page
                    .objects
                    .into_iter()
                    .max_by_key(|(key, stat)| (stat.metadata.get(HOPS).cloned(), key.as_str().len()));
                if !page.more {
                    break found.unwrap().0;
                }
                after = found.map(|(key, _)| key);
            };
            let from = store.get(&at("two", newest.as_str()), u64::MAX).await.unwrap().unwrap();
            source = at("one", &rename(newest.as_str()));
            let mut copy = put(source.clone(), from.bytes);
            copy.metadata = from.stat.metadata;
            copy.metadata.retain(|name, _| metadata.contains(&name.as_str()));
            store.put_all(vec![copy], None).await.unwrap();
        }
        100
    })
}

#[test]
fn thumbnails_copied_back_among_the_sources_end_after_few_hops() {
    let same = |key: &str| key.to_owned();
    for template in ["thumb_{key}", "{dir}small/{name}", "{key}"] {
        assert_eq!(copied_back(template, same, &[RECIPE_FINGERPRINT]), 1, "{template}: with its mark");
        assert_eq!(copied_back(template, same, &[]), 1, "{template}: without metadata, under its name");
        let renamed = copied_back(template, |key| format!("in/{key}"), &[HOPS]);
        assert_eq!(renamed, MAX_HOPS as usize, "{template}: renamed, with the counter alone");
    }
}
