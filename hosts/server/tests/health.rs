//! The health check of the data folder: it detects and names each fault, and succeeds once the fault is gone.

mod common;

use std::{fs, path::Path};

use common::{IN, at, files, open, put};
use tintype::storage::Storage;

fn fault(store: &Storage) -> String {
    store.health.check().expect_err("the folder cannot be used").to_string()
}

#[test]
fn faults_that_prevent_writing_are_detected_and_the_check_leaves_no_file() {
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
fn an_objects_folder_that_files_cannot_be_moved_into_is_detected() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let objects = data.path().join("objects");
    fs::remove_dir_all(&objects).unwrap();
    let message = fault(&opened.store);
    assert!(message.contains("from \"incoming\" into \"objects\""), "{message}");
    assert_eq!(files(data.path(), "incoming"), 0);
    fs::create_dir(&objects).unwrap();
    opened.store.health.check().unwrap();
    assert_eq!(files(data.path(), "objects"), 0);
}

#[test]
fn a_missing_folder_of_object_files_fails_one_put_and_is_created_for_the_next() {
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
fn unreadable_free_space_is_not_reported_as_a_failed_write() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    opened.faults.fail_space(true);
    let message = fault(&opened.store);
    assert!(message.contains("free space of the data folder's volume cannot be read"), "{message}");
    assert!(!message.contains("incoming"), "{message}");
    opened.faults.fail_space(false);
    opened.store.health.check().unwrap();
}

#[test]
fn the_file_of_an_interrupted_check_is_removed_by_the_next() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    for file in ["incoming/probe", "objects/probe"] {
        fs::write(data.path().join(file), "cut").unwrap();
    }
    opened.store.health.check().unwrap();
    assert_eq!((files(data.path(), "incoming"), files(data.path(), "objects")), (0, 0));
}

#[test]
fn a_moved_or_replaced_ledger_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let opened = open(&data);
    let move_away = |from: &Path, to: &str| fs::rename(from, folder.path().join(to)).unwrap();
    let assert_detected =
        || assert!(fault(&opened.store).contains("put that file back"), "{}", fault(&opened.store));

    let ledger = data.join("ledger.redb");
    move_away(&ledger, "elsewhere");
    assert_detected();
    fs::copy(folder.path().join("elsewhere"), &ledger).unwrap();
    assert_detected();
    fs::rename(folder.path().join("elsewhere"), &ledger).unwrap();
    opened.store.health.check().unwrap();

    move_away(&data, "another place");
    assert_detected();
    drop(open(&data));
    assert_detected();
}

#[test]
fn a_replaced_ledger_is_never_opened() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let ledger = data.path().join("ledger.redb");
    fs::copy(&ledger, data.path().join("copy")).unwrap();
    put(&opened.store, &at(IN, "a.jpg"), b"in the first").unwrap();
    fs::rename(data.path().join("copy"), &ledger).unwrap();
    // After a failed sync the ledger is reopened.
    opened.faults.fail_syncs("ledger.redb", 1);
    put(&opened.store, &at(IN, "b.jpg"), b"not stored").unwrap_err();
    let refused = opened.ledger.view().err().expect("it is another ledger").to_string();
    assert!(refused.contains("put that file back"), "{refused}");
}
