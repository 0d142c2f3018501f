//! The disk store: conformance, durability across reopening, faults, orphaned files.

mod common;

use std::time::Duration;

use common::{IN, OUT, at, cause, eventually, files, open, put, queue, read};
use tintype::{
    ledger::LedgerError,
    queue::{ResultRecord, ResultsCursor},
    storage::{DiskPort, NewUpload, PageRequest, StoreFault, StoredHeaders, UploadsRequest},
};
use tintype_pipeline::store::Condition;
use tintype_policy::CannedAcl;
use tintype_stores::conformance;

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let data = tempfile::tempdir().unwrap();
    tokio::task::spawn_blocking(move || {
        let opened = open(data.path());
        for bucket in [conformance::SOURCE, conformance::DESTINATION] {
            opened.store.buckets.create(bucket, None).unwrap();
        }
        common::runtime().block_on(conformance::run(&DiskPort::new(opened.store.clone())));
    })
    .await
    .unwrap();
}

#[test]
fn everything_acknowledged_is_there_after_reopening() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let keys: Vec<String> = (0..50).map(|number| format!("k/{number}")).collect();
    for key in &keys {
        put(&opened.store, &at(IN, key), key.as_bytes()).unwrap();
        put(&opened.store, &at(IN, key), format!("new {key}").as_bytes()).unwrap();
    }
    opened.store.objects.delete(&at(IN, "k/7"), None, cause()).unwrap();
    drop(opened);
    let opened = open(data.path());
    for key in &keys {
        let expected = (key != "k/7").then(|| format!("new {key}").into_bytes());
        assert_eq!(read(&opened.store, &at(IN, key)), expected, "{key}");
    }
    let next = put(&opened.store, &at(IN, "k/0"), b"later").unwrap();
    assert_eq!(opened.store.objects.head(&at(IN, "k/0")).unwrap().unwrap().etag, next);
}

#[test]
fn nothing_is_left_of_what_was_replaced_deleted_refused_or_dropped() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let place = at(IN, "one");
    for round in 0..5 {
        put(&opened.store, &place, &[round]).unwrap();
    }
    let mut refused = opened.store.objects.begin(&place, StoredHeaders::default()).unwrap();
    refused.write(b"x").unwrap();
    let result = opened.store.objects.commit(&place, refused, Condition::Absent, cause());
    assert!(matches!(result, Err(StoreFault::PreconditionFailed(_))));
    drop(opened.store.objects.begin(&place, StoredHeaders::default()).unwrap());
    assert_eq!((files(data.path(), "objects"), files(data.path(), "incoming")), (1, 0));
    opened.store.objects.delete(&place, None, cause()).unwrap();
    assert_eq!(files(data.path(), "objects"), 0);
}

#[test]
fn orphaned_files_of_a_crash_are_cleaned_up_and_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    put(&opened.store, &at(IN, "kept"), b"kept").unwrap();
    let begun = opened.store.objects.begin(&at(IN, "half"), StoredHeaders::default()).unwrap();
    std::mem::forget(begun);
    let store = opened.store;
    // A published file that no row mentions, as a crash between rename and commit leaves it.
    let folder = std::fs::read_dir(data.path().join("objects")).unwrap().next().unwrap().unwrap().path();
    let kept = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let number = u64::from_str_radix(kept.file_name().unwrap().to_str().unwrap(), 16).unwrap();
    let bytes = std::fs::read(&kept).unwrap();
    let text = String::from_utf8_lossy(&bytes).replace(&format!("\"order\":{number}"), "\"order\":1");
    assert_ne!(text.as_bytes(), bytes, "the head names its order");
    drop(store);
    drop((opened.ledger, opened.enqueuer));
    let orphan = folder.join(format!("{:016x}", number + 1));
    write_orphan(&bytes, number, &orphan);

    let opened = open(data.path());
    assert_eq!(read(&opened.store, &at(IN, "half")), None);
    opened.store.cleanup.run().unwrap();
    assert!(!orphan.exists());
    assert_eq!(files(data.path(), "incoming"), 0);
    assert_eq!(read(&opened.store, &at(IN, "kept")).as_deref(), Some(&b"kept"[..]));
}

/// A copy of an object file under the next order, with a head that says so.
fn write_orphan(bytes: &[u8], number: u64, orphan: &std::path::Path) {
    let length = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
    let json = String::from_utf8(bytes[24..24 + length].to_vec()).unwrap();
    let json = json.replace(&format!("\"order\":{number}"), &format!("\"order\":{}", number + 1));
    let mut copy = bytes.to_vec();
    copy[16..20].copy_from_slice(&(json.len() as u32).to_le_bytes());
    copy[24..24 + json.len()].copy_from_slice(json.as_bytes());
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&copy[..20]);
    digest.update(json.as_bytes());
    copy[20..24].copy_from_slice(&(digest.finalize() as u32).to_le_bytes());
    std::fs::write(orphan, copy).unwrap();
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    put(&opened.store, &at(IN, "before"), b"before").unwrap();
    opened.faults.set_full(true);
    for key in ["before", "new"] {
        match put(&opened.store, &at(IN, key), &vec![7; 100_000]) {
            Err(StoreFault::Full(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read(&opened.store, &at(IN, "before")).as_deref(), Some(&b"before"[..]));
    assert_eq!(read(&opened.store, &at(IN, "new")), None);
    opened.faults.set_full(false);
    put(&opened.store, &at(IN, "new"), b"there is room again").unwrap();
    assert_eq!(read(&opened.store, &at(IN, "before")).as_deref(), Some(&b"before"[..]));
    assert_eq!(files(data.path(), "incoming"), 0);
}

#[test]
fn a_file_that_could_not_be_synced_was_never_put() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    put(&opened.store, &at(IN, "before"), b"before").unwrap();
    opened.faults.fail_syncs("", u64::MAX);
    assert!(put(&opened.store, &at(IN, "during"), b"during").is_err());
    assert!(put(&opened.store, &at(IN, "before"), b"during").is_err());
    opened.faults.fail_syncs("", 0);
    put(&opened.store, &at(IN, "after"), b"after").unwrap();
    assert_eq!(read(&opened.store, &at(IN, "during")), None);
    assert_eq!(read(&opened.store, &at(IN, "before")).as_deref(), Some(&b"before"[..]));
    assert_eq!(files(data.path(), "incoming"), 0);
}

/// A commit whose sync fails may be on disk all the same. Whichever way it went, what was acknowledged is
/// readable and every object whole: after one failure, and while the disk goes on failing.
#[test]
fn a_commit_in_doubt_tears_nothing() {
    for failures in [1, 2, 3, 5, 8, 40] {
        let data = tempfile::tempdir().unwrap();
        let opened = open(data.path());
        put(&opened.store, &at(IN, "kept"), b"kept").unwrap();
        put(&opened.store, &at(IN, "overwritten"), b"old").unwrap();
        opened.faults.fail_syncs("ledger.redb", failures);
        let overwrite = put(&opened.store, &at(IN, "overwritten"), b"new");
        let fresh = put(&opened.store, &at(IN, "fresh"), b"fresh");
        opened.faults.fail_syncs("", 0);
        eventually("the ledger takes changes again", || {
            put(&opened.store, &at(IN, "after"), b"after").is_ok()
        });
        let check = |opened: &common::Opened| {
            let now = read(&opened.store, &at(IN, "overwritten")).unwrap();
            match &overwrite {
                Ok(_) => assert_eq!(now, b"new"),
                Err(_) => assert!(now == b"old" || now == b"new", "{now:?}"),
            }
            match (&fresh, read(&opened.store, &at(IN, "fresh"))) {
                (Ok(_), now) => assert_eq!(now.as_deref(), Some(&b"fresh"[..])),
                (Err(_), now) => assert!(now.is_none_or(|now| now == b"fresh")),
            }
            for key in ["kept", "after"] {
                assert_eq!(read(&opened.store, &at(IN, key)).as_deref(), Some(key.as_bytes()));
            }
        };
        check(&opened);
        drop(opened);
        let opened = open(data.path());
        opened.store.cleanup.run().unwrap();
        check(&opened);
    }
}

#[test]
fn damage_on_disk_is_noticed_when_read() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    put(&opened.store, &at(IN, "rot"), &vec![1; 3000]).unwrap();
    let folder = std::fs::read_dir(data.path().join("objects")).unwrap().next().unwrap().unwrap().path();
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&file).unwrap();
    for position in [30, whole.len() - 1] {
        let mut rotten = whole.clone();
        rotten[position] ^= 0x10;
        std::fs::write(&file, rotten).unwrap();
        let read = opened.store.objects.open(&at(IN, "rot")).map(|object| object.unwrap().bytes());
        assert!(
            matches!(read, Err(StoreFault::Corrupt(..)) | Ok(Err(StoreFault::Corrupt(..)))),
            "byte {position}: {read:?}"
        );
    }
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(read(&opened.store, &at(IN, "rot")).unwrap().len(), 3000);
}

#[test]
fn readers_never_see_a_mix_of_two_versions() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let place = at(IN, "hot");
    put(&opened.store, &place, &vec![0; 300_000]).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let bytes = read(&opened.store, &place).unwrap();
                    assert_eq!(bytes.len(), 300_000);
                    assert!(bytes.iter().all(|byte| *byte == bytes[0]));
                }
            });
        }
        let writers: Vec<_> = (1..=2_u8)
            .map(|writer| {
                let (store, place) = (&opened.store, &place);
                scope.spawn(move || {
                    (0..40).for_each(|_| drop(put(store, place, &vec![writer; 300_000]).unwrap()));
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(files(data.path(), "objects"), 1);
}

#[test]
fn commits_are_shared_by_whoever_waits() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    opened.faults.set_sync_cost(std::time::Duration::from_millis(3));
    let before = opened.faults.syncs();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let store = &opened.store;
            scope.spawn(move || put(store, &at(IN, &format!("k{number}")), b"x").unwrap());
        }
    });
    // Alone, a put syncs its file, its folder and the ledger: 48 in all.
    let syncs = opened.faults.syncs() - before;
    assert!(syncs < 40, "{syncs} syncs for 16 puts at once");
}

#[test]
fn listing_pages_roll_up_prefixes() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    for key in ["a", "b/1", "b/2", "b/c/1", "b0", "c", "ü/1"] {
        put(&opened.store, &at(OUT, key), b"x").unwrap();
    }
    for max in 1..=7 {
        let mut request = PageRequest { delimiter: "/".into(), max, ..PageRequest::default() };
        let mut seen: Vec<String> = Vec::new();
        loop {
            let page = opened.store.listing.page(OUT, &request).unwrap();
            assert!(page.objects.len() + page.prefixes.len() <= max);
            let mut entries: Vec<String> =
                page.objects.into_iter().map(|(key, _)| key).chain(page.prefixes).collect();
            entries.sort();
            seen.extend(entries);
            match page.next {
                Some(next) => request.after = next,
                None => break,
            }
        }
        assert_eq!(seen, ["a", "b/", "b0", "c", "ü/"], "pages of {max}");
    }
    let within =
        PageRequest { prefix: "b/".into(), delimiter: "/".into(), max: 10, ..PageRequest::default() };
    let page = opened.store.listing.page(OUT, &within).unwrap();
    assert_eq!(page.prefixes, ["b/c/"]);
    assert_eq!(page.objects.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["b/1", "b/2"]);
}

/// Rows of files that are gone go again, whatever clients do: with deletes alone, too.
#[test]
fn rows_of_removed_files_do_not_accumulate() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let keys: Vec<String> = (0..400).map(|number| format!("{number}.txt")).collect();
    for key in &keys {
        put(&opened.store, &at(IN, key), b"x").unwrap();
    }
    for key in &keys {
        opened.store.objects.delete(&at(IN, key), None, cause()).unwrap();
    }
    let left = opened.ledger.view().unwrap().trash().unwrap().len();
    assert!(left <= 64, "{left} rows of files that are gone");
    assert_eq!(files(data.path(), "objects"), 0);
}

/// Results stay as long as their objects, and for a bounded time after them.
#[test]
fn results_of_deleted_objects_are_dropped_in_time() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let long_ago = ResultRecord {
        event: 1,
        outcome: "made".into(),
        why: None,
        renditions: Vec::new(),
        queued_ms: 1000,
        ended_ms: 1000,
        attempts: 1,
    };
    put(&opened.store, &at(IN, "there.txt"), b"x").unwrap();
    let pending = opened.ledger.submit(Vec::new(), move |changes| {
        changes.queue().put_result(&at(IN, "there.txt"), &long_ago)?;
        changes
            .queue()
            .put_result(&at(IN, "young.txt"), &ResultRecord { ended_ms: 3000, ..long_ago.clone() })?;
        for number in 0..12_000 {
            changes.queue().put_result(&at(IN, &format!("gone/{number}.txt")), &long_ago)?;
        }
        Ok::<_, LedgerError>(())
    });
    pending.wait().unwrap();

    let queue = queue(&opened, 0, Duration::ZERO, Duration::ZERO);
    let mut cursor = ResultsCursor::default();
    let steps: Vec<u64> = (0..4).map(|_| queue.forget_results(&mut cursor, 2000).unwrap()).collect();
    // A few thousand at a time, each row once; the fourth step finds nothing left and begins again.
    assert_eq!((steps.iter().sum::<u64>(), steps[3]), (12_000, 0), "{steps:?}");
    assert!(steps.iter().all(|step| *step <= 5000), "{steps:?}");
    let result = |key: &str| opened.ledger.view().unwrap().queue().result(&at(IN, key)).unwrap();
    assert!(result("there.txt").is_some() && result("young.txt").is_some());
    assert!(result("gone/0.txt").is_none() && result("gone/11999.txt").is_none());

    // Once the object is gone its result goes, too, from wherever the looking stands.
    opened.store.objects.delete(&at(IN, "there.txt"), None, cause()).unwrap();
    for _ in 0..2 {
        queue.forget_results(&mut cursor, 2000).unwrap();
    }
    assert!(result("there.txt").is_none() && result("young.txt").is_some());
}

#[test]
fn orders_used_up_without_a_trace_leave_no_file_ahead_of_the_ledger() {
    // What a start allows an object file to be ahead of its ledger.
    const GAP: u64 = 1 << 16;
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let last = || opened.ledger.view().unwrap().last_order().unwrap();
    put(&opened.store, &at(IN, "there.jpg"), b"first").unwrap();
    let before = last();
    for _ in 0..GAP / 1000 + 1 {
        let missing = (0..1000).map(|number| (at(IN, &format!("missing/{number}")), None)).collect();
        assert!(opened.store.objects.delete_all(missing, &cause()).into_iter().all(|done| !done.unwrap()));
    }
    let mut refused = opened.store.objects.begin(&at(IN, "there.jpg"), StoredHeaders::default()).unwrap();
    refused.write(b"second").unwrap();
    let refused = opened.store.objects.commit(&at(IN, "there.jpg"), refused, Condition::Absent, cause());
    assert!(matches!(refused, Err(StoreFault::PreconditionFailed(_))));
    assert!(last() > before + GAP - GAP / 2, "{} after {before}", last());
    drop(opened);
    assert_eq!(read(&open(data.path()).store, &at(IN, "there.jpg")).unwrap(), b"first");
}

#[test]
fn folders_without_objects_go_with_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    let folders = || std::fs::read_dir(data.path().join("objects")).unwrap().count();
    for _ in 0..3 {
        // Each start goes on in another folder.
        let opened = open(data.path());
        put(&opened.store, &at(OUT, "gone.jpg"), b"gone").unwrap();
        put(&opened.store, &at(OUT, "kept.jpg"), b"kept").unwrap();
    }
    assert_eq!(folders(), 3);
    let opened = open(data.path());
    opened.store.cleanup.run().unwrap();
    assert_eq!(folders(), 1);
    assert_eq!(read(&opened.store, &at(OUT, "kept.jpg")).unwrap(), b"kept");
    // A folder may go before the rows of the files that were removed from it.
    for key in ["kept.jpg", "gone.jpg"] {
        opened.store.objects.delete(&at(OUT, key), None, cause()).unwrap();
    }
    opened.store.cleanup.run().unwrap();
    assert_eq!(folders(), 0);
    for number in 0..200 {
        put(&opened.store, &at(OUT, "again.jpg"), format!("{number}").as_bytes()).unwrap();
    }
    assert_eq!(read(&opened.store, &at(OUT, "again.jpg")).unwrap(), b"199");
    assert!(opened.ledger.view().unwrap().trash().unwrap().len() < 128);
}

#[test]
fn abandoned_uploads_are_aborted_in_time() {
    let data = tempfile::tempdir().unwrap();
    let opened = open(data.path());
    let store = &opened.store;
    let new = || NewUpload {
        headers: StoredHeaders::default(),
        checksum_algorithm: None,
        full_object_checksum: false,
        acl: CannedAcl::Private,
        tags: Vec::new(),
    };
    let ids: Vec<String> =
        ["b", "a", "b"].map(|key| store.uploads.create(&at(IN, key), new()).unwrap()).into();
    let mut part = store.uploads.begin_part(&at(IN, "b"), &ids[0], 1).unwrap();
    part.write(&[7; 100_000]).unwrap();
    store.uploads.commit_part(&ids[0], 1, part).unwrap();
    let listed = |asked: UploadsRequest, most: usize| -> Vec<(String, String)> {
        let uploads = store.uploads.list(IN, &asked, most).unwrap();
        uploads.into_iter().map(|upload| (upload.key, upload.id)).collect()
    };
    let all = [("a", 1), ("b", 0), ("b", 2)].map(|(key, id)| (key.to_owned(), ids[id].clone()));
    assert_eq!(listed(UploadsRequest::default(), 10), all);
    assert_eq!(listed(UploadsRequest::default(), 2), all[..2]);
    let after =
        UploadsRequest { after_key: "b".into(), after_id: ids[0].clone(), ..UploadsRequest::default() };
    assert_eq!(listed(after, 10), all[2..]);
    assert_eq!(listed(UploadsRequest { prefix: "a".into(), ..UploadsRequest::default() }, 10), all[..1]);

    assert_eq!(store.uploads.abort_before(tintype_pipeline::clock::now_ms() - 60_000).unwrap(), 0);
    assert_eq!(files(data.path(), "objects"), 1);
    assert_eq!(store.uploads.abort_before(tintype_pipeline::clock::now_ms() + 1).unwrap(), 3);
    assert_eq!((listed(UploadsRequest::default(), 10).len(), files(data.path(), "objects")), (0, 0));
}
