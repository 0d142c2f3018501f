//! The outbox: a row for each change that a section wants, in the change's transaction and in the order of commits.

mod common;

use std::{path::Path, sync::Arc};

use common::{IN, OUT, Opened, at, cause, open, put};
use tintype::{
    disk::{RealDisk, SharedDisk},
    storage::{
        Cause, CopyOptions, DataFolder, ObjectDetails, OutboxRow, OutboxSection, Storage, StoredHeaders,
        repair,
    },
};
use tintype_pipeline::store::Condition;

fn section(name: &str, bucket: &str) -> OutboxSection {
    OutboxSection {
        name: name.into(),
        bucket: bucket.into(),
        prefix: String::new(),
        created: true,
        overwritten: true,
        removed: true,
        max_waiting: 10,
    }
}

fn opened(data: &Path, sections: Vec<OutboxSection>) -> Opened {
    let opened = open(data);
    opened.store.outbox.record_for(sections);
    opened
}

fn rows(store: &Storage, name: &str) -> Vec<OutboxRow> {
    store.outbox.rows(name, 0, 1000).unwrap()
}

/// Name, key and size of each row.
fn seen(store: &Storage, name: &str) -> Vec<(String, String, u64)> {
    rows(store, name).into_iter().map(|(_, row)| (row.name, row.key, row.size)).collect()
}

#[test]
fn each_change_that_is_wanted_has_a_row() {
    let data = tempfile::tempdir().unwrap();
    let raw = OutboxSection { prefix: "raw/".into(), created: false, ..section("raw", IN) };
    let gone = OutboxSection { created: false, overwritten: false, ..section("gone", IN) };
    let opened = opened(data.path(), vec![section("all", IN), raw, gone, section("out", OUT)]);
    let store = &opened.store;
    let (first, other) = (at(IN, "raw/a.jpg"), at(IN, "b.jpg"));
    put(store, &first, b"1").unwrap();
    put(store, &first, b"22").unwrap();
    let source = store.objects.open(&first).unwrap().unwrap();
    let options = CopyOptions { headers: None, condition: Condition::Any, details: ObjectDetails::default() };
    store.objects.copy(&source, &other, options, Cause::new("ObjectCreated:Copy", "r")).unwrap();
    store.objects.delete(&first, None, Cause::new("ObjectRemoved:Delete", "r")).unwrap();
    store.objects.delete(&first, None, Cause::new("ObjectRemoved:Delete", "r")).unwrap();
    // Refused: nothing happened.
    let mut incoming = store.objects.begin(&other, StoredHeaders::default()).unwrap();
    incoming.write(b"333").unwrap();
    store.objects.commit(&other, incoming, Condition::Absent, cause()).unwrap_err();
    put(store, &at(OUT, "thumb_a.jpg"), b"4444").unwrap();

    let row = |name: &str, key: &str, size| (name.to_owned(), key.to_owned(), size);
    let (put, removed) = ("ObjectCreated:Put", "ObjectRemoved:Delete");
    assert_eq!(
        seen(store, "all"),
        [
            row(put, "raw/a.jpg", 1),
            row(put, "raw/a.jpg", 2),
            row("ObjectCreated:Copy", "b.jpg", 2),
            row(removed, "raw/a.jpg", 2)
        ]
    );
    assert_eq!(seen(store, "raw"), [row(put, "raw/a.jpg", 2), row(removed, "raw/a.jpg", 2)]);
    assert_eq!(seen(store, "gone"), [row(removed, "raw/a.jpg", 2)]);
    assert_eq!(seen(store, "out"), [row(put, "thumb_a.jpg", 4)]);
    assert_eq!(store.outbox.waiting().unwrap(), 8);
    let numbers: Vec<u64> = rows(store, "all").into_iter().map(|(number, _)| number).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[test]
fn rows_stay_until_they_are_removed_and_numbers_go_on_rising() {
    let data = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..3 {
        let opened = opened(data.path(), vec![section("all", IN)]);
        assert_eq!(rows(&opened.store, "all").len(), round);
        put(&opened.store, &at(IN, "a.jpg"), b"x").unwrap();
        put(&opened.store, &at(IN, "a.jpg"), b"y").unwrap();
        let numbers: Vec<u64> = rows(&opened.store, "all").into_iter().map(|(number, _)| number).collect();
        assert!(numbers[round] > last, "{numbers:?}");
        last = numbers[round + 1];
        opened.store.outbox.remove("all", vec![last]).unwrap();
    }
}

#[test]
fn the_oldest_of_too_many_are_dropped_and_those_of_a_former_section() {
    let data = tempfile::tempdir().unwrap();
    {
        let opened = opened(data.path(), vec![section("all", IN), section("former", IN)]);
        for number in 0..13 {
            put(&opened.store, &at(IN, &format!("{number}.jpg")), b"x").unwrap();
        }
        let (dropped, left) = opened.store.outbox.trim(&section("all", IN)).unwrap();
        assert_eq!((dropped.len(), left), (3, 10));
        assert_eq!(seen(&opened.store, "all")[0].1, "3.jpg");
        assert_eq!(opened.store.outbox.trim(&section("all", IN)).unwrap(), (Vec::new(), 10));
    }
    let opened = opened(data.path(), vec![section("all", IN)]);
    assert_eq!(opened.store.outbox.drop_unknown().unwrap(), [("former".to_owned(), 13)]);
    assert_eq!((rows(&opened.store, "all").len(), opened.store.outbox.waiting().unwrap()), (10, 10));
}

#[test]
fn a_repair_retains_what_waits_and_numbers_rise_after_it() {
    let data = tempfile::tempdir().unwrap();
    let before = {
        let opened = opened(data.path(), vec![section("all", IN)]);
        put(&opened.store, &at(IN, "a.jpg"), b"1").unwrap();
        put(&opened.store, &at(IN, "a.jpg"), b"22").unwrap();
        rows(&opened.store, "all")
    };
    let disk: SharedDisk = Arc::new(RealDisk);
    let folder = Arc::new(DataFolder::open_existing(data.path()).unwrap().unwrap());
    let options = repair::Options { buckets: &[IN.into()], verify: false, stamp: "20261124T000000Z" };
    repair::rebuild(&disk, &folder, &options, |_| {}, || {}, &mut |_| {}).unwrap();
    drop((disk, folder));
    let opened = opened(data.path(), vec![section("all", IN)]);
    assert_eq!(rows(&opened.store, "all"), before);
    put(&opened.store, &at(IN, "a.jpg"), b"333").unwrap();
    let after = rows(&opened.store, "all");
    assert!(after.len() == 3 && after[2].0 > before[1].0, "{after:?}");
}
