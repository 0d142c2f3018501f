//! The contract of [`Store`] as one suite, run on each implementation; it panics at the first violation. The store must
//! be empty and have the buckets [`SOURCE`] and [`DESTINATION`].

use std::collections::BTreeMap;

use bytes::Bytes;

use tintype_pipeline::store::{Condition, Location, ObjectKey, Put, SourceVersion, Store, StoreError};

/// The bucket of sources.
pub const SOURCE: &str = "conformance-source";
/// The bucket of results.
pub const DESTINATION: &str = "conformance-destination";

/// Keys that break stores which treat keys as paths, patterns or markup.
pub const ODD_KEYS: &[&str] = &[
    "a//b",
    "../x",
    "./y",
    "photos/",
    "/lead",
    "Medium-input(30)/photo 1+2.jpg",
    "100%25.jpg",
    "a&b=c?d#e",
    "<key>'\"",
    "日本語/ü\u{301}.png",
    "emoji 😀",
    "CON",
    "back\\slash",
    "*",
    "~",
];

fn at(bucket: &str, key: &str) -> Location {
    Location { bucket: bucket.into(), key: ObjectKey::new(key).expect("a legal key") }
}

fn put(at: Location, condition: Condition, bytes: &'static [u8]) -> Put {
    let metadata = BTreeMap::from([("tintype-recipe".to_owned(), "r1".to_owned())]);
    Put { at, condition, bytes: Bytes::from_static(bytes), content_type: "image/png".into(), metadata }
}

/// Runs the whole suite.
///
/// # Panics
/// The store violates the contract.
pub async fn run(store: &dyn Store) {
    round_trip(store).await;
    odd_keys(store).await;
    conditions(store).await;
    source_versions(store).await;
    all_or_nothing(store).await;
    listing(store).await;
    missing_bucket(store).await;
}

async fn write(store: &dyn Store, at: Location, bytes: &'static [u8]) -> String {
    store.put(put(at, Condition::Any, bytes)).await.expect("put")
}

async fn round_trip(store: &dyn Store) {
    let place = at(SOURCE, "round/trip");
    assert_eq!(store.head(&place).await.expect("head"), None);
    assert_eq!(store.get(&place, 100).await.expect("get"), None);
    let etag = write(store, place.clone(), b"hello").await;
    let object = store.get(&place, 5).await.expect("get").expect("an object");
    assert_eq!((object.bytes.as_ref(), object.stat.size), (&b"hello"[..], 5));
    assert_eq!(object.stat.etag, etag);
    assert_eq!(object.stat.content_type.as_deref(), Some("image/png"));
    assert_eq!(object.stat.metadata.get("tintype-recipe").map(String::as_str), Some("r1"));
    assert_eq!(store.head(&place).await.expect("head"), Some(object.stat));
    assert_eq!(store.get(&place, 4).await, Err(StoreError::TooLarge { size: 5, limit: 4 }));
    let empty = write(store, place.clone(), b"").await;
    assert_ne!(empty, etag);
    assert_eq!(store.get(&place, 0).await.expect("get").expect("an object").bytes.len(), 0);
    store.delete(&place, None).await.expect("delete");
    assert_eq!(store.head(&place).await.expect("head"), None);
    store.delete(&place, None).await.expect("deleting a missing object is no error");
}

async fn odd_keys(store: &dyn Store) {
    let longest = "k".repeat(1024);
    for key in ODD_KEYS.iter().copied().chain([longest.as_str()]) {
        write(store, at(SOURCE, key), b"odd").await;
    }
    for key in ODD_KEYS.iter().copied().chain([longest.as_str()]) {
        assert!(store.get(&at(SOURCE, key), 3).await.expect("get").is_some(), "{key}");
        store.delete(&at(SOURCE, key), None).await.expect("delete");
        assert_eq!(store.head(&at(SOURCE, key)).await.expect("head"), None, "{key}");
    }
}

async fn conditions(store: &dyn Store) {
    let place = at(DESTINATION, "conditions");
    let attempt =
        async |condition, bytes| store.put_all(vec![put(place.clone(), condition, bytes)], None).await;
    let conflict = Err(StoreError::Conflict(place.clone()));
    assert_eq!(attempt(Condition::Matches("0".into()), b"x").await, conflict);
    let first = attempt(Condition::Absent, b"one").await.expect("there was none").remove(0);
    assert_eq!(attempt(Condition::Absent, b"two").await, conflict);
    let second =
        attempt(Condition::Matches(first.clone()), b"two").await.expect("it was the first").remove(0);
    assert_eq!(attempt(Condition::Matches(first.clone()), b"three").await, conflict);
    assert_eq!(store.delete(&place, Some(&first)).await, Err(StoreError::Conflict(place.clone())));
    store.delete(&place, Some(&second)).await.expect("it is the second");
    assert_eq!(store.head(&place).await.expect("head"), None);
}

async fn source_versions(store: &dyn Store) {
    let (from, to) = (at(SOURCE, "versioned"), at(DESTINATION, "versioned"));
    let old = SourceVersion { at: from.clone(), etag: write(store, from.clone(), b"old").await };
    let new = SourceVersion { at: from.clone(), etag: write(store, from.clone(), b"new").await };
    let result = store.put_all(vec![put(to.clone(), Condition::Any, b"t")], Some(&old)).await;
    assert_eq!(result, Err(StoreError::Conflict(from.clone())));
    store.put_all(vec![put(to.clone(), Condition::Any, b"t2")], Some(&new)).await.expect("it is the newest");
    store.delete(&from, None).await.expect("delete");
    let result = store.put_all(vec![put(to.clone(), Condition::Any, b"t3")], Some(&new)).await;
    assert_eq!(result, Err(StoreError::Conflict(from)), "a deleted source has no version");
    store.delete(&to, None).await.expect("delete");
}

/// A store that writes in order may have written what came before the conflict; never what comes after.
async fn all_or_nothing(store: &dyn Store) {
    let (first, second, third) =
        (at(DESTINATION, "set/1"), at(DESTINATION, "set/2"), at(DESTINATION, "set/3"));
    write(store, second.clone(), b"there").await;
    let puts = vec![
        put(first.clone(), Condition::Absent, b"1"),
        put(second.clone(), Condition::Absent, b"2"),
        put(third.clone(), Condition::Absent, b"3"),
    ];
    assert_eq!(store.put_all(puts, None).await, Err(StoreError::Conflict(second.clone())));
    assert_eq!(store.get(&second, 9).await.expect("get").expect("an object").bytes.as_ref(), b"there");
    assert_eq!(store.head(&third).await.expect("head"), None);
    for place in [first, second] {
        store.delete(&place, None).await.expect("delete");
    }
}

async fn listing(store: &dyn Store) {
    let keys = ["l/", "l/a", "l/a/b", "l/b", "l/ü", "m"];
    for key in keys {
        write(store, at(SOURCE, key), b"x").await;
    }
    let mut seen: Vec<ObjectKey> = Vec::new();
    loop {
        let page = store.list(SOURCE, "l/", seen.last(), 2).await.expect("list");
        assert!(page.objects.len() <= 2);
        seen.extend(page.objects.into_iter().map(|(key, _)| key));
        if !page.more {
            break;
        }
    }
    let seen: Vec<&str> = seen.iter().map(ObjectKey::as_str).collect();
    assert_eq!(seen, keys[..5]);
    for key in keys {
        store.delete(&at(SOURCE, key), None).await.expect("delete");
    }
}

async fn missing_bucket(store: &dyn Store) {
    let nowhere = at("conformance-nowhere", "x");
    let gone = StoreError::NoSuchBucket("conformance-nowhere".into());
    assert_eq!(store.head(&nowhere).await, Err(gone.clone()));
    assert_eq!(store.get(&nowhere, 9).await, Err(gone.clone()));
    assert_eq!(store.put_all(vec![put(nowhere, Condition::Any, b"x")], None).await, Err(gone));
}
