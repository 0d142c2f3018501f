//! An image that is stored with its thumbnails: one transaction, no event, and nothing left of what is refused.

mod common;

use std::sync::Arc;

use common::{IN, OUT, Opened, at, cause, files, open, put, read, runtime};
use futures::FutureExt as _;
use tintype::storage::{ArrivingStore, Cause, DiskPort};
use tintype_pipeline::{
    Call, Failure, Outcome, Reason, RenderedImage, Report, Stop, Store as _, Thumbnails,
    store::{Arrival, Condition, Put, SourceVersion, StoreError},
};

fn jpeg(shade: u8) -> Vec<u8> {
    let mut out = Vec::new();
    jpeg_encoder::Encoder::new(&mut out, 80)
        .encode(&vec![shade; 320 * 200], 320, 200, jpeg_encoder::ColorType::Luma)
        .unwrap();
    out
}

fn arrival(key: &str, bytes: Vec<u8>) -> Arrival {
    Arrival { at: at(IN, key), content_type: "image/jpeg".into(), bytes: bytes.into() }
}

fn posted() -> Cause {
    Cause::new("ObjectCreated:Post", "test")
}

fn receive(opened: &Opened, arrival: &Arrival) -> Result<(Report, RenderedImage), Failure> {
    let function = Thumbnails::new(opened.settings.limits, 1 << 30, 1).unwrap();
    let spec = opened.settings.triggers[0].renditions[0].spec.clone();
    let (triggers, stop) = (&opened.settings.triggers, Stop::never());
    runtime().block_on(async {
        let store = arriving(opened, arrival);
        let received = function.receive(Call { triggers, stop: &stop }, &store, arrival, &spec).await;
        store.close().await;
        received
    })
}

/// Needs a runtime around it.
fn arriving(opened: &Opened, arrival: &Arrival) -> ArrivingStore {
    ArrivingStore::new(DiskPort::new(opened.store.clone()), arrival.clone(), posted())
}

fn events(opened: &Opened) -> u64 {
    opened.ledger.view().unwrap().queue().event_count().unwrap()
}

#[test]
fn source_and_thumbnail_are_there_at_once_without_an_event() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let before = opened.ledger.changes();
    let (report, picture) = receive(&opened, &arrival("a.jpg", jpeg(90))).unwrap();
    assert_eq!(report.outcome, Outcome::Rendered);
    assert_eq!(opened.ledger.changes() - before, 1, "one commit holds all of it");
    assert_eq!(read(&opened.store, &at(IN, "a.jpg")).unwrap(), jpeg(90));
    assert_eq!(read(&opened.store, &at(OUT, "thumb_a.jpg")).unwrap(), picture.bytes);
    assert_eq!(events(&opened), 0);
    let result = opened.ledger.view().unwrap().queue().result(&at(IN, "a.jpg")).unwrap().unwrap();
    assert_eq!((result.outcome.as_str(), result.renditions), ("made", vec![at(OUT, "thumb_a.jpg")]));
    drop(opened);
    let opened = open(data.path());
    assert!(read(&opened.store, &at(OUT, "thumb_a.jpg")).is_some());
    assert_eq!((files(data.path(), "objects"), files(data.path(), "incoming")), (2, 0));
}

#[test]
fn what_is_refused_leaves_no_file() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let changes = opened.ledger.changes();
    for (key, bytes, reason) in [
        ("a.jpg".to_owned(), b"no picture".to_vec(), Reason::Unsupported),
        ("a.jpg".to_owned(), jpeg(90)[..200].to_vec(), Reason::Malformed),
        (format!("{}.jpg", "k".repeat(1020)), jpeg(90), Reason::KeyTooLong),
    ] {
        assert_eq!(receive(&opened, &arrival(&key, bytes)).unwrap_err().reason, reason);
    }
    assert_eq!((files(data.path(), "objects"), files(data.path(), "incoming")), (0, 0));
    assert_eq!(opened.ledger.changes(), changes);
}

#[test]
fn a_failing_disk_or_a_missing_bucket_is_reported_and_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let elsewhere = Arrival { at: at("nowhere", "a.jpg"), ..arrival("a.jpg", jpeg(90)) };
    let gone = runtime().block_on(async {
        let store = arriving(&opened, &elsewhere);
        let gone = store.head(&elsewhere.at).await;
        store.close().await;
        gone
    });
    assert_eq!(gone, Err(StoreError::NoSuchBucket("nowhere".into())));

    opened.faults.set_full(true);
    assert_eq!(receive(&opened, &arrival("a.jpg", jpeg(90))).unwrap_err().reason, Reason::Unavailable);
    opened.faults.set_full(false);
    assert_eq!((files(data.path(), "objects"), files(data.path(), "incoming")), (0, 0));
    assert!(receive(&opened, &arrival("a.jpg", jpeg(90))).is_ok());
}

/// As when the client goes while the disk is slow.
#[test]
fn an_abandoned_wait_leaves_no_file() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let arrived = arrival("a.jpg", jpeg(90));
    runtime().block_on(async {
        let store = arriving(&opened, &arrived);
        for _ in 0..3 {
            // Polled once, and dropped.
            let _ = store.head(&arrived.at).now_or_never();
            let _ = store.put_all(Vec::new(), None).now_or_never();
        }
        store.close().await;
    });
    let is_stored = read(&opened.store, &arrived.at).is_some();
    assert_eq!((files(data.path(), "objects"), files(data.path(), "incoming")), (usize::from(is_stored), 0));
}

#[test]
fn a_concurrent_put_is_not_mixed_with_it() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let arrived = arrival("a.jpg", jpeg(90));
    let (store, etag) = runtime().block_on(async {
        let store = arriving(&opened, &arrived);
        let etag = store.head(&arrived.at).await.unwrap().unwrap().etag;
        (store, etag)
    });
    let thumbnail = |condition| Put {
        at: at(OUT, "thumb_a.jpg"),
        condition,
        bytes: b"thumbnail".as_slice().into(),
        content_type: "image/jpeg".into(),
        metadata: [].into(),
    };
    let version = SourceVersion { at: arrived.at.clone(), etag };
    // Another version comes while the thumbnail is made: its file is the newer one.
    put(&opened.store, &arrived.at, &jpeg(30)).unwrap();
    let written = runtime().block_on(store.put_all(vec![thumbnail(Condition::Absent)], Some(&version)));
    // Whether this one was newer depends on which file was finished first; never are the two mixed.
    match written {
        Ok(_) => assert_eq!(read(&opened.store, &arrived.at).unwrap(), jpeg(90)),
        Err(error) => {
            assert_eq!(error, StoreError::Conflict(arrived.at.clone()));
            assert_eq!(read(&opened.store, &arrived.at).unwrap(), jpeg(30));
            assert!(read(&opened.store, &at(OUT, "thumb_a.jpg")).is_none());
        }
    }
    runtime().block_on(store.close());

    // Begun again, it is the newest.
    let (report, picture) = receive(&opened, &arrived).unwrap();
    assert!(matches!(report.outcome, Outcome::Rendered), "{:?}", report.outcome);
    assert_eq!(read(&opened.store, &arrived.at).unwrap(), jpeg(90));
    assert_eq!(read(&opened.store, &at(OUT, "thumb_a.jpg")).unwrap(), picture.bytes);
    assert_eq!(files(data.path(), "incoming"), 0);
}

#[test]
fn many_at_once_on_one_key_leave_one_of_them_whole() {
    let data = tempfile::tempdir().unwrap();
    let opened = Arc::new(open(data.path()));
    std::thread::scope(|scope| {
        for shade in [10, 60, 110, 160, 210] {
            let opened = opened.clone();
            scope.spawn(move || receive(&opened, &arrival("a.jpg", jpeg(shade))).unwrap());
        }
    });
    let source = opened.store.objects.head(&at(IN, "a.jpg")).unwrap().unwrap();
    let thumbnail = opened.store.objects.head(&at(OUT, "thumb_a.jpg")).unwrap().unwrap();
    assert_eq!(thumbnail.headers.metadata["tintype-source-etag"], source.etag);
    assert_eq!((files(data.path(), "objects"), files(data.path(), "incoming")), (2, 0));
    opened.store.objects.delete(&at(IN, "a.jpg"), None, cause()).unwrap();
}
