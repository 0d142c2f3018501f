//! An image uploaded with the request for its thumbnails: stored with them, or not at all.

use bytes::Bytes;
use tintype_engine::{Fit, Limits, OutputFormat, Spec};
use tintype_pipeline::{
    Call, Failure, Outcome, Reason, RenderedImage, Report, Stop, Store, Thumbnails,
    store::{Arrival, Condition, Location, ObjectKey, Put, WithArrival},
    trigger::{Rendition, Trigger},
};
use tintype_stores::MemoryStore;

const IN: &str = "in-bucket";
const OUT: &str = "out-bucket";

fn png(width: u32, height: u32) -> Bytes {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![90; (width * height) as usize]).unwrap();
    writer.finish().unwrap();
    out.into()
}

fn at(bucket: &str, key: &str) -> Location {
    Location { bucket: bucket.into(), key: ObjectKey::new(key).unwrap() }
}

fn spec(size: &str) -> Spec {
    Spec { size: size.parse().unwrap(), ..Spec::default() }
}

fn trigger(key: &str) -> Trigger {
    Trigger {
        id: None,
        bucket: IN.into(),
        prefix: String::new(),
        suffixes: tintype_pipeline::Suffixes::Listed(vec![".png".into(), ".gif".into(), "/".into()]),
        destination: OUT.into(),
        created: true,
        created_types: tintype_pipeline::event::CreatedTypes::ALL,
        removed: false,
        renditions: vec![Rendition { key: key.parse().unwrap(), spec: spec("16x16") }],
    }
}

fn store() -> MemoryStore {
    MemoryStore::with_buckets(&[IN, OUT])
}

/// The ETag that the in-memory store assigns.
async fn etag_of(bytes: &Bytes) -> String {
    let elsewhere = store();
    let put = Put {
        at: at(IN, "any"),
        condition: Condition::Any,
        bytes: bytes.clone(),
        content_type: String::new(),
        metadata: [].into(),
    };
    elsewhere.put_all(vec![put], None).await.unwrap().remove(0)
}

async fn receive(
    store: &MemoryStore,
    key: &str,
    bytes: Bytes,
    spec: &Spec,
) -> Result<(Report, RenderedImage), Failure> {
    let etag = etag_of(&bytes).await;
    receive_as(store, &[trigger("thumb_{key}")], key, bytes, spec, etag).await
}

async fn receive_as(
    store: &MemoryStore,
    triggers: &[Trigger],
    key: &str,
    bytes: Bytes,
    spec: &Spec,
    etag: String,
) -> Result<(Report, RenderedImage), Failure> {
    let function = Thumbnails::new(Limits::default(), 1 << 30, 1).unwrap();
    let stop = Stop::never();
    let arrival = Arrival { at: at(IN, key), content_type: "image/png".into(), bytes };
    let holding = WithArrival::new(store, arrival.clone(), etag);
    function.receive(Call { triggers, stop: &stop }, &holding, &arrival, spec).await
}

async fn is_there(store: &MemoryStore, at: Location) -> bool {
    store.head(&at).await.unwrap().is_some()
}

#[tokio::test]
async fn it_is_stored_with_its_thumbnail_which_is_returned() {
    let (store, bytes) = (store(), png(64, 32));
    let (report, image) = receive(&store, "a.png", bytes.clone(), &spec("16x16")).await.unwrap();
    assert_eq!((report.outcome, image.width, image.height), (Outcome::Rendered, 16, 8));
    let stored = store.get(&at(OUT, "thumb_a.png"), 1 << 20).await.unwrap().unwrap();
    assert_eq!((&stored.bytes, stored.stat.content_type.as_deref()), (&image.bytes, Some("image/png")));
    let source = store.get(&at(IN, "a.png"), 1 << 20).await.unwrap().unwrap();
    assert_eq!((&source.bytes, source.stat.content_type.as_deref()), (&bytes, Some("image/png")));
    assert_eq!(stored.stat.metadata["tintype-source-etag"], source.stat.etag);

    // Again: nothing is rendered, and the response is the same.
    let (report, again) = receive(&store, "a.png", bytes, &spec("16x16")).await.unwrap();
    assert_eq!((report.outcome, again), (Outcome::UpToDate, image));
}

#[tokio::test]
async fn another_thumbnail_may_be_requested() {
    let store = store();
    let square = Spec { fit: Fit::Cover, ..spec("10x10") };
    let (report, image) = receive(&store, "a.png", png(64, 32), &square).await.unwrap();
    assert_eq!((report.outcome, image.width, image.height), (Outcome::Rendered, 10, 10));
    assert_eq!((report.renditions[0].width, report.renditions[0].height), (16, 8));
}

#[tokio::test]
async fn without_a_matching_trigger_it_is_stored_alone() {
    let store = store();
    let (report, image) = receive(&store, "a.dat", png(64, 32), &spec("16x16")).await.unwrap();
    assert!(matches!(report.outcome, Outcome::Ignored(_)));
    assert_eq!((image.width, image.height), (16, 8));
    assert!(is_there(&store, at(IN, "a.dat")).await);
    assert!(!is_there(&store, at(OUT, "thumb_a.dat")).await);
}

#[tokio::test]
async fn an_unexpected_etag_renders_from_the_stored_object() {
    let (store, triggers) = (store(), [trigger("thumb_{key}")]);
    let received =
        receive_as(&store, &triggers, "a.png", png(64, 32), &spec("16x16"), "another".into()).await;
    let (report, _) = received.unwrap();
    assert_eq!(report.outcome, Outcome::Rendered);
    let source = store.head(&at(IN, "a.png")).await.unwrap().unwrap();
    let thumbnail = store.head(&at(OUT, "thumb_a.png")).await.unwrap().unwrap();
    assert_eq!(thumbnail.metadata["tintype-source-etag"], source.etag);
}

#[tokio::test]
async fn a_refused_image_leaves_nothing() {
    let store = store();
    // Two sources, one name.
    let mut jpeg = trigger("thumb_{key}");
    jpeg.suffixes =
        tintype_pipeline::Suffixes::Listed(vec![".png".into(), ".gif".into(), "/".into(), ".jpg".into()]);
    jpeg.renditions[0].spec.format = OutputFormat::Jpeg;
    let jpeg = [jpeg];
    let spec_of_jpeg = jpeg[0].renditions[0].spec.clone();
    let (first, etag) = (png(64, 32), etag_of(&png(64, 32)).await);
    let (_, thumbnail) = receive_as(&store, &jpeg, "a.png", first, &spec_of_jpeg, etag).await.unwrap();

    let plain = [trigger("thumb_{key}")];
    let too_long = format!("{}.png", "k".repeat(1020));
    let not_an_image = || Bytes::from_static(b"not an image");
    for (triggers, key, bytes, reason) in [
        (&jpeg, "a.png.jpg", thumbnail.bytes, Reason::Collision),
        (&plain, too_long.as_str(), png(64, 32), Reason::KeyTooLong),
        (&plain, "b.png", not_an_image(), Reason::Unsupported),
        (&plain, "b.png", png(64, 32).slice(..60), Reason::Malformed),
        (&plain, "folder/", Bytes::new(), Reason::Unsupported),
        (&plain, "b.dat", not_an_image(), Reason::Unsupported),
    ] {
        for spec in [triggers[0].renditions[0].spec.clone(), spec("10x10")] {
            let etag = etag_of(&bytes).await;
            let received = receive_as(&store, triggers, key, bytes.clone(), &spec, etag).await;
            assert_eq!(received.unwrap_err().reason, reason, "{key}");
            assert!(!is_there(&store, at(IN, key)).await, "{key}");
        }
    }
    let listed = store.list(OUT, "", None, 10).await.unwrap();
    assert_eq!(listed.objects.len(), 1);
}
