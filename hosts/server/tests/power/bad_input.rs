//! Disks and folders that are not as they should be.

use std::sync::{Arc, Mutex};

use redb::StorageBackend as _;
use tintype::{
    disk::{DatabaseFile, RealDisk},
    ledger::LedgerError,
    queue::ResultRecord,
    storage::{StoreFault, StoredHeaders},
};
use tintype_pipeline::store::{Condition, Location};

use crate::{
    checker::Recovered,
    clients::{Log, Told},
    common::{IN, at, settings},
    disk::{Faults, SimulatedDisk, Survival, Synced, Tree},
    pictures::Content,
    world::World,
};

/// Asks, and writes down what was told.
fn ask(world: &World, log: &mut Log, key: &'static str, wanted: Option<Content>) -> Result<(), StoreFault> {
    let begun = log.begin(key, wanted);
    let answer = match wanted {
        Some(content) => world.put(key, &content.bytes(), Condition::Any),
        None => world.delete(&[key]).remove(0),
    };
    let told = match &answer {
        Ok(()) => Told::Acknowledged,
        Err(StoreFault::InDoubt(_)) => Told::InDoubt,
        Err(_) => Told::Refused,
    };
    log.end(begun, told);
    answer
}

/// Whichever sync of the ledger fails: what was told holds at once, and after a power cut just then.
#[test]
fn a_commit_whose_sync_failed_is_told_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    let content = |number| Content { number, padding: 5000, good: true };
    let mut failed = 0;
    for good in 0..12 {
        let disk = SimulatedDisk::holding(&settings.data, Tree::new(&settings.data));
        let world = World::open(disk.shared(), &settings).unwrap();
        let mut log = Log::default();
        ask(&world, &mut log, "a.jpg", Some(content(1))).unwrap();
        disk.set_faults(Faults::failing_sync(Synced::Ledger, good));
        for (key, wanted) in [("a.jpg", Some(content(2))), ("b.jpg", Some(content(3))), ("a.jpg", None)] {
            let _ = ask(&world, &mut log, key, wanted);
            if disk.faults_happened() > 0 {
                break;
            }
        }
        failed += disk.faults_happened();
        let recovered = Recovered { settings: &settings, log: &log };
        recovered.sources(&world).unwrap_or_else(|broken| panic!("after {good} syncs: {broken}"));
        let tree = disk.tree();
        drop(world);
        for survival in [Survival::Nothing, Survival::All] {
            let left = recovered.check(tree.after_cut(survival));
            left.unwrap_or_else(|broken| panic!("after {good} syncs, {survival:?} survives: {broken}"));
        }
    }
    assert!(failed >= 4, "{failed}");
}

/// What can be read after a failed sync may never have reached the disk, and no later sync would bring it there: so
/// the file is written again before it is used again, by the same run or, as the marker beside it says, the next.
#[test]
fn after_a_failed_sync_a_database_is_written_again() {
    const PAGE: usize = 4096;
    const PAGES: usize = 32;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.redb");
    for by_the_next_run in [false, true] {
        let disk = SimulatedDisk::holding(folder.path(), Tree::new(folder.path()));
        let troubles = Arc::default();
        let database = DatabaseFile::open(&disk.shared(), &path, &troubles).unwrap();
        database.write(0, &[1; PAGE * PAGES]).unwrap();
        database.sync_data().unwrap();
        disk.set_faults(Faults::failing_sync(Synced::Ledger, 0));
        database.write(0, &[2; PAGE * PAGES]).unwrap();
        database.sync_data().unwrap_err();
        drop(database);

        let troubles = if by_the_next_run { Arc::default() } else { troubles };
        let again = DatabaseFile::open(&disk.shared(), &path, &troubles).unwrap();
        again.sync_data().unwrap();
        let after_a_cut = disk.tree().after_cut(Survival::Nothing);
        let disk = SimulatedDisk::holding(folder.path(), after_a_cut);
        let left = disk.shared().open(&path).unwrap();
        let mut bytes = vec![0; PAGE * PAGES];
        left.read_exact_at(&mut bytes, 0).unwrap();
        let lost = bytes.chunks(PAGE).filter(|page| page.iter().any(|byte| *byte != 2)).count();
        assert_eq!(lost, 0, "pages lost that were read as written (next run: {by_the_next_run})");
        assert!(disk.shared().open(&path.with_extension("suspect")).is_err(), "the marker is gone again");
    }
}

/// The run after a power cut may end before it has cleaned up: what the first one left is still found.
#[test]
fn leftovers_are_found_however_many_runs_later() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    let content = |number| Content { number, padding: 0, good: true };
    let disk = SimulatedDisk::holding(&settings.data, Tree::new(&settings.data));
    let world = World::open(disk.shared(), &settings).unwrap();
    let cuts: Arc<Mutex<Vec<Tree>>> = Arc::default();
    let seen = cuts.clone();
    disk.on_sync(move |tree| seen.lock().unwrap().push(tree().after_cut(Survival::Nothing)));
    world.put("a.jpg", &content(1).bytes(), Condition::Any).unwrap();
    drop(world);
    let cuts = std::mem::take(&mut *cuts.lock().unwrap());
    assert!(cuts.len() > 3);
    for cut in cuts {
        let disk = SimulatedDisk::holding(&settings.data, cut);
        let world = World::open(disk.shared(), &settings).unwrap();
        let mut log = Log::default();
        let begun = log.begin("a.jpg", Some(content(1)));
        log.end(begun, Told::InDoubt);
        ask(&world, &mut log, "b.jpg", Some(content(2))).unwrap();
        let tree = disk.tree().after_cut(Survival::All);
        drop(world);
        Recovered { settings: &settings, log: &log }.check(tree).unwrap();
    }
}

/// redb refuses what its cache does not hold after any I/O error; reads alone must get over it, for there may be
/// nothing to write for hours.
#[test]
fn a_read_that_failed_once_keeps_no_other_from_succeeding() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    let disk = SimulatedDisk::holding(&settings.data, Tree::new(&settings.data));
    let world = World::open(disk.shared(), &settings).unwrap();
    // More than the ledger's cache holds.
    let keys: Vec<Location> = (0..20_000).map(|number| at(IN, &format!("{number}.jpg"))).collect();
    let (ledger, rows) = (&world.ledger, keys.clone());
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
    assert!(keys.iter().any(|key| read(key).is_err()), "all of the ledger is in its cache");
    disk.set_faults(Faults::default());
    for key in &keys {
        assert_eq!(read(key).unwrap().unwrap().outcome, "ignored");
    }
}

/// While one put's file is being synced, so many others come and go that the cleaning after a start would not look
/// back as far as to it; then the power goes.
#[test]
fn a_put_that_very_many_others_pass_by_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    let content = |number| Content { number, padding: 0, good: true };
    let disk = SimulatedDisk::holding(&settings.data, Tree::new(&settings.data));
    let world = Arc::new(World::open(disk.shared(), &settings).unwrap());
    // From here on the next cleaning looks back no further than it reaches.
    world.store.cleanup.run().unwrap();
    let passing = world.clone();
    disk.meanwhile(move || {
        for _ in 0..13_000 {
            drop(passing.store.objects.begin(&at(IN, "refused.jpg"), StoredHeaders::default()).unwrap());
        }
        passing.put("b.jpg", &content(2).bytes(), Condition::Any).unwrap();
    });
    let cuts: Arc<Mutex<Vec<Tree>>> = Arc::default();
    let seen = cuts.clone();
    disk.on_sync(move |tree| seen.lock().unwrap().push(tree().after_cut(Survival::All)));
    world.put("a.jpg", &content(1).bytes(), Condition::Any).unwrap();
    let cuts = std::mem::take(&mut *cuts.lock().unwrap());
    // Once it is published nothing is left to look for.
    world.put("c.jpg", &content(3).bytes(), Condition::Any).unwrap();
    assert_eq!(world.ledger.view().unwrap().unclean().unwrap(), None);
    drop(world);
    assert!(cuts.len() > 3);
    for cut in cuts {
        let mut log = Log::default();
        let begun = log.begin("b.jpg", Some(content(2)));
        log.end(begun, Told::InDoubt);
        let begun = log.begin("a.jpg", Some(content(1)));
        log.end(begun, Told::InDoubt);
        Recovered { settings: &settings, log: &log }.check(cut).unwrap();
    }
}

/// Wherever in a put, an overwrite or a delete the disk fills up: what is refused is not done, what is done
/// stays, and once there is room everything goes on.
#[test]
fn a_disk_that_fills_up_in_the_middle_of_a_commit_tears_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    let content = |number| Content { number, padding: 9000, good: true };
    let mut refused = 0;
    for room in 0..60 {
        let disk = SimulatedDisk::holding(&settings.data, Tree::new(&settings.data));
        let world = World::open(disk.shared(), &settings).unwrap();
        let mut log = Log::default();
        let ask = |log: &mut Log, key, wanted| ask(&world, log, key, wanted);
        ask(&mut log, "a.jpg", Some(content(1))).unwrap();
        ask(&mut log, "b.jpg", Some(content(2))).unwrap();
        disk.set_faults(Faults::full_after(room));
        for (key, wanted) in [("a.jpg", Some(content(3))), ("b.jpg", None), ("c.jpg", Some(content(4)))] {
            match ask(&mut log, key, wanted) {
                Ok(()) => {}
                Err(told @ (StoreFault::Full(_) | StoreFault::InDoubt(_))) => {
                    assert!(told.to_string().contains("full"), "{told}");
                    refused += 1;
                }
                Err(other) => panic!("a full disk is told as one, not as: {other}"),
            }
        }
        disk.set_faults(Faults::default());
        ask(&mut log, "d.jpg", Some(content(5))).unwrap();
        let recovered = Recovered { settings: &settings, log: &log };
        recovered.drained(&world).unwrap_or_else(|broken| panic!("with room for {room}: {broken}"));
        let tree = disk.tree();
        drop(world);
        for survival in [Survival::Nothing, Survival::Some(room as u64), Survival::All] {
            let left = recovered.check(tree.after_cut(survival));
            left.unwrap_or_else(|broken| panic!("with room for {room}, {survival:?} survives: {broken}"));
        }
    }
    assert!(refused > 20, "{refused}");
}

/// Damage is for good and makes a dead letter; a disk that does not answer now may answer later.
#[test]
fn a_disk_that_cannot_be_read_is_not_taken_for_damage() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    let disk = SimulatedDisk::holding(&settings.data, Tree::new(&settings.data));
    let world = World::open(disk.shared(), &settings).unwrap();
    world.put("a.jpg", b"bytes", Condition::Any).unwrap();
    disk.set_faults(Faults::unreadable());
    let answer = world.read(&at(IN, "a.jpg"));
    assert!(matches!(answer, Err(StoreFault::Unavailable(_))), "{answer:?}");
    assert!(disk.faults_happened() > 0);
    disk.set_faults(Faults::default());
    assert_eq!(world.read(&at(IN, "a.jpg")).unwrap().as_deref(), Some(&b"bytes"[..]));
}

#[test]
fn a_ledger_from_another_folder_is_refused() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let settings = folders.each_ref().map(|folder| settings(folder.path(), ""));
    for (settings, text) in settings.iter().zip(["one", "two"]) {
        let world = World::open(Arc::new(RealDisk), settings).unwrap();
        world.put("a.txt", text.as_bytes(), Condition::Any).unwrap();
    }
    let own = std::fs::read(folders[0].path().join("ledger.redb")).unwrap();
    std::fs::copy(folders[1].path().join("ledger.redb"), folders[0].path().join("ledger.redb")).unwrap();
    let refusal = World::open(Arc::new(RealDisk), &settings[0]).err().unwrap();
    assert!(refusal.contains("belongs to another data folder"), "{refusal}");
    std::fs::write(folders[0].path().join("ledger.redb"), own).unwrap();
    let world = World::open(Arc::new(RealDisk), &settings[0]).unwrap();
    assert_eq!(world.read(&at(IN, "a.txt")).unwrap().as_deref(), Some(&b"one"[..]));
}

/// A ledger of some other program, or none at all, is neither taken nor overwritten.
#[test]
fn a_file_that_is_no_ledger_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "");
    drop(World::open(Arc::new(RealDisk), &settings).unwrap());
    let ledger = folder.path().join("ledger.redb");
    for bytes in [&b"SQLite format 3\0"[..], &[0; 8192][..]] {
        std::fs::write(&ledger, bytes).unwrap();
        assert!(World::open(Arc::new(RealDisk), &settings).is_err());
        assert_eq!(std::fs::read(&ledger).unwrap(), bytes);
    }
}
