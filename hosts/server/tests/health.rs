//! Whether the data folder can be used: every way it cannot is found, named, and over once its cause is.

mod common;

use std::{fs, path::Path};

use common::{IN, at, files, open, put};
use tintype::storage::Storage;

fn fault(store: &Storage) -> String {
    store.health.check().expect_err("the folder cannot be used").to_string()
}

#[test]
fn what_keeps_files_from_being_written_is_found_and_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let (store, faults) = (&opened.store, &opened.faults);
    store.health.check().unwrap();

    faults.set_free(Some(1_000_000));
    assert!(fault(store).contains("full: 1.0 of "), "{}", fault(store));
    faults.set_free(None);
    store.health.check().unwrap();

    faults.set_full(true);
    assert!(fault(store).contains("no space left on device"), "{}", fault(store));
    faults.set_full(false);
    store.health.check().unwrap();

    faults.set_read_only(true);
    assert!(fault(store).contains("read-only"), "{}", fault(store));
    faults.set_read_only(false);
    store.health.check().unwrap();

    faults.fail_syncs("incoming/probe", 1);
    assert!(fault(store).contains("input/output error"), "{}", fault(store));
    store.health.check().unwrap();
    assert_eq!(files(data.path(), "incoming"), 0);

    fs::remove_dir(data.path().join("incoming")).unwrap();
    assert!(fault(store).contains("no file can be written in \"incoming\""), "{}", fault(store));
}

#[test]
fn objects_that_no_file_can_be_moved_into_are_found() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let objects = data.path().join("objects");
    fs::remove_dir_all(&objects).unwrap();
    let words = fault(&opened.store);
    assert!(words.contains("from \"incoming\" into \"objects\""), "{words}");
    assert_eq!(files(data.path(), "incoming"), 0);
    fs::create_dir(&objects).unwrap();
    opened.store.health.check().unwrap();
    assert_eq!(files(data.path(), "objects"), 0);
}

#[test]
fn a_folder_of_object_files_that_is_gone_fails_one_put_and_is_created_for_the_next() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    put(&opened.store, &at(IN, "a.jpg"), b"a").unwrap();
    let objects = data.path().join("objects");
    fs::remove_dir_all(&objects).unwrap();
    fs::create_dir(&objects).unwrap();
    let refused = put(&opened.store, &at(IN, "b.jpg"), b"b").unwrap_err().to_string();
    assert!(refused.contains("cannot be moved into \"objects\"") && !refused.contains("ledger"), "{refused}");
    put(&opened.store, &at(IN, "c.jpg"), b"c").unwrap();
}

#[test]
fn free_space_that_cannot_be_read_is_not_taken_for_a_file_that_cannot_be_written() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    opened.faults.fail_space(true);
    let words = fault(&opened.store);
    assert!(words.contains("free space of the data folder's volume cannot be read"), "{words}");
    assert!(!words.contains("incoming"), "{words}");
    opened.faults.fail_space(false);
    opened.store.health.check().unwrap();
}

#[test]
fn a_check_cut_short_leaves_its_file_to_the_next() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    for left in ["incoming/probe", "objects/probe"] {
        fs::write(data.path().join(left), "cut").unwrap();
    }
    opened.store.health.check().unwrap();
    assert_eq!((files(data.path(), "incoming"), files(data.path(), "objects")), (0, 0));
}

#[test]
fn a_ledger_that_is_not_where_it_was_opened_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let opened = open(&data);
    let away = |from: &Path, to: &str| fs::rename(from, folder.path().join(to)).unwrap();
    let displaced =
        || assert!(fault(&opened.store).contains("put that file back"), "{}", fault(&opened.store));

    let ledger = data.join("ledger.redb");
    away(&ledger, "elsewhere");
    displaced();
    fs::copy(folder.path().join("elsewhere"), &ledger).unwrap();
    displaced();
    fs::rename(folder.path().join("elsewhere"), &ledger).unwrap();
    opened.store.health.check().unwrap();

    away(&data, "another place");
    displaced();
    drop(open(&data));
    displaced();
}

#[test]
fn a_replaced_ledger_is_not_opened_in_the_place_of_the_first() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let ledger = data.path().join("ledger.redb");
    fs::copy(&ledger, data.path().join("copy")).unwrap();
    put(&opened.store, &at(IN, "a.jpg"), b"in the first").unwrap();
    fs::rename(data.path().join("copy"), &ledger).unwrap();
    // After a failed sync the ledger is opened again.
    opened.faults.fail_syncs("ledger.redb", 1);
    put(&opened.store, &at(IN, "b.jpg"), b"not stored").unwrap_err();
    let refused = opened.ledger.view().err().expect("it is another ledger").to_string();
    assert!(refused.contains("put that file back"), "{refused}");
}
