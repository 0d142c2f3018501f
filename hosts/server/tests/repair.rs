//! Repair: whatever becomes of the ledger, objects are brought back from their files, and only those that
//! were there.

mod common;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use common::{IN, OUT, at, cause, files, open, put, read, settings};
use tintype::{
    disk::{RealDisk, SharedDisk},
    queue::Next,
    server::{Parts, open_parts},
    storage::repair::{self, Finding, FindingKind, Options, Repaired},
    storage::{DataFolder, ObjectRecord, Orphan, PageRequest, Storage, StoredHeaders},
};
use tintype_pipeline::{Failure, Outcome, Reason, store::Condition};

fn start(data: &Path) -> anyhow::Result<Parts> {
    open_parts(&settings(data, ""), Arc::new(RealDisk), DataFolder::open(data)?)
}

fn rebuild_with(data: &Path, verify: bool) -> (Repaired, Vec<Finding>) {
    let disk: SharedDisk = Arc::new(RealDisk);
    let folder = Arc::new(DataFolder::open_existing(data).unwrap().unwrap());
    let mut found = Vec::new();
    let options = Options { buckets: &[IN.into(), OUT.into()], verify, stamp: "20261124T000000Z" };
    let repaired = repair::rebuild(&disk, &folder, &options, |_| {}, || {}, &mut |finding| {
        found.push(finding.clone());
    });
    (repaired.unwrap(), found)
}

fn rebuild(data: &Path) -> (Repaired, Vec<Finding>) {
    rebuild_with(data, false)
}

/// Every object of a store, with its bytes.
fn everything(store: &Storage) -> BTreeMap<(String, String), (ObjectRecord, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for (bucket, _) in store.buckets.list().unwrap() {
        let request = PageRequest { max: usize::MAX, ..PageRequest::default() };
        for (key, record) in store.listing.page(&bucket, &request).unwrap().objects {
            let bytes = read(store, &at(&bucket, &key)).unwrap();
            all.insert((bucket.clone(), key), (record, bytes));
        }
    }
    all
}

/// A folder with objects of all kinds: overwritten, deleted, with headers, in a bucket of its own.
fn filled(data: &Path) -> BTreeMap<(String, String), (ObjectRecord, Vec<u8>)> {
    let parts = start(data).unwrap();
    let store = &parts.store;
    store.buckets.create("kept", None).unwrap();
    for number in 0..60 {
        put(store, &at(IN, &format!("k/{number}.jpg")), format!("first {number}").as_bytes()).unwrap();
    }
    for number in 0..20 {
        put(store, &at(IN, &format!("k/{number}.jpg")), format!("second {number}").as_bytes()).unwrap();
    }
    for number in 40..50 {
        store.objects.delete(&at(IN, &format!("k/{number}.jpg")), None, cause()).unwrap();
    }
    let headers = StoredHeaders {
        content_type: Some("text/plain".into()),
        metadata: BTreeMap::from([("colour".into(), "red".into())]),
        ..StoredHeaders::default()
    };
    let odd = at("kept", "odd/../key \u{fc}\n");
    let mut incoming = store.objects.begin(&odd, headers).unwrap();
    incoming.write(b"kept").unwrap();
    store.objects.commit(&odd, incoming, Condition::Any, cause()).unwrap();
    everything(store)
}

/// The files of objects, oldest first.
fn object_files(data: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for folder in fs::read_dir(data.join("objects")).unwrap() {
        all.extend(fs::read_dir(folder.unwrap().path()).unwrap().map(|entry| entry.unwrap().path()));
    }
    all.sort();
    all
}

#[test]
fn a_lost_ledger_is_refused_at_the_start_and_rebuilt() {
    let data = tempfile::tempdir().unwrap();
    let before = filled(data.path());
    fs::remove_file(data.path().join("ledger.redb")).unwrap();

    for empty_file in [false, true] {
        if empty_file {
            fs::write(data.path().join("ledger.redb"), b"").unwrap();
        }
        let refused = start(data.path()).err().unwrap().to_string();
        assert!(refused.contains("no ledger") && refused.contains("tintype check --repair"), "{refused}");
        assert_eq!(fs::metadata(data.path().join("ledger.redb")).map_or(0, |file| file.len()), 0);
    }

    let (repaired, found) = rebuild(data.path());
    assert!(repaired.problem.is_some());
    assert_eq!(repaired.objects, before.len() as u64);
    assert!(found.iter().all(|finding| finding.kind == FindingKind::InDoubt), "{found:?}");
    let parts = start(data.path()).unwrap();
    assert_eq!(everything(&parts.store), before, "records, headers and bytes are what they were");
    // Sources are queued again, and a new upload is newer than all that was there.
    let queued = parts.store.backfill.page("", None, false, cause()).unwrap();
    assert_eq!(queued.stale.len(), 50);
    assert_eq!(parts.queue.depth().unwrap(), 50);
    let again = parts.store.backfill.page("", None, false, cause()).unwrap();
    assert_eq!((again.stale.len(), again.waiting), (0, 50), "nothing is queued twice");
    let etag = put(&parts.store, &at(IN, "k/1.jpg"), b"third").unwrap();
    assert_eq!(parts.store.objects.head(&at(IN, "k/1.jpg")).unwrap().unwrap().etag, etag);
}

#[test]
fn wherever_the_ledger_is_corrupt_every_object_is_restored() {
    let data = tempfile::tempdir().unwrap();
    let before = filled(data.path());
    let ledger = data.path().join("ledger.redb");
    let good = fs::read(&ledger).unwrap();
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut noticed = 0;
    for round in 0..40 {
        let mut bad = good.clone();
        match round % 4 {
            // A page of noise, a bit, a cut, a page of zeros.
            0 => {
                let start = random() as usize % (bad.len() / 4096) * 4096;
                bad[start..start + 4096].iter_mut().for_each(|byte| *byte = random() as u8);
            }
            1 => {
                let place = random() as usize % bad.len();
                bad[place] ^= 1 << (random() % 8);
            }
            2 => bad.truncate(random() as usize % bad.len()),
            _ => {
                let start = random() as usize % (bad.len() / 4096) * 4096;
                bad[start..start + 4096].fill(0);
            }
        }
        fs::write(&ledger, &bad).unwrap();
        let (repaired, found) = rebuild(data.path());
        noticed += usize::from(repaired.problem.is_some());
        assert_eq!(fs::read(&ledger).unwrap() == bad, repaired.old_ledger_path.is_none(), "round {round}");
        if let Some(kept) = &repaired.old_ledger_path {
            assert_eq!(fs::read(kept).unwrap(), bad, "round {round}: the old one is kept as it was");
            fs::remove_file(kept).unwrap();
        }
        assert!(found.iter().all(|finding| finding.kind == FindingKind::InDoubt), "round {round}: {found:?}");
        let parts = start(data.path()).unwrap();
        assert!(everything(&parts.store) == before, "round {round}");
    }
    assert!(noticed >= 10, "of 40 damages only {noticed} were noticed");
}

#[test]
fn what_is_in_order_is_left_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    let before = filled(data.path());
    let ledger = fs::read(data.path().join("ledger.redb")).unwrap();
    let (repaired, found) = rebuild_with(data.path(), true);
    assert_eq!((repaired.problem, repaired.old_ledger_path, found), (None, None, Vec::new()));
    assert_eq!(repaired.objects, before.len() as u64);
    assert!(fs::read(data.path().join("ledger.redb")).unwrap() == ledger);
    assert!(!data.path().join("quarantine").exists());
    assert!(!data.path().join("ledger.redb.new").exists());
}

#[test]
fn deleted_and_overwritten_objects_do_not_come_back() {
    let data = tempfile::tempdir().unwrap();
    let parts = start(data.path()).unwrap();
    put(&parts.store, &at(IN, "deleted"), b"deleted").unwrap();
    put(&parts.store, &at(IN, "changed"), b"old").unwrap();
    let copies: Vec<_> =
        object_files(data.path()).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    parts.store.objects.delete(&at(IN, "deleted"), None, cause()).unwrap();
    put(&parts.store, &at(IN, "changed"), b"new").unwrap();
    drop(parts);
    // As if the machine had gone down before the files were removed.
    copies.iter().for_each(|(bytes, path)| fs::write(path, bytes).unwrap());

    let (repaired, found) = rebuild(data.path());
    assert_eq!(repaired.problem, None);
    let whats: Vec<_> = found.iter().map(|finding| (finding.key.as_deref().unwrap(), finding.kind)).collect();
    // Their trash rows stay until the folder of the files that went has been synced.
    assert_eq!(whats, [("deleted", FindingKind::Removed), ("changed", FindingKind::Removed)]);
    assert!(found.iter().all(|finding| finding.file.as_ref().is_some_and(|file| file.exists())));
    let quarantine = repaired.quarantine.unwrap();
    assert_eq!(fs::read_to_string(quarantine.join("findings.jsonl")).unwrap().lines().count(), 2);
    let parts = start(data.path()).unwrap();
    assert_eq!(read(&parts.store, &at(IN, "deleted")), None);
    assert_eq!(read(&parts.store, &at(IN, "changed")).as_deref(), Some(&b"new"[..]));
    drop(parts);

    // Without a ledger only the overwritten one is known; the other is in doubt.
    copies.iter().for_each(|(bytes, path)| fs::write(path, bytes).unwrap());
    fs::remove_file(data.path().join("ledger.redb")).unwrap();
    let (_, found) = rebuild(data.path());
    let of = |what: FindingKind| -> Vec<_> {
        found.iter().filter(|one| one.kind == what).filter_map(|one| one.key.as_deref()).collect()
    };
    assert_eq!(of(FindingKind::Older), ["changed"]);
    assert!(of(FindingKind::InDoubt).contains(&"deleted"));
    let parts = start(data.path()).unwrap();
    assert_eq!(read(&parts.store, &at(IN, "changed")).as_deref(), Some(&b"new"[..]));
}

#[test]
fn events_dead_letters_and_rules_of_an_intact_ledger_are_copied() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path());
    let depth = {
        let parts = start(data.path()).unwrap();
        let depth = parts.queue.depth().unwrap();
        assert!(depth > 0);
        depth
    };
    // A stray file has it rewrite the ledger.
    fs::write(data.path().join("objects/README"), "not ours").unwrap();
    let (repaired, found) = rebuild(data.path());
    assert_eq!(found.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FindingKind::Stray]);
    assert_eq!(repaired.copied.events, depth);
    assert_eq!(repaired.copied.buckets, 3);
    let parts = start(data.path()).unwrap();
    assert_eq!(parts.queue.depth().unwrap(), depth);
    assert!(matches!(parts.queue.lease().unwrap(), tintype::queue::Next::Lease(_)));
}

#[test]
fn a_ledger_from_elsewhere_is_refused() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let before = filled(data.path());
    filled(other.path());
    let copy = |from: &Path| fs::copy(from, data.path().join("ledger.redb")).unwrap();
    let refused = || start(data.path()).err().unwrap().to_string();

    copy(&other.path().join("ledger.redb"));
    assert!(refused().contains("belongs to another data folder"), "{}", refused());
    let database = redb::Database::create(other.path().join("foreign.redb")).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(redb::TableDefinition::<u64, u64>::new("mine")).unwrap();
    write.commit().unwrap();
    drop(database);
    copy(&other.path().join("foreign.redb"));
    assert!(refused().contains("a database of another kind"), "{}", refused());
    fs::write(data.path().join("ledger.redb"), vec![b'x'; 100_000]).unwrap();
    assert!(refused().contains("not a ledger of tintype"), "{}", refused());
    assert!(refused().contains("tintype check --repair"));

    rebuild(data.path());
    assert_eq!(everything(&start(data.path()).unwrap().store), before);
}

#[test]
fn an_old_ledger_is_refused_and_brought_up_to_date() {
    let data = tempfile::tempdir().unwrap();
    let mut expected = filled(data.path());
    let backup = fs::read(data.path().join("ledger.redb")).unwrap();
    // Every start leaves a gap of orders: after three, new files are far beyond what the backup knows.
    for _ in 0..3 {
        let parts = start(data.path()).unwrap();
        put(&parts.store, &at(IN, "k/0.jpg"), b"later").unwrap();
        put(&parts.store, &at(IN, "later.jpg"), b"later").unwrap();
        parts.store.objects.delete(&at(IN, "k/1.jpg"), None, cause()).unwrap();
        expected = everything(&parts.store);
    }
    fs::write(data.path().join("ledger.redb"), backup).unwrap();
    let refused = start(data.path()).err().unwrap().to_string();
    assert!(refused.contains("older backup"), "{refused}");
    let (_, found) = rebuild(data.path());
    let lost: Vec<_> = found.iter().filter(|one| one.kind == FindingKind::Lost).collect();
    assert_eq!(lost.len(), 1, "{found:?}");
    assert_eq!(lost[0].key.as_deref(), Some("k/1.jpg"));
    assert_eq!(everything(&start(data.path()).unwrap().store), expected);
}

#[test]
fn an_earlier_copy_of_the_ledger_of_the_same_run_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let parts = start(data.path()).unwrap();
    put(&parts.store, &at(IN, "a.jpg"), b"a").unwrap();
    put(&parts.store, &at(IN, "deleted.jpg"), b"deleted").unwrap();
    // Every commit is durable, so a copy is a ledger.
    let earlier = fs::read(data.path().join("ledger.redb")).unwrap();
    put(&parts.store, &at(IN, "b.jpg"), b"b").unwrap();
    parts.store.objects.delete(&at(IN, "deleted.jpg"), None, cause()).unwrap();
    let expected = everything(&parts.store);
    drop(parts);
    let ledger = data.path().join("ledger.redb");
    let now = fs::read(&ledger).unwrap();
    fs::write(&ledger, &earlier).unwrap();
    for _ in 0..2 {
        let refused = start(data.path()).err().unwrap().to_string();
        assert!(refused.contains("older backup"), "{refused}");
    }
    // The right one again.
    fs::write(&ledger, now).unwrap();
    assert_eq!(everything(&start(data.path()).unwrap().store), expected);

    fs::write(&ledger, &earlier).unwrap();
    let (repaired, found) = rebuild(data.path());
    let lost = found.iter().filter(|one| one.kind == FindingKind::Lost).map(|one| one.key.as_deref());
    assert_eq!(lost.collect::<Vec<_>>(), [Some("deleted.jpg")]);
    for _ in 0..2 {
        assert_eq!(everything(&start(data.path()).unwrap().store), expected);
    }
    // That one is older than the new one is, too, and so is what the new one was a moment ago.
    fs::copy(repaired.old_ledger_path.unwrap(), &ledger).unwrap();
    let refused = start(data.path()).err().unwrap().to_string();
    assert!(refused.contains("older backup"), "{refused}");
}

/// The commit counter may be gone, corrupt or unwritable: every object is there all the same.
#[test]
fn a_lost_commit_counter_prevents_no_start() {
    let data = tempfile::tempdir().unwrap();
    let expected = filled(data.path());
    let commits = data.path().join("commits");
    let counter = fs::read(&commits).unwrap();
    let garbled = |place: usize| {
        let mut bytes = counter.clone();
        bytes[place] ^= 0x40;
        bytes
    };
    for wrong in [vec![], garbled(7), garbled(15), counter[..9].to_vec(), vec![0; 4096]] {
        fs::write(&commits, wrong).unwrap();
        assert_eq!(everything(&start(data.path()).unwrap().store), expected);
    }
    fs::remove_file(&commits).unwrap();
    fs::create_dir(&commits).unwrap();
    assert_eq!(everything(&start(data.path()).unwrap().store), expected);
    // A new folder in which the old number was left.
    fs::remove_dir(&commits).unwrap();
    fs::write(&commits, [&1_000_000_u64.to_le_bytes()[..], &(!1_000_000_u64).to_le_bytes()].concat())
        .unwrap();
    fs::remove_file(data.path().join("ledger.redb")).unwrap();
    fs::remove_dir_all(data.path().join("objects")).unwrap();
    for _ in 0..2 {
        drop(start(data.path()).unwrap());
    }
}

#[test]
fn without_a_commit_counter_an_earlier_copy_is_known_by_very_many_files() {
    // As many files as a crash can leave pass, and one more does not.
    for (count, is_refused) in [(4096, false), (4097, true)] {
        let data = tempfile::tempdir().unwrap();
        let parts = start(data.path()).unwrap();
        put(&parts.store, &at(IN, "a.jpg"), b"first").unwrap();
        let last = parts.store.objects.head(&at(IN, "a.jpg")).unwrap().unwrap().order;
        drop(parts);
        fs::remove_file(data.path().join("commits")).unwrap();
        // Names are all that is looked at.
        for order in last + 1..=last + count {
            let folder = data.path().join("objects").join(format!("{:08x}", order >> 12));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{order:016x}")), b"").unwrap();
        }
        let refused = start(data.path()).err().map(|error| error.to_string());
        assert_eq!(refused.is_some(), is_refused, "{refused:?}");
        assert!(refused.is_none_or(|words| words.contains("older backup")));
    }
}

#[test]
fn a_repair_that_was_interrupted_before_the_end_is_finished_by_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    let parts = start(data.path()).unwrap();
    put(&parts.store, &at(IN, "a.jpg"), b"first").unwrap();
    drop(parts);
    fs::write(data.path().join("ledger.redb"), b"no ledger").unwrap();
    // Nothing is queued by it: that is what would have come next.
    rebuild(data.path());
    let parts = start(data.path()).unwrap();
    assert!(parts.queue.event_of(&at(IN, "a.jpg")).unwrap().is_none());
    assert_eq!(parts.store.backfill.run_if_owed().unwrap(), 1);
    assert!(parts.queue.event_of(&at(IN, "a.jpg")).unwrap().is_some());
    assert_eq!(parts.store.backfill.run_if_owed().unwrap(), 0);
}

#[test]
fn corrupt_files_are_listed_and_set_aside() {
    let data = tempfile::tempdir().unwrap();
    let parts = start(data.path()).unwrap();
    for key in ["head", "bytes", "cut", "good"] {
        put(&parts.store, &at(IN, key), key.repeat(2000).as_bytes()).unwrap();
    }
    drop(parts);
    let paths = object_files(data.path());
    let flip = |path: &Path, place: u64| {
        let file = fs::File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, place).unwrap();
        file.write_all_at(&[byte[0] ^ 0x40], place).unwrap();
    };
    flip(&paths[0], 40);
    flip(&paths[1], fs::metadata(&paths[1]).unwrap().len() - 1);
    fs::File::options().write(true).open(&paths[2]).unwrap().set_len(3000).unwrap();

    let folder = DataFolder::open(data.path()).unwrap();
    let (mut found, mut seen, mut all) = (Vec::new(), 0, 0);
    let scrubbed =
        repair::scrub(&RealDisk, &folder, |count| all = count, || seen += 1, |_, one| found.push(one))
            .unwrap();
    drop(folder);
    assert_eq!((scrubbed.files, scrubbed.corrupt, all, seen), (4, 3, 4, 4));
    let whats: Vec<_> = found.iter().map(|finding| finding.kind).collect();
    assert_eq!(whats, [FindingKind::CorruptHead, FindingKind::CorruptBytes, FindingKind::CorruptBytes]);

    let (repaired, found) = rebuild_with(data.path(), true);
    assert_eq!(repaired.objects, 1);
    let whats: Vec<_> = found.iter().map(|finding| finding.kind).collect();
    let aside = [FindingKind::CorruptHead, FindingKind::CorruptBytes, FindingKind::CorruptBytes];
    assert_eq!(whats[..3], aside);
    assert_eq!(whats[3..], [FindingKind::Lost; 3], "and each is missed in the ledger");
    assert_eq!((files(data.path(), "objects"), files(data.path(), "quarantine")), (1, 4));
    let parts = start(data.path()).unwrap();
    assert_eq!(everything(&parts.store).len(), 1);
}

#[test]
fn a_repair_creates_no_data_folder() {
    let data = tempfile::tempdir().unwrap();
    let none = data.path().join("none");
    assert!(DataFolder::open_existing(&none).unwrap().is_none());
    assert!(!none.exists());
    assert!(DataFolder::open_existing(data.path()).unwrap().is_none());
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
}

#[test]
fn orphans_are_found_and_removed() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let thumbnail = |name: &str, source: &str| {
        let headers = StoredHeaders {
            metadata: BTreeMap::from([
                ("tintype-recipe".into(), "x".into()),
                ("tintype-source".into(), format!("{IN}/{source}")),
            ]),
            ..StoredHeaders::default()
        };
        let mut incoming = opened.store.objects.begin(&at(OUT, name), headers).unwrap();
        incoming.write(b"thumbnail").unwrap();
        opened.store.objects.commit(&at(OUT, name), incoming, Condition::Any, cause()).unwrap();
    };
    put(&opened.store, &at(IN, "there"), b"there").unwrap();
    put(&opened.store, &at(OUT, "somebody's"), b"not a thumbnail").unwrap();
    thumbnail("a", "there");
    thumbnail("b", "gone");
    let (orphans, next) = opened.store.backfill.orphans("", false, None).unwrap();
    assert_eq!(next, None);
    assert_eq!(orphans.iter().map(|orphan| orphan.at.key.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(opened.store.backfill.remove_orphans(orphans, &cause()).unwrap(), 1);
    assert_eq!(opened.store.backfill.orphans("", false, None).unwrap().0, []);
    assert!(opened.store.objects.head(&at(OUT, "a")).unwrap().is_some());

    // A source that comes back meanwhile may find its thumbnail current: it stays.
    thumbnail("c", "back");
    let (orphans, _) = opened.store.backfill.orphans("", false, None).unwrap();
    assert_eq!(orphans.len(), 1);
    put(&opened.store, &at(IN, "back"), b"back").unwrap();
    assert_eq!(opened.store.backfill.remove_orphans(orphans, &cause()).unwrap(), 0);
    assert!(opened.store.objects.head(&at(OUT, "c")).unwrap().is_some());

    // Of renditions that no trigger has any more; the one that it has stays.
    put(&opened.store, &at(IN, "d.jpg"), b"there").unwrap();
    thumbnail("thumb_d.jpg", "d.jpg");
    thumbnail("small/d.jpg", "d.jpg");
    let (orphans, _) = opened.store.backfill.orphans("", true, None).unwrap();
    let found = |orphan: &Orphan| (orphan.at.key.to_string(), orphan.is_stale);
    assert_eq!(
        orphans.iter().map(found).collect::<Vec<_>>(),
        [("a", true), ("c", true), ("small/d.jpg", true)].map(|(key, is_stale)| (key.to_owned(), is_stale))
    );
    assert_eq!(opened.store.backfill.remove_orphans(orphans, &cause()).unwrap(), 3);
    assert!(opened.store.objects.head(&at(OUT, "thumb_d.jpg")).unwrap().is_some());
}

#[test]
fn missing_files_are_reported() {
    let data = tempfile::tempdir().unwrap();
    let parts = start(data.path()).unwrap();
    for key in ["a", "b", "c"] {
        put(&parts.store, &at(IN, key), key.as_bytes()).unwrap();
    }
    let are_there = || {
        let mut seen = Vec::new();
        parts.store.each_file(|at, _, is_there| seen.push((at.key.to_string(), is_there))).unwrap();
        seen
    };
    let expected = |gone: &str| ["a", "b", "c"].map(|key| (key.to_owned(), key != gone)).to_vec();
    assert_eq!(are_there(), expected(""));
    fs::remove_file(&object_files(data.path())[1]).unwrap();
    assert_eq!(are_there(), expected("b"));
}

#[test]
fn the_file_of_a_health_check_is_no_finding() {
    let data = tempfile::tempdir().unwrap();
    put(&start(data.path()).unwrap().store, &at(IN, "a.jpg"), b"a").unwrap();
    let probe = data.path().join("objects/probe");
    fs::write(&probe, "cut").unwrap();
    let (repaired, found) = rebuild_with(data.path(), true);
    assert_eq!((repaired.objects, found.len()), (1, 0), "{found:?}");
    assert!(probe.exists(), "it is the next check's to remove");
}

#[test]
fn a_ledger_whose_files_are_all_gone_is_refused() {
    let data = tempfile::tempdir().unwrap();
    // Without an object there is nothing to miss.
    drop(start(data.path()).unwrap());
    fs::remove_dir_all(data.path().join("objects")).unwrap();
    put(&start(data.path()).unwrap().store, &at(IN, "a.jpg"), b"a").unwrap();
    let objects = data.path().join("objects");
    fs::rename(&objects, data.path().join("not mounted")).unwrap();
    for _ in 0..2 {
        let refused = start(data.path()).err().unwrap().to_string();
        assert!(refused.contains("not one object file"), "{refused}");
        // As an empty mount point.
        let _ = fs::create_dir(&objects);
    }
    fs::remove_dir(&objects).unwrap();
    fs::rename(data.path().join("not mounted"), &objects).unwrap();
    let parts = start(data.path()).unwrap();
    assert_eq!(everything(&parts.store).len(), 1);
    put(&parts.store, &at(IN, "b.jpg"), b"b").unwrap();
    drop(parts);
    fs::rename(&objects, data.path().join("not mounted")).unwrap();
    let (repaired, found) = rebuild(data.path());
    assert_eq!((repaired.objects, repaired.lost, found[0].kind), (0, 2, FindingKind::Lost));
    drop(start(data.path()).unwrap());
    // Mounted too late: the files are not known any more, and are not removed.
    fs::remove_dir_all(&objects).unwrap();
    fs::rename(data.path().join("not mounted"), &objects).unwrap();
    let parts = start(data.path()).unwrap();
    parts.store.cleanup.run().unwrap();
    assert_eq!(object_files(data.path()).len(), 2);
}

#[test]
fn dead_letters_are_not_tried_again_after_a_corrupt_ledger() {
    let data = tempfile::tempdir().unwrap();
    let parts = start(data.path()).unwrap();
    for key in ["malformed.jpg", "good.jpg"] {
        put(&parts.store, &at(IN, key), &key.repeat(100).into_bytes()).unwrap();
    }
    let lease = loop {
        match parts.queue.lease().unwrap() {
            Next::Lease(lease) if lease.event.key == "malformed.jpg" => break lease,
            other => drop(other),
        }
    };
    let failure = Failure::new(Reason::Malformed, "no JPEG");
    common::finish(&parts.queue, &lease, Outcome::Failed(failure), false);
    drop((lease, parts));
    // A page of the objects' rows is enough for the whole not to be trusted.
    damage_a_row_of(data.path(), b"good.jpg");
    let (repaired, _) = rebuild(data.path());
    assert!(repaired.problem.is_some());
    assert_eq!((repaired.copied.dead_letters, repaired.objects), (1, 2));
    let parts = start(data.path()).unwrap();
    let page = parts.store.backfill.page("", None, false, cause()).unwrap();
    assert_eq!((page.dead_lettered, page.stale), (1, vec![at(IN, "good.jpg")]));
}

/// Changes a byte beside a text in the ledger, so that its page's checksum is wrong.
fn damage_a_row_of(data: &Path, text: &[u8]) {
    let ledger = data.join("ledger.redb");
    let bytes = fs::read(&ledger).unwrap();
    let rows = bytes.windows(text.len()).enumerate().filter(|(_, window)| *window == text);
    let file = fs::File::options().write(true).open(&ledger).unwrap();
    for (place, _) in rows {
        file.write_all_at(b"X", place as u64 + text.len() as u64 + 2).unwrap();
    }
}
