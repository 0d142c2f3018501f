//! Disks and folders that are not as they should be.

use std::sync::Arc;

use tintype::{disk::RealDisk, store::StoreFault};
use tintype_function::store::Condition;

use crate::{
    checker::Recovered,
    clients::{Log, Told},
    common::{IN, at, settings},
    disk::{Faults, SimulatedDisk, Survival, Tree},
    pictures::Content,
    world::World,
};

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
        let ask = |log: &mut Log, key, wanted: Option<Content>| {
            let begun = log.begin(key, wanted);
            let answer = match wanted {
                Some(content) => world.put(key, &content.bytes(), Condition::Any),
                None => world.delete(&[key]).remove(0),
            };
            log.end(
                begun,
                match &answer {
                    Ok(()) => Told::Acknowledged,
                    Err(StoreFault::InDoubt(_)) => Told::InDoubt,
                    Err(_) => Told::Refused,
                },
            );
            answer
        };
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
