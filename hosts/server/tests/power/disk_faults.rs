//! Single disk faults and foreign ledgers.

use std::sync::{Arc, Mutex};

use redb::StorageBackend as _;
use tintype::{
    disk::{DatabaseFile, RealDisk},
    ledger::{LedgerError, ResultRecord, StoredHeaders},
    storage::StoreFault,
};
use tintype_pipeline::store::{Condition, Location};

use crate::{
    common::{IN, at, settings},
    consistency_check::ConsistencyCheck,
    disk::{Faults, SimulatedDisk, Survival, SyncTarget, Tree},
    images::Content,
    request_log::{Reply, RequestLog},
    system::System,
};

/// Stores `content` or deletes the key, and logs request and reply.
fn request(
    system: &System,
    log: &mut RequestLog,
    key: &'static str,
    content: Option<Content>,
) -> Result<(), StoreFault> {
    let request = log.begin(key, content);
    let result = match content {
        Some(content) => system.put(key, &content.bytes(), Condition::Any),
        None => system.delete(&[key]).remove(0),
    };
    let reply = match &result {
        Ok(()) => Reply::Acknowledged,
        Err(StoreFault::InDoubt(_)) => Reply::InDoubt,
        Err(_) => Reply::Refused,
    };
    log.end(request, reply);
    result
}

/// Whichever sync of the ledger fails, the reply holds at once and after an immediate power cut.
#[test]
fn a_commit_whose_sync_failed_is_reported_correctly() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    let content = |number| Content { number, padding: 5000, is_image: true };
    let mut failed = 0;
    for successes in 0..12 {
        let disk = SimulatedDisk::new(&settings.data, Tree::new(&settings.data));
        let system = System::open(disk.shared(), &settings).unwrap();
        let mut log = RequestLog::default();
        request(&system, &mut log, "a.jpg", Some(content(1))).unwrap();
        disk.set_faults(Faults::failing_sync(SyncTarget::Ledger, successes));
        for (key, content) in [("a.jpg", Some(content(2))), ("b.jpg", Some(content(3))), ("a.jpg", None)] {
            let _ = request(&system, &mut log, key, content);
            if disk.fault_count() > 0 {
                break;
            }
        }
        failed += disk.fault_count();
        let check = ConsistencyCheck { settings: &settings, log: &log };
        check.sources(&system).unwrap_or_else(|broken| panic!("after {successes} syncs: {broken}"));
        let tree = disk.tree();
        drop(system);
        for survival in [Survival::Nothing, Survival::All] {
            let result = check.check(tree.after_cut(survival));
            result
                .unwrap_or_else(|broken| panic!("after {successes} syncs, {survival:?} survives: {broken}"));
        }
    }
    assert!(failed >= 4, "{failed}");
}

/// After a failed sync readable pages may not be on the disk, and no later sync writes them: the file is rewritten before
/// its next use, in the same process or, because of its marker, the next.
#[test]
fn after_a_failed_sync_a_database_is_rewritten() {
    const PAGE: usize = 4096;
    const PAGES: usize = 32;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    for by_next_process in [false, true] {
        let disk = SimulatedDisk::new(folder.path(), Tree::new(folder.path()));
        let faults = Arc::default();
        let database = DatabaseFile::open(&disk.shared(), &path, &faults).unwrap();
        database.write(0, &[1; PAGE * PAGES]).unwrap();
        database.sync_data().unwrap();
        disk.set_faults(Faults::failing_sync(SyncTarget::Ledger, 0));
        database.write(0, &[2; PAGE * PAGES]).unwrap();
        database.sync_data().unwrap_err();
        drop(database);

        let faults = if by_next_process { Arc::default() } else { faults };
        let reopened = DatabaseFile::open(&disk.shared(), &path, &faults).unwrap();
        reopened.sync_data().unwrap();
        let after_cut = disk.tree().after_cut(Survival::Nothing);
        let disk = SimulatedDisk::new(folder.path(), after_cut);
        let file = disk.shared().open(&path).unwrap();
        let mut bytes = vec![0; PAGE * PAGES];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let lost = bytes.chunks(PAGE).filter(|page| page.iter().any(|byte| *byte != 2)).count();
        assert_eq!(lost, 0, "readable pages were lost (next process: {by_next_process})");
        assert!(disk.shared().open(&path.with_extension("suspect")).is_err(), "the marker is removed");
    }
}

/// The process after a power cut may end before its cleanup; the next one still finds the orphaned files.
#[test]
fn orphaned_files_are_found_after_any_number_of_starts() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    let content = |number| Content { number, padding: 0, is_image: true };
    let disk = SimulatedDisk::new(&settings.data, Tree::new(&settings.data));
    let system = System::open(disk.shared(), &settings).unwrap();
    let cuts: Arc<Mutex<Vec<Tree>>> = Arc::default();
    let seen = cuts.clone();
    disk.on_sync(move |tree| seen.lock().unwrap().push(tree().after_cut(Survival::Nothing)));
    system.put("a.jpg", &content(1).bytes(), Condition::Any).unwrap();
    drop(system);
    let cuts = std::mem::take(&mut *cuts.lock().unwrap());
    assert!(cuts.len() > 3);
    for cut in cuts {
        let disk = SimulatedDisk::new(&settings.data, cut);
        let system = System::open(disk.shared(), &settings).unwrap();
        let mut log = RequestLog::default();
        let put = log.begin("a.jpg", Some(content(1)));
        log.end(put, Reply::InDoubt);
        request(&system, &mut log, "b.jpg", Some(content(2))).unwrap();
        let tree = disk.tree().after_cut(Survival::All);
        drop(system);
        ConsistencyCheck { settings: &settings, log: &log }.check(tree).unwrap();
    }
}

/// After any I/O error redb refuses reads that its cache does not hold. Reads must recover on their own, as there may be
/// nothing to write for hours.
#[test]
fn reads_recover_after_a_read_error() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    let disk = SimulatedDisk::new(&settings.data, Tree::new(&settings.data));
    let system = System::open(disk.shared(), &settings).unwrap();
    // More than the ledger's cache holds.
    let keys: Vec<Location> = (0..20_000).map(|number| at(IN, &format!("{number}.jpg"))).collect();
    let (ledger, rows) = (&system.ledger, keys.clone());
    let result = ResultRecord {
        event: 1,
        outcome: "ignored".into(),
        why: Some("why ".repeat(200)),
        renditions: Vec::new(),
        queued_ms: 1,
        ended_ms: 2,
        attempts: 1,
    };
    let pending = ledger.submit(Vec::new(), move |changes| {
        rows.iter().try_for_each(|row| changes.queue().put_result(row, &result))?;
        Ok::<_, LedgerError>(())
    });
    pending.wait().unwrap();
    let read = |key: &Location| ledger.view().and_then(|view| view.queue().result(key));
    disk.set_faults(Faults::unreadable());
    assert!(keys.iter().any(|key| read(key).is_err()), "the whole ledger is in the cache");
    disk.set_faults(Faults::default());
    for key in &keys {
        assert_eq!(read(key).unwrap().unwrap().outcome, "ignored");
    }
}

/// While the file of one put is synced, so many others overtake it that it lies outside the cleanup's scan window; then
/// the power fails.
#[test]
fn a_put_overtaken_by_very_many_others_leaves_no_orphaned_file() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    let content = |number| Content { number, padding: 0, is_image: true };
    let disk = SimulatedDisk::new(&settings.data, Tree::new(&settings.data));
    let system = Arc::new(System::open(disk.shared(), &settings).unwrap());
    // After this cleanup the next one covers its scan window only.
    system.store.cleanup.run().unwrap();
    let other = system.clone();
    disk.before_next_sync(move || {
        for _ in 0..13_000 {
            drop(other.store.objects.begin(&at(IN, "refused.jpg"), StoredHeaders::default()).unwrap());
        }
        other.put("b.jpg", &content(2).bytes(), Condition::Any).unwrap();
    });
    let cuts: Arc<Mutex<Vec<Tree>>> = Arc::default();
    let seen = cuts.clone();
    disk.on_sync(move |tree| seen.lock().unwrap().push(tree().after_cut(Survival::All)));
    system.put("a.jpg", &content(1).bytes(), Condition::Any).unwrap();
    let cuts = std::mem::take(&mut *cuts.lock().unwrap());
    // Once the put is published nothing is left to clean up.
    system.put("c.jpg", &content(3).bytes(), Condition::Any).unwrap();
    assert_eq!(system.ledger.view().unwrap().unclean().unwrap(), None);
    drop(system);
    assert!(cuts.len() > 3);
    for cut in cuts {
        let mut log = RequestLog::default();
        for (key, number) in [("b.jpg", 2), ("a.jpg", 1)] {
            let put = log.begin(key, Some(content(number)));
            log.end(put, Reply::InDoubt);
        }
        ConsistencyCheck { settings: &settings, log: &log }.check(cut).unwrap();
    }
}

/// Wherever the disk fills up during a put, an overwrite or a delete: refused requests change nothing, acknowledged ones
/// remain, and with free space everything works again.
#[test]
fn a_disk_that_fills_up_during_a_commit_tears_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    let content = |number| Content { number, padding: 9000, is_image: true };
    let mut refused = 0;
    for operations in 0..60 {
        let disk = SimulatedDisk::new(&settings.data, Tree::new(&settings.data));
        let system = System::open(disk.shared(), &settings).unwrap();
        let mut log = RequestLog::default();
        let request = |log: &mut RequestLog, key, content| request(&system, log, key, content);
        request(&mut log, "a.jpg", Some(content(1))).unwrap();
        request(&mut log, "b.jpg", Some(content(2))).unwrap();
        disk.set_faults(Faults::full_after(operations));
        for (key, content) in [("a.jpg", Some(content(3))), ("b.jpg", None), ("c.jpg", Some(content(4)))] {
            match request(&mut log, key, content) {
                Ok(()) => {}
                Err(fault @ (StoreFault::Full(_) | StoreFault::InDoubt(_))) => {
                    assert!(fault.to_string().contains("full"), "{fault}");
                    refused += 1;
                }
                Err(other) => panic!("a full disk is reported as: {other}"),
            }
        }
        disk.set_faults(Faults::default());
        request(&mut log, "d.jpg", Some(content(5))).unwrap();
        let check = ConsistencyCheck { settings: &settings, log: &log };
        check.drained(&system).unwrap_or_else(|broken| panic!("full after {operations}: {broken}"));
        let tree = disk.tree();
        drop(system);
        for survival in [Survival::Nothing, Survival::Some(operations as u64), Survival::All] {
            let result = check.check(tree.after_cut(survival));
            result
                .unwrap_or_else(|broken| panic!("full after {operations}, {survival:?} survives: {broken}"));
        }
    }
    assert!(refused > 20, "{refused}");
}

/// Corruption is permanent and leads to a dead letter; a read error may be temporary.
#[test]
fn a_read_error_is_not_reported_as_corruption() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    let disk = SimulatedDisk::new(&settings.data, Tree::new(&settings.data));
    let system = System::open(disk.shared(), &settings).unwrap();
    system.put("a.jpg", b"bytes", Condition::Any).unwrap();
    disk.set_faults(Faults::unreadable());
    let read = system.read(&at(IN, "a.jpg"));
    assert!(matches!(read, Err(StoreFault::Unavailable(_))), "{read:?}");
    assert!(disk.fault_count() > 0);
    disk.set_faults(Faults::default());
    assert_eq!(system.read(&at(IN, "a.jpg")).unwrap().as_deref(), Some(&b"bytes"[..]));
}

#[test]
fn a_ledger_from_another_folder_is_refused() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let settings = folders.each_ref().map(|folder| settings(folder.path(), ""));
    for (settings, text) in settings.iter().zip(["one", "two"]) {
        let system = System::open(Arc::new(RealDisk), settings).unwrap();
        system.put("a.txt", text.as_bytes(), Condition::Any).unwrap();
    }
    let own = std::fs::read(folders[0].path().join("ledger.redb")).unwrap();
    std::fs::copy(folders[1].path().join("ledger.redb"), folders[0].path().join("ledger.redb")).unwrap();
    let refusal = System::open(Arc::new(RealDisk), &settings[0]).err().unwrap();
    assert!(refusal.contains("belongs to another data folder"), "{refusal}");
    std::fs::write(folders[0].path().join("ledger.redb"), own).unwrap();
    let system = System::open(Arc::new(RealDisk), &settings[0]).unwrap();
    assert_eq!(system.read(&at(IN, "a.txt")).unwrap().as_deref(), Some(&b"one"[..]));
}

/// A file of another program in the ledger's place is neither opened nor overwritten.
#[test]
fn a_file_that_is_not_a_ledger_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    drop(System::open(Arc::new(RealDisk), &settings).unwrap());
    let ledger = folder.path().join("ledger.redb");
    for bytes in [&b"SQLite format 3\0"[..], &[0; 8192][..]] {
        std::fs::write(&ledger, bytes).unwrap();
        assert!(System::open(Arc::new(RealDisk), &settings).is_err());
        assert_eq!(std::fs::read(&ledger).unwrap(), bytes);
    }
}
