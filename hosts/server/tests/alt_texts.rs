//! The search in keys and descriptions.

mod common;

use std::{collections::BTreeMap, time::Instant};

use common::{IN, OUT, at, cause, open, put};
use tintype::ledger::{AltTextRecord, LedgerError};
use tintype_pipeline::store::Location;

fn alt(text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("en".to_owned(), text.to_owned())])
}

#[test]
fn a_search_finds_what_is_there_and_right() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let find = |text: &str| -> Vec<String> {
        let found = opened.store.alt_texts.search(IN, text, 10, |at| at.key.as_str() != "secret.jpg");
        found.unwrap().0.into_iter().map(|found| found.key).collect()
    };
    for key in ["Shop/Bike.jpg", "cat.jpg", "secret.jpg", "wall.jpg"] {
        put(&opened.store, &at(IN, key), b"image").unwrap();
    }
    for (key, text) in
        [("Shop/Bike.jpg", "Ein rotes FAHRRAD"), ("cat.jpg", "A red cat by a wall"), ("secret.jpg", "red")]
    {
        let sidecar = at(OUT, &format!("thumb_{key}.json"));
        let etag = put(&opened.store, &sidecar, text.as_bytes()).unwrap();
        let record = AltTextRecord { sidecar, etag, source_etag: None, alt: alt(text), edited: false };
        let source = at(IN, key);
        opened
            .ledger
            .submit(Vec::new(), move |changes| changes.put_alt_text(&source, &record))
            .wait()
            .unwrap();
    }
    assert_eq!(find("fahrrad"), ["Shop/Bike.jpg"]);
    assert_eq!(find("shop ROTES"), ["Shop/Bike.jpg"]);
    assert_eq!(find("bike"), ["Shop/Bike.jpg"]);
    assert_eq!(find("wall"), ["cat.jpg", "wall.jpg"], "those that are described first");
    assert_eq!(find("re"), ["cat.jpg"], "and none that may not be read");
    assert!(find("elephant").is_empty());

    // A sidecar that somebody replaced says something else by now.
    put(&opened.store, &at(OUT, "thumb_cat.jpg.json"), b"other").unwrap();
    assert!(find("red").is_empty());
    assert_eq!(find("cat"), ["cat.jpg"], "by its key");
    opened.store.objects.delete(&at(IN, "Shop/Bike.jpg"), None, cause()).unwrap();
    assert!(find("fahrrad").is_empty());
    // Rows without a sidecar go.
    assert_eq!(opened.store.alt_texts.reindex().unwrap(), 1);
}

#[test]
fn a_description_of_an_earlier_version_is_found_only_if_a_person_wrote_it() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let (source, sidecar) = (at(IN, "a.jpg"), at(OUT, "thumb_a.jpg.json"));
    let of_source = put(&opened.store, &source, b"image").unwrap();
    let etag = put(&opened.store, &sidecar, b"text").unwrap();
    for (source_etag, edited, may_sidecar, is_found) in [
        (of_source.as_str(), false, true, true),
        ("earlier", false, true, false),
        ("earlier", true, true, true),
        (of_source.as_str(), false, false, false),
    ] {
        let record = AltTextRecord {
            sidecar: sidecar.clone(),
            etag: etag.clone(),
            source_etag: Some(source_etag.to_owned()),
            alt: alt("A red bicycle"),
            edited,
        };
        let row_of = source.clone();
        opened
            .ledger
            .submit(Vec::new(), move |changes| changes.put_alt_text(&row_of, &record))
            .wait()
            .unwrap();
        let may = |one: &Location| may_sidecar || *one != sidecar;
        let texts = &opened.store.alt_texts;
        let (found, is_whole) = texts.search(IN, "bicycle", 10, may).unwrap();
        assert_eq!((found.len(), is_whole), (usize::from(is_found), true), "{source_etag} {edited}");
        let keys = texts.keys_described_by(IN, "bicycle", 10, may).unwrap();
        assert_eq!(keys.len(), usize::from(is_found), "{source_etag} {edited}");
    }
}

/// `cargo test --release -p tintype --test alt_texts -- --ignored --nocapture`: how long a search takes that finds nothing.
#[test]
#[ignore = "prints figures"]
fn of_a_hundred_thousand() {
    const COUNT: usize = 100_000;
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let first = at(IN, "first.jpg");
    let etag = put(&opened.store, &first, b"image").unwrap();
    let object = opened.store.objects.head(&first).unwrap().unwrap();
    let sidecar = at(OUT, "thumb_first.jpg.json");
    for from in (0..COUNT).step_by(10_000) {
        let (object, sidecar, etag) = (object.clone(), sidecar.clone(), etag.clone());
        let pending = opened.ledger.submit(Vec::new(), move |changes| {
            for number in from..from + 10_000 {
                let at = at(IN, &format!("shop/2026/products/image-{number:06}.jpg"));
                let text = format!(
                    "A red bicycle number {number} leans against a white wall beside a door, with a basket in front of it."
                );
                changes.put_object(&at, &object)?;
                let (sidecar, etag) = (sidecar.clone(), etag.clone());
                let record =
                    AltTextRecord { sidecar, etag, source_etag: None, alt: alt(&text), edited: false };
                changes.put_alt_text(&at, &record)?;
            }
            Ok::<_, LedgerError>(())
        });
        pending.wait().unwrap();
    }
    for text in ["elephant", "red elephant", "bicycle 100001"] {
        let mut times: Vec<_> = (0..7)
            .map(|_| {
                let began = Instant::now();
                assert!(opened.store.alt_texts.search(IN, text, 50, |_| true).unwrap().0.is_empty());
                began.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!("\"{text}\" in {COUNT} keys and descriptions: {:.1} ms", times[3].as_secs_f64() * 1e3);
    }
}
