//! Backups: what was acknowledged before one began is in it as of one moment, whatever happens meanwhile.

mod common;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use common::{IN, OUT, at, cause, eventually, files, open, put, read, settings};
use tintype::{
    disk::{RealDisk, SharedDisk},
    server::{Parts, open_parts},
    storage::{
        BackupError, Copied, DataFolder, FolderCopy, FolderError, PageRequest, Progress, Purpose, Storage,
        repair::Finding,
    },
};
use tintype_faulty_disk::{Faults, FaultyDisk};

fn start(data: &Path) -> anyhow::Result<Parts> {
    open_parts(&settings(data, ""), Arc::new(RealDisk), DataFolder::open(data)?)
}

/// Every object of a store, with its bytes.
fn everything(store: &Storage) -> BTreeMap<(String, String), Vec<u8>> {
    let mut all = BTreeMap::new();
    for (bucket, _) in store.buckets.list().unwrap() {
        let request = PageRequest { max: usize::MAX, ..PageRequest::default() };
        for (key, _) in store.listing.page(&bucket, &request).unwrap().objects {
            let bytes = read(store, &at(&bucket, &key)).unwrap();
            all.insert((bucket.clone(), key), bytes);
        }
    }
    all
}

/// Copies from one folder to another; returns what was reported.
fn copied(
    from: &Path,
    ledger: &Path,
    to: &Path,
    purpose: Purpose,
) -> Result<(Copied, Vec<Finding>), BackupError> {
    copied_on(Arc::new(RealDisk), from, ledger, to, purpose, || Ok(()))
}

fn copied_on(
    disk: SharedDisk,
    from: &Path,
    ledger: &Path,
    to: &Path,
    purpose: Purpose,
    mut confirm: impl FnMut() -> Result<(), BackupError>,
) -> Result<(Copied, Vec<Finding>), BackupError> {
    let (from, to) = (DataFolder::look_at(from), Arc::new(DataFolder::open_any(to)?));
    let copy = FolderCopy { disk, from: &from, ledger, to, purpose };
    copy.claim()?;
    let mut found = Vec::new();
    let copied = copy.run(Progress {
        begin: &mut |_| {},
        step: &mut |_| Ok(()),
        confirm: &mut confirm,
        report: &mut |finding| found.push(finding.clone()),
    })?;
    match purpose {
        Purpose::Backup => copy.finish_backup(0, &copied)?,
        Purpose::Restore => copy.finish_restore()?,
    }
    Ok((copied, found))
}

/// Begins a backup of a store, and waits for its copy of the ledger.
fn begun(store: &Storage) -> (u64, PathBuf) {
    let id = store.backups.begin().unwrap().unwrap();
    let mut path = PathBuf::new();
    eventually("the ledger is copied", || {
        let snapshot = store.backups.renew(id).unwrap().unwrap();
        snapshot.map(|snapshot| path = snapshot.path).is_some()
    });
    (id, path)
}

fn backed_up(store: &Storage, data: &Path, to: &Path) -> (Copied, Vec<Finding>) {
    let (id, ledger) = begun(store);
    let done = copied(data, &ledger, to, Purpose::Backup).unwrap();
    assert!(store.backups.end(id));
    assert!(!ledger.exists());
    done
}

fn restored(backup: &Path, data: &Path) -> Copied {
    let (copied, found) = copied(backup, &backup.join("ledger.redb"), data, Purpose::Restore).unwrap();
    assert_eq!(found, []);
    copied
}

#[test]
fn a_backup_under_load_holds_everything_acknowledged_before() {
    let folder = tempfile::tempdir().unwrap();
    let [data, backup, again] = ["data", "backup", "again"].map(|name| folder.path().join(name));
    let parts = start(&data).unwrap();
    let store = &parts.store;
    store.buckets.create("other", None).unwrap();
    for number in 0..100 {
        put(store, &at("other", &format!("stays/{number}")), format!("stays {number}").as_bytes()).unwrap();
        put(store, &at("other", &format!("goes/{number}")), format!("goes {number}").as_bytes()).unwrap();
    }
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let (id, ledger, before) = std::thread::scope(|scope| {
        // One client overwrites the same keys all the time, one puts images, and once the backup has begun what it has to
        // hold is overwritten and deleted.
        scope.spawn(|| {
            let mut version = 0_u64;
            while !stop.load(Ordering::SeqCst) {
                version += 1;
                let bytes = version.to_be_bytes().repeat(2000);
                put(store, &at("other", &format!("hot/{}", version % 4)), &bytes).unwrap();
                acknowledged.store(version, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::SeqCst) {
                number += 1;
                put(store, &at(IN, &format!("{number}.jpg")), b"an image").unwrap();
            }
        });
        eventually("there is load", || acknowledged.load(Ordering::SeqCst) > 50);
        let before = acknowledged.load(Ordering::SeqCst);
        let (id, ledger) = begun(store);
        for number in 0..100 {
            put(store, &at("other", &format!("stays/{number}")), b"overwritten").unwrap();
            store.objects.delete(&at("other", &format!("goes/{number}")), None, cause()).unwrap();
        }
        let (copied, found) = copied(&data, &ledger, &backup, Purpose::Backup).unwrap();
        stop.store(true, Ordering::SeqCst);
        assert_eq!((found, copied.missing, copied.corrupt), (vec![], 0, 0));
        (id, ledger, before)
    });
    assert!(store.backups.end(id) && !ledger.exists());
    let waiting = parts.queue.depth().unwrap();
    drop(parts);

    assert!(matches!(DataFolder::open(&backup), Err(FolderError::Backup(_))), "no server runs on a backup");
    let files_restored = restored(&backup, &again);
    assert!(files_restored.objects > 200);
    let parts = start(&again).unwrap();
    let store = &parts.store;
    let all = everything(store);
    for number in 0..100 {
        for name in ["stays", "goes"] {
            let bytes = &all[&("other".to_owned(), format!("{name}/{number}"))];
            assert_eq!(bytes, format!("{name} {number}").as_bytes(), "as it was when the backup began");
        }
    }
    let hot: Vec<_> = all.iter().filter(|((_, key), _)| key.starts_with("hot/")).collect();
    let version = |bytes: &[u8]| u64::from_be_bytes(bytes[..8].try_into().unwrap());
    assert!(hot.iter().all(|(_, bytes)| bytes.chunks(8).all(|word| version(word) == version(bytes))));
    assert!(hot.iter().map(|(_, bytes)| version(bytes)).max().unwrap() >= before);
    // Each image has its event, and the new ones come above.
    let images = all.keys().filter(|(bucket, _)| bucket == IN).count() as u64;
    assert!(images > 0 && images <= waiting);
    assert_eq!(parts.queue.depth().unwrap(), images);
    put(store, &at("other", "stays/1"), b"later").unwrap();
    assert_eq!(read(store, &at("other", "stays/1")).unwrap(), b"later");
    let (_, found) = scrubbed(&again, parts);
    assert_eq!(found, 0);
}

/// Verifies every file of a folder; returns how many there are and how many are corrupt.
fn scrubbed(data: &Path, parts: Parts) -> (u64, u64) {
    drop(parts);
    let folder = DataFolder::open_existing(data).unwrap().unwrap();
    let scrubbed = tintype::storage::repair::scrub(&RealDisk, &folder, |_| {}, || {}, |_, _| {}).unwrap();
    (scrubbed.files, scrubbed.corrupt)
}

#[test]
fn files_are_held_until_the_backup_ends() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let store = &opened.store;
    for number in 0..10 {
        put(store, &at(IN, &format!("{number}.jpg")), b"first").unwrap();
    }
    let (id, _) = begun(store);
    assert_eq!(store.backups.begin().unwrap(), None, "one at a time");
    for number in 0..10 {
        put(store, &at(IN, &format!("{number}.jpg")), b"second").unwrap();
    }
    store.objects.delete(&at(IN, "0.jpg"), None, cause()).unwrap();
    // The cleanup of earlier runs must not remove them, either.
    store.cleanup.run().unwrap();
    assert_eq!(files(data.path(), "objects"), 20);
    assert!(store.backups.end(id));
    assert_eq!(files(data.path(), "objects"), 9);
    assert!(!store.backups.end(id) && store.backups.renew(id).is_none());
    // Nothing of it is left, and the next one begins.
    assert_eq!(files(data.path(), "incoming"), 0);
    let (id, _) = begun(store);
    assert!(store.backups.end(id));
}

#[test]
fn what_an_interrupted_backup_has_left_goes_at_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    put(&opened.store, &at(IN, "a.jpg"), b"first").unwrap();
    begun(&opened.store);
    put(&opened.store, &at(IN, "a.jpg"), b"second").unwrap();
    assert_eq!((files(data.path(), "objects"), files(data.path(), "incoming")), (2, 1));
    drop(opened);
    let opened = open(data.path());
    opened.store.cleanup.run().unwrap();
    assert_eq!((files(data.path(), "objects"), files(data.path(), "incoming")), (1, 0));
    assert_eq!(read(&opened.store, &at(IN, "a.jpg")).unwrap(), b"second");
}

#[test]
fn a_second_backup_copies_what_is_new_and_removes_what_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let [data, backup, again] = ["data", "backup", "again"].map(|name| folder.path().join(name));
    let opened = open(&data);
    let store = &opened.store;
    for number in 0..20 {
        put(store, &at(IN, &format!("{number}.jpg")), b"first").unwrap();
    }
    let (first, _) = backed_up(store, &data, &backup);
    assert_eq!((first.files, first.unchanged, first.objects), (20, 0, 20));
    put(store, &at(IN, "0.jpg"), b"second").unwrap();
    put(store, &at(OUT, "new.jpg"), b"new").unwrap();
    store.objects.delete(&at(IN, "1.jpg"), None, cause()).unwrap();
    let (second, _) = backed_up(store, &data, &backup);
    assert_eq!((second.files, second.unchanged, second.removed), (20, 18, 2));
    assert_eq!(files(&backup, "objects"), 20);
    let before = everything(store);
    drop(opened);
    restored(&backup, &again);
    assert_eq!(everything(&open(&again).store), before);
}

/// After a restore orders are given again: a file of the same name is not the same file.
#[test]
fn a_backup_of_a_restored_store_does_not_mix_two_histories() {
    let folder = tempfile::tempdir().unwrap();
    let [data, backup, early, again] =
        ["data", "backup", "early", "again"].map(|name| folder.path().join(name));
    let opened = open(&data);
    put(&opened.store, &at(IN, "a.jpg"), b"common").unwrap();
    backed_up(&opened.store, &data, &early);
    drop(opened);
    let opened = open(&data);
    put(&opened.store, &at(IN, "b.jpg"), b"lost").unwrap();
    backed_up(&opened.store, &data, &backup);
    drop(opened);
    fs::remove_dir_all(&data).unwrap();
    restored(&early, &data);
    let opened = open(&data);
    put(&opened.store, &at(IN, "c.jpg"), b"kept").unwrap();
    backed_up(&opened.store, &data, &backup);
    let before = everything(&opened.store);
    drop(opened);
    restored(&backup, &again);
    let opened = open(&again);
    assert_eq!(everything(&opened.store), before);
    assert_eq!(read(&opened.store, &at(IN, "b.jpg")), None);
}

#[test]
fn other_folders_are_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let [data, other, foreign, backup] =
        ["data", "other", "foreign", "backup"].map(|name| folder.path().join(name));
    let opened = open(&data);
    put(&opened.store, &at(IN, "a.jpg"), b"a").unwrap();
    put(&open(&other).store, &at(IN, "b.jpg"), b"b").unwrap();
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("letter.txt"), "mine").unwrap();
    let (id, ledger) = begun(&opened.store);
    let refused = |to: &Path| copied(&data, &ledger, to, Purpose::Backup).unwrap_err();
    assert!(matches!(refused(&other), BackupError::Target(_)));
    assert!(matches!(refused(&foreign), BackupError::Folder(FolderError::Foreign(_))));
    copied(&data, &ledger, &backup, Purpose::Backup).unwrap();
    assert!(opened.store.backups.end(id));
    // A backup of another store, and a folder that holds data, are left as they are.
    let own = open(&other);
    let (id, its) = begun(&own.store);
    let mixed = copied(&other, &its, &backup, Purpose::Backup).unwrap_err();
    assert!(matches!(mixed, BackupError::Target(_)), "{mixed}");
    assert!(own.store.backups.end(id));
    drop(own);
    let full = copied(&backup, &backup.join("ledger.redb"), &other, Purpose::Restore).unwrap_err();
    assert!(full.to_string().contains("holds data already"), "{full}");
    assert_eq!(read(&open(&other).store, &at(IN, "b.jpg")).unwrap(), b"b");
    assert_eq!(fs::read(foreign.join("letter.txt")).unwrap(), b"mine");
}

/// The object files of a folder, the oldest first.
fn object_files(data: &Path) -> Vec<PathBuf> {
    let below = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let mut all: Vec<_> = below(&data.join("objects")).iter().flat_map(|folder| below(folder)).collect();
    all.sort();
    all
}

#[test]
fn corrupt_and_missing_files_are_reported_and_the_rest_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let [data, backup] = ["data", "backup"].map(|name| folder.path().join(name));
    let opened = open(&data);
    for key in ["a.jpg", "b.jpg", "c.jpg"] {
        put(&opened.store, &at(IN, key), key.repeat(100).as_bytes()).unwrap();
    }
    let all = object_files(&data);
    let mut bytes = fs::read(&all[0]).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&all[0], bytes).unwrap();
    fs::remove_file(&all[1]).unwrap();
    let (copied, found) = backed_up(&opened.store, &data, &backup);
    assert_eq!((copied.files, copied.corrupt, copied.missing), (3, 1, 1));
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].key.as_deref(), Some("a.jpg"));
    assert_eq!(files(&backup, "objects"), 2);
}

#[test]
fn an_interrupted_restore_is_not_served_and_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let [data, backup, again] = ["data", "backup", "again"].map(|name| folder.path().join(name));
    let opened = open(&data);
    for number in 0..10 {
        put(&opened.store, &at(IN, &format!("{number}.jpg")), b"first").unwrap();
    }
    backed_up(&opened.store, &data, &backup);
    let before = everything(&opened.store);
    drop(opened);
    {
        let (from, to) = (DataFolder::look_at(&backup), Arc::new(DataFolder::open_any(&again).unwrap()));
        let ledger = from.ledger();
        let copy = FolderCopy {
            disk: Arc::new(RealDisk),
            from: &from,
            ledger: &ledger,
            to,
            purpose: Purpose::Restore,
        };
        copy.claim().unwrap();
        let mut done = 0;
        let stopped = copy.run(Progress {
            begin: &mut |_| {},
            step: &mut |is_file| {
                done += u64::from(is_file);
                if done < 5 { Ok(()) } else { Err(BackupError::Stopped("here".into())) }
            },
            confirm: &mut || Ok(()),
            report: &mut |_| {},
        });
        assert!(matches!(stopped, Err(BackupError::Stopped(_))));
    }
    assert!(matches!(DataFolder::open(&again), Err(FolderError::Restoring(_))));
    assert_eq!(restored(&backup, &again).unchanged, 5);
    assert_eq!(everything(&open(&again).store), before);
}

#[test]
fn a_corrupt_file_does_not_take_the_place_of_the_good_copy() {
    let folder = tempfile::tempdir().unwrap();
    let [data, backup, again] = ["data", "backup", "again"].map(|name| folder.path().join(name));
    let opened = open(&data);
    for key in ["a.jpg", "b.jpg", "c.jpg", "d.jpg"] {
        put(&opened.store, &at(IN, key), key.repeat(100).as_bytes()).unwrap();
    }
    let before = everything(&opened.store);
    backed_up(&opened.store, &data, &backup);
    let all = object_files(&data);
    let mut bytes = fs::read(&all[0]).unwrap();
    bytes[30] ^= 1;
    fs::write(&all[0], bytes).unwrap();
    let bytes = fs::read(&all[1]).unwrap();
    fs::write(&all[1], &bytes[..bytes.len() - 1]).unwrap();
    fs::write(&all[2], "").unwrap();
    let (copied, found) = backed_up(&opened.store, &data, &backup);
    assert_eq!((copied.files, copied.unchanged, copied.corrupt, copied.bytes), (4, 1, 3, 0));
    let reported: Vec<_> = found.iter().map(|finding| finding.file.clone().unwrap()).collect();
    assert_eq!(reported, all[..3], "the corrupt file is named, not its copy");
    assert_eq!(files(&backup, "incoming"), 0);
    drop(opened);
    restored(&backup, &again);
    assert_eq!(everything(&open(&again).store), before);
}

#[test]
fn a_file_that_the_disk_does_not_read_does_not_stop_the_backup() {
    let folder = tempfile::tempdir().unwrap();
    let [data, backup, other, again] =
        ["data", "backup", "other", "again"].map(|name| folder.path().join(name));
    let opened = open(&data);
    put(&opened.store, &at(IN, "a.jpg"), b"a").unwrap();
    backed_up(&opened.store, &data, &backup);
    put(&opened.store, &at(IN, "b.jpg"), b"b").unwrap();
    let before = everything(&opened.store);
    let faults = Arc::new(Faults::default());
    let unreadable = &object_files(&data)[0];
    faults.fail_reads(unreadable.to_str());
    let (id, ledger) = begun(&opened.store);
    for (to, files_there) in [(&backup, 2), (&other, 1)] {
        let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk), faults.clone()));
        let (copied, found) = copied_on(disk, &data, &ledger, to, Purpose::Backup, || Ok(())).unwrap();
        assert_eq!((copied.files, copied.corrupt, copied.missing), (2, 1, 0));
        assert_eq!(found[0].file.as_ref(), Some(unreadable));
        assert_eq!((files(to, "objects"), files(to, "incoming")), (files_there, 0));
    }
    assert!(opened.store.backups.end(id));
    drop(opened);
    restored(&backup, &again);
    assert_eq!(everything(&open(&again).store), before, "the copy of the first backup is kept");
}

/// As an interrupted backup of another history leaves it, under an order that was given again.
#[test]
fn a_restore_notices_a_file_that_is_not_the_ledgers() {
    let folder = tempfile::tempdir().unwrap();
    let [data, other, backup, again] =
        ["data", "other", "backup", "again"].map(|name| folder.path().join(name));
    fs::create_dir(&backup).unwrap();
    for (data, key) in [(&data, "a.jpg"), (&other, "b.jpg")] {
        let opened = open(data);
        put(&opened.store, &at(IN, key), key.as_bytes()).unwrap();
        backed_up(&opened.store, data, &backup.join(key));
    }
    let backup = backup.join("a.jpg");
    let (ours, its) = (object_files(&backup), object_files(&other));
    assert_eq!(ours[0].strip_prefix(&backup).unwrap(), its[0].strip_prefix(&other).unwrap());
    fs::copy(&its[0], &ours[0]).unwrap();
    let (copied, found) = copied(&backup, &backup.join("ledger.redb"), &again, Purpose::Restore).unwrap();
    assert_eq!((copied.files, copied.corrupt, found.len()), (1, 1, 1));
    assert!(found[0].why.contains("b.jpg"), "{}", found[0]);
    fs::remove_dir_all(&again).unwrap();
    // The next backup has the right one again.
    let (copied, found) = backed_up(&open(&data).store, &data, &backup);
    assert_eq!((copied.corrupt, copied.unchanged, found.len()), (0, 0, 0));
    restored(&backup, &again);
    assert_eq!(read(&open(&again).store, &at(IN, "a.jpg")).unwrap(), b"a.jpg");
}

#[test]
fn a_backup_whose_files_were_not_held_to_the_end_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let [data, backup, again] = ["data", "backup", "again"].map(|name| folder.path().join(name));
    let opened = open(&data);
    put(&opened.store, &at(IN, "a.jpg"), b"a").unwrap();
    let before = everything(&opened.store);
    backed_up(&opened.store, &data, &backup);
    put(&opened.store, &at(IN, "b.jpg"), b"b").unwrap();
    let (id, ledger) = begun(&opened.store);
    let stopped = copied_on(Arc::new(RealDisk), &data, &ledger, &backup, Purpose::Backup, || {
        assert!(opened.store.backups.end(id));
        match opened.store.backups.renew(id) {
            Some(_) => Ok(()),
            None => Err(BackupError::Stopped("it is gone".into())),
        }
    });
    assert!(matches!(stopped, Err(BackupError::Stopped(_))));
    drop(opened);
    restored(&backup, &again);
    assert_eq!(everything(&open(&again).store), before, "the earlier backup is whole");
}

#[test]
fn credentials_that_are_gone_are_not_kept_in_the_backup() {
    let folder = tempfile::tempdir().unwrap();
    let [data, backup] = ["data", "backup"].map(|name| folder.path().join(name));
    let opened = open(&data);
    fs::write(data.join("credentials"), "of the root").unwrap();
    backed_up(&opened.store, &data, &backup);
    assert_eq!(fs::read(backup.join("credentials")).unwrap(), b"of the root");
    fs::remove_file(data.join("credentials")).unwrap();
    backed_up(&opened.store, &data, &backup);
    assert!(!backup.join("credentials").exists());
}
